"""`make gpu`: tests and times on a GPU, cell by cell."""

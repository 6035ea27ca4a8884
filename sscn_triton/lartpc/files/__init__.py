"""Event files of every format: readers, writers, and `opening`, which chooses one of them for a file."""

"""Event files of every format: readers and writers, and `opening`, which chooses one by the file."""

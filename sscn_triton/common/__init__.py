"""What several parts of the package use: the one way to write a file."""

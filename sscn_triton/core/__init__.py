"""What everything is built on: the sparse tensor, its grid of sites with rulebooks, the checks of arguments."""

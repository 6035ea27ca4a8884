"""The core types: the sparse tensor, its grid of sites with rulebooks, and the checks of their arguments."""

"""`make gpu`: times, kernels, tiles and tests on a GPU."""

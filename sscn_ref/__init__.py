"""Submanifold sparse convolutions in NumPy and Numba: the reference, to be read."""

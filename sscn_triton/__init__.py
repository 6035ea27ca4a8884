"""Submanifold sparse convolutions in PyTorch: the library, to be used."""

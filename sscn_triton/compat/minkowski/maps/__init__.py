"""Coordinates that are multiples of a tensor stride: their maps, the kernels between them, and their rules."""

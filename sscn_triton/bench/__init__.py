"""Measurements of the engines: on the CPU, on a GPU, and by a cost model."""

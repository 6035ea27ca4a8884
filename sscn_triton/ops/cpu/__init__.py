"""The CPU engine: Numba code on contiguous arrays, called by the registered operators of `sscn_triton.ops`."""

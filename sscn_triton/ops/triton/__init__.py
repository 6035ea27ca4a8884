"""The GPU engine: Triton kernels, called by the registered operators of `sscn_triton.ops`.

It is imported when the first tensor that is not on the CPU arrives, so that the library itself needs no Triton.
Nothing here adds floating-point numbers atomically: the same input gives the same bits on every run.
"""

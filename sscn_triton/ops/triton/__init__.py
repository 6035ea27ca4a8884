"""The GPU engine: Triton kernels, called by the registered operators of `sscn_triton.ops`.

The operators import it for the first tensor that is not on the CPU, so that the library itself does not need Triton.
No kernel adds floating-point numbers atomically, so the same input gives the same bits on every run.
"""

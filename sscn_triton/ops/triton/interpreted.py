"""Triton's kernels on CPU tensors: inside `interpreted`, the GPU's code replaces the CPU's own code.

Interpretation must be switched on before Triton is imported; tests/conftest.py does so.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch

from sscn_triton.ops.registration import ENGINES


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """Inside this context, operators on CPU tensors run their Triton kernels in Triton's interpreter."""
    with torch.library._scoped_library("sscn", "IMPL") as library:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns that a kernel replaces another
            for name, engines in ENGINES.items():
                if engines.cpu is not engines.gpu:
                    library.impl(name, engines.gpu, "CPU", allow_override=True)
        yield

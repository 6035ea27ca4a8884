"""Triton's kernels on CPU tensors: for a while, what runs on a GPU stands where the CPU's own code was.

Triton must be told to interpret before it is imported: tests/conftest.py does.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch

from sscn_triton.ops.registration import ENGINES


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """Inside, operators on CPU tensors run their Triton kernels interpreted."""
    with torch.library._scoped_library("sscn", "IMPL") as library:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, that a kernel takes the place of another
            for name, engines in ENGINES.items():
                if engines.cpu is not engines.gpu:
                    library.impl(name, engines.gpu, "CPU", allow_override=True)
        yield

"""Triton's kernels on CPU tensors: inside `interpreted`, the GPU's code replaces the CPU's own code.

Interpretation must be switched on before Triton is imported; tests/conftest.py does so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sscn_triton.ops.registration import ENGINES, ON_CPU


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """Inside this context, operators on CPU tensors run their Triton kernels in Triton's interpreter."""
    before = dict(ON_CPU)
    ON_CPU.update({name: engines.gpu for name, engines in ENGINES.items()})
    try:
        yield
    finally:
        ON_CPU.update(before)

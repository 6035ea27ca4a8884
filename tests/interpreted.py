"""Triton's kernels on CPU tensors: with the CPU's own kernels switched off, they are what is left.

Triton must be told to interpret before it is imported: tests/conftest.py does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sscn_triton.ops import convolution, events, pooling, sites

OPERATORS = (
    sites.unique_sites,
    sites.submanifold_rules,
    sites.strided_rules,
    sites.transposed_rules,
    convolution.convolution,
    convolution.weight_gradient,
    pooling.pool_sum,
    pooling.pool_max,
    pooling.pool_take,
    pooling.pool_return,
    events.sum_events,
    events.largest_of_events,
)


@contextlib.contextmanager
def interpreted() -> Iterator[None]:
    """Inside, operators on CPU tensors run their Triton kernels under the interpreter."""
    with contextlib.ExitStack() as stack:
        for operator in OPERATORS:
            stack.enter_context(operator.set_kernel_enabled("cpu", False))
        yield

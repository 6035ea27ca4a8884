"""Kernels whose taps are in another order."""

from __future__ import annotations

from torch import Tensor

from sscn_triton.relation import Axes


def by_tap(kernel: Tensor, kernel_size: Axes) -> Tensor:
    """A kernel ``[V, ...]`` whose first axis is the fastest, with the last the fastest; and the other way round where
    ``kernel_size`` is given backwards."""
    ndim = len(kernel_size)
    box = kernel.reshape(*reversed(kernel_size), *kernel.shape[1:])
    return box.permute(*reversed(range(ndim)), *range(ndim, box.ndim)).reshape(kernel.shape)

"""Kernels as MinkowskiEngine places them: an odd one is centred on the site, an even one starts at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sscn_triton.core.grid import Step
from sscn_triton.relation import MAX_NDIM, Axes, one_integer, per_axis

SpatialArg = int | Sequence[int]


class Windowed(torch.nn.Module):
    """The common part of layers with a kernel.

    Args:
        kernel_size, stride, dilation: one number or one per axis. An odd kernel is centred on its site; an even one
            starts there.
        kernel_generator: must be None; kernels are boxes.
        dimension: number of spatial axes; by default the length of ``kernel_size`` if that is a sequence.
    """

    def __init__(
        self,
        kernel_size: SpatialArg,
        stride: SpatialArg,
        dilation: SpatialArg,
        kernel_generator: Any,
        dimension: int | None,
    ) -> None:
        super().__init__()
        if kernel_generator is not None:
            raise ValueError("kernel_generator must be None: kernels are boxes of kernel_size, stride and dilation")
        if dimension is None and isinstance(kernel_size, Sequence):
            dimension = len(kernel_size)
        if dimension is None or one_integer(dimension, "dimension", 1) > MAX_NDIM:
            raise ValueError(f"dimension must be 1 to {MAX_NDIM}, got {dimension}")
        self.dimension = dimension
        self.kernel_size = per_axis(kernel_size, dimension, "kernel_size", 1)
        self.stride = per_axis(stride, dimension, "stride", 1)
        self.dilation = per_axis(dilation, dimension, "dilation", 1)

    def step(self, padding: Axes | None = None) -> Step:
        """The geometry as a strided step, with MinkowskiEngine's window unless a padding is given."""
        if padding is None:
            axes = zip(self.kernel_size, self.dilation, strict=True)
            padding = tuple(d * (k // 2) if k % 2 else 0 for k, d in axes)
        return Step("strided", self.kernel_size, self.stride, padding, self.dilation, (0,) * self.dimension)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, dilation={self.dilation}"

"""Pooling as in SparseConvNet: the maximum starts at 0, the average divides by the filter's volume."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.compat.sparseconvnet.convolutions import _positive, back
from sscn_triton.compat.sparseconvnet.metadata import Metadata
from sscn_triton.compat.sparseconvnet.sizes import Size, axes, shown, size_after, size_before
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, follow, sparse
from sscn_triton.compat.winners import max_pool_from_zero


class _Pooling(torch.nn.Module):
    """Sizes of a pool.

    Args:
        dimension: number of spatial axes.
        pool_size, pool_stride: one number or one per axis.
        nFeaturesToDrop: number of leading planes to leave out.
    """

    def __init__(self, dimension: int, pool_size: Size, pool_stride: Size, nFeaturesToDrop: int = 0) -> None:
        super().__init__()
        self.dimension = Metadata(dimension).dimension
        self.pool_size = _positive(dimension, pool_size, "pool_size")
        self.pool_stride = _positive(dimension, pool_stride, "pool_stride")
        if nFeaturesToDrop < 0:
            raise ValueError(f"nFeaturesToDrop must be 0 or more, got {nFeaturesToDrop}")
        self.nFeaturesToDrop = nFeaturesToDrop

    @property
    def _sizes(self) -> dict[str, Any]:
        return {"kernel_size": axes(self.pool_size), "stride": axes(self.pool_stride)}

    def _kept(self, x: SparseTensor) -> SparseTensor:
        planes = x.features.shape[1]
        if self.nFeaturesToDrop > planes:
            raise ValueError(f"nFeaturesToDrop is {self.nFeaturesToDrop}, but the tensor has {planes} feature planes")
        return SparseTensor.on(x.features[:, self.nFeaturesToDrop :], x.grid, x.path)

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """``(out - 1) * stride + pool``."""
        return size_before(out_size, self.pool_size, self.pool_stride)

    def __repr__(self) -> str:
        dropped = f" nFeaturesToDrop = {self.nFeaturesToDrop}" if self.nFeaturesToDrop else ""
        return f"{type(self).__name__}{shown(self.pool_size, self.pool_stride)}{dropped}"


class MaxPooling(_Pooling):
    """The largest active value under the pool, 0 where all are negative.

    The gradient of an output goes to every input equal to it: to each of several, and to inputs of exactly 0 if the
    output is 0.
    """

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = self._kept(sparse(self, input))
        size_after(input.spatial_size, self.pool_size, self.pool_stride)
        return follow(input, max_pool_from_zero(x, **self._sizes))


class AveragePooling(_Pooling):
    """The sum of the active values under the pool over the pool's volume."""

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = self._kept(sparse(self, input))
        size_after(input.spatial_size, self.pool_size, self.pool_stride)
        return follow(input, functional.average_pool(x, **self._sizes, count="volume"))


class UnPooling(_Pooling):
    """Go back to the input sites of the layer of these sizes: each gets the sum of its pools."""

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = self._kept(back(self, input, self.pool_size, self.pool_stride))
        return follow(input, functional.unpool(x, **self._sizes))

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """``(out - pool) / stride + 1``, which must be an integer."""
        return size_after(out_size, self.pool_size, self.pool_stride)

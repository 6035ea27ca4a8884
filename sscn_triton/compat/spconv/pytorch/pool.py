"""Pooling as in spconv: the maximum starts at 0, the average counts active sites."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.core import ConvAlgo
from sscn_triton.compat.spconv.pytorch.convolution import MOST_VOXELS, _per_axis, expect, record_voxels
from sscn_triton.compat.spconv.pytorch.core import LayerData, SparseConvTensor, check_algo, known_under, on_grid
from sscn_triton.compat.spconv.pytorch.modules import SparseModule
from sscn_triton.compat.winners import max_pool_from_zero
from sscn_triton.functional import Size


class _Pool(SparseModule):
    """Sizes of a pool, which stores sites and rules under a key."""

    def __init__(
        self,
        ndim: int,
        kernel_size: Size = 3,
        stride: Size | None = 1,
        padding: Size = 0,
        dilation: Size = 1,
        indice_key: str | None = None,
        subm: bool = False,
        algo: ConvAlgo | None = None,
        record_voxel_count: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if subm:
            raise ValueError("subm must be False: pool with stride 1 and padding kernel_size // 2, or convolve")
        self.ndim = ndim
        self.kernel_size = _per_axis(kernel_size, ndim, "kernel_size", 1)
        self.stride = _per_axis(self.kernel_size if stride is None else stride, ndim, "stride", 1)
        self.padding = _per_axis(padding, ndim, "padding", 0)
        self.dilation = _per_axis(dilation, ndim, "dilation", 1)
        self.indice_key, self.subm = indice_key, subm
        self.algo = check_algo(algo) or ConvAlgo.Native
        self.record_voxel_count = record_voxel_count
        if record_voxel_count:
            self.register_buffer(MOST_VOXELS, torch.zeros(1, dtype=torch.int32))

    def _pooled(self, x: SparseTensor, **geometry: Size) -> SparseTensor:
        raise NotImplementedError

    def get_max_num_voxels(self) -> Tensor | None:
        """``[1]`` int32: the largest number of output sites seen, if ``record_voxel_count``."""
        return getattr(self, MOST_VOXELS, None)

    def forward(self, input: SparseConvTensor) -> SparseConvTensor:
        grid = expect(self, input)
        if known_under(input, self.indice_key) is not None:
            raise ValueError(f"indice_key {self.indice_key!r} already exists in this tensor")
        sizes = (self.kernel_size, self.stride, self.padding, self.dilation)
        names = ("kernel_size", "stride", "padding", "dilation")
        y = self._pooled(SparseTensor.on(input.features, grid), **dict(zip(names, sizes, strict=True)))
        indices = y.coordinates.clone()
        output = on_grid(input.replace_feature(y.features), y.grid, indices)
        if self.indice_key is not None:
            rules, _ = grid.step(y.path[-1][1])
            data = LayerData(self, input.indices, indices, grid, y.grid, rules)
            output.indice_dict = {**input.indice_dict, self.indice_key: data}
        record_voxels(self, output)
        return output

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class SparseMaxPool(_Pool):
    """The largest active value under the pool, 0 where all are negative.

    The gradient of an output goes to every input equal to it.

    Args:
        ndim: number of spatial axes.
        kernel_size, stride, padding, dilation: one number or one per axis; None for ``stride`` is ``kernel_size``.
        indice_key: name under which sites and rules are stored for an inverse convolution; it must be new.
        subm: must be False.
        algo: has no effect; there is one algorithm.
        record_voxel_count: whether the buffer ``max_num_voxels_during_training`` keeps the largest number of output
            sites seen.
        name: a label.
    """

    def _pooled(self, x: SparseTensor, **geometry: Size) -> SparseTensor:
        return max_pool_from_zero(x, **geometry)


class SparseAvgPool(_Pool):
    """The mean of the active values under the pool. Arguments: `SparseMaxPool`."""

    def _pooled(self, x: SparseTensor, **geometry: Size) -> SparseTensor:
        return functional.average_pool(x, **geometry, count="active")


class _OfDimension(_Pool):
    NDIM: int

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        indice_key: str | None = None,
        algo: ConvAlgo | None = None,
        record_voxel_count: bool = False,
        name: str | None = None,
    ) -> None:
        window = (kernel_size, stride, padding, dilation)
        super().__init__(self.NDIM, *window, indice_key, False, algo, record_voxel_count, name)


class SparseMaxPool1d(_OfDimension, SparseMaxPool):
    """`SparseMaxPool` in one dimension; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 1


class SparseMaxPool2d(_OfDimension, SparseMaxPool):
    """`SparseMaxPool` in two dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 2


class SparseMaxPool3d(_OfDimension, SparseMaxPool):
    """`SparseMaxPool` in three dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 3


class SparseMaxPool4d(_OfDimension, SparseMaxPool):
    """`SparseMaxPool` in four dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 4


class SparseAvgPool1d(_OfDimension, SparseAvgPool):
    """`SparseAvgPool` in one dimension; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 1


class SparseAvgPool2d(_OfDimension, SparseAvgPool):
    """`SparseAvgPool` in two dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 2


class SparseAvgPool3d(_OfDimension, SparseAvgPool):
    """`SparseAvgPool` in three dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 3


class SparseAvgPool4d(_OfDimension, SparseAvgPool):
    """`SparseAvgPool` in four dimensions; ``stride`` is ``kernel_size`` unless given."""

    NDIM = 4


class SparseGlobalMaxOrAvgPool(SparseModule):
    """``[B, C]``: one row per event; zeros for an empty one.

    Args:
        is_mean: whether to take the mean of the event's rows, or the largest value.
        name: a label.
    """

    def __init__(self, is_mean: bool, name: str | None = None) -> None:
        super().__init__(name)
        self.is_mean = is_mean

    def forward(self, input: SparseConvTensor) -> Tensor:
        if not isinstance(input, SparseConvTensor):
            raise TypeError(f"{type(self).__name__} takes a SparseConvTensor, got {type(input).__name__}")
        how: functional.Reduction = "mean" if self.is_mean else "max"
        return functional.global_pool(SparseTensor.on(input.features, input.sites()), how)


class SparseGlobalMaxPool(SparseGlobalMaxOrAvgPool):
    """``[B, C]``: the largest value of every event; zeros for an empty one."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(False, name)


class SparseGlobalAvgPool(SparseGlobalMaxOrAvgPool):
    """``[B, C]``: the mean of every event; zeros for an empty one."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(True, name)


__getattr__ = names(
    __name__,
    {"ALL_POOL_LAYERS": "isinstance(layer, SparseMaxPool | SparseAvgPool)"},
    again=(
        "sscn_triton.compat.spconv.pytorch.core",
        "sscn_triton.compat.spconv.pytorch.conv",
        "sscn_triton.compat.spconv.cppconstants",
        "sscn_triton.compat.spconv.utils",
    ),
)

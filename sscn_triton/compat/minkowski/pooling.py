"""Pooling under a kernel, as in MinkowskiEngine."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.convolution import output_key, target_key
from sscn_triton.compat.minkowski.layers import Windowed, expect
from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator, Region, cube
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import PoolingMode, RegionType, expect_choice
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.pooling import pool_max, pool_sum

LOCAL = (PoolingMode.LOCAL_SUM_POOLING, PoolingMode.LOCAL_AVG_POOLING, PoolingMode.LOCAL_MAX_POOLING)


class MinkowskiPoolingBase(Windowed):
    """Pooling at the sites ``floor(input / stride)``, or at other ones; zeros where the pool is empty.

    Args:
        kernel_size, stride, dilation, kernel_generator, dimension: as in `Windowed`. Pools whose kernel equals the
            stride tile space: they start at multiples of the stride even if they are odd. They must be boxes without
            dilation.
        is_transpose: give each site the sum of its pools.
        pooling_mode: LOCAL_SUM_POOLING, LOCAL_AVG_POOLING or LOCAL_MAX_POOLING.
    """

    def __init__(
        self,
        kernel_size: StrideType,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        kernel_generator: KernelGenerator | None = None,
        is_transpose: bool = False,
        pooling_mode: PoolingMode = PoolingMode.LOCAL_AVG_POOLING,
        dimension: int | None = -1,
        expand_coordinates: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, expand_coordinates, dimension)
        self.is_transpose, self.pooling_mode = bool(is_transpose), local_mode(pooling_mode)
        pool_region(self.kernel_generator)

    def forward(self, input: Any, coordinates: Any = None) -> Any:
        """Pool a sparse tensor, at ``coordinates`` if they are given: ``[N, 1 + D]`` integers, a map's key, or a tensor
        on a map of the same manager."""
        x = expect(self, input, dimension=self.dimension)
        pool_region(self.kernel_generator)
        key = target_key(x, self, coordinates)
        book = pool_rules(x.coordinate_manager, x.coordinate_map_key, key, self.kernel_generator, self.is_transpose)
        mode = PoolingMode.LOCAL_SUM_POOLING if self.is_transpose else self.pooling_mode
        return x.on(pooled(x.F, book, mode), key)


class _LocalPooling(MinkowskiPoolingBase):
    """A pooling with one reduction. Arguments: `MinkowskiPoolingBase`."""

    mode: ClassVar[PoolingMode]

    def __init__(
        self,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        kernel_generator: KernelGenerator | None = None,
        dimension: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, False, self.mode, dimension)


class MinkowskiAvgPooling(_LocalPooling):
    """The mean of the active values under the pool. Arguments: `MinkowskiPoolingBase`."""

    mode = PoolingMode.LOCAL_AVG_POOLING


class MinkowskiSumPooling(_LocalPooling):
    """The sum of the active values under the pool. Arguments: `MinkowskiPoolingBase`."""

    mode = PoolingMode.LOCAL_SUM_POOLING


class MinkowskiMaxPooling(_LocalPooling):
    """The largest active value under the pool. Arguments: `MinkowskiPoolingBase`."""

    mode = PoolingMode.LOCAL_MAX_POOLING


class MinkowskiPoolingTranspose(MinkowskiPoolingBase):
    """Give each site the sum of its pools: sites as in `MinkowskiConvolutionTranspose`.

    Arguments: `MinkowskiPoolingBase`.
    """

    def __init__(
        self,
        kernel_size: StrideType,
        stride: StrideType,
        dilation: StrideType = 1,
        kernel_generator: KernelGenerator | None = None,
        expand_coordinates: bool = False,
        dimension: int | None = None,
    ) -> None:
        mode = PoolingMode.LOCAL_AVG_POOLING
        super().__init__(kernel_size, stride, dilation, kernel_generator, True, mode, dimension, expand_coordinates)


def local_mode(mode: PoolingMode) -> PoolingMode:
    """Return ``mode``; raise ValueError unless it is that of a pooling under a kernel."""
    if expect_choice("pooling_mode", mode, PoolingMode) not in LOCAL:
        raise ValueError(f"pooling_mode must be one of {', '.join(one.name for one in LOCAL)}, got {mode.name}")
    return mode


def pool_region(shape: KernelGenerator) -> Region:
    """The region of a pooling. Raises ValueError for tiles that are no boxes or have a dilation."""
    if shape.kernel_size != shape.kernel_stride:
        return shape.region
    if shape.region_type is not RegionType.HYPER_CUBE:
        raise ValueError("region_type must be HYPER_CUBE if kernel_size equals stride: MinkowskiEngine would ignore it")
    if set(shape.kernel_dilation) != {1}:
        raise ValueError(
            f"dilation must be 1 if kernel_size equals stride, got {tuple(shape.kernel_dilation)}: MinkowskiEngine "
            "would ignore it"
        )
    return cube(tuple(shape.kernel_size), tuple(shape.kernel_dilation), centred=False)


def pool_rules(
    manager: CoordinateManager, in_key: CoordinateMapKey, out_key: CoordinateMapKey, shape: KernelGenerator, back: bool
) -> Rulebook:
    """The rules of a pooling; a transposed one reads those from the other map backwards."""
    region = pool_region(shape)
    fine, coarse = (out_key, in_key) if back else (in_key, out_key)
    unit = manager.map(fine).unit
    if shape.kernel_size == shape.kernel_stride and unit != fine.stride:
        raise ValueError(
            f"pools that tile space need coordinates that are multiples of the tensor stride {fine.stride}"
        )
    book, _ = manager.rules(fine, coarse, region)
    return book.transposed() if back else book


def pool_key(manager: CoordinateManager, key: CoordinateMapKey, shape: KernelGenerator, back: bool) -> CoordinateMapKey:
    """The map that a pooling leads to by itself."""
    return output_key(manager, key, shape, back, shape.expand_coordinates)


def pooled(features: Values, book: Rulebook, mode: PoolingMode) -> Values:
    """Reduce the rows of each pool."""
    if mode is PoolingMode.LOCAL_MAX_POOLING:
        return pool_max(features, list(book.rules), book.output_count)[0]
    wide = widened(features)
    total = pool_sum(wide, list(book.rules), book.output_count)
    if mode is PoolingMode.LOCAL_AVG_POOLING:
        total = total / pool_sum(torch.ones_like(wide[:, :1]), list(book.rules), book.output_count).clamp(min=1)
    return total.to(features.dtype)

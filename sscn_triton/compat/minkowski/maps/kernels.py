"""Kernels as MinkowskiEngine places and numbers their taps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.keys import StrideType, checked_dimension, integers
from sscn_triton.compat.minkowski.settings import RegionType, expect_choice
from sscn_triton.core.grid import Step
from sscn_triton.ops.checks import MAX_TAPS
from sscn_triton.relation import Axes, volume


class Region(NamedTuple):
    """A kernel around an output site: a box, or a list of taps.

    ``taps``: from the output to the input of each tap, in units of the input's tensor stride; empty for a box.
    ``box``: the extents of a box, with ``padding`` and ``dilation`` as in the library's relation; else empty.
    """

    taps: tuple[Axes, ...]
    box: Axes
    padding: Axes
    dilation: Axes

    @property
    def offsets(self) -> tuple[Axes, ...]:
        """The taps; those of a box are numbered with the first axis fastest."""
        if not self.box:
            return self.taps
        axes = zip(self.box, self.padding, self.dilation, strict=True)
        lines = [[d * n - p for n in range(k)] for k, p, d in axes]
        return tuple(tap[::-1] for tap in itertools.product(*reversed(lines)))

    @property
    def is_symmetric(self) -> bool:
        """Whether the opposite of every tap is a tap."""
        if self.box:
            return all(2 * p == d * (k - 1) for k, p, d in zip(self.box, self.padding, self.dilation, strict=True))
        taps = set(self.taps)
        return all(tuple(-step for step in tap) in taps for tap in taps)

    def step(self, stride: Axes) -> Step:
        """The geometry of a box as a strided step of the library."""
        return Step("strided", self.box, stride, self.padding, self.dilation, (0,) * len(stride))


def cube(kernel_size: Axes, dilation: Axes, centred: bool = True) -> Region:
    """A box. On an axis where it has an odd number of taps it is centred on its site unless ``centred`` is False;
    otherwise it starts there."""
    axes = zip(kernel_size, dilation, strict=True)
    padding = tuple(d * (k // 2) if k % 2 and centred else 0 for k, d in axes)
    return Region((), kernel_size, padding, dilation)


def cross(kernel_size: Axes, dilation: Axes) -> Region:
    """Lines along the axes: the centre, then for each axis the taps above it and those below it, each in ascending
    order."""
    ndim, taps = len(kernel_size), [(0,) * len(kernel_size)]
    for axis, (kernel, spread) in enumerate(zip(kernel_size, dilation, strict=True)):
        reach = kernel // 2
        for number in (*range(1, reach + 1), *range(-reach, 0)):
            taps.append(tuple(number * spread if other == axis else 0 for other in range(ndim)))
    return Region(tuple(taps), (), (0,) * ndim, dilation)


class KernelGenerator:
    """The shape of a kernel.

    Args:
        kernel_size, stride, dilation: one number or one per axis. -1 as kernel_size is allowed for a custom region.
        is_transpose: must be False; a transposed layer reads the same kernel backwards.
        region_type: a box; a cross, whose extents must be odd; or the taps of ``region_offsets``.
        region_offsets: ``[V, D]`` integers: the offset of the input of each tap, in units of its tensor stride times
            the dilation; for custom regions only.
        expand_coordinates: whether the output consists of every site reached.
        axis_types: must be None.
        dimension: number of spatial axes.
    """

    def __init__(
        self,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        is_transpose: bool = False,
        region_type: RegionType = RegionType.HYPER_CUBE,
        region_offsets: Tensor | None = None,
        expand_coordinates: bool = False,
        axis_types: Any = None,
        dimension: int = -1,
    ) -> None:
        self.dimension = checked_dimension(dimension, kernel_size)
        self.region_type = expect_choice("region_type", region_type, RegionType)
        if axis_types is not None:
            raise ValueError("axis_types must be None: give the taps of a mixed kernel as a custom region")
        if is_transpose:
            raise ValueError("is_transpose must be False: transposed layers read the same kernel backwards")
        self.axis_types = None
        custom = self.region_type is RegionType.CUSTOM
        unused = custom and isinstance(kernel_size, int) and kernel_size == -1
        sizes = (-1,) * self.dimension if unused else integers(kernel_size, self.dimension, "kernel_size", 1)
        steps = integers(stride, self.dimension, "stride", 1)
        spread = integers(dilation, self.dimension, "dilation", 1)
        self.kernel_size, self.kernel_stride, self.kernel_dilation = list(sizes), list(steps), list(spread)
        self.region_offsets = _checked_offsets(region_offsets, custom, self.dimension)
        self.kernel_volume = get_kernel_volume(region_type, sizes, region_offsets, None, self.dimension)
        self.requires_strided_coordinates = set(steps) == {1}
        self.expand_coordinates = bool(expand_coordinates)
        if custom:
            taps = [tuple(o * d for o, d in zip(row, spread, strict=True)) for row in self.region_offsets.tolist()]
            self.region = Region(tuple(taps), (), (0,) * self.dimension, spread)
        else:
            self.region = (cross if self.region_type is RegionType.HYPER_CROSS else cube)(sizes, spread)

    @property
    def stride(self) -> Axes:
        """The stride, one number per axis."""
        return tuple(self.kernel_stride)

    def get_kernel(self, tensor_stride: Sequence[int], is_transpose: bool) -> tuple[RegionType, Tensor, int]:
        """Region type, offsets of a custom region (else empty) and number of taps; they depend on no argument."""
        integers(tensor_stride, self.dimension, "tensor_stride", 0)
        expect_choice("is_transpose", is_transpose, bool)
        return self.region_type, self.region_offsets, self.kernel_volume

    def __repr__(self) -> str:
        return (
            f"KernelGenerator(kernel_size={self.kernel_size}, kernel_stride={self.kernel_stride}, "
            f"kernel_dilation={self.kernel_dilation}, region_type={self.region_type.name}, "
            f"expand_coordinates={self.expand_coordinates}, dimension={self.dimension})"
        )


def get_kernel_volume(
    region_type: RegionType,
    kernel_size: StrideType,
    region_offset: Tensor | None,
    axis_types: Any,
    dimension: int,
) -> int:
    """Number of taps. Raises ValueError for a kernel that is not possible."""
    if axis_types is not None:
        raise ValueError("axis_types must be None: give the taps of a mixed kernel as a custom region")
    if region_type is RegionType.CUSTOM:
        return len(_checked_offsets(region_offset, True, dimension))
    sizes = integers(kernel_size, dimension, "kernel_size", 1)
    _checked_offsets(region_offset, False, dimension)
    if region_type is RegionType.HYPER_CROSS:
        if any(size % 2 == 0 for size in sizes):
            raise ValueError(f"kernel_size must be odd on every axis of a cross, got {list(sizes)}")
        taps = sum(sizes) - len(sizes) + 1
    else:
        taps = volume(sizes)
    if taps > MAX_TAPS:
        raise ValueError(f"kernel_size {list(sizes)} has {taps} taps; {MAX_TAPS} are allowed")
    return taps


def _checked_offsets(offsets: Tensor | None, custom: bool, dimension: int) -> Tensor:
    """``[V, D]`` int32 for a custom region, else an empty tensor."""
    if not custom:
        if offsets is not None and len(offsets):
            raise ValueError("region_offsets must be None unless region_type is RegionType.CUSTOM")
        return torch.empty(0, dtype=torch.int32)
    if not isinstance(offsets, Tensor) or offsets.is_floating_point() or offsets.is_complex():
        raise TypeError(f"region_offsets must be an integer tensor [V, {dimension}] for a custom region")
    if offsets.ndim != 2 or offsets.shape[1] != dimension or not len(offsets):
        raise ValueError(f"region_offsets must be [V, {dimension}] with V at least 1, got {tuple(offsets.shape)}")
    if len(offsets.unique(dim=0)) != len(offsets):
        raise ValueError("region_offsets hold an offset twice")
    return offsets.int().cpu()

"""Convert points with positions in a length unit, such as mm, to voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sscn_triton.core.arguments import FLOATS, INTEGERS, kind
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.relation import MAX_NDIM, Axes

Lengths = float | Sequence[float] | np.ndarray | Tensor
"""One length, or one per axis."""
OUTSIDE = ("error", "drop")
ROUNDING = 1e-6  # relative rounding, as of a voxel size of 0.1 in float32, within which limits count as whole voxels


class Quantized(NamedTuple):
    """What `quantize` returns."""

    sites: Tensor
    """``[M, D]`` int32: the voxel of each point that is kept."""
    rows: Tensor
    """``[M]`` int64, ascending: the kept points; all of them unless ``outside="drop"``."""


class Voxels(NamedTuple):
    """What `voxelize` returns."""

    tensor: SparseTensor
    """One site per voxel that contains a point."""
    inverse: Tensor
    """``[M]`` int64: for each kept point, its row of ``tensor``; ``tensor.features[inverse]`` is ``[M, C]``."""
    rows: Tensor
    """``[M]`` int64, ascending: the kept points; all of them unless ``outside="drop"``."""


def quantize(
    positions: Tensor | np.ndarray,
    voxel_size: Lengths,
    *,
    origin: Lengths | None = None,
    limits: tuple[Lengths, Lengths] | None = None,
    outside: str = "error",
) -> Quantized:
    """The voxel of each point, ``floor((position - origin) / voxel_size)``, computed in float64 for any input type.

    A point on the border of two voxels belongs to the upper one. Several points may be in one voxel: merge them with
    `SparseTensor.from_points` (after `sscn_triton.collate`, which adds the batch index), or use `voxelize`, which does
    both.

    Args:
        positions: ``[N, D]`` real numbers, D from 1 to 4, in any length unit.
        voxel_size: edge length of a voxel in that unit, one number or one per axis.
        origin: position of the lower corner of voxel (0, ..., 0); by default the lower limit if limits are given,
            else 0.
        limits: ``(low, high)``, each one number or one per axis: points with ``low <= position < high`` on every axis
            are inside.
        outside: "error" refuses points outside the limits, "drop" leaves them out.

    Raises:
        TypeError, ValueError: for arguments other than the above; for a position that is NaN or infinite, whatever
            ``outside`` says; for a voxel index that does not fit in int32.

    The host waits once for the device, and once more if points are dropped.
    """
    given = _positions(positions)
    frame = _Frame(given.shape[1], voxel_size, origin, limits, outside)
    rows = frame.inside(given)
    if rows is None:
        return Quantized(frame.sites(given), torch.arange(len(given), device=given.device))
    return Quantized(frame.sites(given.index_select(0, rows)), rows)


def voxelize(
    features: Tensor,
    positions: Tensor,
    voxel_size: Lengths,
    *,
    origin: Lengths | None = None,
    limits: tuple[Lengths, Lengths] | None = None,
    outside: str = "error",
    batch: Tensor | None = None,
    batch_size: int | None = None,
    duplicates: str = "mean",
) -> Voxels:
    """A sparse tensor from points with float positions, and the indices that map its rows back to the points.

    With the default arguments::

        voxels = voxelize(features, positions, voxel_size=3.0)
        per_point = model(voxels.tensor).features[voxels.inverse]  # [N, C']

    With ``outside="drop"`` these are only the rows of the points ``voxels.rows``.
    `sscn_triton.functional.interpolate` maps back to arbitrary positions.

    Args:
        features: ``[N, C]``, floating point; gradients reach them.
        positions, voxel_size, origin, limits, outside: as in `quantize`; no gradient reaches the positions.
        batch: ``[N]`` integers: the event of each point; by default 0 for all.
        batch_size: number of events; by default the largest batch index plus one, or 1 without ``batch``.
        duplicates: how features of points in one voxel are merged, as in `SparseTensor.from_points`.

    If limits are given and the origin is not above the lower one, the tensor has a ``spatial_shape``: the number of
    voxels from the origin to the upper limit. Otherwise its coordinates are unbounded.

    Raises:
        TypeError, ValueError: as in `quantize` and `SparseTensor.from_points`.
    """
    given = _positions(positions, tensor=True)
    frame = _Frame(given.shape[1], voxel_size, origin, limits, outside)
    if not isinstance(features, Tensor) or features.dtype not in FLOATS:
        raise TypeError(f"features must be a floating-point tensor [N, channels], got {kind(features)}")
    if features.ndim != 2 or len(features) != len(given):
        raise ValueError(
            f"features must be [N, channels] with N = {len(given)} rows, as in positions, got {tuple(features.shape)}"
        )
    if features.device != given.device:
        raise ValueError(f"features are on {features.device}, positions on {given.device}: put both on one device")
    events = checked_batch(batch, given)
    if batch is None and batch_size is None:
        batch_size = 1
    rows = frame.inside(given)
    if rows is not None:
        features, given, events = (t.index_select(0, rows) for t in (features, given, events))
    coordinates = torch.cat([events[:, None], frame.sites(given)], 1)
    tensor, inverse = SparseTensor.from_points(
        features, coordinates, frame.spatial_shape, batch_size, duplicates, return_inverse=True
    )
    return Voxels(tensor, inverse, torch.arange(len(inverse), device=inverse.device) if rows is None else rows)


def _positions(given: Tensor | np.ndarray, tensor: bool = False) -> Tensor:
    """The positions, detached; their type and shape are checked, but not that they are finite."""
    if isinstance(given, np.ndarray) and not tensor:
        if given.dtype.kind not in "fiu":
            raise TypeError(f"positions must be real numbers [N, D], got an array of {given.dtype}")
        given = torch.from_numpy(np.ascontiguousarray(given.astype(np.float64, copy=False)))
    return checked_positions(given).detach()


def checked_positions(given: object, ndim: int | None = None) -> Tensor:
    """``[N, D]`` real numbers, D as given or from 1 to 4. Raises TypeError or ValueError for anything else."""
    if not isinstance(given, Tensor) or given.dtype not in FLOATS + INTEGERS:
        raise TypeError(f"positions must be a tensor of real numbers [N, D], got {kind(given)}")
    if given.ndim != 2 or not 1 <= given.shape[1] <= MAX_NDIM or ndim not in (None, given.shape[1]):
        axes = f"D from 1 to {MAX_NDIM}" if ndim is None else f"D = {ndim} as in the sparse tensor"
        raise ValueError(f"positions must be [N, D], {axes}, without a batch index, got shape {tuple(given.shape)}")
    if given.is_meta:
        raise ValueError("positions are on meta, which has no values")
    return given


def checked_batch(batch: Tensor | None, positions: Tensor) -> Tensor:
    """``[N]`` int64: the event of each position; zeros if ``batch`` is None."""
    if batch is None:
        return torch.zeros(len(positions), dtype=torch.int64, device=positions.device)
    if not isinstance(batch, Tensor) or batch.dtype not in INTEGERS:
        raise TypeError(f"batch must be an integer tensor [N], got {kind(batch)}")
    if batch.shape != positions.shape[:1]:
        raise ValueError(f"batch must be [{len(positions)}], one event per position, got shape {tuple(batch.shape)}")
    if batch.device != positions.device:
        raise ValueError(f"batch is on {batch.device}, positions on {positions.device}: put both on one device")
    return batch.long()


def checked_extent(positions: Tensor) -> tuple[list[float], list[float]]:
    """Smallest and largest position on every axis, of at least one. Raises ValueError if any is NaN or infinite."""
    low, high = torch.stack(positions.detach().double().aminmax(dim=0)).tolist()  # the host waits for the device
    if not all(map(math.isfinite, low + high)):
        row = int((~positions.detach().isfinite()).any(1).nonzero()[0, 0])
        raise ValueError(f"positions must be finite: row {row} is {positions[row].tolist()}")
    return low, high


def lengths(value: Lengths, ndim: int, name: str) -> list[float]:
    """One finite number per axis, ``ndim`` in all: ``value`` itself if it has several, else ``value`` repeated."""
    given = value.tolist() if isinstance(value, np.ndarray | Tensor) else value
    values = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given] * ndim
    try:
        numbers = [float(v) for v in values if not isinstance(v, str | bool)]
    except TypeError:
        numbers = []
    if len(numbers) != len(values):
        raise TypeError(f"{name} must be a number or {ndim} numbers (one per axis), got {value!r}")
    if len(numbers) != ndim:
        raise ValueError(f"{name} must be one number or {ndim} (one per axis), got {len(numbers)}: {value!r}")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return numbers


def checked_voxel_size(value: Lengths, ndim: int) -> list[float]:
    """One positive length per axis, ``ndim`` in all."""
    sizes = lengths(value, ndim, "voxel_size")
    if min(sizes) <= 0:
        raise ValueError(f"voxel_size must be positive on every axis, got {value!r}")
    return sizes


class _Frame:
    """The layout of the voxels: their size, their origin and the limits of the inside, all checked."""

    def __init__(
        self,
        ndim: int,
        voxel_size: Lengths,
        origin: Lengths | None,
        limits: tuple[Lengths, Lengths] | None,
        outside: str,
    ) -> None:
        if outside not in OUTSIDE:
            raise ValueError(f"outside must be one of {', '.join(OUTSIDE)}, got {outside!r}")
        if limits is None and outside != "error":
            raise ValueError(f"outside={outside!r} needs limits: without them no point is outside")
        self.ndim, self.drop = ndim, outside == "drop"
        self.size = checked_voxel_size(voxel_size, ndim)
        self.low, self.high = [-math.inf] * ndim, [math.inf] * ndim
        self.last = [math.inf] * ndim  # index of the last voxel that reaches below the upper limit
        if limits is not None:
            if not isinstance(limits, Sequence | np.ndarray | Tensor) or len(limits) != 2:
                raise ValueError(f"limits must be a pair (low, high), got {limits!r}")
            self.low, self.high = (
                lengths(value, ndim, f"the {name} limit")
                for name, value in zip(("lower", "upper"), limits, strict=True)
            )
            if any(a >= b for a, b in zip(self.low, self.high, strict=True)):
                raise ValueError(f"the lower limit must be below the upper one on every axis, got {limits!r}")
        default = 0.0 if limits is None else self.low
        self.origin = lengths(default if origin is None else origin, ndim, "origin")
        if limits is not None:
            self.last = [_voxels(h - o, s) - 1 for h, o, s in zip(self.high, self.origin, self.size, strict=True)]

    @property
    def spatial_shape(self) -> Axes | None:
        """Voxels from the origin to the upper limit, if no point inside the limits can be below the origin."""
        if any(o > low for o, low in zip(self.origin, self.low, strict=True)):
            return None
        return tuple(int(last) + 1 for last in self.last)

    def inside(self, positions: Tensor) -> Tensor | None:
        """The rows inside the limits, or None if all are. Raises ValueError as `quantize` documents."""
        if not len(positions):
            return None
        low, high = checked_extent(positions)
        rows = None
        if any(a < b for a, b in zip(low, self.low, strict=True)) or any(
            a >= b for a, b in zip(high, self.high, strict=True)
        ):
            wide = positions.double()
            within = ((wide >= wide.new_tensor(self.low)) & (wide < wide.new_tensor(self.high))).all(1)
            if not self.drop:
                row = int((~within).nonzero()[0, 0])
                raise ValueError(
                    f"{int((~within).sum())} of {len(positions)} positions are outside the limits {self.low} to "
                    f"{self.high}, first row {row}, {positions[row].tolist()}: pass wider limits, or outside='drop'"
                )
            rows = within.nonzero()[:, 0]
        ends = zip(low, high, self.low, self.high, self.origin, self.size, strict=True)
        for axis, (least, most, floor, ceiling, origin, size) in enumerate(ends):
            indices = [(min(max(end, floor), ceiling) - origin) / size for end in (least, most)]
            if not -(2**31) <= indices[0] <= indices[1] < 2**31:
                raise ValueError(
                    f"positions on axis {axis} run from {least} to {most}: with origin {origin} and voxel_size {size} "
                    f"their voxels are {indices[0]:.6g} to {indices[1]:.6g}, but int32 holds {-(2**31)} to {2**31 - 1}"
                )
        return rows

    def sites(self, positions: Tensor) -> Tensor:
        """``[N, D]`` int32: the voxels of positions inside the limits."""
        wide = positions.double()
        index = ((wide - wide.new_tensor(self.origin)) / wide.new_tensor(self.size)).floor()
        if math.isfinite(self.last[0]):
            index = torch.minimum(
                index, wide.new_tensor(self.last)
            )  # for positions that rounding moved onto the upper limit
        return index.int()


def _voxels(length: float, size: float) -> int:
    """The number of voxels that cover the length: the quotient rounded up, unless it is an integer within rounding."""
    quotient = length / size
    nearest = round(quotient)
    return nearest if abs(quotient - nearest) <= ROUNDING * max(1.0, abs(quotient)) else math.ceil(quotient)

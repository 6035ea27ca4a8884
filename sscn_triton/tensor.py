"""Sparse tensors: feature rows on the sites of a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton import rulebook
from sscn_triton.grid import Grid, Step
from sscn_triton.relation import MAX_NDIM, Axes, one_integer, per_axis

__all__ = ["DUPLICATES", "Grid", "SparseTensor", "Step", "same_grid"]
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DUPLICATES = ("error", "sum", "mean", "max", "first", "last")


class SparseTensor:
    """Feature rows on active sites.

    Args:
        features: ``[N, C]``, floating point. A row may be zero: its site is active all the same.
        coordinates: ``[N, 1 + D]`` integers, D from 1 to 4, batch index first, on the device of ``features``; each
            site once (`from_points` merges duplicates). Rows keep their order.
        spatial_shape: extent of every axis in voxels; coordinates then lie in ``0 <= c < extent``. None (the
            default) leaves space unbounded: coordinates may have any sign.
        batch_size: number of events; by default the largest batch index plus one. Name it where the last events
            may be empty.

    Raises:
        TypeError, ValueError: before any work, saying what was given and what is allowed.
    """

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: int | Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> None:
        grid = _checked_grid(features, coordinates, spatial_shape, batch_size)
        first, inverse = rulebook.unique(grid.coordinates)
        if len(first) < len(inverse):
            raise ValueError(_duplicate_message(grid.coordinates, first, inverse))
        self.features = features
        self.grid = grid
        self.path: tuple[tuple[Grid, Step], ...] = ()

    @classmethod
    def on(cls, features: Tensor, grid: Grid, path: tuple[tuple[Grid, Step], ...] = ()) -> SparseTensor:
        """Features on a grid that exists, reached from the finer grids of ``path`` by their strided steps."""
        tensor = cls.__new__(cls)
        tensor.features, tensor.grid, tensor.path = features, grid, path
        return tensor

    @classmethod
    def from_points(
        cls,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: int | Sequence[int] | None = None,
        batch_size: int | None = None,
        duplicates: str = "error",
    ) -> SparseTensor:
        """A sparse tensor from points of which several may share a site.

        Args:
            duplicates: "error" refuses them; "sum", "mean" and "max" combine their features; "first" and "last"
                keep one. Sites come in the order in which they first appear.
        """
        if duplicates not in DUPLICATES:
            raise ValueError(f"duplicates must be one of {', '.join(DUPLICATES)}, got {duplicates!r}")
        if duplicates == "error":
            return cls(features, coordinates, spatial_shape, batch_size)
        grid = _checked_grid(features, coordinates, spatial_shape, batch_size)
        first, inverse = rulebook.unique(grid.coordinates)
        merged = _merge(features, first, inverse, duplicates)
        return cls.on(merged, Grid(grid.coordinates[first], grid.spatial_shape, grid.batch_size))

    @classmethod
    def from_dense(cls, dense: Tensor) -> SparseTensor:
        """The sites of ``dense`` ``[B, C, *spatial_shape]`` where some channel is not zero, in lexicographic order."""
        if not isinstance(dense, Tensor) or not dense.is_floating_point():
            raise TypeError(f"dense must be a floating-point tensor, got {_kind(dense)}")
        if not 3 <= dense.ndim <= 2 + MAX_NDIM:
            raise ValueError(f"dense must be [batch, channels, 1 to {MAX_NDIM} axes], got shape {tuple(dense.shape)}")
        rows = dense.movedim(1, -1)
        sites = (rows.detach() != 0).any(-1).nonzero()
        grid = Grid(sites.int(), tuple(dense.shape[2:]), dense.shape[0])
        return cls.on(rows[sites.unbind(1)], grid)

    def dense(self) -> Tensor:
        """``[batch_size, C, *spatial_shape]``, zero where no site is active."""
        if self.spatial_shape is None:
            raise ValueError("dense() needs a spatial_shape: give one to SparseTensor, its coordinates are unbounded")
        shape = (self.batch_size, *self.spatial_shape, self.features.shape[1])
        sites = self.coordinates.long().unbind(1)
        return self.features.new_zeros(shape).index_put(sites, self.features).movedim(-1, 1)

    def replace(self, features: Tensor) -> SparseTensor:
        """The same sites with other features ``[N, C']``."""
        if not isinstance(features, Tensor):
            raise TypeError(f"features must be a tensor, got {_kind(features)}")
        if features.ndim != 2 or features.shape[0] != self.features.shape[0]:
            raise ValueError(
                f"features must be [{self.features.shape[0]}, channels], a row for each site, "
                f"got shape {tuple(features.shape)}"
            )
        return SparseTensor.on(features, self.grid, self.path)

    def map(self, function: Callable[[Tensor], Tensor]) -> SparseTensor:
        """The same sites with ``function(features)``."""
        return self.replace(function(self.features))

    def __add__(self, other: SparseTensor) -> SparseTensor:
        """Sum of two tensors on one grid, with equally many channels."""
        if not isinstance(other, SparseTensor):
            return NotImplemented
        same_grid(self, other)
        if self.features.shape[1] != other.features.shape[1]:
            raise ValueError(f"cannot add {other.features.shape[1]} channels to {self.features.shape[1]}")
        return self.replace(self.features + other.features)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Like `torch.Tensor.to`. Rulebooks stay where they are; on another device they are built again."""
        features = self.features.to(*args, **kwargs)
        if features.device == self.grid.coordinates.device:
            return SparseTensor.on(features, self.grid, self.path)
        path = tuple((grid.to(features.device), step) for grid, step in self.path)
        return SparseTensor.on(features, self.grid.to(features.device), path)

    @property
    def coordinates(self) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first."""
        return self.grid.coordinates

    @property
    def spatial_shape(self) -> Axes | None:
        """Extent of every axis in voxels, or None where space is unbounded."""
        return self.grid.spatial_shape

    @property
    def batch_size(self) -> int:
        """Number of events, empty ones included."""
        return self.grid.batch_size

    @property
    def ndim(self) -> int:
        """Number of spatial axes D."""
        return self.grid.ndim

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.features.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self.features.dtype

    def __len__(self) -> int:
        return len(self.grid)

    def __repr__(self) -> str:
        return (
            f"SparseTensor({len(self)} sites, {self.features.shape[1]} channels, spatial_shape={self.spatial_shape}, "
            f"batch_size={self.batch_size}, dtype={self.dtype}, device={self.device})"
        )


def same_grid(*tensors: SparseTensor) -> None:
    """Raises unless the tensors, one at least, are all on one grid."""
    if not tensors:
        raise ValueError("at least one tensor is needed")
    for other in tensors:
        if not isinstance(other, SparseTensor):
            raise TypeError(f"all must be SparseTensors, got {type(other).__name__}")
        if other.grid is not tensors[0].grid:
            raise ValueError(
                f"tensors are on different grids: {tensors[0].grid!r} and {other.grid!r}; "
                "features can only be joined site by site on one grid"
            )


def _kind(value: object) -> str:
    return f"a {value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__


def _checked_grid(
    features: Tensor, coordinates: Tensor, spatial_shape: int | Sequence[int] | None, batch_size: int | None
) -> Grid:
    if not isinstance(features, Tensor) or features.dtype not in FLOATS:
        raise TypeError(
            f"features must be a float16, bfloat16, float32 or float64 tensor [N, channels], got {_kind(features)}"
        )
    if not isinstance(coordinates, Tensor) or coordinates.dtype not in INTEGERS:
        raise TypeError(
            f"coordinates must be an integer tensor [N, 1 + D], batch index first, of type int8 to int64 or uint8, "
            f"got {_kind(coordinates)}"
        )
    for name, value in (("features", features), ("coordinates", coordinates)):
        if value.layout != torch.strided:
            raise TypeError(f"{name} must be a tensor of layout torch.strided, got {value.layout}")
    if coordinates.ndim != 2 or not 2 <= coordinates.shape[1] <= 1 + MAX_NDIM:
        raise ValueError(
            f"coordinates must be [N, 1 + D], batch index first, D from 1 to {MAX_NDIM}, "
            f"got shape {tuple(coordinates.shape)}"
        )
    if features.ndim != 2 or features.shape[0] != coordinates.shape[0]:
        raise ValueError(
            f"features must be [N, channels] with N = {coordinates.shape[0]} rows as in coordinates, "
            f"got shape {tuple(features.shape)}"
        )
    if features.device != coordinates.device:
        raise ValueError(
            f"features are on {features.device}, coordinates on {coordinates.device}: put both on one device"
        )
    if coordinates.is_meta:
        raise ValueError("coordinates are on meta, which holds no values: sites must be known")
    ndim = coordinates.shape[1] - 1
    shape = None if spatial_shape is None else per_axis(spatial_shape, ndim, "spatial_shape", 1)
    batch_size = _checked_range(coordinates, shape, batch_size)
    return Grid(coordinates.to(torch.int32, copy=True).contiguous(), shape, batch_size)


def _checked_range(coordinates: Tensor, shape: Axes | None, batch_size: int | None) -> int:
    if batch_size is not None:
        batch_size = one_integer(batch_size, "batch_size", 0)
    if not len(coordinates):
        return batch_size or 0
    low, high = (bound.tolist() for bound in coordinates.aminmax(dim=0))
    names = ["batch", *(f"axis {axis}" for axis in range(len(low) - 1))]
    limits = [batch_size, *(shape or [None] * (len(low) - 1))]
    for column, (name, limit) in enumerate(zip(names, limits, strict=True)):
        least = -(2**31) if column and shape is None else 0
        most = 2**31 - 1 if limit is None else limit - 1
        if low[column] < least or high[column] > most:
            raise ValueError(
                f"coordinates of {name} (column {column}) run from {low[column]} to {high[column]}; "
                f"allowed is {least} to {most}"
            )
    return high[0] + 1 if batch_size is None else batch_size


def _duplicate_message(coordinates: Tensor, first: Tensor, inverse: Tensor) -> str:
    row = int((first[inverse] != torch.arange(len(inverse), device=inverse.device)).nonzero()[0, 0])
    return (
        f"coordinates hold {len(inverse) - len(first)} duplicate sites: rows {int(first[inverse[row]])} and {row} are "
        f"both {coordinates[row].tolist()}; merge them with SparseTensor.from_points(..., duplicates="
        f"{' | '.join(repr(how) for how in DUPLICATES[1:])})"
    )


def _merge(features: Tensor, first: Tensor, inverse: Tensor, how: str) -> Tensor:
    """Combine the feature rows that share a site; ``inverse`` gives each row its site."""
    if how == "first":
        return features[first]
    if how == "last":
        rows = torch.arange(len(inverse), device=inverse.device)
        return features[torch.zeros_like(first).scatter_reduce(0, inverse, rows, "amax", include_self=False)]
    index = inverse[:, None].expand_as(features)
    start = features.new_zeros(len(first), features.shape[1])
    reduce = {"sum": "sum", "mean": "mean", "max": "amax"}[how]
    return start.scatter_reduce(0, index, features, reduce, include_self=False)

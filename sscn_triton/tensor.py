"""Sparse tensors: feature rows on the sites of a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import torch
from torch import Tensor

from sscn_triton import rulebook
from sscn_triton.arguments import DUPLICATES, FLOATS, checked_grid, duplicate_message, kind
from sscn_triton.counterparts import NoArithmetic, missing_attribute, no_sum, refusal
from sscn_triton.grid import Grid, Step
from sscn_triton.ops.arrays import widened
from sscn_triton.ops.events import largest_of_events, sort_events, sum_events
from sscn_triton.relation import MAX_NDIM, Axes, Size

__all__ = ["DUPLICATES", "Grid", "SparseTensor", "Step", "same_grid"]


class SparseTensor(NoArithmetic):
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

    moments: Any = None  # of the features, where the operator that made them gave them: sscn_triton.functional.along

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: Size | None = None,
        batch_size: int | None = None,
    ) -> None:
        grid = checked_grid(features, coordinates, spatial_shape, batch_size)
        first, inverse = rulebook.unique(grid.coordinates)
        if len(first) < len(inverse):
            raise ValueError(duplicate_message(grid.coordinates, first, inverse))
        self.features = features
        self.grid = grid
        self.path: tuple[tuple[Grid, Step], ...] = ()

    @classmethod
    def on(cls, features: Tensor, grid: Grid, path: tuple[tuple[Grid, Step], ...] = ()) -> SparseTensor:
        """Features on a grid that exists, reached from the finer grids of ``path`` by their strided steps."""
        tensor = cls.__new__(cls)
        tensor.features, tensor.grid, tensor.path = features, grid, path
        return tensor

    @overload
    @classmethod
    def from_points(
        cls,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: Size | None = None,
        batch_size: int | None = None,
        duplicates: str = "error",
        return_inverse: Literal[False] = False,
    ) -> SparseTensor: ...

    @overload
    @classmethod
    def from_points(
        cls,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: Size | None = None,
        batch_size: int | None = None,
        duplicates: str = "error",
        *,
        return_inverse: Literal[True],
    ) -> tuple[SparseTensor, Tensor]: ...

    @classmethod
    def from_points(
        cls,
        features: Tensor,
        coordinates: Tensor,
        spatial_shape: Size | None = None,
        batch_size: int | None = None,
        duplicates: str = "error",
        return_inverse: bool = False,
    ) -> SparseTensor | tuple[SparseTensor, Tensor]:
        """A sparse tensor from points of which several may share a site.

        Args:
            duplicates: "error" refuses them; "sum", "mean" and "max" combine their features; "first" and "last"
                keep one. Sites come in the order in which they first appear.
            return_inverse: return ``(tensor, inverse)``, where ``inverse`` is ``[N]`` int64, the row of the tensor for
                each point: ``tensor.features[inverse]`` has one row per point again.

        `sscn_triton.voxelize` takes float positions.
        """
        if duplicates not in DUPLICATES:
            raise ValueError(f"duplicates must be one of {', '.join(DUPLICATES)}, got {duplicates!r}")
        if duplicates == "error":
            tensor = cls(features, coordinates, spatial_shape, batch_size)
            return (tensor, torch.arange(len(tensor), device=tensor.device)) if return_inverse else tensor
        grid = checked_grid(features, coordinates, spatial_shape, batch_size)
        first, inverse = rulebook.unique(grid.coordinates)
        merged = _merge(features, first, inverse, duplicates)
        tensor = cls.on(merged, Grid(grid.coordinates[first], grid.spatial_shape, grid.batch_size))
        return (tensor, inverse) if return_inverse else tensor

    @classmethod
    def from_dense(cls, dense: Tensor) -> SparseTensor:
        """The sites of ``dense`` ``[B, C, *spatial_shape]`` where some channel is not zero, in lexicographic order."""
        if not isinstance(dense, Tensor) or dense.dtype not in FLOATS:
            raise TypeError(f"dense must be a float16, bfloat16, float32 or float64 tensor, got {kind(dense)}")
        if not 3 <= dense.ndim <= 2 + MAX_NDIM:
            raise ValueError(f"dense must be [batch, channels, 1 to {MAX_NDIM} axes], got shape {tuple(dense.shape)}")
        if 0 in dense.shape[2:]:
            raise ValueError(f"every spatial axis of dense must have an extent of at least 1, got {tuple(dense.shape)}")
        if dense.is_meta:
            raise ValueError("dense is on meta, which holds no values: sites must be known")
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
            raise TypeError(f"features must be a tensor, got {kind(features)}")
        if features.ndim != 2 or features.shape[0] != self.features.shape[0]:
            raise ValueError(
                f"features must be [{self.features.shape[0]}, channels], a row for each site, "
                f"got shape {tuple(features.shape)}"
            )
        if features.device != self.features.device:
            raise ValueError(f"features are on {features.device}, the sites on {self.device}: move them with `to`")
        return SparseTensor.on(features, self.grid, self.path)

    def map(self, function: Callable[[Tensor], Tensor]) -> SparseTensor:
        """The same sites with ``function(features)``."""
        return self.replace(function(self.features))

    def __add__(self, other: SparseTensor) -> SparseTensor:
        """Sum of two tensors on one grid, with equally many channels."""
        if not isinstance(other, SparseTensor):
            raise TypeError(no_sum(self, other))
        same_grid(self, other)
        if self.features.shape[1] != other.features.shape[1]:
            raise ValueError(f"cannot add {other.features.shape[1]} channels to {self.features.shape[1]}")
        return self.replace(self.features + other.features)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Like `torch.Tensor.to`. Rulebooks stay where they are; on another device they are built again.

        Raises TypeError for a dtype that features cannot have, ValueError for the device meta.
        """
        features = self.features.to(*args, **kwargs)
        if features.dtype not in FLOATS:
            raise TypeError(f"features are float16, bfloat16, float32 or float64, and cannot become {features.dtype}")
        if features.device == self.grid.coordinates.device:
            return SparseTensor.on(features, self.grid, self.path)
        if features.is_meta:
            raise ValueError("a SparseTensor cannot be on meta, which holds no values: its sites must be known")
        where = features.device, kwargs.get("non_blocking", False) and features.device.type != "cpu"
        path = tuple((grid.to(*where), step) for grid, step in self.path)
        return SparseTensor.on(features, self.grid.to(*where), path)

    def half(self) -> SparseTensor:
        """Features in float16."""
        return self.to(torch.float16)

    def bfloat16(self) -> SparseTensor:
        """Features in bfloat16."""
        return self.to(torch.bfloat16)

    def float(self) -> SparseTensor:
        """Features in float32."""
        return self.to(torch.float32)

    def double(self) -> SparseTensor:
        """Features in float64."""
        return self.to(torch.float64)

    def cpu(self) -> SparseTensor:
        """This tensor on the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | str | torch.device | None = None) -> SparseTensor:
        """This tensor on a GPU, by default the current one."""
        return self.to("cuda" if device is None else device)

    def pin_memory(self) -> SparseTensor:
        """This tensor, of the CPU, in pinned memory, from which ``to("cuda", non_blocking=True)`` copies without the
        host waiting; ``DataLoader(..., pin_memory=True)`` calls it. Its rulebooks are left behind."""
        path = tuple((grid.pin_memory(), step) for grid, step in self.path)
        return SparseTensor.on(self.features.pin_memory(), self.grid.pin_memory(), path)

    def detach(self) -> SparseTensor:
        """The same sites and features, outside the graph of gradients."""
        return self.replace(self.features.detach())

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

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], *_: Any) -> NoReturn:
        """PyTorch's functions, and so its layers, take tensors: one line says what takes a SparseTensor."""
        raise TypeError(refusal(function))

    if not TYPE_CHECKING:  # or a checker would believe that every attribute exists

        def __getattr__(self, name: str) -> NoReturn:
            """Reached for what a SparseTensor does not have: what PyTorch's norms ask of a tensor, for one."""
            raise AttributeError(missing_attribute(type(self).__name__, name), name=name, obj=self)

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


def _merge(features: Tensor, first: Tensor, inverse: Tensor, how: str) -> Tensor:
    """Combine the feature rows that share a site, in their order; ``inverse`` gives each row its site."""
    if how == "first":
        return features[first]
    sites = sort_events(inverse, len(first))
    _, order, starts = sites
    if how == "last":
        return features[order[starts[1:] - 1]]
    if how == "max":
        return features.gather(0, largest_of_events(features.detach(), sites))
    total = sum_events(widened(features), sites)
    if how == "mean":
        total = total / starts.diff()[:, None]
    return total.to(features.dtype)

"""Sparse tensors: feature rows on the sites of a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import torch
from torch import Tensor

from sscn_triton.core import rulebook
from sscn_triton.core.arguments import DUPLICATES, FLOATS, check_features, checked_grid, duplicate_message, kind
from sscn_triton.core.counterparts import NoArithmetic, missing_attribute, no_sum, refusal
from sscn_triton.core.grid import Grid, Step
from sscn_triton.core.value import value
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import largest_of_events, sort_events, sum_events
from sscn_triton.relation import MAX_NDIM, Axes, Size

__all__ = ["DUPLICATES", "Grid", "Path", "SparseTensor", "Step", "same_grid"]

Path = tuple[tuple[Grid, Step], ...]


@value("features", "grid", "path", features="_features")
class SparseTensor(NoArithmetic):
    """Feature rows on active sites.

    PyTorch treats it as a value with the fields ``features``, ``grid`` and ``path``: a dataclass, and a pytree whose
    only leaf is the features. So data-parallel wrappers, checkpointing, `torch.func` and `torch.export` find the
    features.

    Args:
        features: ``[N, C]``, floating point. A row may be zero; its site is still active.
        coordinates: ``[N, 1 + D]`` integers, D from 1 to 4, batch index first, on the device of ``features``; each
            site once (`from_points` merges duplicates). Rows keep their order.
        spatial_shape: extent of every axis in voxels; coordinates must then lie in ``0 <= c < extent``. None (the
            default) leaves space unbounded: coordinates may have any sign.
        batch_size: number of events; by default the largest batch index plus one. Pass it if the last events may be
            empty.
        grid, path: the sites of another tensor, as in `on`, instead of the three arguments above.

    Raises:
        TypeError, ValueError: before any work, with what was given and what is allowed.
    """

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor | None = None,
        spatial_shape: Size | None = None,
        batch_size: int | None = None,
        *,
        grid: Grid | None = None,
        path: Path = (),
    ) -> None:
        if grid is None:
            if path:
                raise ValueError("a path needs the grid that it leads to: pass both, or coordinates")
            grid = checked_grid(features, coordinates, spatial_shape, batch_size)
            first, inverse = rulebook.unique(grid.coordinates)
            if len(first) < len(inverse):
                raise ValueError(duplicate_message(grid.coordinates, first, inverse))
        else:
            if any(given is not None for given in (coordinates, spatial_shape, batch_size)):
                raise ValueError(
                    "a grid includes coordinates, spatial_shape and batch_size: pass either the grid or these"
                )
            _check_on(features, grid, path)
        self._features, self._grid, self._path = features, grid, path

    @classmethod
    def on(cls, features: Tensor, grid: Grid, path: Path = ()) -> SparseTensor:
        """Features on an existing grid, which the strided steps of ``path`` reached from finer grids.

        Raises TypeError or ValueError unless features are ``[N, C]``, floating point, with one row per site of the
        grid, and on its device.
        """
        _check_on(features, grid, path)
        return cls._of(features, grid, path)

    @classmethod
    def _of(cls, features: Tensor, grid: Grid, path: Path) -> SparseTensor:
        """`on` without checks, for features that an operator has just made for this grid."""
        tensor = cls.__new__(cls)
        tensor._features, tensor._grid, tensor._path = features, grid, path
        return tensor

    @property
    def features(self) -> Tensor:
        """``[N, C]``, floating point, one row per site.

        They can be replaced by features with the same number of rows on the same device.
        """
        return self._features

    @features.setter
    def features(self, features: Tensor) -> None:
        self._check_replacement(features)
        self._features = features

    @property
    def grid(self) -> Grid:
        """The sites. The grid can be replaced by one with the same number of sites on the same device."""
        return self._grid

    @grid.setter
    def grid(self, grid: Grid) -> None:
        _check_on(self._features, grid, self._path)
        self._grid = grid

    @property
    def path(self) -> Path:
        """The finer grids from which the sites were reached, finest first, each with the strided step taken."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        _check_on(self._features, self._grid, path)
        self._path = path

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
        """A sparse tensor from points, of which several may share a site.

        Args:
            duplicates: "error" refuses them; "sum", "mean" and "max" combine their features; "first" and "last"
                keep one. Sites are in order of first appearance.
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
        """The sites of ``dense`` ``[B, C, *spatial_shape]`` where any channel is nonzero, in lexicographic order."""
        if not isinstance(dense, Tensor) or dense.dtype not in FLOATS:
            raise TypeError(f"dense must be a float16, bfloat16, float32 or float64 tensor, got {kind(dense)}")
        if not 3 <= dense.ndim <= 2 + MAX_NDIM:
            raise ValueError(f"dense must be [batch, channels, 1 to {MAX_NDIM} axes], got shape {tuple(dense.shape)}")
        if 0 in dense.shape[2:]:
            raise ValueError(f"every spatial axis of dense must have an extent of at least 1, got {tuple(dense.shape)}")
        if dense.is_meta:
            raise ValueError("dense is on meta, which has no values, but sites must be known")
        rows = dense.movedim(1, -1)
        sites = (rows.detach() != 0).any(-1).nonzero()
        grid = Grid(sites.int(), tuple(dense.shape[2:]), dense.shape[0])
        return cls.on(rows[sites.unbind(1)], grid)

    def dense(self) -> Tensor:
        """``[batch_size, C, *spatial_shape]``, zero where no site is active."""
        if self.spatial_shape is None:
            raise ValueError(
                "dense() needs a spatial_shape, but the coordinates are unbounded: pass spatial_shape to SparseTensor"
            )
        shape = (self.batch_size, *self.spatial_shape, self.features.shape[1])
        sites = self.coordinates.long().unbind(1)
        return self.features.new_zeros(shape).index_put(sites, self.features).movedim(-1, 1)

    def replace(self, features: Tensor) -> SparseTensor:
        """The same sites with other features ``[N, C']``."""
        self._check_replacement(features)
        return SparseTensor._of(features, self._grid, self._path)

    def _check_replacement(self, features: Tensor) -> None:
        check_features(features, self._features.shape[0])
        if features.device != self._features.device:
            raise ValueError(
                f"features are on {features.device}, but the sites are on {self.device}: move the features with `to`"
            )

    def map(self, function: Callable[[Tensor], Tensor]) -> SparseTensor:
        """The same sites with ``function(features)``."""
        return self.replace(function(self.features))

    def __add__(self, other: SparseTensor) -> SparseTensor:
        """Sum of two tensors on one grid, with the same number of channels."""
        if not isinstance(other, SparseTensor):
            raise TypeError(no_sum(self, other))
        same_grid(self, other)
        if self.features.shape[1] != other.features.shape[1]:
            raise ValueError(f"cannot add {other.features.shape[1]} channels to {self.features.shape[1]}")
        return self.replace(self.features + other.features)

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Like `torch.Tensor.to`. Rulebooks are not moved; on another device they are built again.

        Raises TypeError for a dtype that features cannot have, ValueError for the meta device.
        """
        features = self.features.to(*args, **kwargs)
        if features.dtype not in FLOATS:
            raise TypeError(
                f"features must be float16, bfloat16, float32 or float64, and cannot become {features.dtype}"
            )
        if features.device == self.grid.coordinates.device:
            return SparseTensor.on(features, self.grid, self.path)
        if features.is_meta:
            raise ValueError("a SparseTensor cannot be on meta: its sites must be known, but meta has no values")
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
        """This tensor on a GPU, the current one by default."""
        return self.to("cuda" if device is None else device)

    def pin_memory(self) -> SparseTensor:
        """This CPU tensor in pinned memory, from which ``to("cuda", non_blocking=True)`` copies without making the
        host wait; ``DataLoader(..., pin_memory=True)`` calls it. Rulebooks are not copied."""
        path = tuple((grid.pin_memory(), step) for grid, step in self.path)
        return SparseTensor.on(self.features.pin_memory(), self.grid.pin_memory(), path)

    def detach(self) -> SparseTensor:
        """The same sites and features, detached from the autograd graph."""
        return self.replace(self.features.detach())

    @property
    def coordinates(self) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first."""
        return self.grid.coordinates

    @property
    def spatial_shape(self) -> Axes | None:
        """Extent of every axis in voxels, or None if space is unbounded."""
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
        """The device of the features."""
        return self.features.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self.features.dtype

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], *_: Any) -> NoReturn:
        """PyTorch's functions, and so its layers, take tensors: raise an error that names the alternative."""
        raise TypeError(refusal(function))

    if not TYPE_CHECKING:  # otherwise a type checker would accept any attribute

        def __getattr__(self, name: str) -> NoReturn:
            """Called for an attribute that a SparseTensor does not have, such as one that PyTorch's norms read."""
            raise AttributeError(missing_attribute(type(self).__name__, name), name=name, obj=self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle, which may be untrusted: its content is checked like arguments."""
        features, grid, path = (state.get(f"_{name}", state.get(name)) for name in ("features", "grid", "path"))
        _check_on(features, grid, path)
        self.__dict__.update({"_features": features, "_grid": grid, "_path": path})

    def __getitem__(self, place: object) -> NoReturn:
        """Called by code that takes the tensor for a sequence, as `torch.jit.trace` does with example inputs."""
        raise TypeError(
            "a SparseTensor has no items: its rows are x.features[i] and x.coordinates[i]. torch.jit.trace cannot take "
            "it; torch.export can, with rulebooks that sscn_triton.prepare built"
        )

    def __len__(self) -> int:
        return len(self.grid)

    def __repr__(self) -> str:
        return (
            f"SparseTensor({len(self)} sites, {self.features.shape[1]} channels, spatial_shape={self.spatial_shape}, "
            f"batch_size={self.batch_size}, dtype={self.dtype}, device={self.device})"
        )


def _check_on(features: Any, grid: Any, path: Any) -> None:
    """Raise unless the three make a tensor. Features on meta, which represent any features, match every grid."""
    if not isinstance(grid, Grid):
        raise TypeError(f"grid must be a Grid, got {kind(grid)}")
    check_features(features, len(grid))
    if features.device != grid.coordinates.device and not features.is_meta:
        raise ValueError(
            f"features are on {features.device}, but the grid is on {grid.coordinates.device}: put both on one device"
        )
    if not isinstance(path, tuple) or not all(_is_path_entry(entry) for entry in path):
        raise TypeError(f"path must be a tuple of (Grid, Step), got {path!r}")


def _is_path_entry(entry: Any) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], Grid) and isinstance(entry[1], Step)


def same_grid(*tensors: SparseTensor) -> None:
    """Raise unless the tensors, at least one, are all on one grid."""
    if not tensors:
        raise ValueError("at least one tensor is needed")
    for other in tensors:
        if not isinstance(other, SparseTensor):
            raise TypeError(f"all must be SparseTensors, got {type(other).__name__}")
        if other.grid is not tensors[0].grid:
            raise ValueError(
                f"tensors are on different grids: {tensors[0].grid!r} and {other.grid!r}; "
                "features can be joined site by site only on one grid, which x.replace(features) and layers preserve"
            )


def _merge(features: Tensor, first: Tensor, inverse: Tensor, how: str) -> Tensor:
    """Combine the feature rows that share a site, in row order; ``inverse`` gives the site of each row."""
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


torch.serialization.add_safe_globals(
    [SparseTensor, Grid, Step]
)  # `torch.load` reads them, and __setstate__ checks their content

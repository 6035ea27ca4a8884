"""Maps of coordinates, each identified by its tensor stride and a name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sscn_triton import Grid, SparseTensor
from sscn_triton.core import rulebook
from sscn_triton.core.grid import Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.relation import Axes, submanifold_padding


@dataclass(frozen=True)
class CoordinateMapKey:
    """The name of a map: its tensor stride, of which all its coordinates are multiples, and a word, usually empty."""

    stride: Axes
    name: str = ""

    def get_tensor_stride(self) -> list[int]:
        """One number per axis."""
        return list(self.stride)

    def get_key(self) -> tuple[list[int], str]:
        """Stride and name."""
        return list(self.stride), self.name

    def get_coordinate_size(self) -> int:
        """Number of spatial axes plus one."""
        return len(self.stride) + 1


class CoordinateManager:
    """The maps of the tensors of one network, and the correspondence of their rows.

    A map is stored as the library's grid, in units of its tensor stride.
    """

    def __init__(self, dimension: int) -> None:
        self.D = dimension
        self._grids: dict[CoordinateMapKey, Grid] = {}
        self._rows: dict[tuple[int, int], tuple[Grid, Grid, Tensor, Tensor]] = {}

    def insert(self, grid: Grid, stride: Axes, name: str = "") -> CoordinateMapKey:
        """Store ``grid``, under another name if that one is taken."""
        key, number = CoordinateMapKey(stride, name), 0
        while key in self._grids:
            number += 1
            key = CoordinateMapKey(stride, f"{name}-{number}")
        self._grids[key] = grid
        return key

    def __contains__(self, key: CoordinateMapKey) -> bool:
        return key in self._grids

    def grid(self, key: CoordinateMapKey) -> Grid:
        """The sites of a map, in units of its tensor stride."""
        if key not in self._grids:
            raise ValueError(f"there is no coordinate map {key}; there are {', '.join(map(str, self._grids))}")
        return self._grids[key]

    def get_coordinates(self, key: CoordinateMapKey) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first, multiples of the tensor stride."""
        sites = self.grid(key).coordinates
        return sites * torch.tensor([1, *key.stride], dtype=sites.dtype, device=sites.device)

    def size(self, key: CoordinateMapKey) -> int:
        """Number of sites of a map."""
        return len(self.grid(key))

    def strided(self, key: CoordinateMapKey, stride: Axes) -> CoordinateMapKey:
        """The map of ``floor(coordinate / stride)``: the existing map with its key, or a new one."""
        if set(stride) == {1}:
            return key
        reached = CoordinateMapKey(tuple(t * s for t, s in zip(key.stride, stride, strict=True)), key.name)
        if reached not in self._grids:
            nothing, ones = (0,) * self.D, (1,) * self.D
            self._grids[reached] = self.grid(key).step(Step("strided", stride, stride, nothing, ones, nothing))[1]
        return reached

    def expanded(self, key: CoordinateMapKey, step: Step) -> CoordinateMapKey:
        """A new map of every site that ``step`` reaches."""
        stride = tuple(t * s for t, s in zip(key.stride, step.stride, strict=True))
        return self.insert(self.grid(key).step(step)[1], stride)

    def finer(self, key: CoordinateMapKey, step: Step, expand: bool) -> CoordinateMapKey:
        """The map that ``step`` goes back to: the first of its tensor stride, or a new one of every site reached."""
        stride = self.finer_stride(key, step.stride)
        known = CoordinateMapKey(stride)
        if known in self._grids and not expand:
            return known
        return self.insert(self.grid(key).step(step._replace(kind="transposed"))[1], stride)

    def finer_stride(self, key: CoordinateMapKey, stride: Axes) -> Axes:
        """The tensor stride divided by ``stride``; raises ValueError if the result is not an integer."""
        if any(t % s for t, s in zip(key.stride, stride, strict=True)):
            raise ValueError(f"tensor stride {key.stride} cannot be divided by stride {stride}")
        return tuple(t // s for t, s in zip(key.stride, stride, strict=True))

    def origin(self, key: CoordinateMapKey) -> CoordinateMapKey:
        """The map, of tensor stride 0, of the origins of the events that have a site."""
        events = self.grid(key).coordinates[:, :1].unique(dim=0)
        sites = torch.nn.functional.pad(events, (0, self.D))
        for known, grid in self._grids.items():
            if not any(known.stride) and torch.equal(grid.coordinates, sites):
                return known
        return self.insert(Grid(sites, None, self.grid(key).batch_size), (0,) * self.D)

    def onto(self, features: Tensor, source: Grid, target: Grid) -> Tensor:
        """Convert feature rows on ``source`` to rows on ``target``: zeros at sites that only ``target`` has."""
        if source is target:
            return features
        _, _, given, wanted = self.common(source, target)
        return features.new_zeros(len(target), features.shape[1]).index_copy(0, wanted, features.index_select(0, given))

    def common(self, source: Grid, target: Grid) -> tuple[Grid, Grid, Tensor, Tensor]:
        """Both grids, and the rows of their common sites in the one and in the other."""
        key = (id(source), id(target))
        if key not in self._rows:
            _, place = rulebook.unique(torch.cat([source.coordinates, target.coordinates]))
            place = place[len(source) :]
            wanted = (place < len(source)).nonzero()[:, 0]
            self._rows[key] = source, target, place[wanted], wanted
        return self._rows[key]

    def union(self, one: CoordinateMapKey, other: CoordinateMapKey) -> CoordinateMapKey:
        """A new map of the sites of two maps of the same stride: those of the first, then those only in the second."""
        if one.stride != other.stride:
            raise ValueError(f"tensors to join must have the same tensor stride, got {one.stride} and {other.stride}")
        sites = torch.cat([self.grid(one).coordinates, self.grid(other).coordinates])
        first, _ = rulebook.unique(sites)
        batch_size = max(self.grid(one).batch_size, self.grid(other).batch_size)
        return self.insert(Grid(sites[first], None, batch_size), one.stride, "union")

    def __repr__(self) -> str:
        held = "".join(f"\n    {key.stride} {key.name!r}: {len(grid)} sites" for key, grid in self._grids.items())
        return f"CoordinateManager(D={self.D}){held}"


def rules_between(grid: Grid, step: Step, target: Grid) -> tuple[Rulebook, Grid]:
    """The rules of ``step`` from ``grid``, and the sites that they lead to: ``target`` itself if possible."""
    centred = submanifold_padding(step.kernel_size, step.dilation) == step.padding
    if target is grid and centred and set(step.stride) == {1}:
        return grid.submanifold(step.kernel_size, step.dilation), grid
    return grid.step(step)


def divided(coordinates: Tensor, stride: Axes) -> Tensor:
    """Coordinates ``[N, 1 + D]`` in units of ``stride``.

    Fractions are rounded down. Raises ValueError if a coordinate is not a multiple of its stride.
    """
    sites = coordinates.floor().int() if coordinates.is_floating_point() else coordinates
    unit = torch.tensor([1, *stride], dtype=sites.dtype, device=sites.device)
    if len(sites) and (sites % unit != 0).any():
        raise ValueError(f"coordinates must be multiples of the tensor stride {stride}")
    return torch.div(sites, unit, rounding_mode="floor")


def merged(features: Tensor, sites: Tensor, how: str) -> tuple[SparseTensor, Tensor, Tensor]:
    """Convert rows to a tensor with each site once; also return each site's first row and the site of every row."""
    x = SparseTensor.from_points(features, sites, duplicates=how)
    first, inverse = rulebook.unique(sites.int().contiguous())
    return x, first, inverse

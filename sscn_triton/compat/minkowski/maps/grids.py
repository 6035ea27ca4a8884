"""Coordinate maps as grids of the library, and what follows from them: strided, expanded and joined maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton import Grid
from sscn_triton.compat.minkowski.maps.kernels import Region, cube
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.core import rulebook
from sscn_triton.core.grid import Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.relation import Axes, submanifold_padding

Rules = tuple[Rulebook, bool]
"""The rules of a kernel, and whether their taps are in the library's order, the last axis fastest."""


class CoordinateMap(NamedTuple):
    """A map's sites as a grid, in units of ``unit``.

    The unit is the tensor stride if all coordinates are multiples of it, else 1.
    """

    grid: Grid
    unit: Axes


class Maps:
    """The maps of the tensors of one network, and the rules between them, each made once."""

    def __init__(self, dimension: int) -> None:
        self.D = dimension
        self._maps: dict[CoordinateMapKey, CoordinateMap] = {}
        self._steps: dict[tuple[CoordinateMapKey, CoordinateMapKey], Step] = {}
        self._rules: dict[tuple[CoordinateMapKey, CoordinateMapKey, Region], Rules] = {}
        self._coordinates: dict[CoordinateMapKey, Tensor] = {}
        self._rows: dict[tuple[CoordinateMapKey, CoordinateMapKey], tuple[Tensor, Tensor]] = {}

    def insert(self, grid: Grid, stride: Axes, name: str = "", unit: Axes | None = None) -> CoordinateMapKey:
        """Store ``grid``, under another name if that one is taken."""
        key = self.free_key(stride, name)
        self._maps[key] = CoordinateMap(grid, stride if unit is None else unit)
        return key

    def insert_sites(self, coordinates: Tensor, stride: Axes, batch_size: int, name: str = "") -> CoordinateMapKey:
        """Store distinct sites ``[N, 1 + D]`` int32, batch index first."""
        unit = tuple(max(step, 1) for step in stride)
        steps = torch.tensor([1, *unit], dtype=torch.int32, device=coordinates.device)
        if (coordinates % steps).any():
            unit, steps = (1,) * self.D, torch.ones_like(steps)
        grid = Grid(coordinates if set(unit) == {1} else coordinates // steps, None, batch_size)
        return self.insert(grid, stride, name, unit)

    def free_key(self, stride: Axes, name: str = "") -> CoordinateMapKey:
        """A key that names no map yet."""
        key, number = CoordinateMapKey(stride, name), 0
        while key in self._maps:
            number += 1
            key = CoordinateMapKey(stride, f"{name}-{number}")
        return key

    def __contains__(self, key: CoordinateMapKey) -> bool:
        return key in self._maps

    def map(self, key: CoordinateMapKey) -> CoordinateMap:
        """A map by its key. Raises ValueError if there is none."""
        if key not in self._maps:
            raise ValueError(f"there is no coordinate map {key}; there are {', '.join(map(str, self._maps))}")
        return self._maps[key]

    def grid(self, key: CoordinateMapKey) -> Grid:
        """The sites of a map, in its unit."""
        return self.map(key).grid

    def sites(self, key: CoordinateMapKey) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first. The same tensor each time; it must not be written to."""
        if key not in self._coordinates:
            grid, unit = self.map(key)
            steps = torch.tensor([1, *unit], dtype=torch.int32, device=grid.coordinates.device)
            self._coordinates[key] = grid.coordinates * steps
        return self._coordinates[key]

    def strided(self, key: CoordinateMapKey, stride: Axes, name: str = "") -> CoordinateMapKey:
        """The map of ``floor(coordinate / stride)``: the existing map with its key, or a new one."""
        if set(stride) == {1} and name in ("", key.name):
            return key
        steps = tuple(t * s for t, s in zip(key.stride, stride, strict=True))
        reached = CoordinateMapKey(steps, name or key.name)
        if reached in self._maps:
            return reached
        grid, unit = self.map(key)
        if unit == key.stride:
            tiles = cube(stride, (1,) * self.D, centred=False).step(stride)
            self._maps[reached] = CoordinateMap(grid.step(tiles)[1], steps)
            self._steps[key, reached] = tiles
        else:
            sites = floored(self.sites(key), steps).unique(dim=0)
            self.insert_sites(sites, steps, grid.batch_size, reached.name)
        return reached

    def expanded(self, key: CoordinateMapKey, region: Region, stride: Axes) -> CoordinateMapKey:
        """A new map: every site at a tap from a site, restricted to multiples of the new tensor stride."""
        steps = tuple(t * s for t, s in zip(key.stride, stride, strict=True))
        grid, unit = self.map(key)
        if region.box and region.is_symmetric and unit == key.stride:
            step = region.step(stride)
            reached = self.insert(grid.step(step)[1], steps)
            self._steps[key, reached] = step
            return reached
        sites = self._spread(key, region, key.stride)
        aligned = (sites % torch.tensor([1, *steps], device=sites.device) == 0).all(1)
        return self.insert_sites(sites[aligned], steps, grid.batch_size)

    def finer(self, key: CoordinateMapKey, region: Region, stride: Axes, expand: bool) -> CoordinateMapKey:
        """The map that a transposed layer leads to: the first of the finer tensor stride; if there is none, or with
        ``expand``, a new one of every site at a tap from a site."""
        steps = self.finer_stride(key, stride)
        known = CoordinateMapKey(steps)
        if known in self._maps and not expand:
            return known
        grid, unit = self.map(key)
        if region.box and unit == key.stride:
            step = region.step(stride)._replace(kind="transposed")
            fine = self.insert(grid.step(step)[1], steps)
            self._steps[fine, key] = step
            return fine
        return self.insert_sites(self._spread(key, region, steps), steps, grid.batch_size)

    def finer_stride(self, key: CoordinateMapKey, stride: Axes) -> Axes:
        """The tensor stride divided by ``stride``; raises ValueError if the result is not an integer."""
        if any(t % s for t, s in zip(key.stride, stride, strict=True)):
            raise ValueError(f"tensor stride {key.stride} cannot be divided by stride {stride}")
        return tuple(t // s for t, s in zip(key.stride, stride, strict=True))

    def _spread(self, key: CoordinateMapKey, region: Region, stride: Axes) -> Tensor:
        """Every site at a tap, in units of ``stride``, from a site; in lexicographic order."""
        sites = self.sites(key)
        offsets = torch.tensor(region.offsets, dtype=torch.int32, device=sites.device)
        moves = torch.nn.functional.pad(offsets * torch.tensor(stride, dtype=torch.int32, device=sites.device), (1, 0))
        return (sites[:, None] + moves).flatten(0, 1).unique(dim=0)

    def rules(self, fine: CoordinateMapKey, coarse: CoordinateMapKey, region: Region) -> Rules:
        """The rules by which a tap joins a site of ``coarse`` with that of ``fine`` at its offset."""
        key = fine, coarse, region
        if key not in self._rules:
            self._rules[key] = self._built(fine, coarse, region)
        return self._rules[key]

    def _built(self, fine: CoordinateMapKey, coarse: CoordinateMapKey, region: Region) -> Rules:
        source, target = self.map(fine), self.map(coarse)
        if region.box and source is target:
            ratio = [t // u for t, u in zip(fine.stride, source.unit, strict=True)]
            dilation, padding = (
                tuple(n * r for n, r in zip(axes, ratio, strict=True)) for axes in (region.dilation, region.padding)
            )
            if padding == submanifold_padding(region.box, dilation):
                return source.grid.submanifold(region.box, dilation), True
        if region.box and (known := self._steps.get((fine, coarse))) is not None:
            step = region.step(known.stride)
            if known == step:
                return source.grid.step(known)[0], True
            if known == step._replace(kind="transposed"):
                return target.grid.step(known)[0].transposed(), True
        offsets = [tuple(o * t for o, t in zip(tap, fine.stride, strict=True)) for tap in region.offsets]
        return rulebook.between(self.sites(fine), self.sites(coarse), offsets), False

    def common(self, one: CoordinateMapKey, other: CoordinateMapKey) -> tuple[Tensor, Tensor]:
        """The rows of the common sites of two maps, in the one and in the other."""
        if (one, other) not in self._rows:
            rows = self.rows_of(one, self.sites(other))
            wanted = (rows >= 0).nonzero()[:, 0]
            self._rows[one, other] = rows[wanted], wanted
        return self._rows[one, other]

    def rows_of(self, key: CoordinateMapKey, coordinates: Tensor) -> Tensor:
        """``[M]`` int64: the row of each of ``coordinates`` in a map, or -1 where it has no such site."""
        sites = self.sites(key)
        if not len(sites) or not len(coordinates):
            return coordinates.new_full((len(coordinates),), -1, dtype=torch.int64)
        low, high = sites.aminmax(dim=0)
        inside = ((coordinates >= low) & (coordinates <= high)).all(1)
        # A map's sites are distinct and come first, so unique numbers all sites by its rows.
        _, place = rulebook.unique(torch.cat([sites, torch.minimum(torch.maximum(coordinates, low), high)]))
        place = place[len(sites) :]
        return torch.where(inside & (place < len(sites)), place, -1)

    def joined(self, keys: Sequence[CoordinateMapKey]) -> CoordinateMapKey:
        """A new map of the sites of maps of one stride: those of the first, then those only in the second, ..."""
        strides = {key.stride for key in keys}
        if len(strides) != 1:
            raise ValueError(f"tensors to join must have the same tensor stride, got {', '.join(map(str, strides))}")
        sites = torch.cat([self.sites(key) for key in keys])
        first, _ = rulebook.unique(sites)
        batch_size = max(self.grid(key).batch_size for key in keys)
        return self.insert_sites(sites[first], strides.pop(), batch_size, "union")

    def pruned(self, key: CoordinateMapKey, rows: Tensor) -> CoordinateMapKey:
        """A new map of some rows of a map."""
        grid, unit = self.map(key)
        return self.insert(Grid(grid.coordinates[rows], None, grid.batch_size), key.stride, "pruned", unit)

    def origin_of(self, key: CoordinateMapKey) -> CoordinateMapKey:
        """The map, of tensor stride 0, of the origins of the events that have a site."""
        return self.origin_at(self.sites(key)[:, 0].unique(), self.grid(key).batch_size)

    def origin_at(self, events: Tensor, batch_size: int) -> CoordinateMapKey:
        """The map of the origins of some events, ascending, of tensor stride 0."""
        sites = torch.nn.functional.pad(events[:, None].int(), (0, self.D))
        for known, (grid, _) in self._maps.items():
            if not any(known.stride) and torch.equal(grid.coordinates, sites):
                return known
        return self.insert_sites(sites, (0,) * self.D, batch_size)


def floored(coordinates: Tensor, stride: Axes) -> Tensor:
    """``[N, 1 + D]`` int32: the coordinates rounded down to multiples of ``stride``."""
    steps = torch.tensor([1, *stride], dtype=coordinates.dtype, device=coordinates.device)
    return (torch.div(coordinates, steps, rounding_mode="floor") * steps).int()

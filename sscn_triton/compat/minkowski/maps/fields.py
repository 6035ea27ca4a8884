"""Points at real coordinates, the maps made from them, and features between sites."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.grids import Maps, floored
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType, integers
from sscn_triton.core import rulebook
from sscn_triton.core.arguments import INTEGERS, kind
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import sort_events, spread_events, sum_events
from sscn_triton.relation import Axes

Weights = tuple[Tensor, Tensor, Tensor]
"""Rows of a map, points and weights, three tensors of one length."""


class Fields(Maps):
    """Maps, and fields of points from which maps are made."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._fields: dict[CoordinateMapKey, Tensor] = {}
        self._quantized: dict[tuple[CoordinateMapKey, CoordinateMapKey], Tensor] = {}

    def check_device(self, coordinates: Tensor) -> None:
        """Raise ValueError if coordinates are on a device that the manager does not accept."""

    def distinct(self, coordinates: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
        """The distinct sites among ``[N, 1 + D]`` integers, the first row of each, the site of each row, and the number
        of events."""
        self._check(coordinates)
        if coordinates.dtype not in INTEGERS:
            raise TypeError(f"coordinates must be an integer tensor [N, {1 + self.D}], got {kind(coordinates)}")
        given = coordinates.contiguous()
        sites = given.int()
        if given.dtype != torch.int32 and not torch.equal(sites.to(given.dtype), given):
            raise ValueError("coordinates must fit in int32")
        first, inverse = rulebook.unique(sites)
        if len(sites) and int(sites[:, 0].min()) < 0:
            raise ValueError(f"batch indices must not be negative, but the least is {int(sites[:, 0].min())}")
        return sites[first], first, inverse, int(sites[:, 0].max()) + 1 if len(sites) else 0

    def _check(self, coordinates: Tensor) -> None:
        if not isinstance(coordinates, Tensor):
            raise TypeError(f"coordinates must be a tensor [N, {1 + self.D}], got {type(coordinates).__name__}")
        if coordinates.ndim != 2 or coordinates.shape[1] != 1 + self.D:
            raise ValueError(
                f"coordinates must be [N, {1 + self.D}], batch index first, got {tuple(coordinates.shape)}"
            )
        self.check_device(coordinates)

    def insert_field(self, coordinates: Tensor, tensor_stride: StrideType = 1, string_id: str = "") -> CoordinateMapKey:
        """Store points ``[N, 1 + D]``, finite real numbers, batch index first; returns the key of the field."""
        self._check(coordinates)
        stride = integers(tensor_stride, self.D, "tensor_stride", 0)
        if coordinates.is_floating_point() and not coordinates.isfinite().all():
            raise ValueError("coordinates must be finite numbers")
        number, key = 0, CoordinateMapKey(stride, string_id)
        while key in self._fields:
            number += 1
            key = CoordinateMapKey(stride, f"{string_id}-{number}")
        self._fields[key] = coordinates.detach()
        return key

    def has_field(self, key: CoordinateMapKey) -> bool:
        """Whether there is a field of this key."""
        return key in self._fields

    def get_coordinate_field(self, field_map_key: CoordinateMapKey) -> Tensor:
        """The points of a field, as they were given."""
        if field_map_key not in self._fields:
            raise ValueError(f"there is no field {field_map_key}; there are {', '.join(map(str, self._fields))}")
        return self._fields[field_map_key]

    def origin_field_map(self, key: CoordinateMapKey) -> tuple[Tensor, list[Tensor]]:
        """The events that have a point, and for every event up to the last one its rows in a field, ascending."""
        from sscn_triton.compat.minkowski.maps.manager import events_of

        return events_of(self.get_coordinate_field(key)[:, 0].floor())

    def field_to_sparse_insert_and_map(
        self, field_map_key: CoordinateMapKey, sparse_tensor_stride: StrideType, sparse_tensor_string_id: str = ""
    ) -> tuple[CoordinateMapKey, tuple[Tensor, Tensor]]:
        """A new map of the sites of a field, ``floor(point / stride) * stride``, in order of first appearance.

        Returns its key, and ``(rows, sites)``: the first row of each site, and the site of each row.
        """
        stride = integers(sparse_tensor_stride, self.D, "tensor_stride", 1)
        sites, first, inverse, batch_size = self.distinct(self._floored_field(field_map_key, stride))
        key = self.insert_sites(sites, stride, batch_size, sparse_tensor_string_id)
        self._quantized[field_map_key, key] = inverse
        return key, (first, inverse)

    def field_to_sparse_map(
        self, field_map_key: CoordinateMapKey, sparse_map_key: CoordinateMapKey
    ) -> tuple[Tensor, Tensor]:
        """``(rows, sites)`` of the points of a field whose site an existing map has: their rows, and those of their
        sites."""
        rows = self.rows_of(sparse_map_key, self._floored_field(field_map_key, sparse_map_key.stride))
        found = (rows >= 0).nonzero()[:, 0]
        return found, rows[found]

    def site_of_points(self, field_map_key: CoordinateMapKey, sparse_map_key: CoordinateMapKey) -> Tensor:
        """The row in a map of the site of each point. Raises ValueError if a point's site is not in the map."""
        known = field_map_key, sparse_map_key
        if known not in self._quantized:
            points, rows = self.field_to_sparse_map(field_map_key, sparse_map_key)
            if len(points) != len(self.get_coordinate_field(field_map_key)):
                raise ValueError(f"the map {sparse_map_key} does not have the sites of all points of the field")
            self._quantized[known] = rows
        return self._quantized[known]

    def exists_field_to_sparse(self, field_map_key: CoordinateMapKey, sparse_map_key: CoordinateMapKey) -> bool:
        """Whether the sites of a field's points in a map are known."""
        return (field_map_key, sparse_map_key) in self._quantized

    def field_to_sparse_keys(self, field_map_key: CoordinateMapKey) -> list[CoordinateMapKey]:
        """The maps in which the sites of a field's points are known."""
        return [key for field, key in self._quantized if field == field_map_key]

    def _floored_field(self, field_map_key: CoordinateMapKey, stride: Axes) -> Tensor:
        points = self.get_coordinate_field(field_map_key)
        return floored(points.floor().int() if points.is_floating_point() else points, stride)

    def corners(self, key: CoordinateMapKey, samples: Tensor) -> Weights:
        """The sites around each of the points ``[M, 1 + D]`` that a map has, with their weights; inactive sites and
        weights of 0 are left out."""
        self._check(samples)
        places = samples if samples.is_floating_point() else samples.float()
        unit = torch.tensor(key.stride, device=places.device)
        low = (places[:, 1:] / unit).floor()
        share = places[:, 1:] / unit - low
        choices = torch.tensor(list(itertools.product((0, 1), repeat=self.D)), device=places.device)
        weights = torch.where(choices.bool(), share[:, None], 1 - share[:, None]).prod(2).flatten()
        sites = ((low[:, None] + choices) * unit).flatten(0, 1)
        events = places[:, :1].round().repeat_interleave(len(choices), 0)
        rows = self.rows_of(key, torch.cat([events, sites], 1).int())
        used = ((rows >= 0) & (weights != 0)).nonzero()[:, 0]
        return rows[used], used // len(choices), weights[used]


def gathered(features: Tensor, maps: Weights, count: int) -> Tensor:
    """``[count, C]``: for each point the sum of weight times the feature row, in the order of the rows."""
    rows, points, weights = maps
    wide = widened(features)
    at = spread_events(wide, sort_events(rows.long(), len(features)))
    return sum_events(at * weights[:, None].to(wide.dtype), sort_events(points, count)).to(features.dtype)

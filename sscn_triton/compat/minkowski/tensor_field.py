"""MinkowskiEngine's field: features at points of real coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.maps.fields import Weights, gathered
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType, integers
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import (
    MERGES,
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    expect_choice,
)
from sscn_triton.compat.minkowski.sparse_tensor import Quantization, SparseTensor, merged
from sscn_triton.compat.minkowski.tensor import (
    Tensor,
    check_features,
    check_rows,
    check_source,
    manager_of,
    moved,
    other_map,
)
from sscn_triton.core.value import value


@value("features", "coordinate_field_map_key", "coordinate_manager", features="_F")
class TensorField(Tensor):
    """Features at points.

    Args:
        features: ``[N, C]``, floating point.
        coordinates: ``[N, 1 + D]``, finite numbers, batch index first.
        tensor_stride: one number or one per axis, of the field's key.
        coordinate_field_map_key: a field of ``coordinate_manager``, in place of coordinates.
        coordinate_manager: the manager that keeps the maps; by default a new one, or the shared one.
        quantization_mode: how `sparse` merges rows that share a site: RANDOM_SUBSAMPLE (the first),
            UNWEIGHTED_AVERAGE, UNWEIGHTED_SUM or MAX_POOL.
        allocator_type, minkowski_algorithm: have no effect; memory is PyTorch's, and there is one algorithm.
        requires_grad: if given, whether the features require gradients.
        device: if given, where features and coordinates are put.
    """

    def __init__(
        self,
        features: Values,
        coordinates: Values | None = None,
        tensor_stride: StrideType = 1,
        coordinate_field_map_key: CoordinateMapKey | None = None,
        coordinate_manager: CoordinateManager | None = None,
        quantization_mode: Quantization = Quantization.UNWEIGHTED_AVERAGE,
        allocator_type: GPUMemoryAllocatorType | None = None,
        minkowski_algorithm: MinkowskiAlgorithm | None = None,
        requires_grad: bool | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        check_features(features)
        self.quantization_mode = _mergeable(quantization_mode)
        check_source(coordinates, "coordinate_field_map_key", coordinate_field_map_key, coordinate_manager)
        manager = self._manager = manager_of(coordinates, coordinate_manager, allocator_type, minkowski_algorithm)
        self._rows: list[Values] | None = None
        self._splat: dict[CoordinateMapKey, Weights] = {}
        self._F, self._C = moved(features, coordinates, requires_grad, device)
        if self._C is None:
            key = expect_choice("coordinate_field_map_key", coordinate_field_map_key, CoordinateMapKey)
            self._C = manager.get_coordinate_field(key)
            check_rows(features, len(self._C), "point")
        else:
            check_rows(features, len(self._C), "point")
            key = manager.insert_field(self._C, integers(tensor_stride, manager.D, "tensor_stride", 0))
        self.coordinate_field_map_key: CoordinateMapKey = key

    def on(self, features: Values) -> Any:
        """New features at the same points."""
        other = TensorField(
            features, coordinate_field_map_key=self.coordinate_field_map_key, coordinate_manager=self._manager,
            quantization_mode=self.quantization_mode,
        )  # fmt: skip
        other._rows, other._splat = self._rows, self._splat
        return other

    @property
    def coordinates(self) -> Values:
        """``[N, 1 + D]``, batch index first."""
        return self._manager.get_coordinate_field(self.coordinate_field_map_key)

    @property
    def coordinate_key(self) -> CoordinateMapKey:
        """`coordinate_field_map_key`."""
        return self.coordinate_field_map_key

    def _find_rows(self) -> list[Values]:
        return self._manager.origin_field_map(self.coordinate_field_map_key)[1]

    def sparse(
        self,
        tensor_stride: StrideType = 1,
        coordinate_map_key: CoordinateMapKey | None = None,
        quantization_mode: Quantization | None = None,
    ) -> SparseTensor:
        """A sparse tensor on the sites ``floor(point / stride) * stride``, in order of first appearance.

        Args:
            tensor_stride: the stride of a new map; unused with a key.
            coordinate_map_key: an existing map, whose sites without a point get zeros.
            quantization_mode: how to merge rows that share a site; by default that of the field.
        """
        mode = self.quantization_mode if quantization_mode is None else _mergeable(quantization_mode)
        manager, field = self._manager, self.coordinate_field_map_key
        if coordinate_map_key is None:
            key, (first, inverse) = manager.field_to_sparse_insert_and_map(field, tensor_stride)
            return SparseTensor(
                merged(self._F, first, inverse, mode), coordinate_map_key=key, coordinate_manager=manager
            )
        if integers(tensor_stride, manager.D, "tensor_stride", 1) != (1,) * manager.D:
            raise ValueError("pass either a tensor_stride or a coordinate_map_key")
        points, sites = manager.field_to_sparse_map(field, coordinate_map_key)
        filled, inverse = sites.unique(return_inverse=True)
        first = torch.full_like(filled, len(sites)).scatter_reduce(
            0, inverse, torch.arange(len(sites), device=sites.device), "amin"
        )
        rows = merged(self._F[points], first, inverse, mode)
        rows = _by_site(rows, first, inverse) if len(first) != len(inverse) else rows[first]
        features = rows.new_zeros(manager.size(coordinate_map_key), rows.shape[1]).index_copy(0, filled, rows)
        return SparseTensor(features, coordinate_map_key=coordinate_map_key, coordinate_manager=manager)

    def splat(self) -> SparseTensor:
        """A sparse tensor on the 2^D sites around every point, which share its features by linear interpolation."""
        manager, points = self._manager, self.coordinates
        low = points.floor().int()
        corners = torch.cartesian_prod(*[torch.tensor([0, 1], dtype=torch.int32)] * manager.D).reshape(-1, manager.D)
        moves = torch.nn.functional.pad(corners.to(low.device), (1, 0))
        sites, _, _, batch_size = manager.distinct((low[:, None] + moves).flatten(0, 1))
        key = manager.insert_sites(sites, (1,) * manager.D, batch_size)
        rows, places, weights = self._splat[key] = manager.corners(key, points)
        features = gathered(self._F, (places, rows, weights), manager.size(key))
        return SparseTensor(features, coordinate_map_key=key, coordinate_manager=manager)

    def inverse_mapping(self, sparse_tensor_map_key: CoordinateMapKey) -> Values:
        """``[N]``: the row of each point's site in a map. Raises ValueError if the map lacks the site of a point."""
        return self._manager.site_of_points(self.coordinate_field_map_key, sparse_tensor_map_key)

    def _check_same(self, other: Any) -> None:
        expect_choice("the other operand", other, TensorField)
        same = other._manager is self._manager
        if not same or other.coordinate_field_map_key != self.coordinate_field_map_key:
            raise other_map(self.coordinate_field_map_key, other.coordinate_field_map_key, same)

    def _joined(self, other: Any, join: Callable[[Values, Values], Values]) -> Any:
        if not isinstance(other, TensorField):
            return self.on(join(self._F, other))
        self._check_same(other)
        return self.on(join(self._F, other._F))

    def __repr__(self) -> str:
        return f"TensorField({len(self)} points, {self._F.shape[1]} channels, dtype={self.dtype}, device={self.device})"


def _mergeable(mode: Quantization) -> Quantization:
    if expect_choice("quantization_mode", mode, Quantization) not in MERGES:
        more = ": use splat()" if mode is Quantization.SPLAT_LINEAR_INTERPOLATION else ""
        raise ValueError(
            f"quantization_mode must be one of {', '.join(key.name for key in MERGES)}, got {mode.name}{more}"
        )
    return mode


def _by_site(rows: Values, first: Values, inverse: Values) -> Values:
    """Rows in order of their sites' first appearance, in the order of the sites' numbers."""
    order = torch.argsort(first)
    return rows[torch.argsort(order)]

"""MinkowskiEngine's sparse tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton import Grid
from sscn_triton import SparseTensor as Library
from sscn_triton.compat.minkowski import dense
from sscn_triton.compat.minkowski.maps.fields import gathered
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType, integers
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import (
    MERGES,
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    SparseTensorQuantizationMode,
    expect_choice,
)
from sscn_triton.compat.minkowski.tensor import (
    MapError,
    Tensor,
    check_features,
    check_rows,
    check_source,
    check_values,
    manager_of,
    moved,
    other_map,
)
from sscn_triton.core.value import value

Quantization = SparseTensorQuantizationMode


@value("features", "coordinate_map_key", "coordinate_manager", features="_F")
class SparseTensor(Tensor):
    """Features on the sites of a coordinate map.

    Args:
        features: ``[N, C]``, floating point for layers and interpolation; integers or bool for labels and masks.
        coordinates: ``[N, 1 + D]``, batch index first; fractions are rounded down, with a warning. Sites are in order
            of first appearance.
        tensor_stride: one number or one per axis.
        coordinate_map_key: a map of ``coordinate_manager``, in place of coordinates.
        coordinate_manager: the manager that keeps the maps; by default a new one, or the shared one.
        quantization_mode: how to merge rows that share a site. RANDOM_SUBSAMPLE keeps the first; NO_QUANTIZATION
            refuses them; SPLAT_LINEAR_INTERPOLATION is refused (`TensorField.splat` does it).
        allocator_type, minkowski_algorithm: have no effect; memory is PyTorch's, and there is one algorithm.
        requires_grad: if given, whether the features require gradients.
        device: if given, where features and coordinates are put.

    Attributes:
        unique_index: ``[N]``: the first given row of each site; None without coordinates.
        inverse_mapping: the site of each given row; None without coordinates.
    """

    def __init__(
        self,
        features: Values,
        coordinates: Values | None = None,
        tensor_stride: StrideType = 1,
        coordinate_map_key: CoordinateMapKey | None = None,
        coordinate_manager: CoordinateManager | None = None,
        quantization_mode: Quantization = Quantization.RANDOM_SUBSAMPLE,
        allocator_type: GPUMemoryAllocatorType | None = None,
        minkowski_algorithm: MinkowskiAlgorithm | None = None,
        requires_grad: bool | None = None,
        device: torch.device | str | int | None = None,
    ) -> None:
        check_values(features)
        self.quantization_mode = expect_choice("quantization_mode", quantization_mode, Quantization)
        if quantization_mode is Quantization.SPLAT_LINEAR_INTERPOLATION:
            raise ValueError("quantization_mode must not be SPLAT_LINEAR_INTERPOLATION: use TensorField.splat()")
        check_source(coordinates, "coordinate_map_key", coordinate_map_key, coordinate_manager)
        self._manager = manager_of(coordinates, coordinate_manager, allocator_type, minkowski_algorithm)
        self.unique_index: Values | None = None
        self.inverse_mapping: Values | None = None
        self._C, self._rows = None, None
        if coordinates is None:
            self.coordinate_map_key = expect_choice("coordinate_map_key", coordinate_map_key, CoordinateMapKey)
            check_rows(features, self._manager.size(self.coordinate_map_key), "site")
            self._F, _ = moved(features, None, requires_grad, device)
        else:
            integers(tensor_stride, self._manager.D, "tensor_stride", 0)
            check_rows(features, len(coordinates), "coordinate")
            features, sites = moved(features, _whole(coordinates), requires_grad, device)
            self._F = self._quantize(features, sites, tensor_stride)

    def _quantize(self, features: Values, coordinates: Any, tensor_stride: StrideType) -> Values:
        """Insert the sites, and merge the rows of each."""
        manager = self._manager
        sites, first, inverse, batch_size = manager.distinct(coordinates)
        if self.quantization_mode is Quantization.NO_QUANTIZATION and len(first) != len(inverse):
            raise ValueError(f"{len(inverse) - len(first)} coordinates repeat a site, which NO_QUANTIZATION refuses")
        stride = integers(tensor_stride, manager.D, "tensor_stride", 0)
        self.coordinate_map_key = manager.insert_sites(sites, stride, batch_size)
        self.unique_index, self.inverse_mapping = first, inverse
        return merged(features, first, inverse, self.quantization_mode)

    def on(self, features: Values, key: CoordinateMapKey | None = None) -> Any:
        """New features on the same sites, or on those of another map of the same manager."""
        key = self.coordinate_map_key if key is None else key
        check_rows(features, self._manager.size(key), "site")
        return self._on(features, key)

    def _on(self, features: Values, key: CoordinateMapKey) -> Any:
        other = type(self).__new__(type(self))
        other.quantization_mode = Quantization.RANDOM_SUBSAMPLE
        other._F, other.coordinate_map_key, other._manager = features, key, self._manager
        other.unique_index = other.inverse_mapping = other._C = other._rows = None
        if key == self.coordinate_map_key:
            other._C, other._rows = self._C, self._rows
        return other

    @property
    def grid(self) -> Grid:
        """The sites as the library's grid, in the unit of their map."""
        return self._manager.grid(self.coordinate_map_key)

    def library(self) -> Library:
        """The library's tensor, in the unit of the map."""
        return Library.on(self._F, self.grid)

    @property
    def coordinates(self) -> Values:
        """``[N, 1 + D]`` int32, batch index first."""
        if self._C is None:
            self._C = self._manager.get_coordinates(self.coordinate_map_key)
        return self._C

    @property
    def coordinate_key(self) -> CoordinateMapKey:
        """`coordinate_map_key`."""
        return self.coordinate_map_key

    @property
    def tensor_stride(self) -> list[int]:
        """One number per axis."""
        return self.coordinate_map_key.get_tensor_stride()

    def _find_rows(self) -> list[Values]:
        return self._manager.origin_map(self.coordinate_map_key)[1]

    def sparse(
        self, min_coords: Values | None = None, max_coords: Values | None = None, contract_coords: bool = True
    ) -> tuple[Values, Values, Values]:
        """`torch.sparse_coo_tensor` ``[B, *extents, C]``, the least coordinate ``[1, D]`` and the tensor stride.

        Args:
            min_coords, max_coords: the coordinates of the first and last place of every axis, multiples of the tensor
                stride; by default those of the sites.
            contract_coords: whether places are one tensor stride apart instead of one voxel.
        """
        return dense.torch_sparse(self, min_coords, max_coords, contract_coords)

    def dense(
        self, shape: Sequence[int] | None = None, min_coordinate: Any = None, contract_stride: bool = True
    ) -> tuple[Values, Values, Values]:
        """The image ``[B, C, *extents]``, the coordinate of its first place ``[1, D]`` and the tensor stride.

        Args:
            shape: the shape of the image; its number of channels is not used. By default the smallest.
            min_coordinate: ``[D]``, a multiple of the tensor stride, or 0 for the origin; by default the least
                coordinates, where the image nevertheless starts at the origin, as in MinkowskiEngine.
            contract_stride: whether places are one tensor stride apart instead of one voxel.
        """
        return dense.image(self, shape, min_coordinate, contract_stride)

    def features_at_coordinates(self, query_coordinates: Values) -> Values:
        """Features ``[M, C]`` at points ``[M, 1 + D]``, batch index first, of any real numbers.

        They are interpolated linearly on each axis between sites; inactive sites count as zeros.
        """
        check_features(self._F)
        maps = self._manager.corners(self.coordinate_map_key, query_coordinates)
        return gathered(self._F, maps, len(query_coordinates))

    def interpolate(self, X: Any) -> Any:
        """A field of the features at the points of the field ``X``; the inverse of `TensorField.splat` for its map."""
        from sscn_triton.compat.minkowski.tensor_field import TensorField

        expect_choice("X", X, TensorField)
        known = X._splat.get(self.coordinate_map_key)
        features = self.features_at_coordinates(X.C) if known is None else gathered(self._F, known, len(X))
        return X.on(features)

    def slice(self, X: Any) -> Any:
        """A field of the features of each given row's site: rows of the field ``X``, or of the tensor ``X``, which was
        made from coordinates and has this map."""
        return self._sliced(X, lambda rows: self._F[rows])

    def cat_slice(self, X: Any) -> Any:
        """`slice`, followed by the features of ``X``, which has one row per given row."""
        return self._sliced(X, lambda rows: torch.cat([self._F[rows], _given_rows(X, len(rows))], 1))

    def _sliced(self, X: Any, features: Callable[[Values], Values]) -> Any:
        from sscn_triton.compat.minkowski.tensor_field import TensorField

        if isinstance(X, TensorField):
            return X.on(features(X.inverse_mapping(self.coordinate_map_key)))
        expect_choice("X", X, SparseTensor)
        if X.inverse_mapping is None:
            raise ValueError("X was not made from coordinates, so its given rows are not known")
        if X.coordinate_map_key != self.coordinate_map_key or X._manager is not self._manager:
            raise other_map(X.coordinate_map_key, self.coordinate_map_key, X._manager is self._manager)
        rows, mode = X.inverse_mapping, X.quantization_mode
        return TensorField(
            features(rows), self.C[rows], coordinate_manager=self._manager,
            quantization_mode=mode if mode in MERGES else Quantization.RANDOM_SUBSAMPLE,
        )  # fmt: skip

    def _check_same(self, other: Any) -> None:
        expect_choice("the other operand", other, SparseTensor)
        same = other._manager is self._manager
        if not same or other.coordinate_map_key != self.coordinate_map_key:
            raise other_map(self.coordinate_map_key, other.coordinate_map_key, same)

    def _joined(self, other: Any, join: Callable[[Values, Values], Values]) -> Any:
        """Apply ``join`` site by site.

        On different sites, as in MinkowskiEngine: a site that only the first tensor has keeps its features; one that
        only the second has is ``join(0, second)``.
        """
        if not isinstance(other, SparseTensor):
            return self.on(join(self._F, other))
        manager, one, two = self._manager, self.coordinate_map_key, other.coordinate_map_key
        if other._manager is not manager:
            raise MapError("tensors to join must share a coordinate manager: create the second with that of the first")
        if one == two:
            return self._on(join(self._F, other._F), one)
        key = manager.joined([one, two])
        start = spread(self._F, *manager.common(one, key), manager.size(key))
        given, wanted = manager.common(two, key)
        values = join(start[wanted], other._F[given])
        return self._on(start.to(values.dtype).index_copy(0, wanted, values), key)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} sites, {self._F.shape[1]} channels, "
            f"tensor_stride={self.tensor_stride}, dtype={self.dtype}, device={self.device})"
        )


def _whole(coordinates: Values) -> Values:
    """The coordinates as integers; fractions are rounded down, with a warning."""
    if not coordinates.is_floating_point():
        return coordinates
    warnings.warn("coordinates are rounded down to integers: pass integers to silence this", stacklevel=4)
    if not coordinates.isfinite().all() or (coordinates.abs() >= 2**31).any():
        raise ValueError("coordinates must be finite and fit in int32")
    return coordinates.floor().int()


def _given_rows(x: Any, count: int) -> Values:
    """The features of a field, or those of each given row's site."""
    return x.F if len(x.F) == count else x.F[x.inverse_mapping]


def merged(features: Values, first: Values, inverse: Values, mode: Quantization) -> Values:
    """One row per site: of the rows ``features`` whose site is ``inverse``, of which ``first`` is each site's first."""
    if len(first) == len(inverse):
        return features
    if mode is Quantization.RANDOM_SUBSAMPLE:
        return features.index_select(0, first)
    how = MERGES.get(mode)
    if how is None:
        raise ValueError(f"quantization_mode must be one of {', '.join(key.name for key in MERGES)}, got {mode.name}")
    zeros = torch.nn.functional.pad(inverse[:, None].int(), (1, 0))
    return Library.from_points(features, zeros, duplicates=how).features


def spread(features: Values, rows: Values, places: Values, count: int) -> Values:
    """``[count, C]``: the given rows at the given places, zeros elsewhere."""
    return features.new_zeros(count, features.shape[1]).index_copy(0, places, features.index_select(0, rows))

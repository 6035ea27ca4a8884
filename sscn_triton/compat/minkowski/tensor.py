"""What sparse tensors and tensor fields have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import (
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    SparseTensorOperationMode,
    SparseTensorQuantizationMode,
    expect_choice,
    global_coordinate_manager,
    set_global_coordinate_manager,
    sparse_tensor_operation_mode,
)
from sscn_triton.compat.missing import Hinted
from sscn_triton.core.arguments import FLOATS, INTEGERS, kind

INSTEAD = {
    **dict.fromkeys(("to", "cpu", "cuda", "half"), "a new tensor of features and coordinates on the device"),
    **dict.fromkeys(("feats", "feature"), "F"),
    **dict.fromkeys(("coords", "indices", "get_coords"), "C"),
    **dict.fromkeys(("coords_key",), "coordinate_map_key"),
    **dict.fromkeys(("coords_man",), "coordinate_manager"),
    "grad": "F.grad",
    "backward": "F",
}


class MapError(ValueError, AssertionError):
    """Tensors that must have one map or manager have different ones; also an AssertionError, as in MinkowskiEngine."""


class Tensor(Hinted, ABC):
    """Features of sites or points in the maps of a manager."""

    INSTEAD: ClassVar = INSTEAD
    quantization_mode: SparseTensorQuantizationMode
    _F: Values
    _C: Values | None
    _manager: CoordinateManager
    _rows: list[Values] | None

    @abstractmethod
    def on(self, features: Values) -> Any:
        """New features on the same sites or points."""

    @abstractmethod
    def _find_rows(self) -> list[Values]:
        """The rows of every event up to the last one, ascending."""

    @property
    def F(self) -> Values:
        """``[N, C]``."""
        return self._F

    @property
    def features(self) -> Values:
        """``[N, C]``."""
        return self._F

    @property
    @abstractmethod
    def coordinates(self) -> Values:
        """``[N, 1 + D]``, batch index first."""

    @property
    def C(self) -> Values:
        """`coordinates`."""
        return self.coordinates

    @property
    def coordinate_manager(self) -> CoordinateManager:
        """The manager that keeps the map."""
        return self._manager

    @property
    def decomposition_permutations(self) -> list[Values]:
        """The rows of every event up to the last one, ascending."""
        if self._rows is None:
            self._rows = self._find_rows()
        return self._rows

    @property
    def decomposed_coordinates(self) -> list[Values]:
        """For every event the coordinates ``[N_i, D]`` without batch index."""
        return [self.C[rows, 1:] for rows in self.decomposition_permutations]

    @property
    def decomposed_features(self) -> list[Values]:
        """For every event the features ``[N_i, C]``."""
        return [self._F[rows] for rows in self.decomposition_permutations]

    @property
    def decomposed_coordinates_and_features(self) -> tuple[list[Values], list[Values]]:
        """`decomposed_coordinates` and `decomposed_features`."""
        return self.decomposed_coordinates, self.decomposed_features

    def coordinates_at(self, batch_index: int) -> Values:
        """The coordinates of one event; none if there is no such event."""
        return self.C[self._rows_at(batch_index), 1:]

    def features_at(self, batch_index: int) -> Values:
        """The features of one event; none if there is no such event."""
        return self._F[self._rows_at(batch_index)]

    def _rows_at(self, batch_index: int) -> Values:
        rows = self.decomposition_permutations
        return rows[batch_index] if batch_index < len(rows) else torch.empty(0, dtype=torch.int64, device=self.device)

    def coordinates_and_features_at(self, batch_index: int) -> tuple[Values, Values]:
        """The coordinates and the features of one event."""
        return self.coordinates_at(batch_index), self.features_at(batch_index)

    @property
    def D(self) -> int:
        """Number of spatial axes."""
        return self._manager.D

    @property
    def dimension(self) -> int:
        """`D`."""
        return self.D

    @property
    def requires_grad(self) -> bool:
        """Whether the features require gradients."""
        return self._F.requires_grad

    def requires_grad_(self, requires_grad: bool = True) -> None:
        """Let the features require gradients, or not."""
        self._F.requires_grad_(requires_grad)

    def float(self) -> Any:
        """This tensor, whose features become float32."""
        self._F = self._F.float()
        return self

    def double(self) -> Any:
        """This tensor, whose features become float64."""
        self._F = self._F.double()
        return self

    def detach(self) -> Any:
        """The same tensor without gradient."""
        return self.on(self._F.detach())

    def get_device(self) -> int:
        """The number of the features' GPU, or -1."""
        return self._F.get_device()

    @property
    def device(self) -> torch.device:
        """The device of the features."""
        return self._F.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self._F.dtype

    @property
    def shape(self) -> torch.Size:
        """The shape of the features."""
        return self._F.shape

    def size(self) -> torch.Size:
        """The shape of the features."""
        return self._F.shape

    def __len__(self) -> int:
        return len(self._F)

    @abstractmethod
    def _joined(self, other: Any, join: Callable[[Values, Values], Values]) -> Any:
        """The features joined with those of another tensor, or with a number or values that broadcast."""

    @abstractmethod
    def _check_same(self, other: Any) -> None:
        """Raise unless ``other`` is a tensor of the same kind on the same map."""

    def __add__(self, other: Any) -> Any:
        return self._joined(other, torch.add)

    def __sub__(self, other: Any) -> Any:
        return self._joined(other, torch.sub)

    def __mul__(self, other: Any) -> Any:
        return self._joined(other, torch.mul)

    def __truediv__(self, other: Any) -> Any:
        return self._joined(other, torch.div)

    def __pow__(self, power: Any) -> Any:
        return self.on(self._F**power)

    def _in_place(self, other: Any, join: Callable[[Values, Values], Values]) -> Any:
        self._check_same(other)
        self._F = join(self._F, other.F)
        return self

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(other, torch.add)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(other, torch.sub)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(other, torch.mul)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(other, torch.div)


def check_features(features: Any) -> None:
    """Raise unless features are floating point ``[N, C]``."""
    check_matrix(features, FLOATS, "floating-point")


def check_values(features: Any) -> None:
    """Raise unless features are floating point, integers or bool ``[N, C]``."""
    check_matrix(features, FLOATS + INTEGERS + (torch.bool,), "floating-point, integer or bool")


def check_matrix(features: Any, types: tuple[torch.dtype, ...], named: str) -> None:
    """Raise unless features are ``[N, C]`` of one of the types."""
    if not isinstance(features, Values) or features.dtype not in types:
        raise TypeError(f"features must be a {named} tensor [N, channels], got {kind(features)}")
    if features.ndim != 2:
        raise ValueError(f"features must be [N, channels], got {tuple(features.shape)}")


def check_source(coordinates: Any, name: str, key: Any, manager: Any) -> None:
    """Raise unless a tensor is given either coordinates, or a key, the argument ``name``, with its manager."""
    if (coordinates is None) == (key is None):
        raise ValueError(f"pass either coordinates, or a {name} with its coordinate_manager")
    if key is not None and not isinstance(manager, CoordinateManager):
        raise TypeError(f"a {name} needs its CoordinateManager as coordinate_manager")


def manager_of(
    coordinates: Any,
    manager: CoordinateManager | None,
    allocator_type: GPUMemoryAllocatorType | None,
    minkowski_algorithm: MinkowskiAlgorithm | None,
) -> CoordinateManager:
    """The manager given, the one that all tensors share, or a new one. Raises unless coordinates are ``[N, 1 + D]``."""
    expect_choice("allocator_type", allocator_type, GPUMemoryAllocatorType, True)
    expect_choice("minkowski_algorithm", minkowski_algorithm, MinkowskiAlgorithm, True)
    if manager is not None:
        return expect_choice("coordinate_manager", manager, CoordinateManager)
    if not isinstance(coordinates, Values) or coordinates.ndim != 2:
        raise ValueError("coordinates must be a tensor [N, 1 + D], batch index first")
    shared = sparse_tensor_operation_mode() is SparseTensorOperationMode.SHARE_COORDINATE_MANAGER
    known = global_coordinate_manager() if shared else None
    if known is None:
        known = CoordinateManager(coordinates.shape[1] - 1, minkowski_algorithm=minkowski_algorithm)
        if shared:
            set_global_coordinate_manager(known)
    return known


def moved(
    features: Values, coordinates: Values | None, requires_grad: bool | None, device: Any
) -> tuple[Values, Values | None]:
    """Features and coordinates on ``device`` if one is given; they must then be on one. The features require gradients
    as ``requires_grad`` says, if it is given."""
    if device is not None:
        features = features.to(device)
        coordinates = None if coordinates is None else coordinates.to(device)
    if coordinates is not None and coordinates.device != features.device:
        raise ValueError(f"features are on {features.device}, coordinates on {coordinates.device}: put both on one")
    if requires_grad is not None:
        features.requires_grad_(requires_grad)
    return features, coordinates


def check_rows(features: Values, count: int, what: str) -> None:
    """Raise ValueError unless there is one row of features per site or point."""
    if len(features) != count:
        raise ValueError(f"features must be [{count}, C], one row per {what}, got {tuple(features.shape)}")


def other_map(one: CoordinateMapKey, other: CoordinateMapKey, same_manager: bool) -> MapError:
    """The error for two tensors that must be on one map."""
    return MapError(
        f"tensors must be on one coordinate map, got {one} and {other}{'' if same_manager else ' of another manager'}"
    )

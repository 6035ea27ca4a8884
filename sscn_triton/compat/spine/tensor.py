"""The tensor inside SPINE's own tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import SparseTensorQuantizationMode
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor
from sscn_triton.compat.minkowski.tensor import INSTEAD

REDUCTIONS = {
    "sum": SparseTensorQuantizationMode.UNWEIGHTED_SUM,
    "mean": SparseTensorQuantizationMode.UNWEIGHTED_AVERAGE,
    "first": SparseTensorQuantizationMode.RANDOM_SUBSAMPLE,
}


class BackendTensor(SparseTensor):
    """Features on the sites of a coordinate map.

    Args:
        features: ``[N, C]``, floating point.
        coordinates: ``[N, 1 + D]``, batch index first; fractions are rounded down. Sites are in order of first
            appearance.
        tensor_stride: one number or one per axis.
        coordinate_map_key: a map of ``coordinate_manager``, in place of coordinates.
        coordinate_manager: the manager that keeps the maps; by default a new one.
        duplicate_reduction: how to merge rows that share a site: "sum", "mean", or "first" (also for None).
    """

    INSTEAD: ClassVar = {**INSTEAD, "to": "create_tensor of features and coordinates"}

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor | None = None,
        tensor_stride: int | Sequence[int] = 1,
        coordinate_map_key: CoordinateMapKey | None = None,
        coordinate_manager: CoordinateManager | None = None,
        duplicate_reduction: str | None = None,
    ) -> None:
        if duplicate_reduction not in (None, *REDUCTIONS):
            raise ValueError(
                f"Unknown duplicate reduction {duplicate_reduction!r}: it must be {', '.join(REDUCTIONS)} or None"
            )
        if isinstance(coordinates, torch.Tensor) and coordinates.is_floating_point():
            coordinates = coordinates.floor().int()
        mode = REDUCTIONS[duplicate_reduction or "first"]
        super().__init__(features, coordinates, tensor_stride, coordinate_map_key, coordinate_manager, mode)

"""Rows of two tensors that belong together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sscn_triton.compat.minkowski.settings import expect_choice
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor


def get_coords_map(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Rows of ``x`` and of the coarser ``y`` whose site contains theirs; both have one coordinate manager."""
    for name, given in (("x", x), ("y", y)):
        expect_choice(name, given, SparseTensor)
    if x.coordinate_manager is not y.coordinate_manager:
        raise ValueError("x and y must have the same coordinate manager")
    return x.coordinate_manager.stride_map(x.coordinate_map_key, y.coordinate_map_key)

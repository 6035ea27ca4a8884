"""Events as one batch, without what training needs besides (Lightning), so that any environment can time them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sscn_triton.lartpc import Event, collate


@dataclass(frozen=True)
class BenchBatch:
    """Active voxels, one below the other."""

    coordinates: Tensor  # [N, 1 + D] int32, image first
    features: Tensor  # [N, 1] float32, MeV
    labels: Tensor  # [N] int64, -1 unknown
    spatial_shape: tuple[int, ...]
    images: int


def as_batch(events: list[Event]) -> BenchBatch:
    """Three-dimensional images of one shape as a batch; ValueError for others."""
    shapes = {event.spatial_shape for event in events}
    if len(shapes) > 1 or len(events[0].spatial_shape) != 3:
        raise ValueError(f"a batch needs three-dimensional images of one shape, got {sorted(shapes)}")
    coordinates, energy, labels = (torch.from_numpy(array) for array in collate(events))
    return BenchBatch(coordinates, energy, labels, events[0].spatial_shape, len(events))

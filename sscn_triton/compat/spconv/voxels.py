"""Sort points into voxels, in the order of the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton.core import rulebook
from sscn_triton.relation import MAX_NDIM, one_integer


class Window:
    """The box of voxels, with its axes in the order of voxel coordinates: the last of the points' axes first.

    Args:
        voxel_size: edge of a voxel on each axis, x first, in the points' unit.
        point_range: the smallest coordinates, x first, then the largest.
    """

    def __init__(self, voxel_size: Sequence[float], point_range: Sequence[float]) -> None:
        sizes, ends = [float(v) for v in voxel_size], [float(v) for v in point_range]
        self.ndim = len(sizes)
        if not 1 <= self.ndim <= MAX_NDIM or len(ends) != 2 * self.ndim or min(sizes) <= 0:
            raise ValueError(
                f"a voxel needs 1 to {MAX_NDIM} positive sizes, and a range twice as many numbers, got {sizes} and "
                f"{ends}"
            )
        self.size = torch.tensor(sizes, dtype=torch.float32).flip(0)
        self.low, high = torch.tensor(ends, dtype=torch.float32).reshape(2, -1).flip(1)
        self.grid_size = [
            one_integer(int(n), "the number of voxels", 1) for n in ((high - self.low) / self.size).round()
        ]


class Voxels(NamedTuple):
    """Points by voxel."""

    points: Tensor  # [V, points, C]
    sites: Tensor  # [V, D] int32
    counts: Tensor  # [V] int32
    of_point: Tensor  # [N] int64


def fill_voxels(points: Tensor, window: Window, most_voxels: int, most_points: int, empty_mean: bool) -> Voxels:
    """Put points ``[N, C]`` into voxels, which are in the order of their first points.

    A point outside the window, or one that would start a voxel beyond ``most_voxels``, is in none. The first
    ``most_points`` points of a voxel are kept. Places without a point contain zeros, or the mean of the voxel's points.
    """
    one_integer(most_voxels, "the largest number of voxels", 1)
    one_integer(most_points, "the largest number of points in a voxel", 1)
    low, size = (bound.to(points) for bound in (window.low, window.size))
    sites = ((points[:, : window.ndim].flip(1) - low) / size).floor()
    limit = torch.tensor(window.grid_size).to(sites)
    inside = ((sites >= 0) & (sites < limit)).all(1).nonzero()[:, 0]
    chosen = torch.nn.functional.pad(sites[inside], (1, 0)).int().contiguous()
    first, voxel = rulebook.unique(chosen)
    kept = voxel < most_voxels
    first, voxel, rows = first[:most_voxels], voxel[kept], inside[kept]
    of_point = torch.full((len(points),), -1, device=points.device).index_copy(0, rows, voxel)
    by_voxel = torch.argsort(voxel, stable=True)
    voxel, rows = voxel[by_voxel], rows[by_voxel]
    held = torch.bincount(voxel, minlength=len(first))
    place = torch.arange(len(voxel), device=voxel.device) - (held.cumsum(0) - held)[voxel]
    there = place < most_points
    filled = points.new_zeros(len(first), most_points, points.shape[1])
    filled[voxel[there], place[there]] = points[rows[there]]
    counts = held.clamp(max=most_points)
    if empty_mean and len(first):
        empty = torch.arange(most_points, device=counts.device) >= counts[:, None]
        filled = torch.where(empty[..., None], (filled.sum(1) / counts[:, None])[:, None], filled)
    return Voxels(filled, chosen[first, 1:], counts.int(), of_point)

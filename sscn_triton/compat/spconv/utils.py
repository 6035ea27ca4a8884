"""spconv's voxel generators on NumPy arrays, as data loaders use them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.cppconstants import CPU_ONLY_BUILD
from sscn_triton.compat.spconv.pytorch.utils import PointToVoxel

__all__ = [
    "CPU_ONLY_BUILD",
    "Point2VoxelCPU1d",
    "Point2VoxelCPU2d",
    "Point2VoxelCPU3d",
    "Point2VoxelCPU4d",
    "VoxelGenerator",
    "VoxelGeneratorV2",
    "nullcontext",
]


class VoxelGeneratorV2:
    """spconv 1's generator.

    Args:
        voxel_size: edge of a voxel on each axis, x first.
        point_cloud_range: the smallest coordinates, then the largest.
        max_num_points: further points of a voxel are left out.
        max_voxels: points that would start another voxel are left out.
    """

    def __init__(
        self,
        voxel_size: Sequence[float],
        point_cloud_range: Sequence[float],
        max_num_points: int,
        max_voxels: int = 20000,
    ) -> None:
        self._arguments = (list(voxel_size), list(point_cloud_range))
        self._most = (max_voxels, max_num_points)
        size = PointToVoxel(*self._arguments, len(voxel_size), *self._most).grid_size
        self.grid_size = np.array(size[::-1])

    def generate(self, points: np.ndarray, max_voxels: int | None = None) -> dict[str, Any]:
        """Points ``[N, C]`` as ``voxels`` ``[V, points, C]`` at ``coordinates`` ``[V, D]`` int32, the last axis first.

        ``num_points_per_voxel`` ``[V]`` counts points, ``voxel_num`` voxels.
        """
        most = (self._most[0] if max_voxels is None else max_voxels, self._most[1])
        make = PointToVoxel(*self._arguments, points.shape[1], *most)
        voxels, sites, counts = (part.numpy() for part in make(torch.from_numpy(np.ascontiguousarray(points))))
        return {"voxels": voxels, "coordinates": sites, "num_points_per_voxel": counts, "voxel_num": len(voxels)}


class VoxelGenerator(VoxelGeneratorV2):
    """spconv 1.0's generator, whose ``generate`` returns three arrays. Arguments: `VoxelGeneratorV2`."""

    def generate(  # type: ignore[override]
        self, points: np.ndarray, max_voxels: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``voxels``, ``coordinates`` and ``num_points_per_voxel`` of `VoxelGeneratorV2.generate`."""
        made = super().generate(points, max_voxels)
        return made["voxels"], made["coordinates"], made["num_points_per_voxel"]


class _Point2VoxelCPU:
    """`PointToVoxel` for arrays, or anything with a method ``numpy()``; the results have that method too."""

    NDIM: int

    def __init__(
        self,
        vsize_xyz: Sequence[float],
        coors_range_xyz: Sequence[float],
        num_point_features: int,
        max_num_voxels: int,
        max_num_points_per_voxel: int,
    ) -> None:
        if len(vsize_xyz) != self.NDIM:
            raise ValueError(f"vsize_xyz must be {self.NDIM} numbers, got {list(vsize_xyz)}")
        most = (max_num_voxels, max_num_points_per_voxel)
        self._make = PointToVoxel(vsize_xyz, coors_range_xyz, num_point_features, *most)
        self.grid_size = self._make.grid_size

    def point_to_voxel(self, points: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Voxels ``[V, points, C]``, their sites ``[V, D]`` int32, last axis first, and their numbers of points."""
        return self._make(_as_tensor(points))

    def point_to_voxel_empty_mean(self, points: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Like `point_to_voxel`, with the mean of a voxel's points in place of missing ones."""
        return self._make(_as_tensor(points), empty_mean=True)


class Point2VoxelCPU1d(_Point2VoxelCPU):
    """Voxels in one dimension. Arguments: `PointToVoxel`."""

    NDIM = 1


class Point2VoxelCPU2d(_Point2VoxelCPU):
    """Voxels in two dimensions. Arguments: `PointToVoxel`."""

    NDIM = 2


class Point2VoxelCPU3d(_Point2VoxelCPU):
    """Voxels in three dimensions. Arguments: `PointToVoxel`."""

    NDIM = 3


class Point2VoxelCPU4d(_Point2VoxelCPU):
    """Voxels in four dimensions. Arguments: `PointToVoxel`."""

    NDIM = 4


def _as_tensor(points: Any) -> Tensor:
    array = points if isinstance(points, np.ndarray) else points.numpy()
    return torch.from_numpy(np.ascontiguousarray(array))


_BOXES = "the box operators of torchvision, or of the detection library"
_VOXELS = "spconv.pytorch.utils.PointToVoxel, on every device"
__getattr__ = names(
    __name__,
    {
        "BoxOps": _BOXES,
        "Point2VoxelGPU1d": _VOXELS,
        "Point2VoxelGPU2d": _VOXELS,
        "Point2VoxelGPU3d": _VOXELS,
        "Point2VoxelGPU4d": _VOXELS,
        "non_max_suppression": "torchvision.ops.nms",
        "non_max_suppression_cpu": "torchvision.ops.nms",
        "points_to_voxel": "VoxelGeneratorV2",
        "rbbox_intersection": _BOXES,
        "rbbox_iou": _BOXES,
        "rbbox_iou_loss": _BOXES,
        "rotate_non_max_suppression_cpu": _BOXES,
    },
)

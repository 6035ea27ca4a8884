"""Convert points to voxels, and copy features of voxels back to points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.voxels import Voxels, Window, fill_voxels

__all__ = ["PointToVoxel", "gather_features_by_pc_voxel_id"]


class PointToVoxel:
    """Sort points ``[N, C]``, whose first columns are x, y, z, into voxels of a few points each.

    Args:
        vsize_xyz: edge of a voxel on each axis, x first.
        coors_range_xyz: the smallest coordinates, then the largest.
        num_point_features: C.
        max_num_voxels: points that would start another voxel are left out.
        max_num_points_per_voxel: further points of a voxel are left out.
        device: device of the points.
    """

    def __init__(
        self,
        vsize_xyz: Sequence[float],
        coors_range_xyz: Sequence[float],
        num_point_features: int,
        max_num_voxels: int,
        max_num_points_per_voxel: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.window = Window(vsize_xyz, coors_range_xyz)
        self.ndim, self.grid_size = self.window.ndim, self.window.grid_size
        self.num_point_features = num_point_features
        self.max_num_voxels, self.max_num_points_per_voxel = max_num_voxels, max_num_points_per_voxel
        self.device = torch.device(device)

    def __call__(
        self, pc: Tensor, clear_voxels: bool = True, empty_mean: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Voxels ``[V, points, C]``, their sites ``[V, D]`` int32, last axis first, and their numbers of points.

        Args:
            pc: points ``[N, C]``.
            clear_voxels: must be True: voxels are new every time.
            empty_mean: fill the places of missing points with the mean of the voxel's points instead of zeros.
        """
        return self._filled(pc, clear_voxels, empty_mean)[:3]

    def generate_voxel_with_id(
        self, pc: Tensor, clear_voxels: bool = True, empty_mean: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Like a call, and the voxel of every point ``[N]`` int64, -1 for points in none."""
        return tuple(self._filled(pc, clear_voxels, empty_mean))  # type: ignore[return-value]

    def _filled(self, pc: Tensor, clear_voxels: bool, empty_mean: bool) -> Voxels:
        if clear_voxels is not True:
            raise ValueError(f"clear_voxels must be True: voxels are new every time, got {clear_voxels!r}")
        if pc.device.type != self.device.type:
            raise ValueError(f"points are on {pc.device}, but device is {self.device}")
        if pc.ndim != 2 or pc.shape[1] != self.num_point_features:
            raise ValueError(f"points must be [N, {self.num_point_features}], got {tuple(pc.shape)}")
        return fill_voxels(pc, self.window, self.max_num_voxels, self.max_num_points_per_voxel, empty_mean)


def gather_features_by_pc_voxel_id(seg_res_features: Tensor, pc_voxel_id: Tensor, invalid_value: float = 0) -> Tensor:
    """The features of every point's voxel, ``invalid_value`` for points in none.

    Args:
        seg_res_features: ``[V, ...]``.
        pc_voxel_id: ``[N]``, from `PointToVoxel.generate_voxel_with_id`.
    """
    number = pc_voxel_id.to(seg_res_features.device)
    shape = (len(number), *seg_res_features.shape[1:])
    inside = (number >= 0).nonzero()[:, 0]
    filled = seg_res_features.new_full(shape, invalid_value)
    return filled.index_copy(0, inside, seg_res_features[number[inside]])


__getattr__ = names(__name__, {}, again=("sscn_triton.compat.spconv.pytorch.cppcore",))

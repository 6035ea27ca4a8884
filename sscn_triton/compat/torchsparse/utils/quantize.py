"""Points merged into voxels, before a batch is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sscn_triton.compat.minkowski.utils.quantization import ravel_hash_vec as ravel_hash


def sparse_quantize(
    coords: Any,
    voxel_size: float | tuple[float, ...] = 1,
    *,
    return_index: bool = False,
    return_inverse: bool = False,
) -> Any:
    """The distinct voxels ``floor(coords / voxel_size)``, int32 ``[M, 3]`` in lexicographic order.

    Args:
        coords: ``[N, 3]`` finite numbers.
        voxel_size: one length or three, positive.
        return_index: also return the first point of each voxel.
        return_inverse: also return the voxel of each point.

    Returns:
        The voxels, or a list of them and what was asked for.
    """
    sizes = np.asarray(voxel_size, np.float64)
    if sizes.shape not in ((), (3,)) or not ((sizes > 0) & np.isfinite(sizes)).all():
        raise ValueError(f"voxel_size must be one positive number or three, got {voxel_size!r}")
    points = np.asarray(coords)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"coords must be [N, 3], got {points.shape}")
    places = np.floor(points / sizes)
    if not (np.abs(places) < 2**31).all():
        raise ValueError("coords must be finite, and their voxels must fit in int32")
    voxels = places.astype(np.int32)
    if len(voxels) and math.prod((np.ptp(voxels.astype(np.int64), axis=0) + 1).tolist()) > 2**63:
        raise ValueError("the voxels span a box of more than 2^63 places")
    keys = ravel_hash(voxels) if len(voxels) else np.empty(0, np.uint64)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    parts = [voxels[first], *([first] if return_index else []), *([inverse] if return_inverse else [])]
    return parts[0] if len(parts) == 1 else parts

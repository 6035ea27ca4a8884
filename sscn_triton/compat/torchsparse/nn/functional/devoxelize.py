"""Features from sites to points."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.fields import gathered
from sscn_triton.compat.torchsparse.nn.functional.count import checked_rows
from sscn_triton.ops.dtypes import widened


def calc_ti_weights(coords: Tensor, idx_query: Tensor, scale: float = 1) -> Tensor:
    """The weights of trilinear interpolation between the eight sites around each point, ``[N, 8]``.

    They are products of the distances to the opposite sites, set to 0 where a site is missing, and divided by their sum
    plus 1e-8; float32, or float64 for coordinates of this type.

    Args:
        coords: ``[N, 3]`` real numbers, without batch index.
        idx_query: ``[N, 8]``: the rows of the sites at ``floor(coords / scale) * scale`` plus 0 or ``scale``, last axis
            fastest; -1 for a site that does not exist.
        scale: distance of the sites.
    """
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise ValueError(f"coords must be [N, 3], without batch index, got {tuple(coords.shape)}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    if idx_query.shape != (len(coords), 8):
        raise ValueError(f"idx_query must be [{len(coords)}, 8], got {tuple(idx_query.shape)}")
    with torch.no_grad():
        coords = widened(coords)
        low = torch.floor(coords / scale) * scale
        near, far = low + scale - coords, coords - low
        weights = torch.ones(len(coords), 1, dtype=coords.dtype, device=coords.device)
        for axis in range(3):
            weights = (weights[:, :, None] * torch.stack([near[:, axis], far[:, axis]], 1)[:, None]).flatten(1)
        weights = torch.where(idx_query == -1, 0, weights / scale**3)
        return weights / (weights.sum(1, keepdim=True) + 1e-8)


def spdevoxelize(feats: Tensor, coords: Tensor, weights: Tensor) -> Tensor:
    """For each point the sum of ``weights`` times the features of its sites.

    Args:
        feats: ``[M, C]``.
        coords: ``[N, 8]`` integers: the rows of the sites around each point; negative ones count as zeros.
        weights: ``[N, 8]``; gradients do not reach them.

    Returns:
        ``[N, C]``.
    """
    rows = checked_rows("coords", coords, len(feats), 2)
    if rows.shape[1] != 8 or weights.shape != rows.shape:
        raise ValueError(f"coords and weights must be [N, 8], got {tuple(rows.shape)} and {tuple(weights.shape)}")
    points, _ = used = (rows >= 0).nonzero(as_tuple=True)
    return gathered(feats, (rows[used], points, weights.detach()[used]), len(rows))

"""Features from points to sites."""

from __future__ import annotations

from torch import Tensor

from sscn_triton.compat.torchsparse.nn.functional.count import checked_rows
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import sort_events, sum_events


def spvoxelize(feats: Tensor, coords: Tensor, counts: Tensor) -> Tensor:
    """The sum of the features of each site's points, divided by ``counts``: their mean.

    Args:
        feats: ``[N, C]``.
        coords: ``[N]`` integers: the site of each point; points with a negative one are left out.
        counts: ``[M]`` integers: by what the sum of each site is divided (`spcount`); 0 gives zeros.

    Returns:
        ``[M, C]``.
    """
    if not feats.is_floating_point():
        raise TypeError(f"feats must be floating point, got {feats.dtype}")
    if len(coords) != len(feats):
        raise ValueError(f"coords must be [{len(feats)}], one site per point, got {tuple(coords.shape)}")
    if counts.ndim != 1:
        raise ValueError(f"counts must be [M], got {tuple(counts.shape)}")
    sites = checked_rows("coords", coords, len(counts), 1)
    wide = widened(feats if len(sites) == len(feats) else feats[coords >= 0])
    sums = sum_events(wide, sort_events(sites, len(counts)))
    share = (counts != 0) / counts.clamp(min=1).to(wide.dtype)
    return (sums * share[:, None]).to(feats.dtype)

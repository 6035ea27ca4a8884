"""The image of a sparse tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.compat.torchsparse.utils.utils import check_sites


def to_dense(feats: Tensor, coords: Tensor, spatial_range: Sequence[int]) -> Tensor:
    """The image ``[*spatial_range, C]``, zero between the sites.

    Args:
        feats: ``[N, C]``.
        coords: ``[N, 4]`` integers, batch index first, each site once.
        spatial_range: batch size and extent of every axis, four numbers.

    Raises ValueError if a site lies outside, or is repeated.
    """
    check_sites(coords, "to_dense")
    shape = tuple(int(n) for n in spatial_range)
    if len(shape) != 4 or feats.ndim != 2 or len(coords) != len(feats):
        raise ValueError(
            f"feats {tuple(feats.shape)}, coords {tuple(coords.shape)} and spatial_range {shape} do not match: they "
            "must be [N, C], [N, 4] and four numbers"
        )
    sites = coords.long()
    limits = torch.tensor(shape, device=sites.device)
    if ((sites < 0) | (sites >= limits)).any():
        raise ValueError(
            f"coords run from {sites.amin(0).tolist()} to {sites.amax(0).tolist()}, outside of spatial_range {shape}"
        )
    steps = [int(limits[axis + 1 :].prod()) for axis in range(len(shape))]
    places = (sites * torch.tensor(steps, device=sites.device)).sum(1)
    if len(places.unique()) != len(places):
        raise ValueError("coords hold a site twice")
    image = feats.new_zeros(int(limits.prod()), feats.shape[1]).index_copy(0, places, feats)
    return image.view(*shape, feats.shape[1])

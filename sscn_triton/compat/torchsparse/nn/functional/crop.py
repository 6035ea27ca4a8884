"""Sites inside a box."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.compat.torchsparse.nn.utils.apply import expect
from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.compat.torchsparse.utils.utils import three
from sscn_triton.relation import LARGEST, Axes, Size


def spcrop(input: SparseTensor, coords_min: Size | None = None, coords_max: Size | None = None) -> SparseTensor:
    """The sites with ``coords_min <= (x, y, z) < coords_max``, in units of the tensor's stride.

    Bounds are one integer or three. The result has no spatial range and a cache of its own.
    """
    low, high = checked_bound("coords_min", coords_min), checked_bound("coords_max", coords_max)
    sites = expect(input, "spcrop").coords[:, -3:]
    inside = torch.ones(len(sites), dtype=torch.bool, device=sites.device)
    if low is not None:
        inside = inside & (sites >= torch.tensor(low, device=sites.device)).all(1)
    if high is not None:
        inside = inside & (sites < torch.tensor(high, device=sites.device)).all(1)
    return SparseTensor(input.feats[inside], input.coords[inside], input.stride)


def checked_bound(name: str, bound: Any) -> Axes | None:
    """Three integers of any sign, or None."""
    return None if bound is None else three(bound, name, -LARGEST)

"""Functions of several sparse tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sscn_triton.compat.torchsparse.nn.utils.apply import expect_events
from sscn_triton.compat.torchsparse.tensor import SparseTensor, check_same
from sscn_triton.ops.events import sort_events, sum_events


def cat(inputs: Sequence[SparseTensor]) -> SparseTensor:
    """The channels of tensors with the same sites, one after the other. As in torchsparse, the result has no
    ``spatial_range``."""
    if not inputs:
        raise ValueError("inputs must be at least one tensor")
    check_same(inputs)
    first = inputs[0]
    output = SparseTensor(torch.cat([x.feats for x in inputs], 1), first.coords, first.stride)
    output._caches = first._caches
    return output


def generative_add(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """The sum of two tensors of one stride on the union of their sites, in lexicographic order."""
    for x in (a, b):
        expect_events(x, "generative_add")
    if a.stride != b.stride or a.feats.shape[1:] != b.feats.shape[1:]:
        raise ValueError(f"tensors to add must have one stride and number of channels, got {a} and {b}")
    more, less = (a, b) if len(a.feats) >= len(b.feats) else (b, a)
    sites, place = torch.unique(torch.cat([more.coords, less.coords]), dim=0, return_inverse=True)
    feats = sum_events(torch.cat([more.feats, less.feats]), sort_events(place, len(sites)))
    output = SparseTensor(feats, sites, more.stride, more.spatial_range)
    output._caches = more._caches
    return output

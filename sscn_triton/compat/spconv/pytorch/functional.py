"""Sums of tensors whose sites differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton import Grid
from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.pytorch.core import SparseConvTensor, on_grid
from sscn_triton.core import rulebook


def sparse_add(*tens: SparseConvTensor) -> SparseConvTensor:
    """The sum of tensors of one spatial shape, on every site that at least one of them has.

    If a tensor has all of these sites, the sum is on the sites of the largest such tensor, in its order, with the data
    stored under its keys. Otherwise sites are in lexicographic order and no key stores anything.
    """
    if not tens:
        raise ValueError("sparse_add takes at least one tensor")
    for name in ("spatial_shape", "batch_size"):
        values = [getattr(x, name) for x in tens]
        if any(value != values[0] for value in values):
            raise ValueError(f"tensors to add must have the same {name}, got {values}")
    grids = [x.sites() for x in tens]
    most = max(range(len(tens)), key=lambda n: len(grids[n]))
    order = [most, *(n for n in range(len(tens)) if n != most)]
    sites = torch.cat([grids[n].coordinates for n in order])
    first, place = rulebook.unique(sites)
    if len(first) > len(grids[most]):
        kept = sites[first]
        rank = _lexicographic(kept)
        place = torch.argsort(rank)[place]
        union, given = Grid(kept[rank], tuple(tens[0].spatial_shape), tens[0].batch_size), None
    else:
        union, given = grids[most], tens[most]
    places = dict(zip(order, place.split([len(grids[n]) for n in order]), strict=True))
    features = add_features(
        [
            x.features.new_zeros(len(union), x.features.shape[1]).index_copy(0, places[n], x.features)
            for n, x in enumerate(tens)
        ]
    )
    if given is not None:
        return given.replace_feature(features)
    result = on_grid(tens[0].replace_feature(features), union, union.coordinates.clone())
    result.indice_dict = {}
    return result


sparse_add_hash_based = sparse_add


def add_features(features: Sequence[Tensor]) -> Tensor:
    """The sum of feature matrices of one shape.

    Raises ValueError if the numbers of channels differ.
    """
    channels = [x.shape[1] for x in features]
    if len(set(channels)) > 1:
        raise ValueError(f"tensors to add must have the same number of channels, got {channels}")
    total = features[0]
    for x in features[1:]:
        total = total + x
    return total


def _lexicographic(sites: Tensor) -> Tensor:
    """The rows of ``[N, 1 + D]`` in lexicographic order."""
    rank = torch.arange(len(sites), device=sites.device)
    for column in reversed(range(sites.shape[1])):
        rank = rank[torch.argsort(sites[rank, column], stable=True)]
    return rank


def _indice_to_scalar(indices: Tensor, shape: Sequence[int]) -> Tensor:
    """One number ``[N]`` per row of ``indices`` ``[N, D]`` in a box of this shape, the last axis fastest."""
    if indices.shape[1] != len(shape):
        raise ValueError(f"shape must have {indices.shape[1]} numbers, one per column of indices, got {list(shape)}")
    scalar = indices[:, 0].clone()
    for column, size in enumerate(shape[1:], 1):
        scalar = scalar * size + indices[:, column]
    return scalar


_LAYERS = "the layers, or sscn_triton.functional"
_POOLS = "SparseMaxPool and SparseAvgPool"
__getattr__ = names(
    __name__,
    {
        "spconv_save_debug_data": "torch.save",
        "SparseAvgPoolImplicitGemmFunction": _POOLS,
        "SparseConvFunction": _LAYERS,
        "SparseImplicitGemmFunction": _LAYERS,
        "SparseInverseConvFunction": _LAYERS,
        "SparseMaxPoolFunction": _POOLS,
        "SparseMaxPoolImplicitGemmFunction": _POOLS,
        "SubMConvFunction": _LAYERS,
        "identity_decorator": "nothing",
        "implicit_gemm": _LAYERS,
        "indice_avgpool_implicit_gemm": _POOLS,
        "indice_conv": _LAYERS,
        "indice_inverse_conv": _LAYERS,
        "indice_maxpool": _POOLS,
        "indice_maxpool_implicit_gemm": _POOLS,
        "indice_subm_conv": _LAYERS,
    },
    again=(
        "sscn_triton.compat.spconv.pytorch.core",
        "sscn_triton.compat.spconv.pytorch.hash",
        "sscn_triton.compat.spconv.tools",
        "sscn_triton.compat.spconv.pytorch.constants",
    ),
)

"""Tensors of one grid joined, and sites taken away."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.core.grid import Grid
from sscn_triton.core.tensor import SparseTensor, same_grid


class UnknownSitesError(RuntimeError):
    """Which sites are kept depends on features that have no values yet."""


def concatenate(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """Join the channels of tensors on one grid."""
    same_grid(*tensors)
    return tensors[0].replace(torch.cat([x.features for x in tensors], 1))


def add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    """Sum of two tensors on one grid: ``x + y``."""
    return x + y


def prune(x: SparseTensor, keep: Tensor) -> SparseTensor:
    """The sites where ``keep``, bool ``[N]``, is true, on a grid of their own, in their order.

    Gradients reach the rows that stay; ``keep`` has none. An inverse convolution or an unpooling after it still leads
    to all the sites that the strided layer came from, the sites taken away counting as zeros.
    """
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != (len(x),):
        given = f"{keep.dtype} {tuple(keep.shape)}" if isinstance(keep, Tensor) else type(keep).__name__
        raise ValueError(f"keep must be a bool tensor [{len(x)}], one for each site, got {given}")
    if keep.device != x.device:
        raise ValueError(f"keep is on {keep.device}, the tensor on {x.device}: put both on one device")
    if keep.is_meta:
        raise UnknownSitesError("prune needs values to choose sites by; tensors on the meta device have none")
    rows = keep.nonzero()[:, 0]
    grid = Grid(x.coordinates.index_select(0, rows), x.spatial_shape, x.batch_size)
    return SparseTensor._of(x.features.index_select(0, rows), grid, x.path)

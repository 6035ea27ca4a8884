"""Join tensors on one grid, and remove sites."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.core.grid import Grid
from sscn_triton.core.tensor import SparseTensor, same_grid


class UnknownSitesError(RuntimeError):
    """The sites to keep depend on features that have no values yet."""


def concatenate(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """Join the channels of tensors on one grid."""
    same_grid(*tensors)
    return tensors[0].replace(torch.cat([x.features for x in tensors], 1))


def add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    """Sum of two tensors on one grid: ``x + y``."""
    return x + y


def prune(x: SparseTensor, keep: Tensor) -> SparseTensor:
    """Keep the sites where ``keep``, bool ``[N]``, is true, in their order, on a new grid.

    Gradients reach the rows that stay; ``keep`` has none. A later inverse convolution or unpooling still goes
    back to all input sites of the strided layer; the removed sites count as zeros.
    """
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != (len(x),):
        given = f"{keep.dtype} {tuple(keep.shape)}" if isinstance(keep, Tensor) else type(keep).__name__
        raise ValueError(f"keep must be a bool tensor [{len(x)}], one per site, got {given}")
    if keep.device != x.device:
        raise ValueError(f"keep is on {keep.device}, but the tensor is on {x.device}: put both on one device")
    if keep.is_meta:
        raise UnknownSitesError("prune needs values to choose sites, but tensors on the meta device have none")
    rows = keep.nonzero()[:, 0]
    grid = Grid(x.coordinates.index_select(0, rows), x.spatial_shape, x.batch_size)
    return SparseTensor._of(x.features.index_select(0, rows), grid, x.path)

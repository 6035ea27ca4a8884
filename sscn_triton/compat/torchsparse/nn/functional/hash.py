"""Hashes of sites."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.core.arguments import kind

BASIS, PRIME = 14695981039346656037 - 2**64, 1099511628211


def sphash(coords: Tensor, offsets: Tensor | None = None) -> Tensor:
    """The 64-bit FNV-1a hashes of sites, one step per number, as torchsparse's CUDA kernels compute them; int64.

    Args:
        coords: ``[N, 4]`` int32, batch index first.
        offsets: ``[V, 3]`` int32, added to the last three columns.

    Returns:
        ``[N]``, or ``[V, N]`` with offsets.
    """
    check_int32("coords", coords, 4)
    if offsets is None:
        return _hash(coords)
    check_int32("offsets", offsets, 3)
    return _hash(coords + torch.nn.functional.pad(offsets, (1, 0))[:, None])


def _hash(sites: Tensor) -> Tensor:
    found = torch.full(sites.shape[:-1], BASIS, dtype=torch.int64, device=sites.device)
    for column in sites.unbind(-1):
        found = (found ^ (column.long() & 0xFFFFFFFF)) * PRIME
    return found


def check_int32(name: str, rows: Tensor, columns: int) -> None:
    """Raise TypeError or ValueError unless ``rows`` is an int32 tensor ``[N, columns]``."""
    if not isinstance(rows, Tensor) or rows.dtype != torch.int32:
        raise TypeError(f"{name} must be an int32 tensor [N, {columns}], got {kind(rows)}")
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise ValueError(f"{name} must be [N, {columns}], got {tuple(rows.shape)}")

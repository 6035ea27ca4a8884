"""Rows found by their hashes."""

from __future__ import annotations

import torch
from torch import Tensor


def sphashquery(queries: Tensor, references: Tensor) -> Tensor:
    """The first row of ``references`` ``[N]`` that equals each query, -1 if none does; int64, in the shape of
    ``queries``. Both are int64 hashes (`sphash`)."""
    for name, values in (("queries", queries), ("references", references)):
        if values.dtype != torch.int64:
            raise TypeError(f"{name} must be int64 hashes, got {values.dtype}")
    if references.ndim != 1:
        raise ValueError(f"references must be [N], got {tuple(references.shape)}")
    if not len(references):
        return torch.full_like(queries, -1)
    ranked, rows = torch.sort(references, stable=True)
    place = torch.searchsorted(ranked, queries.contiguous()).clamp(max=len(ranked) - 1)
    return torch.where(ranked[place] == queries, rows[place], -1)

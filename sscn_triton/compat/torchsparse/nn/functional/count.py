"""Numbers of points."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.core.arguments import INTEGERS


def spcount(coords: Tensor, num: int) -> Tensor:
    """``[num]`` int32: how often each number from 0 occurs in ``coords`` ``[N]``, integers; negative ones are left out.

    Raises ValueError for a number that is not below ``num``.
    """
    return torch.bincount(checked_rows("coords", coords, num, 1), minlength=int(num)).int()


def checked_rows(name: str, rows: Tensor, count: int, ndim: int) -> Tensor:
    """``rows`` as int64, without negative ones if ``ndim`` is 1. Raises unless they are integers below ``count``."""
    if rows.dtype not in INTEGERS:
        raise TypeError(f"{name} must be integers, got {rows.dtype}")
    if rows.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, got {tuple(rows.shape)}")
    if rows.numel() and int(rows.max()) >= count:
        raise ValueError(f"{name} must be below {count}, got {int(rows.max())}")
    rows = rows.long()
    return rows[rows >= 0] if ndim == 1 else rows

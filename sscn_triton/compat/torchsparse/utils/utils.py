"""Numbers per axis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.core.arguments import INTEGERS, kind
from sscn_triton.relation import Axes, per_axis


def make_ntuple(x: Any, ndim: int) -> tuple[int, ...]:
    """``ndim`` numbers: those of a tuple, a list or a tensor, or one integer repeated."""
    values = x
    if isinstance(x, int):
        values = (x,) * ndim
    elif isinstance(x, list):
        values = tuple(x)
    elif isinstance(x, Tensor):
        values = tuple(x.flatten().tolist())
    if not isinstance(values, tuple) or len(values) != ndim:
        raise ValueError(f"expected one number or {ndim}, got {x!r}")
    return values


def three(value: Any, name: str, minimum: int) -> Axes:
    """The setting ``name``, one number or three, by `per_axis`; torchsparse also takes tensors of them."""
    return per_axis(value.tolist() if isinstance(value, Tensor) else value, 3, name, minimum)


def check_sites(coords: Any, user: str) -> None:
    """Raise TypeError or ValueError, naming ``user``, unless ``coords`` is a tensor ``[N, 4]`` of integers."""
    if not isinstance(coords, Tensor) or coords.dtype not in INTEGERS:
        raise TypeError(f"{user} takes coords of integers, got {kind(coords)}")
    if coords.ndim != 2 or coords.shape[1] != 4:
        raise ValueError(f"{user} takes coords [N, 4], batch index first, got {tuple(coords.shape)}")


def make_tensor(x: tuple[int, ...], dtype: torch.dtype, device: Any) -> Tensor:
    """A tensor of the numbers."""
    return torch.tensor(x, dtype=dtype, device=device)


def make_divisible(x: int, divisor: int) -> int:
    """The least multiple of ``divisor`` that is at least ``x``."""
    return (x + divisor - 1) // divisor * divisor

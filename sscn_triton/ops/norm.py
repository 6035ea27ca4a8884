"""What a norm does to rows: one value for functions, operators and both engines."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Norm(NamedTuple):
    """A norm of rows: ``(x - mean) / sqrt(variance + eps) * weight + bias``, times ``leakiness`` if negative.

    ``moving``: whether mean and variance are those of the rows themselves, so that gradients flow through them.
    """

    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    leakiness: float
    moving: bool = False


Flat = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, float, float, bool]


def flattened(norm: Norm | None) -> Flat:
    """A norm as operators take it: number by number. Without a mean there is no norm."""
    return (None, None, None, None, 0.0, 1.0, False) if norm is None else norm

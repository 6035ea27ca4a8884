"""The parameters of a norm, as one value that functions, operators and both engines share."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Norm(NamedTuple):
    """A norm of rows: ``(x - mean) / sqrt(variance + eps) * weight + bias``, times ``leakiness`` if negative.

    ``moving``: whether mean and variance were computed from these rows, so that gradients flow through them.
    """

    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    leakiness: float
    moving: bool = False


def with_residual(
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool = False,
) -> tuple[Norm, Tensor | None]:
    """The norm and the residual from the separate arguments of the operators on rows."""
    return Norm(mean, variance, weight, bias, eps, leakiness, moving), residual


Flat = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, float, float, bool]


def flattened(norm: Norm | None) -> Flat:
    """The norm as the separate arguments that operators take; a mean of None means no norm."""
    return (None, None, None, None, 0.0, 1.0, False) if norm is None else norm

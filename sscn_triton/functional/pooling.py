"""Pooling: the rulebook of a strided convolution with another reduction. All pooling is deterministic."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from sscn_triton.core.counterparts import by_name
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional.steps import step_back, strided_step
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import largest_of_events, spread_events, sum_events
from sscn_triton.ops.pooling import pool_max, pool_sum
from sscn_triton.relation import Size, volume

Count = Literal["active", "volume"]
"""Whether an average divides by the number of active inputs of a window or of all its taps."""
Reduction = Literal["max", "mean", "sum"]
"""How a window, or an image, is reduced to one row."""
Choice = TypeVar("Choice", bound=str)


def checked_choice(name: str, value: Choice, choices: Any) -> Choice:
    """Return the value if it is one of the literals ``choices``."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(choices)))}, got {value!r}")
    return value


@by_name
def max_pool(
    x: SparseTensor, kernel_size: Size, stride: Size | None = None, *, padding: Size = 0, dilation: Size = 1
) -> SparseTensor:
    """The largest active value under the kernel, per channel, at every site that some input reaches.

    Inactive sites take no part, so an output can be negative where a dense image would give 0. The gradient goes to
    the largest value; among equal ones to the first tap, as in PyTorch. ``stride`` defaults to ``kernel_size``.
    """
    step = strided_step(x.ndim, kernel_size, kernel_size if stride is None else stride, padding, dilation)
    rules, grid = x.grid.step(step)
    features, _ = pool_max(x.features, rules.rules, rules.output_count)
    return SparseTensor._of(features, grid, (*x.path, (x.grid, step)))


@by_name
def average_pool(
    x: SparseTensor,
    kernel_size: Size,
    stride: Size | None = None,
    *,
    padding: Size = 0,
    dilation: Size = 1,
    count: Count = "active",
) -> SparseTensor:
    """The mean under the kernel at every site that some input reaches.

    Args:
        x, kernel_size, stride, padding, dilation: as in `max_pool`.
        count: "active" divides by the number of active inputs; "volume" by the number of taps, as do a dense image
            (its padding included) and SparseConvNet.
    """
    checked_choice("count", count, Count)
    step = strided_step(x.ndim, kernel_size, kernel_size if stride is None else stride, padding, dilation)
    rules, grid = x.grid.step(step)
    wide = widened(x.features)
    total = pool_sum(wide, rules.rules, rules.output_count)
    if count == "active":
        mean = total / pool_sum(torch.ones_like(wide[:, :1]), rules.rules, rules.output_count)
    else:
        mean = total / volume(step.kernel_size)
    return SparseTensor._of(mean.to(x.dtype), grid, (*x.path, (x.grid, step)))


@by_name
def unpool(
    x: SparseTensor, kernel_size: Size, stride: Size | None = None, *, padding: Size = 0, dilation: Size = 1
) -> SparseTensor:
    """Go back to the input sites of the pooling of this geometry: each gets the value of its pool.

    Where pools overlap, a site gets the sum over its pools; zero if it was in none (with a stride larger than the
    kernel). Going back over a strided convolution of this geometry works too.

    Raises ValueError if the last strided layer above ``x`` had another geometry, or if there is none.
    """
    step = strided_step(x.ndim, kernel_size, kernel_size if stride is None else stride, padding, dilation)
    features, rules, grid, path = step_back(x, step)
    return SparseTensor._of(pool_sum(features, rules.rules, rules.output_count), grid, path)


def global_pool(x: SparseTensor, reduction: Reduction = "mean") -> Tensor:
    """``[batch_size, C]``: "max", "mean" or "sum" over the active sites of each event; zeros for an empty event."""
    checked_choice("reduction", reduction, Reduction)
    events = x.grid.events()
    if reduction == "max":
        winners = spread_events(largest_of_events(x.features.detach(), events), events)
        rows = torch.arange(x.features.shape[0], device=x.device)
        return sum_events(torch.where(winners == rows[:, None], x.features, 0), events)
    wide = widened(x.features)
    total = sum_events(wide, events)
    if reduction == "mean":
        total = total / sum_events(torch.ones_like(wide[:, :1]), events).clamp(min=1)
    return total.to(x.dtype)

"""Operators that sum the rows of each event, and that copy each event's values to its rows.

Each is the derivative of the other, so gradients of any order exist. ``events`` is a list of three int64 tensors
(`sort_events`):

    event    ``[N]``: the event of each row
    order    ``[N]``: the rows sorted by event, in ascending order within an event
    starts   ``[B + 1]``: the rows of event b are ``order[starts[b]:starts[b + 1]]``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.common.numba_cache import njit
from sscn_triton.ops import checks
from sscn_triton.ops.dtypes import Array, arrays, widened
from sscn_triton.ops.registration import operator


def sort_events(event: Tensor, batch_size: int) -> list[Tensor]:
    """``[event, order, starts]`` for the events of rows: ``[N]`` in ``0 <= event < batch_size``, in any order."""
    event = event.long()
    ranked, order = torch.sort(event, stable=True)
    starts = torch.searchsorted(ranked, torch.arange(batch_size + 1, device=event.device))
    return [event, order, starts]


@njit(nogil=True, cache=True)
def _are_events(order: Array, starts: Array) -> bool:
    """Whether ``order`` names existing rows only, and ``starts`` cuts it into consecutive parts."""
    known = True
    for place in range(len(order)):
        known &= 0 <= order[place] < len(order)
    for event in range(len(starts) - 1):
        known &= 0 <= starts[event] <= starts[event + 1] <= len(order)
    return known


@njit(nogil=True, cache=True)
def _sum_rows(x: Array, order: Array, starts: Array, sums: Array) -> bool:
    if not _are_events(order, starts):
        return False
    for event in range(len(sums)):
        for rank in range(starts[event], starts[event + 1]):
            row = order[rank]
            for c in range(x.shape[1]):
                sums[event, c] += x[row, c]
    return True


@njit(nogil=True, cache=True)
def _largest_rows(x: Array, order: Array, starts: Array, largest: Array, winners: Array) -> bool:
    if not _are_events(order, starts):
        return False
    for event in range(len(winners)):
        for rank in range(starts[event], starts[event + 1]):
            row = order[rank]
            for c in range(x.shape[1]):
                if winners[event, c] < 0 or x[row, c] > largest[event, c] or x[row, c] != x[row, c]:
                    largest[event, c], winners[event, c] = x[row, c], row
    return True


def _sum_events_cpu(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    _, order, starts = events
    sums = torch.zeros(len(starts) - 1, features.shape[1], dtype=torch.float64)
    wide = widened(features)
    if not _sum_rows(*arrays(wide, order, starts, sums)):
        raise checks.foreign_rows("events")
    return sums.to(features.dtype)


def _sum_events_fake(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    return features.new_empty(events[2].shape[0] - 1, features.shape[1])


def _save_events(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[1])


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return spread_events(grad, ctx.saved_tensors), None


@operator(
    check=checks.of_events,
    cpu=_sum_events_cpu,
    fake=_sum_events_fake,
    setup_context=_save_events,
    backward=_sum_backward,
)
def sum_events(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    """``y[b] = sum of x[n] over the rows n of event b``: ``[N, C]`` to ``[B, C]``; zeros for an empty event.

    Rows are added in order, in float64 for every type of features.
    """
    from sscn_triton.ops.triton import events as triton

    return triton.sum_events(features, events)


def _spread_events_fake(values: Tensor, events: Sequence[Tensor]) -> Tensor:
    return values.new_empty(events[0].shape[0], values.shape[1])


def _spread_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    return sum_events(grad, ctx.saved_tensors), None


@operator(check=checks.spread_events, fake=_spread_events_fake, setup_context=_save_events, backward=_spread_backward)
def spread_events(values: Tensor, events: Sequence[Tensor]) -> Tensor:
    """``x[n] = y[b] for each row n of event b``: ``[B, C]`` to ``[N, C]``."""
    return values.index_select(0, events[0])


def _largest_of_events_cpu(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    _, order, starts = events
    winners = torch.full((len(starts) - 1, features.shape[1]), -1)
    wide = widened(features)
    if not _largest_rows(*arrays(wide, order, starts, wide.new_empty(winners.shape), winners)):
        raise checks.foreign_rows("events")
    return winners


def _largest_of_events_fake(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    return features.new_empty(events[2].shape[0] - 1, features.shape[1], dtype=torch.int64)


@operator(check=checks.of_events, cpu=_largest_of_events_cpu, fake=_largest_of_events_fake)
def largest_of_events(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    """``[N, C]`` to ``[B, C]`` int64: the row of each event with the largest value; -1 for an empty event.

    The first of several equal rows wins; NaN is larger than every number.
    """
    from sscn_triton.ops.triton import events as triton

    return triton.largest_of_events(features, events)

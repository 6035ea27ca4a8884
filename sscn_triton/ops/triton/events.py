"""Reductions over the rows of each event.

A program reduces one part of an event's rows for a block of channels. Long events have several parts, whose results a
second kernel joins in order. The number of parts depends on the sizes alone, so every run gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.triton.launch import ceil_div, launch, power_of_two

ROWS, WIDTH = 64, 16
LONG, MOST_PARTS = 2048, 64  # rows of one part; maximum number of parts of an event


@triton.jit
def part_of_event(starts, event, part, count, PARTS: tl.constexpr, ROWS: tl.constexpr):
    """The first rank of a part of an event, and the rank after its last one; there are ``count`` ranks in all."""
    start = tl.minimum(tl.maximum(tl.load(starts + event), 0), count)
    stop = tl.minimum(tl.maximum(tl.load(starts + event + 1), start), count)
    length = ((stop - start + PARTS - 1) // PARTS + ROWS - 1) // ROWS * ROWS
    first = start + part * length
    return first, tl.minimum(first + length, stop)


@triton.jit(do_not_specialize=["count"])
def sum_kernel(
    values, order, starts, sums, count, CHANNELS: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """``sums[event, part] = sum of the values of its rows``, in float64.

    values ``[count, CHANNELS]``, order ``[count]`` and starts ``[events + 1]`` int64, sums
    ``[events, PARTS, CHANNELS]``.
    """
    event, part = tl.program_id(0).to(tl.int64), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start, stop = part_of_event(starts, event, part, count, PARTS, ROWS)
    total = tl.zeros([ROWS, WIDTH], tl.float64)
    for rank in range(start, stop, ROWS):
        ranks = rank + tl.arange(0, ROWS)
        row = tl.load(order + ranks, mask=ranks < stop, other=-1)
        there = ((row >= 0) & (row < count))[:, None] & (column < CHANNELS)
        total += tl.load(values + row[:, None] * CHANNELS + column, mask=there, other=0).to(tl.float64)
    store_sum(sums + (event * PARTS + part) * CHANNELS + column, tl.sum(total, 0), column < CHANNELS)


@triton.jit
def add_parts_kernel(parts, sums, CHANNELS: tl.constexpr, PARTS: tl.constexpr, WIDTH: tl.constexpr):
    """``sums[event]``: the sums of the event's parts, added in order; parts ``[events, PARTS, CHANNELS]`` float64, sums
    ``[events, CHANNELS]``."""
    event, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros([WIDTH], tl.float64)
    for part in range(PARTS):
        total += tl.load(parts + (event * PARTS + part) * CHANNELS + column, mask=column < CHANNELS, other=0)
    store_sum(sums + event * CHANNELS + column, total, column < CHANNELS)


@triton.jit
def store_sum(place, total, mask):
    """Store a float64 sum; unless the target is float64, it is rounded to float32 first."""
    if place.dtype.element_ty != tl.float64:
        total = total.to(tl.float32)
    tl.store(place, total.to(place.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["count"])
def largest_kernel(
    values,
    order,
    starts,
    winners,
    count,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    PARTS: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """``winners[event, part]``: the first of the part's rows with the largest value; -1 for a part without rows.
    NaN beats every number; of several NaNs the last wins.

    values ``[count, CHANNELS]``, order ``[count]`` and starts ``[events + 1]`` int64, winners
    ``[events, PARTS, CHANNELS]`` int64.
    """
    event, part = tl.program_id(0).to(tl.int64), tl.program_id(2)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start, stop = part_of_event(starts, event, part, count, PARTS, ROWS)
    best = tl.zeros([ROWS, WIDTH], WIDE)
    winner = tl.full([ROWS, WIDTH], -1, tl.int64)
    for rank in range(start, stop, ROWS):
        ranks = rank + tl.arange(0, ROWS)
        row = tl.load(order + ranks, mask=ranks < stop, other=-1)
        there = ((row >= 0) & (row < count))[:, None] & (column < CHANNELS)
        value = tl.load(values + row[:, None] * CHANNELS + column, mask=there, other=0).to(WIDE)
        better = there & ((winner < 0) | (value > best) | (value != value))
        best, winner = tl.where(better, value, best), tl.where(better, row[:, None], winner)
    number = (best == best) & (winner >= 0)
    largest = tl.max(tl.where(number, best, -float("inf")), 0)
    first = tl.min(tl.where(number & (best == largest), winner, 2**62), 0)
    last_nan = tl.max(tl.where(best != best, winner, -1), 0)
    result = tl.where(last_nan >= 0, last_nan, tl.where(first < 2**62, first, -1))
    tl.store(winners + (event * PARTS + part) * CHANNELS + column, result, mask=column < CHANNELS)


@triton.jit
def join_winners_kernel(
    values, parts, winners, CHANNELS: tl.constexpr, WIDE: tl.constexpr, PARTS: tl.constexpr, WIDTH: tl.constexpr
):
    """``winners[event]``: the winner among the winners of the event's parts, by the rule of `largest_kernel`.

    values ``[N, CHANNELS]``; parts ``[events, PARTS, CHANNELS]`` and winners ``[events, CHANNELS]`` int64.
    """
    event, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    best, winner = tl.zeros([WIDTH], WIDE), tl.full([WIDTH], -1, tl.int64)
    for part in range(PARTS):
        place = parts + (event * PARTS + part) * CHANNELS + column
        row = tl.load(place, mask=column < CHANNELS, other=-1)
        value = tl.load(values + row * CHANNELS + column, mask=row >= 0, other=0).to(WIDE)
        better = (row >= 0) & ((winner < 0) | (value > best) | (value != value))
        best, winner = tl.where(better, value, best), tl.where(better, row, winner)
    tl.store(winners + event * CHANNELS + column, winner, mask=column < CHANNELS)


def choose_parts(rows: int, events: int) -> int:
    """The number of parts of each event: a power of two, so that few different numbers occur."""
    return min(power_of_two(max(ceil_div(rows, LONG * max(events, 1)), 1)), MOST_PARTS)


def sum_events(features: Tensor, events: Sequence[Tensor], parts: int | None = None) -> Tensor:
    """``[N, C]`` to ``[B, C]``, in the type of the features."""
    _, order, starts = events
    features, (rows, channels), count = features.contiguous(), features.shape, starts.shape[0] - 1
    parts, blocks = parts or choose_parts(rows, count), ceil_div(channels, WIDTH)
    sums = features.new_empty(count, channels)
    first = sums if parts == 1 else torch.empty(count, parts, channels, dtype=torch.float64, device=sums.device)
    options = {"CHANNELS": channels, "PARTS": parts, "WIDTH": WIDTH}
    launch(
        sum_kernel, (count, blocks, parts), values=features, order=order, starts=starts, sums=first, count=rows,
        ROWS=ROWS, **options,
    )  # fmt: skip
    if parts > 1:
        launch(add_parts_kernel, (count, blocks), parts=first, sums=sums, **options)
    return sums


def largest_of_events(features: Tensor, events: Sequence[Tensor], parts: int | None = None) -> Tensor:
    """``[N, C]`` to ``[B, C]`` int64."""
    _, order, starts = events
    features, (rows, channels), count = features.contiguous(), features.shape, starts.shape[0] - 1
    parts, blocks = parts or choose_parts(rows, count), ceil_div(channels, WIDTH)
    winners = torch.empty(count, channels, dtype=torch.int64, device=features.device)
    first = winners if parts == 1 else winners.new_empty(count, parts, channels)
    wide = tl.float64 if features.dtype == torch.float64 else tl.float32
    options = {"CHANNELS": channels, "WIDE": wide, "PARTS": parts, "WIDTH": WIDTH}
    launch(
        largest_kernel, (count, blocks, parts), values=features, order=order, starts=starts, winners=first, count=rows,
        ROWS=ROWS, **options,
    )  # fmt: skip
    if parts > 1:
        launch(join_winners_kernel, (count, blocks), values=features, parts=first, winners=winners, **options)
    return winners

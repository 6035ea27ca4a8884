"""Reductions over the rows of each event, one program for an event and a block of channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.triton.launch import ceil_div, launch

ROWS, WIDTH = 64, 16


@triton.jit
def sum_kernel(values, order, starts, sums, CHANNELS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """``sums[event] = sum of the values of its rows``, in float64."""
    event = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start, stop = tl.load(starts + event), tl.load(starts + event + 1)
    total = tl.zeros([ROWS, WIDTH], tl.float64)
    for rank in range(start, stop, ROWS):
        ranks = rank + tl.arange(0, ROWS)
        row = tl.load(order + ranks, mask=ranks < stop, other=0)
        there = (ranks < stop)[:, None] & (column < CHANNELS)
        total += tl.load(values + row[:, None] * CHANNELS + column, mask=there, other=0).to(tl.float64)
    result = tl.sum(total, 0)
    if sums.dtype.element_ty != tl.float64:
        result = result.to(tl.float32)
    tl.store(sums + event * CHANNELS + column, result.to(sums.dtype.element_ty), mask=column < CHANNELS)


@triton.jit
def largest_kernel(
    values, order, starts, winners, CHANNELS: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    """``winners[event]``: which of its rows, in ascending order, is first to have the largest value; -1 for none. The
    last that is not a number is larger than any."""
    event = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start, stop = tl.load(starts + event), tl.load(starts + event + 1)
    best = tl.zeros([ROWS, WIDTH], WIDE)
    winner = tl.full([ROWS, WIDTH], -1, tl.int64)
    for rank in range(start, stop, ROWS):
        ranks = rank + tl.arange(0, ROWS)
        row = tl.load(order + ranks, mask=ranks < stop, other=-1)
        there = (ranks < stop)[:, None] & (column < CHANNELS)
        value = tl.load(values + row[:, None] * CHANNELS + column, mask=there, other=0).to(WIDE)
        better = there & ((winner < 0) | (value > best) | (value != value))
        best, winner = tl.where(better, value, best), tl.where(better, row[:, None], winner)
    number = (best == best) & (winner >= 0)
    largest = tl.max(tl.where(number, best, -float("inf")), 0)
    first = tl.min(tl.where(number & (best == largest), winner, 2**62), 0)
    last_nan = tl.max(tl.where(best != best, winner, -1), 0)
    result = tl.where(last_nan >= 0, last_nan, tl.where(start < stop, first, -1))
    tl.store(winners + event * CHANNELS + column, result, mask=column < CHANNELS)


def sum_events(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    """``[N, C]`` to ``[B, C]``, in the type of the features."""
    _, order, starts = events
    sums = features.new_empty(starts.shape[0] - 1, features.shape[1])
    grid = sums.shape[0], ceil_div(sums.shape[1], WIDTH)
    launch(
        sum_kernel, grid, features.contiguous(), order, starts, sums, CHANNELS=sums.shape[1], ROWS=ROWS, WIDTH=WIDTH
    )  # fmt: skip
    return sums


def largest_of_events(features: Tensor, events: Sequence[Tensor]) -> Tensor:
    """``[N, C]`` to ``[B, C]`` int64."""
    _, order, starts = events
    winners = torch.empty(starts.shape[0] - 1, features.shape[1], dtype=torch.int64, device=features.device)
    grid = winners.shape[0], ceil_div(winners.shape[1], WIDTH)
    wide = tl.float64 if features.dtype == torch.float64 else tl.float32
    launch(
        largest_kernel, grid, features.contiguous(), order, starts, winners, CHANNELS=winners.shape[1], WIDE=wide,
        ROWS=ROWS, WIDTH=WIDTH,
    )  # fmt: skip
    return winners

"""Pooling: reductions over the rows that a reading names, with one program per tile of positions and channels."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.rules import Reading, Rules, read_backward, read_forward
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, is_interpreted, launch
from sscn_triton.ops.triton.layout import UNIT, WORD
from sscn_triton.ops.triton.taps import lowest_bit, popcount, tile_mask


@triton.jit(do_not_specialize=["positions", "units", "sources"])
def sum_kernel(
    values,
    winners,
    output,
    table,
    order,
    masks,
    positions,
    units,
    sources,
    TAPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    OWN: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    UNIT: tl.constexpr,
    WORD: tl.constexpr,
):
    """``output[order[p]] = sum over taps of values[table[tap, p]]``; with OWN, only the values whose ``winners`` name
    the row written. Sums have the type WIDE."""
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    position = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    written = tl.load(order + position, mask=inside, other=0)
    total = tl.zeros([ROWS, WIDTH], WIDE)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, word, units, TAPS, WORD, ROWS, UNIT)
        for _ in range(popcount(mask)):
            line = word * WORD + lowest_bit(mask)
            mask &= mask - 1
            row = tl.load(table + line.to(tl.int64) * positions + position, mask=inside, other=-1).to(tl.int64)
            place = row[:, None] * CHANNELS + column
            there = ((row >= 0) & (row < sources))[:, None] & (column < CHANNELS)
            if OWN:
                there &= tl.load(winners + place, mask=there, other=-1) == written[:, None]
            total += tl.load(values + place, mask=there, other=0).to(WIDE)
    place = output + written.to(tl.int64)[:, None] * CHANNELS + column
    inside &= (written >= 0) & (written < positions)
    tl.store(place, total.to(output.dtype.element_ty), mask=inside[:, None] & (column < CHANNELS))


@triton.jit(do_not_specialize=["positions", "units", "sources"])
def max_kernel(
    values,
    output,
    winners,
    table,
    order,
    masks,
    positions,
    units,
    sources,
    TAPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    MIRRORED: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    UNIT: tl.constexpr,
    WORD: tl.constexpr,
):
    """The largest value and the row that has it; of equal values the first tap wins, of several NaNs the last tap."""
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    position = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    best = tl.zeros([ROWS, WIDTH], WIDE)
    winner = tl.full([ROWS, WIDTH], -1, tl.int32)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, word, units, TAPS, WORD, ROWS, UNIT)
        for _ in range(popcount(mask)):
            line = word * WORD + lowest_bit(mask)
            mask &= mask - 1
            row = tl.load(table + line.to(tl.int64) * positions + position, mask=inside, other=-1)
            there = ((row >= 0) & (row < sources))[:, None] & (column < CHANNELS)
            place = values + row.to(tl.int64)[:, None] * CHANNELS + column
            value = tl.load(place, mask=there, other=0).to(WIDE)
            if MIRRORED:  # the lines are in the opposite order of the taps
                better = (winner < 0) | (value >= best) | ((value != value) & (best == best))
            else:
                better = (winner < 0) | (value > best) | (value != value)
            better &= there
            best = tl.where(better, value, best)
            winner = tl.where(better, row[:, None], winner)
    written = tl.load(order + position, mask=inside, other=0).to(tl.int64)
    inside &= (written >= 0) & (written < positions)
    place, there = written[:, None] * CHANNELS + column, inside[:, None] & (column < CHANNELS)
    tl.store(output + place, best.to(output.dtype.element_ty), mask=there)
    tl.store(winners + place, winner, mask=there)


@triton.jit(do_not_specialize=["size", "sources"])
def take_kernel(values, winners, output, size, sources, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """``output[o, c] = values[winners[o, c], c]``, 0 where the winner is -1."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(winners + place, mask=place < size, other=-1).to(tl.int64)
    value = tl.load(values + row * CHANNELS + place % CHANNELS, mask=(row >= 0) & (row < sources), other=0)
    tl.store(output + place, value, mask=place < size)


def _launch(kernel: Any, reading: Reading, rows: int, channels: int, *tensors: Tensor, **options: Any) -> None:
    """Launch a kernel with a tile of about 1024 elements per program."""
    width = min(triton.next_power_of_2(max(channels, 1)), 64)
    tile = 256 if is_interpreted(tensors[0]) else max(1024 // width, UNIT)
    wide = tl.float64 if tensors[0].dtype == torch.float64 else tl.float32
    launch(
        kernel, (ceil_div(rows, tile), ceil_div(channels, width)), *tensors, *reading[:3], rows,
        reading.masks.shape[1], tensors[0].shape[0], TAPS=reading.table.shape[0], CHANNELS=channels, WIDE=wide,
        ROWS=tile, WIDTH=width, UNIT=UNIT, WORD=WORD, **options,
    )  # fmt: skip


def pool_sum(features: Tensor, rules: Rules, output_count: int) -> Tensor:
    """``y[o] += x[i]``: ``[N_in, C]`` to ``[output_count, C]``."""
    features, channels = features.contiguous(), features.shape[1]
    output = features.new_empty(output_count, channels)
    _launch(sum_kernel, read_forward(rules), output_count, channels, features, features, output, OWN=False)
    return output


def pool_max(features: Tensor, rules: Rules, output_count: int) -> tuple[Tensor, Tensor]:
    """``[N_in, C]`` to ``[output_count, C]`` twice: the largest value, and the input row (int32) that has it."""
    features, channels, reading = features.contiguous(), features.shape[1], read_forward(rules)
    output = features.new_empty(output_count, channels)
    winners = torch.empty_like(output, dtype=torch.int32)
    _launch(max_kernel, reading, output_count, channels, features, output, winners, MIRRORED=reading.mirrored)
    return output, winners


def pool_take(features: Tensor, winners: Tensor) -> Tensor:
    """``y[o, c] = x[w[o, c], c]``: ``[N_in, C]`` and ``[N_out, C]`` to ``[N_out, C]``."""
    output = features.new_empty(winners.shape)
    grid = (ceil_div(output.numel(), BLOCK),)
    launch(
        take_kernel, grid, features.contiguous(), winners.contiguous(), output, output.numel(), features.shape[0],
        CHANNELS=features.shape[1], BLOCK=BLOCK,
    )  # fmt: skip
    return output


def pool_return(values: Tensor, winners: Tensor, rules: Rules, input_count: int) -> Tensor:
    """``x[i, c] += y[o, c]`` where ``w[o, c] = i``: ``[N_out, C]`` twice to ``[input_count, C]``."""
    values, channels = values.contiguous(), values.shape[1]
    output = values.new_empty(input_count, channels)
    reading = read_backward(rules)
    _launch(sum_kernel, reading, input_count, channels, values, winners.contiguous(), output, OWN=True)
    return output

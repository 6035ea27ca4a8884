"""Pooling: reductions over the rows that a reading names, with one program per tile of positions and channels."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.rules import Reading, Rules, read_backward, read_forward
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, is_interpreted, launch, power_of_two
from sscn_triton.ops.triton.layout import UNIT, reading_arguments
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
    the row written. Sums have the type WIDE.

    values ``[sources, CHANNELS]``, winners as values, int32; output ``[positions, CHANNELS]``; table, order and masks:
    see `sscn_triton.ops.triton.layout`.
    """
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    position = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    written = tl.load(order + position, mask=inside, other=0)
    total = tl.zeros([ROWS, WIDTH], WIDE)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, tl.program_id(0), word, units, TAPS, WORD, ROWS, UNIT)
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
    """The largest value and the row that has it; of equal values the first tap wins, of several NaNs the last tap.

    values ``[sources, CHANNELS]``; output and winners (int32) ``[positions, CHANNELS]``; table, order and masks: see
    `sscn_triton.ops.triton.layout`.
    """
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    position = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    best = tl.zeros([ROWS, WIDTH], WIDE)
    winner = tl.full([ROWS, WIDTH], -1, tl.int32)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, tl.program_id(0), word, units, TAPS, WORD, ROWS, UNIT)
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
    """``output[o, c] = values[winners[o, c], c]``, 0 where the winner is -1.

    values ``[sources, CHANNELS]``; winners (int32) and output ``[N_out, CHANNELS]`` have ``size`` elements.
    """
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(winners + place, mask=place < size, other=-1).to(tl.int64)
    value = tl.load(values + row * CHANNELS + place % CHANNELS, mask=(row >= 0) & (row < sources), other=0)
    tl.store(output + place, value, mask=place < size)


def _launch(kernel: Any, reading: Reading, values: Tensor, output: Tensor, **options: Any) -> None:
    """Launch a kernel with a tile of about 1024 elements per program."""
    rows, channels = output.shape
    width = min(power_of_two(max(channels, 1)), 64)
    tile = 256 if is_interpreted(values) else max(1024 // width, UNIT)
    wide = tl.float64 if values.dtype == torch.float64 else tl.float32
    launch(
        kernel, (ceil_div(rows, tile), ceil_div(channels, width)), values=values, output=output, positions=rows,
        sources=values.shape[0], **reading_arguments(reading), CHANNELS=channels, WIDE=wide, ROWS=tile, WIDTH=width,
        **options,
    )  # fmt: skip


def pool_sum(features: Tensor, rules: Rules, output_count: int) -> Tensor:
    """``y[o] += x[i]``: ``[N_in, C]`` to ``[output_count, C]``."""
    features = features.contiguous()
    output = features.new_empty(output_count, features.shape[1])
    _launch(sum_kernel, read_forward(rules), features, output, winners=None, OWN=False)
    return output


def pool_max(features: Tensor, rules: Rules, output_count: int) -> tuple[Tensor, Tensor]:
    """``[N_in, C]`` to ``[output_count, C]`` twice: the largest value, and the input row (int32) that has it."""
    features, reading = features.contiguous(), read_forward(rules)
    output = features.new_empty(output_count, features.shape[1])
    winners = torch.empty_like(output, dtype=torch.int32)
    _launch(max_kernel, reading, features, output, winners=winners, MIRRORED=reading.mirrored)
    return output, winners


def pool_take(features: Tensor, winners: Tensor) -> Tensor:
    """``y[o, c] = x[w[o, c], c]``: ``[N_in, C]`` and ``[N_out, C]`` to ``[N_out, C]``."""
    output = features.new_empty(winners.shape)
    launch(
        take_kernel, (ceil_div(output.numel(), BLOCK),), values=features.contiguous(), winners=winners.contiguous(),
        output=output, size=output.numel(), sources=features.shape[0], CHANNELS=features.shape[1], BLOCK=BLOCK,
    )  # fmt: skip
    return output


def pool_return(values: Tensor, winners: Tensor, rules: Rules, input_count: int) -> Tensor:
    """``x[i, c] += y[o, c]`` where ``w[o, c] = i``: ``[N_out, C]`` twice to ``[input_count, C]``."""
    values = values.contiguous()
    output = values.new_empty(input_count, values.shape[1])
    _launch(sum_kernel, read_backward(rules), values, output, winners=winners.contiguous(), OWN=True)
    return output

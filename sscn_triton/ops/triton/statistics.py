"""Statistics of many rows: moments of tiles, and their sum.

Moments of a table of rows are one line of numbers, in float32, or float64 for float64 rows:

    ``HEAD`` numbers, of which the first is the number of rows of a tile
    for each tile: the mean of each channel, then the sum of each channel's squared distances from that mean

so no large mean drowns a variance. A kernel that writes rows can write their moments with them. The slopes of a norm's
parameters are a line of the same shape, with two sums for each tile. Tiles are added up in order, in float64: the same
bits on every run.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.triton.launch import ceil_div, launch

HEAD = 4
LEAST_ROWS = 32  # of a tile of moments
LANES, LANE_WIDTH = 128, 16  # tiles and channels that a program adds up together
ELEMENTS = 4096  # of a program


def wide_type(features: Tensor) -> Any:
    """What rows are computed in."""
    return tl.float64 if features.dtype == torch.float64 else tl.float32


@triton.jit
def tile_of(rows, CHANNELS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Of a program's block of ``[rows, CHANNELS]``: the columns, which rows and columns are there, the offsets."""
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    return column, row < rows, column < CHANNELS, row[:, None] * CHANNELS + column


@triton.jit
def store_pair(line, tile, first, second, column, there, CHANNELS: tl.constexpr, HEAD: tl.constexpr):
    """A tile's two numbers for each of a block of channels, where a line of moments keeps them."""
    place = line + HEAD + tile.to(tl.int64) * (2 * CHANNELS) + column
    tl.store(place, first, mask=there)
    tl.store(place + CHANNELS, second, mask=there)


@triton.jit
def store_height(line, ROWS: tl.constexpr):
    """How many rows a tile has."""
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        tl.store(line, ROWS)


@triton.jit
def store_moments(
    moments, value, inside, rows, column, there, CHANNELS: tl.constexpr, HEAD: tl.constexpr, ROWS: tl.constexpr
):
    """The moments of the program's tile: ``value`` ``[ROWS, WIDTH]``, of which the rows ``inside`` count."""
    tile = tl.program_id(0)
    count = tl.minimum(rows - tile.to(tl.int64) * ROWS, ROWS).to(value.dtype)
    mean = tl.sum(tl.where(inside[:, None], value, 0), 0) / count
    distance = tl.where(inside[:, None], value - mean, 0)
    store_pair(moments, tile, mean, tl.sum(distance * distance, 0), column, there, CHANNELS, HEAD)
    store_height(moments, ROWS)


@triton.jit(do_not_specialize=["rows"])
def moments_kernel(
    features,
    moments,
    rows,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    HEAD: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    column, inside, there, place = tile_of(rows, CHANNELS, ROWS, WIDTH)
    value = tl.load(features + place, mask=inside[:, None] & there, other=0).to(WIDE)
    store_moments(moments, value, inside, rows, column, there, CHANNELS, HEAD, ROWS)


@triton.jit
def follow(place, value, step, mask):
    """Move what is stored a step of the way towards a value."""
    before = tl.load(place, mask=mask, other=0).to(tl.float64)
    tl.store(place, (before + step * (value - before)).to(place.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["rows"])
def statistics_kernel(
    moments,
    mean,
    variance,
    running_mean,
    running_var,
    batches,
    rows,
    MOMENTUM: tl.constexpr,
    CHANNELS: tl.constexpr,
    HEAD: tl.constexpr,
    LEAST: tl.constexpr,
    LANES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Mean and biased variance of all tiles; running statistics follow them, unless there is no row.

    Distances are from the first tile's mean, so that float64 rows too keep their digits.
    """
    column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    there, rows = column < CHANNELS, rows.to(tl.int64)
    height = tl.maximum(tl.load(moments, mask=rows > 0, other=LEAST).to(tl.int64), LEAST)
    origin = tl.load(moments + HEAD + column, mask=there & (rows > 0), other=0).to(tl.float64)
    total, squares = tl.zeros([LANES, WIDTH], tl.float64), tl.zeros([LANES, WIDTH], tl.float64)
    for first in range(0, (rows + height - 1) // height, LANES):
        tile = first + tl.arange(0, LANES).to(tl.int64)
        count = tl.maximum(tl.minimum(rows - tile * height, height), 0).to(tl.float64)[:, None]
        mask = (count > 0) & there
        place = moments + HEAD + tile[:, None] * (2 * CHANNELS) + column
        distance = tl.load(place, mask=mask, other=0).to(tl.float64) - origin
        total += tl.where(mask, count * distance, 0)
        squares += tl.where(mask, count * distance * distance, 0)
        squares += tl.load(place + CHANNELS, mask=mask, other=0).to(tl.float64)
    count = tl.maximum(rows, 1).to(tl.float64)
    away = tl.sum(total, 0) / count
    middle = origin + away
    spread = tl.maximum(tl.sum(squares, 0) / count - away * away, 0)
    tl.store(mean + column, middle.to(mean.dtype.element_ty), mask=there)
    tl.store(variance + column, spread.to(variance.dtype.element_ty), mask=there)
    if running_mean is not None:
        if MOMENTUM is None:
            step = 1 / tl.maximum(tl.load(batches), 1).to(tl.float64)
        else:
            step = tl.zeros([], tl.float64) + MOMENTUM
        unbiased = spread * (count / tl.maximum(count - 1, 1))
        there = there & (rows > 0)
        follow(running_mean + column, middle, step, there)
        follow(running_var + column, unbiased, step, there)
    if batches is not None and MOMENTUM is not None:  # without momentum, others may be reading it
        first = tl.program_id(0) == 0
        tl.store(batches, tl.load(batches, mask=first, other=0) + (rows > 0).to(tl.int64), mask=first)


@triton.jit(do_not_specialize=["rows"])
def add_kernel(
    slopes, sums, rows, CHANNELS: tl.constexpr, HEAD: tl.constexpr, LANES: tl.constexpr, WIDTH: tl.constexpr
):
    """``sums`` ``[2, CHANNELS]``: the numbers of all tiles added up."""
    column, rows = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH), rows.to(tl.int64)
    height = tl.load(slopes, mask=rows > 0, other=1).to(tl.int64)
    tiles = (rows + height - 1) // height
    total = tl.zeros([LANES, WIDTH], tl.float64)
    for first in range(0, tiles, LANES):
        tile = first + tl.arange(0, LANES).to(tl.int64)[:, None]
        mask = (tile < tiles) & (column < 2 * CHANNELS)
        total += tl.load(slopes + HEAD + tile * (2 * CHANNELS) + column, mask=mask, other=0).to(tl.float64)
    tl.store(sums + column, tl.sum(total, 0).to(sums.dtype.element_ty), mask=column < 2 * CHANNELS)


def tile_size(channels: int) -> tuple[int, int]:
    """Rows and channels of a program that walks over a table: the widest block that leaves the least padding."""
    width = triton.next_power_of_2(channels)
    if width > 16:
        width = min((16, 32, 64, 128), key=lambda size: (ceil_div(channels, size) * size, -size))
    return ELEMENTS // max(width, 16), width


def line(features: Tensor, channels: int) -> Tensor:
    """Room for the moments of a table with as many rows as ``features``, whatever the tiles of the kernel."""
    wide = torch.float64 if features.dtype == torch.float64 else torch.float32
    tiles = ceil_div(features.shape[0], LEAST_ROWS)
    return features.new_empty(HEAD + tiles * 2 * channels, dtype=wide)


def moments(features: Tensor) -> Tensor:
    """The moments of rows ``[N, C]``."""
    features, (rows, channels) = features.contiguous(), features.shape
    found, (height, width) = line(features, channels), tile_size(channels)
    grid = ceil_div(rows, height), ceil_div(channels, width)
    launch(
        moments_kernel, grid, features, found, rows, CHANNELS=channels, WIDE=wide_type(features), HEAD=HEAD,
        ROWS=height, WIDTH=width,
    )  # fmt: skip
    return found


def statistics(
    moments: Tensor,
    rows: int,
    channels: int,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    batches: Tensor | None = None,
    momentum: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[C]`` of the rows whose moments these are. Running statistics move a step
    ``momentum`` towards them and ``batches`` counts one more; where momentum is None the step is ``1 / batches``, and
    the caller has already incremented it. Without rows all stay as they are."""
    mean, variance = moments.new_empty(channels), moments.new_empty(channels)
    launch(
        statistics_kernel, (ceil_div(channels, LANE_WIDTH),), moments, mean, variance, running_mean, running_var,
        batches, rows, MOMENTUM=momentum, CHANNELS=channels, HEAD=HEAD, LEAST=LEAST_ROWS,
        LANES=LANES, WIDTH=LANE_WIDTH,
    )  # fmt: skip
    return mean, variance


def add(slopes: Tensor, rows: int, channels: int) -> Tensor:
    """``[2, C]``: the sums over the tiles of a line."""
    sums = slopes.new_empty(2, channels)
    grid = (ceil_div(2 * channels, LANE_WIDTH),)
    launch(add_kernel, grid, slopes, sums, rows, CHANNELS=channels, HEAD=HEAD, LANES=LANES, WIDTH=LANE_WIDTH)
    return sums

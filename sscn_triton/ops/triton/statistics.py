"""Statistics of many rows: moments per tile, and their sum.

The moments of a table of rows are one buffer of numbers, in float32, or float64 for float64 rows:

    ``HEAD`` numbers, of which the first is the number of rows of a tile
    for each tile: the mean of each channel, then the sum of each channel's squared distances from that mean

With this layout a large mean does not cancel the digits of a variance. A kernel that writes rows can also write their
moments. The slopes of a norm's parameters are a buffer of the same shape, with two sums per tile. Tiles are added in
order, in float64, so every run gives the same bits.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.triton.launch import ceil_div, launch, power_of_two

HEAD = 4
LEAST_ROWS = 32  # minimum number of rows in a tile of moments
LANES, LANE_WIDTH = 128, 16  # tiles and channels that a program adds together
ELEMENTS = 4096  # elements per program


def wide_type(features: Tensor) -> Any:
    """The type in which rows are computed."""
    return tl.float64 if features.dtype == torch.float64 else tl.float32


@triton.jit
def tile_of(rows, CHANNELS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """A program's block of ``[rows, CHANNELS]``: its columns, masks of existing rows and columns, and offsets."""
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    return column, row < rows, column < CHANNELS, row[:, None] * CHANNELS + column


@triton.jit
def store_pair(line, tile, first, second, column, there, CHANNELS: tl.constexpr, HEAD: tl.constexpr):
    """Store a tile's two numbers per channel, for a block of channels, at their places in a buffer of moments."""
    place = line + HEAD + tile.to(tl.int64) * (2 * CHANNELS) + column
    tl.store(place, first, mask=there)
    tl.store(place + CHANNELS, second, mask=there)


@triton.jit
def store_height(line, ROWS: tl.constexpr):
    """Store the number of rows per tile."""
    if (tl.program_id(0) == 0) & (tl.program_id(1) == 0):
        tl.store(line, ROWS)


@triton.jit
def store_moments(
    moments, value, inside, rows, column, there, CHANNELS: tl.constexpr, HEAD: tl.constexpr, ROWS: tl.constexpr
):
    """Store the moments of the program's tile ``value`` ``[ROWS, WIDTH]``, over the rows ``inside`` only."""
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
    """The moments of each tile of features ``[rows, CHANNELS]``; moments ``[HEAD + 2 * tiles * CHANNELS]``."""
    column, inside, there, place = tile_of(rows, CHANNELS, ROWS, WIDTH)
    value = tl.load(features + place, mask=inside[:, None] & there, other=0).to(WIDE)
    store_moments(moments, value, inside, rows, column, there, CHANNELS, HEAD, ROWS)


@triton.jit
def follow(place, value, step, mask):
    """Move the stored number towards a value, by the fraction ``step`` of the distance."""
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
    """Mean and biased variance over all tiles; also updates running statistics, unless there are no rows.

    Distances are relative to the first tile's mean, so that float64 rows keep their digits too.

    moments ``[HEAD + 2 * tiles * CHANNELS]``; mean, variance, running_mean and running_var ``[CHANNELS]``; batches is
    one int64.
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
    if batches is not None and MOMENTUM is not None:  # without momentum, other programs may be reading it
        first = tl.program_id(0) == 0
        tl.store(batches, tl.load(batches, mask=first, other=0) + (rows > 0).to(tl.int64), mask=first)


@triton.jit(do_not_specialize=["rows"])
def add_kernel(
    slopes, sums, rows, CHANNELS: tl.constexpr, HEAD: tl.constexpr, LANES: tl.constexpr, WIDTH: tl.constexpr
):
    """``sums`` ``[2, CHANNELS]``: the sums over all tiles of slopes ``[HEAD + 2 * tiles * CHANNELS]``."""
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
    """Rows and channels per program of a kernel over a table: the widest block that leaves the least padding."""
    width = power_of_two(channels)
    if width > 16:
        width = min((16, 32, 64, 128), key=lambda size: (ceil_div(channels, size) * size, -size))
    return ELEMENTS // max(width, 16), width


def line(features: Tensor, channels: int) -> Tensor:
    """A buffer for the moments of a table with as many rows as ``features``, large enough for any kernel's tiles."""
    wide = torch.float64 if features.dtype == torch.float64 else torch.float32
    tiles = ceil_div(features.shape[0], LEAST_ROWS)
    return features.new_empty(HEAD + tiles * 2 * channels, dtype=wide)


def moments(features: Tensor) -> Tensor:
    """The moments of rows ``[N, C]``."""
    features, (rows, channels) = features.contiguous(), features.shape
    found, (height, width) = line(features, channels), tile_size(channels)
    grid = ceil_div(rows, height), ceil_div(channels, width)
    launch(
        moments_kernel, grid, features=features, moments=found, rows=rows, CHANNELS=channels, WIDE=wide_type(features),
        HEAD=HEAD, ROWS=height, WIDTH=width,
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
    """Mean and biased variance ``[C]`` of the rows that have these moments.

    Running statistics move by the fraction ``momentum`` towards mean and unbiased variance, and ``batches`` increases
    by one. If momentum is None, the fraction is ``1 / batches``, and the caller has already incremented ``batches``.
    Without rows all of these stay unchanged.
    """
    mean, variance = moments.new_empty(channels), moments.new_empty(channels)
    launch(
        statistics_kernel, (ceil_div(channels, LANE_WIDTH),), moments=moments, mean=mean, variance=variance,
        running_mean=running_mean, running_var=running_var, batches=batches, rows=rows, MOMENTUM=momentum,
        CHANNELS=channels, HEAD=HEAD, LEAST=LEAST_ROWS, LANES=LANES, WIDTH=LANE_WIDTH,
    )  # fmt: skip
    return mean, variance


def add(slopes: Tensor, rows: int, channels: int) -> Tensor:
    """``[2, C]``: the sums over the tiles of a buffer of slopes."""
    sums = slopes.new_empty(2, channels)
    grid = (ceil_div(2 * channels, LANE_WIDTH),)
    launch(
        add_kernel, grid, slopes=slopes, sums=sums, rows=rows, CHANNELS=channels, HEAD=HEAD, LANES=LANES,
        WIDTH=LANE_WIDTH,
    )  # fmt: skip
    return sums

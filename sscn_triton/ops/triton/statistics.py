"""Statistics of many rows: moments per tile, and their sum.

The moments of a table of rows are one buffer of numbers, in float32, or float64 for float64 rows:

    ``HEAD`` numbers, of which the first is the number of rows of a tile
    for each tile: the mean of each channel, then the sum of each channel's squared distances from that mean

With this layout a large mean does not cancel the digits of a variance. A kernel that writes rows can also write their
moments. The slopes of a norm's parameters are a buffer of the same shape, with two sums per tile. Tiles are added in
order, in float64, so every run gives the same bits. Many tiles are added in parts by several programs, and a second
launch adds the parts; how many there are depends on the number of rows alone.
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
PART_ROWS, MOST_PARTS = 1 << 14, 64  # rows of one part of a long sum; maximum number of parts


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
def store_height(line, tile, ROWS: tl.constexpr):
    """Store the number of rows per tile; the programs of the first tile do so, all the same number."""
    if tile == 0:
        tl.store(line, ROWS)


@triton.jit
def store_moments(
    moments, tile, value, inside, rows, column, there, CHANNELS: tl.constexpr, HEAD: tl.constexpr, ROWS: tl.constexpr
):
    """Store the moments of a tile ``value`` ``[ROWS, WIDTH]``, over the rows ``inside`` only."""
    count = tl.minimum(rows - tile.to(tl.int64) * ROWS, ROWS).to(value.dtype)
    mean = tl.sum(tl.where(inside[:, None], value, 0), 0) / count
    distance = tl.where(inside[:, None], value - mean, 0)
    store_pair(moments, tile, mean, tl.sum(distance * distance, 0), column, there, CHANNELS, HEAD)
    store_height(moments, tile, ROWS)


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
    store_moments(moments, tl.program_id(0), value, inside, rows, column, there, CHANNELS, HEAD, ROWS)


@triton.jit
def follow(place, value, step, mask):
    """Move the stored number towards a value, by the fraction ``step`` of the distance."""
    before = tl.load(place, mask=mask, other=0).to(tl.float64)
    tl.store(place, (before + step * (value - before)).to(place.dtype.element_ty), mask=mask)


@triton.jit
def tiles_of_part(height, rows, part, PARTS: tl.constexpr):
    """The first tile of a part of all rows, and the tile after its last one."""
    tiles = (rows + height - 1) // height
    length = (tiles + PARTS - 1) // PARTS
    return part * length, tl.minimum((part + 1) * length, tiles)


@triton.jit
def sums_of_part(
    moments, rows, part, column, there, CHANNELS: tl.constexpr, PARTS: tl.constexpr, HEAD: tl.constexpr,
    LEAST: tl.constexpr, LANES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Sum and sum of squares of all rows of a part, relative to the first tile's mean, for a block of channels; and
    that mean. With it as the origin, float64 rows keep their digits too."""
    height = tl.maximum(tl.load(moments, mask=rows > 0, other=LEAST).to(tl.int64), LEAST)
    origin = tl.load(moments + HEAD + column, mask=there & (rows > 0), other=0).to(tl.float64)
    total, squares = tl.zeros([LANES, WIDTH], tl.float64), tl.zeros([LANES, WIDTH], tl.float64)
    start, stop = tiles_of_part(height, rows, part, PARTS)
    for first in range(start, stop, LANES):
        tile = first + tl.arange(0, LANES).to(tl.int64)
        count = tl.where(tile < stop, tl.minimum(rows - tile * height, height), 0).to(tl.float64)[:, None]
        mask = (count > 0) & there
        place = moments + HEAD + tile[:, None] * (2 * CHANNELS) + column
        distance = tl.load(place, mask=mask, other=0).to(tl.float64) - origin
        total += tl.where(mask, count * distance, 0)
        squares += tl.where(mask, count * distance * distance, 0)
        squares += tl.load(place + CHANNELS, mask=mask, other=0).to(tl.float64)
    return tl.sum(total, 0), tl.sum(squares, 0), origin


@triton.jit(do_not_specialize=["rows"])
def moment_parts_kernel(
    moments, parts, rows, CHANNELS: tl.constexpr, PARTS: tl.constexpr, HEAD: tl.constexpr, LEAST: tl.constexpr,
    LANES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The sums of `sums_of_part` for each part: moments ``[HEAD + 2 * tiles * CHANNELS]``, parts
    ``[PARTS, 2, CHANNELS]`` float64."""
    column, part = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH), tl.program_id(1)
    there = column < CHANNELS
    total, squares, _ = sums_of_part(
        moments, rows.to(tl.int64), part, column, there, CHANNELS, PARTS, HEAD, LEAST, LANES, WIDTH
    )
    place = parts + part * (2 * CHANNELS) + column
    tl.store(place, total, mask=there)
    tl.store(place + CHANNELS, squares, mask=there)


@triton.jit(do_not_specialize=["rows"])
def statistics_kernel(
    moments,
    parts,
    mean,
    variance,
    running_mean,
    running_var,
    batches,
    rows,
    momentum: tl.float64,
    CUMULATIVE: tl.constexpr,
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
    HEAD: tl.constexpr,
    LEAST: tl.constexpr,
    LANES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Mean and biased variance over all tiles; also updates running statistics, unless there are no rows.

    moments ``[HEAD + 2 * tiles * CHANNELS]``; parts: those of `moment_parts_kernel`, None if PARTS is 1; mean,
    variance, running_mean and running_var ``[CHANNELS]``; batches is one int64. CUMULATIVE: see `statistics` without
    momentum.
    """
    column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    there, rows = column < CHANNELS, rows.to(tl.int64)
    if PARTS == 1:
        total, squares, origin = sums_of_part(
            moments, rows, 0, column, there, CHANNELS, 1, HEAD, LEAST, LANES, WIDTH
        )  # fmt: skip
    else:
        place = parts + tl.arange(0, PARTS)[:, None] * (2 * CHANNELS) + column
        total = tl.sum(tl.load(place, mask=there, other=0), 0)
        squares = tl.sum(tl.load(place + CHANNELS, mask=there, other=0), 0)
        origin = tl.load(moments + HEAD + column, mask=there, other=0).to(tl.float64)
    count = tl.maximum(rows, 1).to(tl.float64)
    away = total / count
    middle = origin + away
    spread = tl.maximum(squares / count - away * away, 0)
    tl.store(mean + column, middle.to(mean.dtype.element_ty), mask=there)
    tl.store(variance + column, spread.to(variance.dtype.element_ty), mask=there)
    if running_mean is not None:
        step = tl.zeros([], tl.float64) + momentum
        if CUMULATIVE:
            step = 1 / tl.maximum(tl.load(batches), 1).to(tl.float64)
        unbiased = spread * (count / tl.maximum(count - 1, 1))
        there = there & (rows > 0)
        follow(running_mean + column, middle, step, there)
        follow(running_var + column, unbiased, step, there)
    if batches is not None and not CUMULATIVE:  # of a cumulative mean, other programs may be reading it
        first = tl.program_id(0) == 0
        tl.store(batches, tl.load(batches, mask=first, other=0) + (rows > 0).to(tl.int64), mask=first)


@triton.jit(do_not_specialize=["rows"])
def add_kernel(
    slopes, sums, rows, CHANNELS: tl.constexpr, PARTS: tl.constexpr, HEAD: tl.constexpr, LANES: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    """The sums over the tiles of each part: slopes ``[HEAD + 2 * tiles * CHANNELS]``, sums ``[PARTS, 2, CHANNELS]``."""
    column, rows = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH), rows.to(tl.int64)
    height = tl.load(slopes, mask=rows > 0, other=1).to(tl.int64)
    start, stop = tiles_of_part(height, rows, tl.program_id(1), PARTS)
    total = tl.zeros([LANES, WIDTH], tl.float64)
    for first in range(start, stop, LANES):
        tile = first + tl.arange(0, LANES).to(tl.int64)[:, None]
        mask = (tile < stop) & (column < 2 * CHANNELS)
        total += tl.load(slopes + HEAD + tile * (2 * CHANNELS) + column, mask=mask, other=0).to(tl.float64)
    place = sums + tl.program_id(1) * (2 * CHANNELS) + column
    tl.store(place, tl.sum(total, 0).to(sums.dtype.element_ty), mask=column < 2 * CHANNELS)


@triton.jit
def add_parts_kernel(parts, sums, CHANNELS: tl.constexpr, PARTS: tl.constexpr, WIDTH: tl.constexpr):
    """``sums`` ``[2, CHANNELS]``: the sums over parts ``[PARTS, 2, CHANNELS]`` float64."""
    column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    place = parts + tl.arange(0, PARTS)[:, None] * (2 * CHANNELS) + column
    total = tl.sum(tl.load(place, mask=column < 2 * CHANNELS, other=0), 0)
    tl.store(sums + column, total.to(sums.dtype.element_ty), mask=column < 2 * CHANNELS)


def choose_parts(rows: int) -> int:
    """The number of parts in which the tiles of these rows are added: a power of two, so that few numbers occur; one if
    a single program needs few steps."""
    return 1 if rows <= 4 * PART_ROWS else min(power_of_two(ceil_div(rows, PART_ROWS)), MOST_PARTS)


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
    blocks, count, parts = ceil_div(channels, LANE_WIDTH), choose_parts(rows), None
    sums = {
        "moments": moments, "rows": rows, "CHANNELS": channels, "PARTS": count, "HEAD": HEAD, "LEAST": LEAST_ROWS,
        "LANES": LANES, "WIDTH": LANE_WIDTH,
    }  # fmt: skip
    if count > 1:
        parts = moments.new_empty(count, 2, channels, dtype=torch.float64)
        launch(moment_parts_kernel, (blocks, count), parts=parts, **sums)
    launch(
        statistics_kernel, (blocks,), **sums, parts=parts, mean=mean, variance=variance, running_mean=running_mean,
        running_var=running_var, batches=batches, momentum=momentum or 0.0, CUMULATIVE=momentum is None,
    )  # fmt: skip
    return mean, variance


def add(slopes: Tensor, rows: int, channels: int) -> Tensor:
    """``[2, C]``: the sums over the tiles of a buffer of slopes."""
    sums = slopes.new_empty(2, channels)
    blocks, count = ceil_div(2 * channels, LANE_WIDTH), choose_parts(rows)
    parts = sums if count == 1 else slopes.new_empty(count, 2, channels, dtype=torch.float64)
    shape = {"CHANNELS": channels, "PARTS": count, "WIDTH": LANE_WIDTH}
    launch(add_kernel, (blocks, count), slopes=slopes, sums=parts, rows=rows, HEAD=HEAD, LANES=LANES, **shape)
    if count > 1:
        launch(add_parts_kernel, (blocks,), parts=parts, sums=sums, **shape)
    return sums

"""Batch norm on the CPU: passes over rows, in tiles whose size depends only on the number of rows.

Each tile has its own sums, which are added in order, so results have the same bits for any number of threads. Values
per channel are repeated for several rows, so that the inner loops are long. Rows ``[N, C]`` and all other arrays are
contiguous and have one type, float32 or float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.numba_cache import fingerprint
from sscn_triton.ops.checks import HEAD
from sscn_triton.ops.cpu import jobs, periods
from sscn_triton.ops.cpu.jobs import (
    NO_MEMORY,
    REAL,
    Step,
    array_at,
    claim,
    is_missing,
    job,
    layout,
    release,
    run,
)
from sscn_triton.ops.cpu.periods import fold, repeat, repeat_norm, set_to_zero
from sscn_triton.ops.norm import Norm

Array = np.ndarray
TILE = 512  # rows
PERIOD = 512  # approximate length of the inner loops


# LLVM compares a few addresses before it runs a vectorised loop. It does not vectorise a loop with more arrays, so the
# loops below use few arrays each.


class _Moments(NamedTuple):
    """The arguments of `moments`' kernel."""

    x: Tensor
    moments: Tensor
    rows: int
    channels: int
    tile_count: int


@cache
def _moments_job(kind: torch.dtype) -> Any:
    sources, real, item, arguments, head = fingerprint(jobs, periods), REAL[kind], kind.itemsize, layout(_Moments), HEAD

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        channels, period = a.channels, max(PERIOD // a.channels, 1)
        length = period * channels
        tiles = array_at(a.moments + head * item, (a.tile_count, 2 * channels), real)
        if part == 0:
            array_at(a.moments, (1,), real)[0] = TILE
        memory = claim(2 * length * item)
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        repeated, flat = array_at(memory, (2, period, channels), real), array_at(memory, (2, length), real)
        sums, mean = flat[0], flat[1]
        for tile in range(part * a.tile_count // parts, (part + 1) * a.tile_count // parts):
            low, high = tile * TILE, min((tile + 1) * TILE, a.rows)
            set_to_zero(sums)
            for base in range(low * channels, high * channels, length):
                block = array_at(a.x + base * item, (min(length, high * channels - base),), real)
                for place in range(len(block)):
                    sums[place] += block[place]
            fold(repeated[0])
            for row in range(period):
                for channel in range(channels):
                    repeated[1, row, channel] = sums[channel] / (high - low)
            set_to_zero(sums)
            for base in range(low * channels, high * channels, length):
                block = array_at(a.x + base * item, (min(length, high * channels - base),), real)
                for place in range(len(block)):
                    distance = block[place] - mean[place]
                    sums[place] += distance * distance
            fold(repeated[0])
            for channel in range(channels):
                tiles[tile, channel] = mean[channel]
                tiles[tile, channels + channel] = sums[channel]
        release(memory)

    return work


class _Statistics(NamedTuple):
    """The arguments of `statistics`' kernel."""

    moments: Tensor
    mean: Tensor
    variance: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    rows: int
    channels: int
    tile_count: int
    step: float


@cache
def _statistics_job(kind: torch.dtype) -> Any:
    """The job that combines the moments of tiles: Chan, Golub and LeVeque, The American Statistician 37 (1983) 242."""
    sources, real, item, arguments, head = (
        fingerprint(jobs, periods),
        REAL[kind],
        kind.itemsize,
        layout(_Statistics),
        HEAD,
    )

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels = a.rows, a.channels
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        tiles = array_at(a.moments + head * item, (a.tile_count, 2 * channels), real)
        running = channels if a.running_mean else 0
        running_mean = array_at(a.running_mean, (running,), real)
        running_var = array_at(a.running_var, (running,), real)
        set_to_zero(mean)
        set_to_zero(variance)
        for tile in range(len(tiles)):
            share = min(TILE, rows - tile * TILE) / rows
            for channel in range(channels):
                mean[channel] += share * tiles[tile, channel]
        for tile in range(len(tiles)):
            share = min(TILE, rows - tile * TILE) / rows
            for channel in range(channels):
                distance = tiles[tile, channel] - mean[channel]
                variance[channel] += tiles[tile, channels + channel] / rows + share * distance * distance
        for channel in range(running):
            unbiased = variance[channel] * (rows / max(rows - 1, 1))
            running_mean[channel] += a.step * (mean[channel] - running_mean[channel])
            running_var[channel] += a.step * (unbiased - running_var[channel])

    return work


class _Normalize(NamedTuple):
    """The arguments of `normalize`'s kernel."""

    x: Tensor
    y: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    residual: Tensor | None
    rows: int
    channels: int
    leakiness: float
    eps: float


@cache
def _normalize_job(kind: torch.dtype) -> Any:
    sources, real, item, arguments = fingerprint(jobs, periods), REAL[kind], kind.itemsize, layout(_Normalize)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels, period = a.rows, a.channels, max(PERIOD // a.channels, 1)
        length = period * channels
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        bias = array_at(a.bias, (channels if a.bias else 0,), real)
        memory = claim(4 * length * item)
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        repeated, flat = array_at(memory, (4, period, channels), real), array_at(memory, (4, length), real)
        centre, scale, factor, shift = flat[0], flat[1], flat[2], flat[3]
        repeat_norm(repeated, mean, variance, weight, a.eps)
        repeat(bias, 0.0, repeated[3])
        for place in range(length):
            scale[place] *= factor[place]
        leakiness = real(a.leakiness)
        low, high = part * rows // parts * channels, (part + 1) * rows // parts * channels
        for base in range(low, high, length):
            size = min(length, high - base)
            block, result = array_at(a.x + base * item, (size,), real), array_at(a.y + base * item, (size,), real)
            for place in range(len(block)):
                result[place] = (block[place] - centre[place]) * scale[place] + shift[place]
            if a.residual:
                added = array_at(a.residual + base * item, (size,), real)
                for place in range(len(block)):
                    result[place] += added[place]
            for place in range(len(block)):
                result[place] = result[place] * leakiness if result[place] < 0 else result[place]
        release(memory)

    return work


class _Rising(NamedTuple):
    """The arguments of `rising`'s kernel."""

    grad: Tensor
    x: Tensor
    rising: Tensor | None
    normalized: Tensor | None
    tiles: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    residual: Tensor | None
    rows: int
    channels: int
    tile_count: int
    leakiness: float
    eps: float


@cache
def _rising_job(kind: torch.dtype) -> Any:
    sources, real, item, arguments = fingerprint(jobs, periods), REAL[kind], kind.itemsize, layout(_Rising)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels, period = a.rows, a.channels, max(PERIOD // a.channels, 1)
        length = period * channels
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        bias = array_at(a.bias, (channels if a.bias else 0,), real)
        tiles = array_at(a.tiles, (a.tile_count, 2 * channels), real)
        memory = claim(8 * length * item)
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        repeated, flat = array_at(memory, (8, period, channels), real), array_at(memory, (8, length), real)
        centre, deviation, scale, shift = flat[0], flat[1], flat[2], flat[3]
        distance, value, slopes, products = flat[4], flat[5], flat[6], flat[7]
        repeat_norm(repeated, mean, variance, weight, a.eps)
        repeat(bias, 0.0, repeated[3])
        for place in range(length):
            scale[place] *= deviation[place]  # as in `normalize`, so that both take the same rows for negative
        leakiness = real(a.leakiness)
        for tile in range(part * a.tile_count // parts, (part + 1) * a.tile_count // parts):
            low, high = tile * TILE * channels, min((tile + 1) * TILE, rows) * channels
            set_to_zero(slopes)
            set_to_zero(products)
            for base in range(low, high, length):
                size = min(length, high - base)
                block, given = array_at(a.x + base * item, (size,), real), array_at(a.grad + base * item, (size,), real)
                for place in range(len(block)):
                    distance[place] = (block[place] - centre[place]) * deviation[place]
                for place in range(len(block)):
                    value[place] = (block[place] - centre[place]) * scale[place] + shift[place]
                if a.residual:
                    added = array_at(a.residual + base * item, (size,), real)
                    for place in range(len(block)):
                        value[place] += added[place]
                if a.normalized:
                    result = array_at(a.normalized + base * item, (size,), real)
                    for place in range(len(block)):
                        result[place] = value[place] * leakiness if value[place] < 0 else value[place]
                for place in range(len(block)):
                    value[place] = given[place] * leakiness if value[place] <= 0 else given[place]
                for place in range(len(block)):
                    slopes[place] += value[place]
                for place in range(len(block)):
                    products[place] += value[place] * distance[place]
                if a.rising:
                    result = array_at(a.rising + base * item, (size,), real)
                    for place in range(len(block)):
                        result[place] = value[place]
            fold(repeated[6])
            fold(repeated[7])
            for channel in range(channels):
                tiles[tile, channel] = slopes[channel]
                tiles[tile, channels + channel] = products[channel]
        release(memory)

    return work


class _Total(NamedTuple):
    """The arguments of the kernel that adds the sums of tiles."""

    tiles: Tensor
    tile_count: int
    columns: int


@cache
def _total_job(kind: torch.dtype) -> Any:
    sources, real, arguments = fingerprint(jobs, periods), REAL[kind], layout(_Total)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        fold(array_at(a.tiles, (a.tile_count, a.columns), real))

    return work


class _Slope(NamedTuple):
    """The arguments of `slope`'s kernel; ``sums`` is ``[2, C]``, ``norm_rows`` the number of rows that it sums."""

    rising: Tensor
    x: Tensor
    y: Tensor
    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    sums: Tensor | None
    rows: int
    channels: int
    norm_rows: int
    eps: float


@cache
def _slope_job(kind: torch.dtype) -> Any:
    sources, real, item, arguments = fingerprint(jobs, periods), REAL[kind], kind.itemsize, layout(_Slope)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels, period = a.rows, a.channels, max(PERIOD // a.channels, 1)
        length = period * channels
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        known = channels if a.sums else 0
        slopes, products = array_at(a.sums, (known,), real), array_at(a.sums + known * item, (known,), real)
        memory = claim(5 * length * item)
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        repeated, flat = array_at(memory, (5, period, channels), real), array_at(memory, (5, length), real)
        centre, deviation, scale, shift, factor = flat[0], flat[1], flat[2], flat[3], flat[4]
        repeat_norm(repeated, mean, variance, weight, a.eps)
        repeat(slopes, 0.0, repeated[3])
        repeat(products, 0.0, repeated[4])
        for place in range(length):
            shift[place] /= a.norm_rows
            factor[place] *= deviation[place] / a.norm_rows
            scale[place] *= deviation[place]
        low, high = part * rows // parts * channels, (part + 1) * rows // parts * channels
        for base in range(low, high, length):
            size = min(length, high - base)
            block, result = array_at(a.x + base * item, (size,), real), array_at(a.y + base * item, (size,), real)
            given = array_at(a.rising + base * item, (size,), real)
            for place in range(len(block)):
                moved = shift[place] + factor[place] * (block[place] - centre[place])
                result[place] = (given[place] - moved) * scale[place]
        release(memory)

    return work


def moments(x: Tensor, found: Tensor) -> Step:
    """The step that writes the moments of rows ``[N, C]``, both at least 1, to ``found``: TILE, and after HEAD numbers
    each tile's mean and sum of squared deviations."""
    rows, channels = x.shape
    return _moments_job(x.dtype), 2 * rows * channels, _Moments(x, found, rows, channels, -(-rows // TILE))


def statistics(
    moments: Tensor, rows: int, channels: int, running_mean: Tensor | None, running_var: Tensor | None, step: float
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[C]`` of rows that have these moments.

    Running statistics, if given, move by the fraction ``step`` towards mean and unbiased variance.
    """
    mean, variance = moments.new_empty(channels), moments.new_empty(channels)
    count = -(-rows // TILE)
    arguments = _Statistics(moments, mean, variance, running_mean, running_var, rows, channels, count, step)
    run((_statistics_job(moments.dtype), 0, arguments))
    return mean, variance


def normalize(x: Tensor, norm: Norm, residual: Tensor | None = None) -> tuple[Tensor, list[Step]]:
    """Normalised rows, and the steps that compute them; the residual ``[N, C]`` is added before negative values are
    multiplied by the leakiness."""
    y = torch.empty_like(x)
    rows, channels = x.shape
    if not rows or not channels:
        return y, []
    mean, variance, weight, bias, eps, leakiness, _ = norm
    arguments = _Normalize(x, y, mean, variance, weight, bias, residual, rows, channels, leakiness, eps)
    return y, [(_normalize_job(x.dtype), 2 * rows * channels, arguments)]


def rising(
    grad: Tensor,
    x: Tensor,
    norm: Norm,
    residual: Tensor | None = None,
    into: Tensor | None = None,
    normalized: Tensor | None = None,
) -> tuple[Tensor, list[Step]]:
    """``[2, C]``: the sums of the preactivation's gradient (before the rectifier) and of its products with the
    normalised distance from the mean, and the steps that compute them. They write the gradient to ``into`` if given,
    which may be ``grad``, and the result of `normalize` to ``normalized`` if given."""
    rows, channels = x.shape
    if not rows or not channels:
        return x.new_zeros(2, channels), []
    kind, count = x.dtype, -(-rows // TILE)
    tiles = x.new_empty(count, 2, channels)
    mean, variance, weight, bias, eps, leakiness, _ = norm
    terms = mean, variance, weight, bias, residual
    arguments = _Rising(grad, x, into, normalized, tiles, *terms, rows, channels, count, leakiness, eps)
    steps: list[Step] = [(_rising_job(kind), 4 * rows * channels, arguments)]
    if count > 1:
        steps.append((_total_job(kind), 0, _Total(tiles, count, 2 * channels)))
    return tiles[0], steps


def slope(
    rising: Tensor, x: Tensor, norm: Norm, sums: Tensor | None, count: int, into: Tensor | None = None
) -> tuple[Tensor, list[Step]]:
    """``(rising - (sums[0] + sums[1] * d) / count) * weight / sqrt(variance + eps)``, where ``d`` is the normalised
    distance from the mean, and the steps that compute it; without sums the first bracket is ``rising``. ``into``: where
    to write it, which may be ``rising``; a new tensor by default."""
    y = torch.empty_like(x) if into is None else into
    rows, channels = x.shape
    if not rows or not channels:
        return y, []
    terms = norm.mean, norm.variance, norm.weight, sums
    arguments = _Slope(rising, x, y, *terms, rows, channels, max(count, 1), norm.eps)
    return y, [(_slope_job(x.dtype), 2 * rows * channels, arguments)]

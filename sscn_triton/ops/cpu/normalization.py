"""Batch norm on the CPU: passes over rows, in tiles whose size depends only on the number of rows.

Each tile has its own sums, which are added in order, so results have the same bits for any number of threads. Values
per channel are repeated for several rows, so that the inner loops are long. Rows ``[N, C]`` and all other arrays are
contiguous and have one type, float32 or float64.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import carray, types  # type: ignore[attr-defined]
from torch import Tensor

from sscn_triton.common.numba_cache import fingerprint
from sscn_triton.ops.cpu import jobs
from sscn_triton.ops.cpu.jobs import inlined, inner, job, number, pointer, run
from sscn_triton.ops.norm import Norm

Array = np.ndarray
TILE = 512  # rows
PERIOD = 512  # approximate length of the inner loops
REAL = {torch.float32: types.float32, torch.float64: types.float64}


# LLVM compares a few addresses before it runs a vectorised loop. It does not vectorise a loop with more arrays, so the
# loops below use few arrays each.


@inner
def _repeat(values: Array, otherwise: float, into: Array) -> None:
    """Fill the rows of ``into`` with the values or, if there are none, with the number ``otherwise``."""
    for row in range(into.shape[0]):
        for channel in range(into.shape[1]):
            into[row, channel] = values[channel] if len(values) else otherwise


@inner
def _fold(sums: Array) -> None:
    """Add the other rows of `sums` to its first row."""
    for row in range(1, sums.shape[0]):
        for channel in range(sums.shape[1]):
            sums[0, channel] += sums[row, channel]


@inlined
def _tile_moments(x: Array, sums: Array, mean: Array) -> None:
    """Write each channel's mean over the rows of one tile into `mean`, and its sum of squared deviations into the first
    row of `sums`. ``x`` contains the rows one after the other."""
    flat, centre, channels = sums.reshape(-1), mean.reshape(-1), sums.shape[1]
    rows = len(x) // channels
    flat[:] = 0
    for base in range(0, len(x), len(flat)):
        block = x[base : min(base + len(flat), len(x))]
        for place in range(len(block)):
            flat[place] += block[place]
    _fold(sums)
    for row in range(mean.shape[0]):
        for channel in range(channels):
            mean[row, channel] = sums[0, channel] / rows
    flat[:] = 0
    for base in range(0, len(x), len(flat)):
        block = x[base : min(base + len(flat), len(x))]
        for place in range(len(block)):
            distance = block[place] - centre[place]
            flat[place] += distance * distance
    _fold(sums)


@cache
def _moments_job(real: Any) -> Any:
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 6)
        channels = a[2]
        x = carray(pointer(a[0]), (a[1] * channels,), real)
        tiles = carray(pointer(a[3]), (a[4], 2 * channels), real)
        line = np.empty((2, max(PERIOD // channels, 1), channels), x.dtype)
        sums, mean = line[0], line[1]
        for tile in range(part * len(tiles) // parts, (part + 1) * len(tiles) // parts):
            low, high = tile * TILE * channels, min((tile + 1) * TILE * channels, len(x))
            _tile_moments(x[low:high], sums, mean)
            for channel in range(channels):
                tiles[tile, channel] = mean[0, channel]
                tiles[tile, channels + channel] = sums[0, channel]

    return work


@cache
def _statistics_job(real: Any) -> Any:
    """The job that combines the moments of tiles: Chan, Golub and LeVeque, The American Statistician 37 (1983) 242."""
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 13)
        tiles, rows = carray(pointer(a[0]), (a[1], a[2]), real), a[3]
        mean, variance = carray(pointer(a[4]), (a[5],), real), carray(pointer(a[6]), (a[7],), real)
        running_mean, running_var = carray(pointer(a[8]), (a[9],), real), carray(pointer(a[10]), (a[11],), real)
        step, channels = number(a[12]), len(mean)
        mean[:] = 0
        variance[:] = 0
        for tile in range(len(tiles)):
            share = min(TILE, rows - tile * TILE) / rows
            for channel in range(channels):
                mean[channel] += share * tiles[tile, channel]
        for tile in range(len(tiles)):
            share = min(TILE, rows - tile * TILE) / rows
            for channel in range(channels):
                distance = tiles[tile, channel] - mean[channel]
                variance[channel] += tiles[tile, channels + channel] / rows + share * distance * distance
        for channel in range(len(running_mean)):
            unbiased = variance[channel] * (rows / max(rows - 1, 1))
            running_mean[channel] += step * (mean[channel] - running_mean[channel])
            running_var[channel] += step * (unbiased - running_var[channel])

    return work


@inner
def _norm(line: Array, mean: Array, variance: Array, weight: Array, eps: float) -> None:
    """Fill ``line`` with the numbers to normalise by: rows of mean, reciprocal deviation and weight."""
    _repeat(mean, 0.0, line[0])
    _repeat(variance, 0.0, line[1])
    for row in range(line.shape[1]):
        for channel in range(line.shape[2]):
            line[1, row, channel] = 1 / np.sqrt(line[1, row, channel] + eps)
    _repeat(weight, 1.0, line[2])


@cache
def _normalize_job(real: Any) -> Any:
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 18)
        rows, channels, leak = a[1], a[2], number(a[16])
        x, y = carray(pointer(a[0]), (rows * channels,), real), carray(pointer(a[3]), (rows * channels,), real)
        mean, variance = carray(pointer(a[6]), (a[7],), real), carray(pointer(a[8]), (a[9],), real)
        weight, bias = carray(pointer(a[10]), (a[11],), real), carray(pointer(a[12]), (a[13],), real)
        residual = carray(pointer(a[14]), (a[15],), real)
        line = np.empty((4, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(line, mean, variance, weight, number(a[17]))
        _repeat(bias, 0.0, line[3])
        centre, scale, shift = line[0].reshape(-1), line[1].reshape(-1), line[3].reshape(-1)
        scale *= line[2].reshape(-1)
        leakiness = x.dtype.type(leak)
        low, high = part * rows // parts * channels, (part + 1) * rows // parts * channels
        for base in range(low, high, len(centre)):
            top = min(base + len(centre), high)
            block, result = x[base:top], y[base:top]
            for place in range(len(block)):
                result[place] = (block[place] - centre[place]) * scale[place] + shift[place]
            if len(residual):
                added = residual[base:top]
                for place in range(len(block)):
                    result[place] += added[place]
            for place in range(len(block)):
                result[place] = result[place] * leakiness if result[place] < 0 else result[place]

    return work


@cache
def _rising_job(real: Any) -> Any:
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 23)
        rows, channels, leak = a[4], a[5], number(a[21])
        grad, x = carray(pointer(a[0]), (rows * channels,), real), carray(pointer(a[3]), (rows * channels,), real)
        mean, variance = carray(pointer(a[6]), (a[7],), real), carray(pointer(a[8]), (a[9],), real)
        weight, bias = carray(pointer(a[10]), (a[11],), real), carray(pointer(a[12]), (a[13],), real)
        residual, rising = carray(pointer(a[14]), (a[15],), real), carray(pointer(a[16]), (a[17],), real)
        tiles = carray(pointer(a[18]), (a[19], 2 * channels), real)
        line = np.empty((8, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(line, mean, variance, weight, number(a[22]))
        _repeat(bias, 0.0, line[3])
        centre, deviation, scale = line[0].reshape(-1), line[1].reshape(-1), line[2].reshape(-1)
        shift, distance, value = line[3].reshape(-1), line[4].reshape(-1), line[5].reshape(-1)
        slopes, products = line[6].reshape(-1), line[7].reshape(-1)
        leakiness = x.dtype.type(leak)
        for tile in range(part * len(tiles) // parts, (part + 1) * len(tiles) // parts):
            low, high = tile * TILE * channels, min((tile + 1) * TILE * channels, len(x))
            slopes[:] = 0
            products[:] = 0
            for base in range(low, high, len(centre)):
                top = min(base + len(centre), high)
                block, given = x[base:top], grad[base:top]
                for place in range(len(block)):
                    distance[place] = (block[place] - centre[place]) * deviation[place]
                for place in range(len(block)):
                    value[place] = distance[place] * scale[place] + shift[place]
                if len(residual):
                    added = residual[base:top]
                    for place in range(len(block)):
                        value[place] += added[place]
                for place in range(len(block)):
                    value[place] = given[place] * leakiness if value[place] <= 0 else given[place]
                for place in range(len(block)):
                    slopes[place] += value[place]
                for place in range(len(block)):
                    products[place] += value[place] * distance[place]
                if len(rising):
                    result = rising[base:top]
                    for place in range(len(block)):
                        result[place] = value[place]
            _fold(line[6])
            _fold(line[7])
            for channel in range(channels):
                tiles[tile, channel] = slopes[channel]
                tiles[tile, channels + channel] = products[channel]

    return work


@cache
def _total_job(real: Any) -> Any:
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 3)
        _fold(carray(pointer(a[0]), (a[1], a[2]), real))

    return work


@cache
def _slope_job(real: Any) -> Any:
    sources = fingerprint(jobs)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 19)
        rows, channels, count = a[4], a[5], a[18]
        rising, x = carray(pointer(a[0]), (rows * channels,), real), carray(pointer(a[3]), (rows * channels,), real)
        y = carray(pointer(a[6]), (rows * channels,), real)
        mean, variance = carray(pointer(a[9]), (a[10],), real), carray(pointer(a[11]), (a[12],), real)
        weight, sums = carray(pointer(a[13]), (a[14],), real), carray(pointer(a[15]), (a[16],), real)
        line = np.empty((5, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(line, mean, variance, weight, number(a[17]))
        _repeat(sums[: len(sums) // 2], 0.0, line[3])
        _repeat(sums[len(sums) // 2 :], 0.0, line[4])
        centre, shift, factor = line[0].reshape(-1), line[3].reshape(-1), line[4].reshape(-1)
        deviation, scale = line[1].reshape(-1), line[2].reshape(-1)
        for place in range(len(centre)):
            shift[place] /= count
            factor[place] *= deviation[place] / count
            scale[place] *= deviation[place]
        low, high = part * rows // parts * channels, (part + 1) * rows // parts * channels
        for base in range(low, high, len(centre)):
            top = min(base + len(centre), high)
            block, given, result = x[base:top], rising[base:top], y[base:top]
            for place in range(len(block)):
                moved = shift[place] + factor[place] * (block[place] - centre[place])
                result[place] = (given[place] - moved) * scale[place]

    return work


def moments(x: Tensor, tiles: Tensor) -> None:
    """Write the mean and the sum of squared deviations of each tile of rows ``[N, C]`` into ``[tiles, 2 * C]``."""
    run(_moments_job(REAL[x.dtype]), 2 * x.numel(), x, tiles)


def statistics(
    tiles: Tensor, rows: int, running_mean: Tensor | None, running_var: Tensor | None, step: float
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[C]`` of rows whose tiles have these moments.

    Running statistics, if given, move by the fraction ``step`` towards mean and unbiased variance.
    """
    mean, variance = torch.empty(2, tiles.shape[1] // 2, dtype=tiles.dtype)
    given = _words(mean, variance, running_mean, running_var)
    run(_statistics_job(REAL[tiles.dtype]), 0, tiles, rows, *given, float(step))
    return mean, variance


def normalize(x: Tensor, norm: Norm, residual: Tensor | None = None) -> Tensor:
    """Normalise rows; the residual ``[N, C]`` is added before negative values are multiplied by the leakiness."""
    y = torch.empty_like(x)
    if x.numel():
        given = _words(*norm[:4], residual)
        run(_normalize_job(REAL[x.dtype]), 2 * x.numel(), x, y, *given, float(norm.leakiness), float(norm.eps))
    return y


def rising(grad: Tensor, x: Tensor, norm: Norm, residual: Tensor | None, into: Tensor | None) -> Tensor:
    """``[2, C]``: the sums of the preactivation's gradient (before the rectifier) and of its products with the
    normalised distance from the mean. Writes the gradient to ``into`` if given, which may be ``grad``."""
    tiles = x.new_zeros(max(-(-len(x) // TILE), 1), 2 * x.shape[1])
    if x.numel():
        given = _words(*norm[:4], residual, into)
        run(_rising_job(REAL[x.dtype]), 4 * x.numel(), grad, x, *given, tiles, float(norm.leakiness), float(norm.eps))
    run(_total_job(REAL[x.dtype]), 0, tiles)
    return tiles[0].view(2, -1)


def slope(rising: Tensor, x: Tensor, norm: Norm, sums: Tensor | None, count: int) -> Tensor:
    """``(rising - (sums[0] + sums[1] * d) / count) * weight / sqrt(variance + eps)``, where ``d`` is the normalised
    distance from the mean; without sums the first bracket is ``rising``."""
    y = torch.empty_like(x)
    if x.numel():
        given = _words(norm.mean, norm.variance, norm.weight, sums)
        run(_slope_job(REAL[x.dtype]), 2 * x.numel(), rising, x, y, *given, float(norm.eps), max(count, 1))
    return y


def _words(*terms: Tensor | None) -> list[int]:
    """Each term as an address and a number of elements; zeros for None."""
    return [word for t in terms for word in ((0, 0) if t is None else (t.data_ptr(), t.numel()))]

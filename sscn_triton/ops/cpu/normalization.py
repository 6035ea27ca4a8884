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
from sscn_triton.ops.cpu import jobs
from sscn_triton.ops.cpu.jobs import REAL, Step, array_at, inlined, inner, job, layout, run
from sscn_triton.ops.norm import Norm

Array = np.ndarray
TILE = 512  # rows
PERIOD = 512  # approximate length of the inner loops


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


class _Moments(NamedTuple):
    """The arguments of `moments`' kernel."""

    x: Tensor
    moments: Tensor
    rows: int
    channels: int
    tile_count: int


@cache
def _moments_job(kind: torch.dtype) -> Any:
    sources, real, arguments, head = fingerprint(jobs), REAL[kind], layout(_Moments), HEAD

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        channels = a.channels
        x = array_at(a.x, (a.rows * channels,), real)
        tiles = array_at(a.moments + head * x.itemsize, (a.tile_count, 2 * channels), real)
        if part == 0:
            array_at(a.moments, (1,), real)[0] = TILE
        repeated = np.empty((2, max(PERIOD // channels, 1), channels), x.dtype)
        sums, mean = repeated[0], repeated[1]
        for tile in range(part * len(tiles) // parts, (part + 1) * len(tiles) // parts):
            low, high = tile * TILE * channels, min((tile + 1) * TILE * channels, len(x))
            _tile_moments(x[low:high], sums, mean)
            for channel in range(channels):
                tiles[tile, channel] = mean[0, channel]
                tiles[tile, channels + channel] = sums[0, channel]

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
    sources, real, arguments, head = fingerprint(jobs), REAL[kind], layout(_Statistics), HEAD

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels = a.rows, a.channels
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        tiles = array_at(a.moments + head * mean.itemsize, (a.tile_count, 2 * channels), real)
        running = channels if a.running_mean else 0
        running_mean = array_at(a.running_mean, (running,), real)
        running_var = array_at(a.running_var, (running,), real)
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
        for channel in range(running):
            unbiased = variance[channel] * (rows / max(rows - 1, 1))
            running_mean[channel] += a.step * (mean[channel] - running_mean[channel])
            running_var[channel] += a.step * (unbiased - running_var[channel])

    return work


@inner
def _norm(repeated: Array, mean: Array, variance: Array, weight: Array, eps: float) -> None:
    """Fill ``repeated`` with the numbers to normalise by: rows of mean, reciprocal deviation and weight."""
    _repeat(mean, 0.0, repeated[0])
    _repeat(variance, 0.0, repeated[1])
    for row in range(repeated.shape[1]):
        for channel in range(repeated.shape[2]):
            repeated[1, row, channel] = 1 / np.sqrt(repeated[1, row, channel] + eps)
    _repeat(weight, 1.0, repeated[2])


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
    sources, real, arguments = fingerprint(jobs), REAL[kind], layout(_Normalize)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels = a.rows, a.channels
        x, y = array_at(a.x, (rows * channels,), real), array_at(a.y, (rows * channels,), real)
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        bias = array_at(a.bias, (channels if a.bias else 0,), real)
        residual = array_at(a.residual, (rows * channels if a.residual else 0,), real)
        repeated = np.empty((4, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(repeated, mean, variance, weight, a.eps)
        _repeat(bias, 0.0, repeated[3])
        centre, scale, shift = repeated[0].reshape(-1), repeated[1].reshape(-1), repeated[3].reshape(-1)
        scale *= repeated[2].reshape(-1)
        leakiness = x.dtype.type(a.leakiness)
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
    sources, real, arguments = fingerprint(jobs), REAL[kind], layout(_Rising)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels = a.rows, a.channels
        grad, x = array_at(a.grad, (rows * channels,), real), array_at(a.x, (rows * channels,), real)
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        bias = array_at(a.bias, (channels if a.bias else 0,), real)
        residual = array_at(a.residual, (rows * channels if a.residual else 0,), real)
        rising = array_at(a.rising, (rows * channels if a.rising else 0,), real)
        normalized = array_at(a.normalized, (rows * channels if a.normalized else 0,), real)
        tiles = array_at(a.tiles, (a.tile_count, 2 * channels), real)
        repeated = np.empty((8, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(repeated, mean, variance, weight, a.eps)
        _repeat(bias, 0.0, repeated[3])
        centre, deviation, scale = repeated[0].reshape(-1), repeated[1].reshape(-1), repeated[2].reshape(-1)
        shift, distance, value = repeated[3].reshape(-1), repeated[4].reshape(-1), repeated[5].reshape(-1)
        slopes, products = repeated[6].reshape(-1), repeated[7].reshape(-1)
        for place in range(len(scale)):
            scale[place] *= deviation[place]  # as in `normalize`, so that both take the same rows for negative
        leakiness = x.dtype.type(a.leakiness)
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
                    value[place] = (block[place] - centre[place]) * scale[place] + shift[place]
                if len(residual):
                    added = residual[base:top]
                    for place in range(len(block)):
                        value[place] += added[place]
                if len(normalized):
                    result = normalized[base:top]
                    for place in range(len(block)):
                        result[place] = value[place] * leakiness if value[place] < 0 else value[place]
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
            _fold(repeated[6])
            _fold(repeated[7])
            for channel in range(channels):
                tiles[tile, channel] = slopes[channel]
                tiles[tile, channels + channel] = products[channel]

    return work


class _Total(NamedTuple):
    """The arguments of the kernel that adds the sums of tiles."""

    tiles: Tensor
    tile_count: int
    columns: int


@cache
def _total_job(kind: torch.dtype) -> Any:
    sources, real, arguments = fingerprint(jobs), REAL[kind], layout(_Total)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        _fold(array_at(a.tiles, (a.tile_count, a.columns), real))

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
    sources, real, arguments = fingerprint(jobs), REAL[kind], layout(_Slope)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        rows, channels = a.rows, a.channels
        rising, x = array_at(a.rising, (rows * channels,), real), array_at(a.x, (rows * channels,), real)
        y = array_at(a.y, (rows * channels,), real)
        mean, variance = array_at(a.mean, (channels,), real), array_at(a.variance, (channels,), real)
        weight = array_at(a.weight, (channels if a.weight else 0,), real)
        sums = array_at(a.sums, (2 * channels if a.sums else 0,), real)
        repeated = np.empty((5, max(PERIOD // channels, 1), channels), x.dtype)
        _norm(repeated, mean, variance, weight, a.eps)
        _repeat(sums[: len(sums) // 2], 0.0, repeated[3])
        _repeat(sums[len(sums) // 2 :], 0.0, repeated[4])
        centre, shift, factor = repeated[0].reshape(-1), repeated[3].reshape(-1), repeated[4].reshape(-1)
        deviation, scale = repeated[1].reshape(-1), repeated[2].reshape(-1)
        for place in range(len(centre)):
            shift[place] /= a.norm_rows
            factor[place] *= deviation[place] / a.norm_rows
            scale[place] *= deviation[place]
        low, high = part * rows // parts * channels, (part + 1) * rows // parts * channels
        for base in range(low, high, len(centre)):
            top = min(base + len(centre), high)
            block, given, result = x[base:top], rising[base:top], y[base:top]
            for place in range(len(block)):
                moved = shift[place] + factor[place] * (block[place] - centre[place])
                result[place] = (given[place] - moved) * scale[place]

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

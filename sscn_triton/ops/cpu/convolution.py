"""Sparse convolution and its weight gradient on the CPU.

Rules are sorted by tap, then by output row. Output rows are worked through in chunks that stay in cache, each over
all taps; every output row belongs to one thread and takes its taps in order, so the result has the same bits for any
number of threads. The weight gradient is split by weight element and, where there are many rules, into segments of
rows whose number depends on the rules alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numba import carray, float32, float64
from torch import Tensor

from sscn_triton.ops.cpu.jobs import inlined, inner, job, pointer, run

from sscn_triton.ops.cpu.microkernel import (
    HALF_BYTES,
    MAX_VECTORS,
    VECTOR_BYTES,
    multiply_tile,
    outer_rows,
    outer_tile,
    product_rows,
)

CHUNK = 512  # rows worked on together
SEGMENT = 1 << 17  # rules of a partial weight gradient, at least
MAX_SEGMENTS = 16
REAL = {torch.float32: float32, torch.float64: float64}
UNIT_ROWS = 16  # rows of the weight in one unit of its gradient

def _product_strip(vectors: int, nbytes: int) -> Callable[..., None]:
    rows = product_rows(vectors)

    @inner
    def strip(x, x_column, w, block, w_column, y, y_column, inputs, outputs, start, stop):
        rule = start
        while rule + rows <= stop:
            multiply_tile(
                rows, vectors, nbytes, x, x_column, w, block, w_column, y, y_column, inputs, outputs, rule
            )
            rule += rows
        while rule < stop:
            multiply_tile(1, vectors, nbytes, x, x_column, w, block, w_column, y, y_column, inputs, outputs, rule)
            rule += 1

    return strip


def _outer_strip(vectors: int, nbytes: int) -> Callable[..., None]:
    rows = outer_rows(vectors)

    @inner
    def strip(x, x_column, g, g_column, w, block, w_row, w_stop, w_column, inputs, outputs, start, stop):
        while w_row + rows <= w_stop:
            outer_tile(
                rows, vectors, nbytes, x, x_column + w_row, g, g_column, w, block, w_row, w_column, inputs, outputs,
                start, stop,
            )  # fmt: skip
            w_row += rows
        while w_row < w_stop:
            outer_tile(
                1, vectors, nbytes, x, x_column + w_row, g, g_column, w, block, w_row, w_column, inputs, outputs,
                start, stop,
            )  # fmt: skip
            w_row += 1

    return strip


_product1, _product2, _product3 = (_product_strip(n, VECTOR_BYTES) for n in (1, 2, 3))
_product4, _product5 = (_product_strip(n, VECTOR_BYTES) for n in (4, 5))
_product_narrow, _product_single = _product_strip(1, HALF_BYTES), _product_strip(1, 0)
_outer1, _outer2, _outer3 = (_outer_strip(n, VECTOR_BYTES) for n in (1, 2, 3))
_outer4, _outer5 = (_outer_strip(n, VECTOR_BYTES) for n in (4, 5))
_outer_narrow, _outer_single = _outer_strip(1, HALF_BYTES), _outer_strip(1, 0)


@inner
def _next_vectors(channels, itemsize):
    """How the first of so many channels are best taken: so many vectors; 0 for a narrow one, -1 for a channel."""
    full = channels * itemsize // VECTOR_BYTES
    if full:
        strips = (full + MAX_VECTORS - 1) // MAX_VECTORS
        return (full + strips - 1) // strips
    return 0 if channels * itemsize >= HALF_BYTES else -1


@inlined
def _products(x, x_column, w, block, y, y_column, inputs, outputs, start, stop):
    """All output channels of one block of the weight, for the rules start:stop."""
    channels = w.shape[2]
    j = np.int64(0)
    while j < channels:
        vectors = _next_vectors(channels - j, y.itemsize)
        if vectors == 1:
            _product1(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        elif vectors == 2:
            _product2(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        elif vectors == 3:
            _product3(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        elif vectors == 4:
            _product4(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        elif vectors == 5:
            _product5(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        elif vectors == 0:
            _product_narrow(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        else:
            _product_single(x, x_column, w, block, j, y, y_column + j, inputs, outputs, start, stop)
        j += vectors * VECTOR_BYTES // y.itemsize if vectors > 0 else (HALF_BYTES // y.itemsize if vectors == 0 else 1)


@inlined
def _outers(x, x_column, g, g_column, w, block, low, high, inputs, outputs, start, stop):
    """Rows low:high of one block of the weight gradient, for the rules start:stop."""
    channels = w.shape[2]
    j = np.int64(0)
    while j < channels:
        vectors = _next_vectors(channels - j, g.itemsize)
        if vectors == 1:
            _outer1(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        elif vectors == 2:
            _outer2(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        elif vectors == 3:
            _outer3(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        elif vectors == 4:
            _outer4(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        elif vectors == 5:
            _outer5(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        elif vectors == 0:
            _outer_narrow(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        else:
            _outer_single(x, x_column, g, g_column + j, w, block, low, high, j, inputs, outputs, start, stop)
        j += vectors * VECTOR_BYTES // g.itemsize if vectors > 0 else (HALF_BYTES // g.itemsize if vectors == 0 else 1)


@inner
def _first_at_least(rows, start, stop, bound):
    """The first position in the ascending rows start:stop whose row is bound or more."""
    while start < stop:
        middle = (start + stop) // 2
        if rows[middle] < bound:
            start = middle + 1
        else:
            stop = middle
    return start


@inner
def _rules_below(outputs, spans, bound):
    """How many rules have an output row below the bound."""
    count = 0
    for tap in range(len(spans)):
        count += _first_at_least(outputs, spans[tap, 0], spans[tap, 1], bound) - spans[tap, 0]
    return count


@inner
def _split_row(outputs, spans, row_count, part, parts):
    """The row where a part begins, when parts have about equally many rules."""
    low, high = np.int64(0), np.int64(row_count)
    if part == parts:
        return high
    while low < high:
        middle = (low + high) // 2
        if _rules_below(outputs, spans, middle) * parts < len(outputs) * part:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _convolve_rows(x, w, bias, y, inputs, outputs, spans, low, high):
    """Output rows low:high."""
    taps, groups = len(spans), x.shape[1] // w.shape[1]
    position = np.empty(taps, np.int64)
    for tap in range(taps):
        position[tap] = _first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for row in range(base, top):
            for column in range(len(bias)):
                y[row, column] = bias[column]
        for tap in range(taps):
            start = position[tap]
            stop = _first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                for group in range(groups):
                    _products(
                        x, group * w.shape[1], w, tap * groups + group, y, group * w.shape[2],
                        inputs, outputs, start, stop,
                    )  # fmt: skip


@cache
def _convolve_job(real):
    """`convolve` for one type of features."""

    @job
    def work(words, part, parts):
        a = carray(words, 19)
        x = carray(pointer(a[0]), (a[1], a[2]), real)
        w = carray(pointer(a[3]), (a[4], a[5], a[6]), real)
        bias = carray(pointer(a[7]), (a[8],), real)
        y = carray(pointer(a[9]), (a[10], a[11]), real)
        inputs = carray(pointer(a[12]), (a[13],), np.int32)
        outputs = carray(pointer(a[14]), (a[15],), np.int32)
        spans = carray(pointer(a[16]), (a[17], a[18]), np.int64)
        low = _split_row(outputs, spans, len(y), part, parts)
        high = _split_row(outputs, spans, len(y), part + 1, parts)
        _convolve_rows(x, w, bias, y, inputs, outputs, spans, low, high)

    return work


@inner
def _split_unit(costs, part, parts):
    """The unit where a part begins, when parts cost about the same."""
    if part == parts:
        return len(costs)
    total = np.int64(0)
    for cost in costs:
        total += cost
    done, unit = np.int64(0), np.int64(0)
    while unit < len(costs) and (2 * done + costs[unit]) * parts <= 2 * total * part:
        done += costs[unit]
        unit += 1
    return unit


@inner
def _unit_costs(outputs, spans, row_count, segments, units):
    """Rules of each unit of a weight gradient; ``units`` for each tap."""
    taps = len(spans)
    costs = np.empty(segments * taps * units, np.int64)
    for segment in range(segments):
        low, high = segment * row_count // segments, (segment + 1) * row_count // segments
        for tap in range(taps):
            first = _first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
            last = _first_at_least(outputs, first, spans[tap, 1], high)
            for unit in range((segment * taps + tap) * units, (segment * taps + tap + 1) * units):
                costs[unit] = last - first
    return costs


@inlined
def _weight_units(x, g, w, inputs, outputs, spans, low, high, first, last):
    """Units first:last of one segment, the output rows low:high. A unit is UNIT_ROWS rows of a block of the weight."""
    strips = (w.shape[1] + UNIT_ROWS - 1) // UNIT_ROWS
    groups = x.shape[1] // w.shape[1]
    units = groups * strips
    position = np.empty(len(spans), np.int64)
    for tap in range(first // units, (last + units - 1) // units):
        position[tap] = _first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for tap in range(first // units, (last + units - 1) // units):
            start = position[tap]
            stop = _first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                for unit in range(max(first, tap * units), min(last, (tap + 1) * units)):
                    group, row = unit // strips % groups, unit % strips * UNIT_ROWS
                    _outers(
                        x, group * w.shape[1], g, group * w.shape[2], w, tap * groups + group,
                        row, min(row + UNIT_ROWS, w.shape[1]), inputs, outputs, start, stop,
                    )  # fmt: skip


@cache
def _weight_job(real):
    """`weight_gradient` for one type of features."""

    @job
    def work(words, part, parts):
        a = carray(words, 18)
        x = carray(pointer(a[0]), (a[1], a[2]), real)
        g = carray(pointer(a[3]), (a[4], a[5]), real)
        partial = carray(pointer(a[6]), (a[7], a[8], a[9], a[10]), real)
        inputs = carray(pointer(a[11]), (a[12],), np.int32)
        outputs = carray(pointer(a[13]), (a[14],), np.int32)
        spans = carray(pointer(a[15]), (a[16], a[17]), np.int64)
        segments = len(partial)
        units = x.shape[1] // partial.shape[2] * ((partial.shape[2] + UNIT_ROWS - 1) // UNIT_ROWS)
        costs = _unit_costs(outputs, spans, len(g), segments, units)
        first, last = _split_unit(costs, part, parts), _split_unit(costs, part + 1, parts)
        per_segment = len(costs) // segments
        for segment in range(first // per_segment, (last + per_segment - 1) // per_segment):
            low, high = segment * len(g) // segments, (segment + 1) * len(g) // segments
            begin, end = max(first - segment * per_segment, 0), min(last - segment * per_segment, per_segment)
            _weight_units(x, g, partial[segment], inputs, outputs, spans, low, high, begin, end)

    return work


def _precision(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def convolve(x: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, bias: Tensor | None = None) -> Tensor:
    """``y[o] = bias + sum x[i] w[v]``: ``[N_in, groups * in]``, ``[V, groups, in, out]`` to ``[output_count,
    groups * out]``.

    ``rules`` are ``(input_rows, output_rows, spans)``, sorted by tap, then by output row. Sums are float32, or
    float64 for float64 features; the result has the type of ``x``.
    """
    taps, groups, channels_in, channels_out = weight.shape
    kind = _precision(x)
    output = torch.empty(output_count, groups * channels_out, dtype=kind)
    offset = torch.zeros(groups * channels_out, dtype=kind) if bias is None else bias.to(kind).contiguous()
    features = x.to(kind).contiguous()
    blocks = weight.to(kind).contiguous().view(taps * groups, channels_in, channels_out)
    operations = 2 * len(rules[0]) * groups * channels_in * channels_out
    run(_convolve_job(REAL[kind]), operations, features, blocks, offset, output, *rules)
    return output.to(x.dtype)


def weight_gradient(x: Tensor, gradient: Tensor, rules: Sequence[Tensor], groups: int) -> Tensor:
    """``W[v] = sum x[i]^T g[o]``: ``[N_in, groups * in]``, ``[N_out, groups * out]`` to ``[V, groups, in, out]``.

    ``rules`` and precision are those of `convolve`.
    """
    taps, channels_in, channels_out = len(rules[2]), x.shape[1] // groups, gradient.shape[1] // groups
    kind = _precision(x)
    segments = min(max(len(rules[0]) // SEGMENT, 1), MAX_SEGMENTS)
    partial = torch.zeros(segments, taps * groups, channels_in, channels_out, dtype=kind)
    features, gradients = x.to(kind).contiguous(), gradient.to(kind).contiguous()
    operations = 2 * len(rules[0]) * groups * channels_in * channels_out
    run(_weight_job(REAL[kind]), operations, features, gradients, partial, *rules)
    total = partial[0] if segments == 1 else partial.sum(0)
    return total.view(taps, groups, channels_in, channels_out).to(x.dtype)

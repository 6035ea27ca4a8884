"""Sparse convolution and its weight gradient on the CPU.

Within a tap, rules are in ascending order of the output row. A thread processes output rows in chunks that stay in
cache, each chunk over all taps. Every output row belongs to one thread and adds its taps in order, so the result has
the same bits for any number of threads. The weight gradient is split by weight element and, if there are many rules,
into segments of output rows; the number of segments depends on the rules alone.

A kernel checks rules before it reads the rows that they name: one pass over a few hundred numbers that it is about to
use. If it finds a row that does not exist or is out of order, it stops and sets its last word.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numba import carray, types  # type: ignore[attr-defined]
from torch import Tensor

from sscn_triton.common.numba_cache import fingerprint
from sscn_triton.ops.checks import foreign_rows
from sscn_triton.ops.cpu import jobs, microkernel, products
from sscn_triton.ops.cpu.jobs import inlined, inner, job, pointer, run
from sscn_triton.ops.cpu.products import Array, Rules, add_outer, multiply
from sscn_triton.ops.rules import Rules as TensorRules

CHUNK = 512  # output rows processed together
SEGMENT = 1 << 17  # minimum number of rules in a partial weight gradient
MAX_SEGMENTS = 16
UNIT_ROWS = 16  # rows of the weight in one unit of its gradient
REAL = {torch.float32: types.float32, torch.float64: types.float64}


@inner
def _from_to(rows: Array, start: int, stop: int, low: int, high: int) -> bool:
    """Whether all of the rows start:stop are from low to high - 1."""
    reach, furthest = np.uint32(high - low), np.uint32(0)
    for place in range(start, stop):
        furthest = max(furthest, np.uint32(rows[place] - np.int32(low)))
    return furthest < reach


@inner
def _are_spans(spans: Array, rules: int) -> bool:
    """Whether the spans cut `rules` rules into consecutive parts."""
    cut = True
    for start, stop in spans:
        cut &= 0 <= start <= stop <= rules
    return cut


@inner
def _first_at_least(rows: Array, start: int, stop: int, bound: int) -> int:
    """The first position in the ascending rows start:stop with a row of at least ``bound``."""
    while start < stop:
        middle = (start + stop) // 2
        if rows[middle] < bound:
            start = middle + 1
        else:
            stop = middle
    return start


@inner
def _split_row(outputs: Array, spans: Array, row_count: int, part: int, parts: int) -> int:
    """The row where a part begins if all parts have about the same number of rules."""
    if part == parts:
        return row_count
    low, high = 0, row_count
    while low < high:
        middle = (low + high) // 2
        below = 0
        for start, stop in spans:
            below += _first_at_least(outputs, start, stop, middle) - start
        if below * parts < len(outputs) * part:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def _convolve_rows(
    x: Array, w: Array, y: Array, rules: Rules, spans: Array, first: Array, residual: Array, low: int, high: int
) -> bool:
    """Compute output rows low:high; each starts as its row of the residual plus `first`, if these are not empty.

    Returns whether the rules are valid: all rows exist, and outputs are in ascending order.
    """
    outputs, taps, groups = rules[1], len(spans), x.shape[1] // w.shape[1]
    position = np.empty(taps, np.int64)
    for tap in range(taps):
        position[tap] = _first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for row in range(base, top):
            for column in range(y.shape[1]):
                y[row, column] = residual[row, column] if len(residual) else 0
            for column in range(len(first)):
                y[row, column] += first[column]
        for tap in range(taps):
            start = position[tap]
            stop = _first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                if not _from_to(rules[0], start, stop, 0, len(x)) or not _from_to(outputs, start, stop, base, top):
                    return False
                for group in range(groups):
                    block = tap * groups + group
                    multiply(x, group * w.shape[1], w, block, y, group * w.shape[2], rules, start, stop)
    if high == len(y):
        for tap in range(taps):
            if position[tap] < spans[tap, 1]:
                return False
    return True


@cache
def _convolve_job(real: Any) -> Any:
    """The job of `convolve` for one type of features."""
    sources = fingerprint(jobs, microkernel, products)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 23)
        x = carray(pointer(a[0]), (a[1], a[2]), real)
        w = carray(pointer(a[3]), (a[4], a[5], a[6]), real)
        y = carray(pointer(a[7]), (a[8], a[9]), real)
        first = carray(pointer(a[10]), (a[11],), real)
        residual = carray(pointer(a[12]), (a[13], a[14]), real)
        rules = carray(pointer(a[15]), (a[16],), np.int32), carray(pointer(a[17]), (a[18],), np.int32)
        spans = carray(pointer(a[19]), (a[20], a[21]), np.int64)
        if not _are_spans(spans, a[16]):
            a[22] = 1
            return
        low = _split_row(rules[1], spans, len(y), part, parts)
        high = _split_row(rules[1], spans, len(y), part + 1, parts)
        if not _convolve_rows(x, w, y, rules, spans, first, residual, low, high):
            a[22] = 1

    return work


@inner
def _unit_costs(outputs: Array, spans: Array, row_count: int, segments: int, units: int) -> Array:
    """Rules of each unit of a weight gradient: segments times taps times ``units``."""
    costs = np.empty(segments * len(spans) * units, np.int64)
    unit = 0
    for segment in range(segments):
        low, high = segment * row_count // segments, (segment + 1) * row_count // segments
        for start, stop in spans:
            first = _first_at_least(outputs, start, stop, low)
            last = _first_at_least(outputs, first, stop, high)
            for _ in range(units):
                costs[unit] = last - first
                unit += 1
    return costs


@inner
def _split_unit(costs: Array, part: int, parts: int) -> int:
    """The unit where a part begins if all parts cost about the same."""
    if part == parts:
        return len(costs)
    total = 0
    for cost in costs:
        total += cost
    done, unit = 0, 0
    while unit < len(costs) and (2 * done + costs[unit]) * parts <= 2 * total * part:
        done += costs[unit]
        unit += 1
    return unit


@inlined
def _weight_units(
    x: Array, g: Array, w: Array, rules: Rules, spans: Array, low: int, high: int, first: int, last: int
) -> bool:
    """Compute units first:last of one segment, which is the output rows low:high.

    A unit is UNIT_ROWS rows of a block of the weight. Returns whether the rules are valid, as `_convolve_rows` does.
    """
    outputs, groups = rules[1], x.shape[1] // w.shape[1]
    strips = (w.shape[1] + UNIT_ROWS - 1) // UNIT_ROWS
    units = groups * strips
    position = np.empty(len(spans), np.int64)
    for tap in range(len(spans)):
        position[tap] = _first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for tap in range(first // units, (last + units - 1) // units):
            start = position[tap]
            stop = _first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                if not _from_to(rules[0], start, stop, 0, len(x)) or not _from_to(outputs, start, stop, base, top):
                    return False
                for unit in range(max(first, tap * units), min(last, (tap + 1) * units)):
                    group, row = unit // strips % groups, unit % strips * UNIT_ROWS
                    end, block = min(row + UNIT_ROWS, w.shape[1]), tap * groups + group
                    add_outer(x, group * w.shape[1], g, group * w.shape[2], w, block, row, end, rules, start, stop)
    return True


@cache
def _weight_job(real: Any) -> Any:
    """The job of `weight_gradient` for one type of features."""
    sources = fingerprint(jobs, microkernel, products)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = carray(words, 19)
        x = carray(pointer(a[0]), (a[1], a[2]), real)
        g = carray(pointer(a[3]), (a[4], a[5]), real)
        partial = carray(pointer(a[6]), (a[7], a[8], a[9], a[10]), real)
        rules = carray(pointer(a[11]), (a[12],), np.int32), carray(pointer(a[13]), (a[14],), np.int32)
        spans = carray(pointer(a[15]), (a[16], a[17]), np.int64)
        if not _are_spans(spans, a[12]):
            a[18] = 1
            return
        segments = len(partial)
        units = x.shape[1] // partial.shape[2] * ((partial.shape[2] + UNIT_ROWS - 1) // UNIT_ROWS)
        costs = _unit_costs(rules[1], spans, len(g), segments, units)
        first, last = _split_unit(costs, part, parts), _split_unit(costs, part + 1, parts)
        units *= len(spans)
        for segment in range(first // units, (last + units - 1) // units):
            low, high = segment * len(g) // segments, (segment + 1) * len(g) // segments
            begin, end = max(first - segment * units, 0), min(last - segment * units, units)
            if not _weight_units(x, g, partial[segment], rules, spans, low, high, begin, end):
                a[18] = 1

    return work


def convolve(
    x: Tensor,
    weight: Tensor,
    rules: TensorRules,
    output_count: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``y[o] = bias + residual[o] + sum x[i] w[v]``.

    ``[N_in, groups * in]``, ``[V, groups, in, out]`` to ``[output_count, groups * out]``, the shape of ``residual``.

    Within a tap, ``rules`` are in ascending order of the output row. Sums are float32, or float64 for float64
    features; the result has the type ``dtype``, by default that of ``x``.
    """
    _, groups, channels_in, channels_out = weight.shape
    kind = torch.promote_types(x.dtype, torch.float32)
    output = torch.empty(output_count, groups * channels_out, dtype=kind)
    if output.numel():
        features, blocks = x.to(kind).contiguous(), weight.to(kind).contiguous()
        operations = 2 * len(rules.input_rows) * groups * channels_in * channels_out
        first = output.new_empty(0) if bias is None else bias.to(kind).contiguous()
        begun = output.new_empty(0, 0) if residual is None else residual.to(kind).contiguous()
        tensors = features, blocks.flatten(0, 1), output, first, begun, *rules[:3]
        if run(_convolve_job(REAL[kind]), operations, *tensors, 0):
            raise foreign_rows("rules")
    return output.to(dtype or x.dtype)


def weight_gradient(
    x: Tensor, gradient: Tensor, rules: TensorRules, groups: int, dtype: torch.dtype | None = None
) -> Tensor:
    """``W[v] = sum x[i]^T g[o]``: ``[N_in, groups * in]``, ``[N_out, groups * out]`` to ``[V, groups, in, out]``.

    ``rules`` and precision are as in `convolve`.
    """
    taps, channels_in, channels_out = len(rules.spans), x.shape[1] // groups, gradient.shape[1] // groups
    kind = torch.promote_types(x.dtype, torch.float32)
    segments = min(max(len(rules.input_rows) // SEGMENT, 1), MAX_SEGMENTS)
    partial = torch.zeros(segments, taps * groups, channels_in, channels_out, dtype=kind)
    if len(rules.input_rows):
        features, gradients = x.to(kind).contiguous(), gradient.to(kind).contiguous()
        operations = 2 * len(rules.input_rows) * groups * channels_in * channels_out
        if run(_weight_job(REAL[kind]), operations, features, gradients, partial, *rules[:3], 0):
            raise foreign_rows("rules")
    total = partial[0] if segments == 1 else partial.sum(0)
    return total.view(taps, groups, channels_in, channels_out).to(dtype or x.dtype)

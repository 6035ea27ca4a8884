"""Sparse convolution and its weight gradient on the CPU.

Within a tap, rules are in ascending order of the output row. A thread processes output rows in chunks that stay in
cache, each chunk over all taps. Every output row belongs to one thread and adds its taps in order, so the result has
the same bits for any number of threads. The weight gradient is split by weight element and, if there are many rules,
into segments of output rows; the number of segments depends on the rules alone.

A kernel checks rules before it reads the rows that they name: one pass over a few hundred numbers that it is about to
use. If it finds a row that does not exist or is out of order, it stops and sets `failed`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.numba_cache import fingerprint
from sscn_triton.ops.checks import foreign_rows
from sscn_triton.ops.cpu import jobs, microkernel, products, ranges
from sscn_triton.ops.cpu.jobs import (
    NO_MEMORY,
    REAL,
    Step,
    array_at,
    beyond,
    claim,
    inner,
    is_missing,
    job,
    layout,
    release,
    run,
)
from sscn_triton.ops.cpu.microkernel import STRIPS, write_outer_strips, write_product_strips
from sscn_triton.ops.cpu.products import Array, add_outer, multiply
from sscn_triton.ops.cpu.ranges import are_spans, first_at_least, from_to, split_row
from sscn_triton.ops.dtypes import of_type, sum_type
from sscn_triton.ops.rules import Rules as TensorRules
from sscn_triton.ops.rules import SortedRules

WORD, LINE = 8, 64  # bytes of an int64, and of a line of the cache
CHUNK = 512  # output rows processed together
SEGMENT = 1 << 17  # minimum number of rules in a partial weight gradient
MAX_SEGMENTS = 16
UNIT_ROWS = 16  # rows of the weight in one unit of its gradient


@inner
def _convolve_rows(
    strips: Array, x: Array, w: Array, y: Array, inputs: Array, outputs: Array, spans: Array, position: Array,
    first: Array, residual: Array, low: int, high: int,
) -> bool:  # fmt: skip
    """Compute output rows low:high; each starts as its row of the residual plus `first`, if these are not empty.

    ``position`` has room for a number per tap. Returns whether the rules are valid: all rows exist, and outputs are in
    ascending order.
    """
    taps, groups = len(spans), x.shape[1] // w.shape[1]
    for tap in range(taps):
        position[tap] = first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for row in range(base, top):
            for column in range(y.shape[1]):
                y[row, column] = residual[row, column] if len(residual) else 0
            for column in range(len(first)):
                y[row, column] += first[column]
        for tap in range(taps):
            start = position[tap]
            stop = first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                if not from_to(inputs, start, stop, 0, len(x)) or not from_to(outputs, start, stop, base, top):
                    return False
                for group in range(groups):
                    block = tap * groups + group
                    column, into = group * w.shape[1], group * w.shape[2]
                    multiply(strips, x, column, w, block, y, into, inputs, outputs, start, stop)
    if high == len(y):
        for tap in range(taps):
            if position[tap] < spans[tap, 1]:
                return False
    return True


@inner
def _transpose(blocks: Array, into: Array) -> None:
    """Copy the blocks with rows and columns exchanged."""
    count, rows, columns = blocks.shape
    for block in range(count):
        for row in range(rows):
            for column in range(columns):
                into[block, column, row] = blocks[block, row, column]


class _Convolution(NamedTuple):
    """The arguments of `convolve`'s kernel.

    ``transposed``: the weight is ``[taps * groups, out, in]``. ``mirrored``: the last of the spans is that of the first
    tap, and so on.
    """

    features: Tensor
    weight: Tensor
    output: Tensor
    bias: Tensor | None
    residual: Tensor | None
    input_rows: Tensor
    output_rows: Tensor
    spans: Tensor
    input_count: int
    output_count: int
    rule_count: int
    taps: int
    groups: int
    channels_in: int
    channels_out: int
    transposed: bool
    mirrored: bool


@cache
def _convolve_job(kind: torch.dtype) -> Any:
    """The job of `convolve` for one type of features."""
    sources, arguments = fingerprint(jobs, microkernel, products, ranges), layout(_Convolution)
    real, item, strip_count = REAL[kind], kind.itemsize, len(STRIPS)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        blocks, wide = a.taps * a.groups, a.groups * a.channels_out
        x = array_at(a.features, (a.input_count, a.groups * a.channels_in), real)
        w = array_at(a.weight, (blocks, a.channels_in, a.channels_out), real)
        y = array_at(a.output, (a.output_count, wide), real)
        first = array_at(a.bias, (wide if a.bias else 0,), real)
        residual = array_at(a.residual, (a.output_count if a.residual else 0, wide), real)
        inputs = array_at(a.input_rows, (a.rule_count,), np.int32)
        outputs = array_at(a.output_rows, (a.rule_count,), np.int32)
        spans = array_at(a.spans, (a.taps, 2), np.int64)
        if not are_spans(spans, a.rule_count):
            a.failed = 1
            return
        own = (WORD * (strip_count + 3 * a.taps) + LINE - 1) // LINE * LINE
        memory = claim(own + (blocks * a.channels_in * a.channels_out * item if a.transposed else 0))
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        strips = array_at(memory, (strip_count,), np.int64)
        write_product_strips(strips, real)
        position = array_at(beyond(memory, WORD * strip_count), (a.taps,), np.int64)
        if a.mirrored:
            backwards = array_at(beyond(memory, WORD * (strip_count + a.taps)), (a.taps, 2), np.int64)
            for tap in range(a.taps):
                backwards[a.taps - 1 - tap, 0], backwards[a.taps - 1 - tap, 1] = spans[tap, 0], spans[tap, 1]
            spans = backwards
        if a.transposed:
            w = array_at(beyond(memory, own), (blocks, a.channels_in, a.channels_out), real)
            _transpose(array_at(a.weight, (blocks, a.channels_out, a.channels_in), real), w)
        low = split_row(outputs, spans, len(y), part, parts)
        high = split_row(outputs, spans, len(y), part + 1, parts)
        if not _convolve_rows(strips, x, w, y, inputs, outputs, spans, position, first, residual, low, high):
            a.failed = 1
        release(memory)

    return work


@inner
def _unit_costs(outputs: Array, spans: Array, row_count: int, segments: int, units: int, costs: Array) -> None:
    """Write the number of rules of each unit of a weight gradient: segments times taps times ``units``."""
    unit = 0
    for segment in range(segments):
        low, high = segment * row_count // segments, (segment + 1) * row_count // segments
        for start, stop in spans:
            first = first_at_least(outputs, start, stop, low)
            last = first_at_least(outputs, first, stop, high)
            for _ in range(units):
                costs[unit] = last - first
                unit += 1


@inner
def _split_unit(costs: Array, part: int, parts: int) -> int:
    """The unit where a part begins if all parts cost about the same; the parts contain all units."""
    if part == 0:
        return 0
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


@inner
def _weight_units(
    strips: Array, x: Array, g: Array, w: Array, inputs: Array, outputs: Array, spans: Array, position: Array,
    low: int, high: int, first: int, last: int,
) -> bool:  # fmt: skip
    """Compute units first:last of one segment, which is the output rows low:high.

    A unit is UNIT_ROWS rows of a block of the weight. ``position`` and the result are as in `_convolve_rows`.
    """
    groups = x.shape[1] // w.shape[1]
    height = (w.shape[1] + UNIT_ROWS - 1) // UNIT_ROWS  # of a block, in units
    units = groups * height
    for unit in range(first, last):
        begin = unit % height * UNIT_ROWS
        for row in range(begin, min(begin + UNIT_ROWS, w.shape[1])):
            for column in range(w.shape[2]):
                w[unit // height, row, column] = 0
    for tap in range(len(spans)):
        position[tap] = first_at_least(outputs, spans[tap, 0], spans[tap, 1], low)
    for base in range(low, high, CHUNK):
        top = min(base + CHUNK, high)
        for tap in range(first // units, (last + units - 1) // units):
            start = position[tap]
            stop = first_at_least(outputs, start, min(spans[tap, 1], start + top - base), top)
            position[tap] = stop
            if start < stop:
                if not from_to(inputs, start, stop, 0, len(x)) or not from_to(outputs, start, stop, base, top):
                    return False
                for unit in range(max(first, tap * units), min(last, (tap + 1) * units)):
                    group, row = unit // height % groups, unit % height * UNIT_ROWS
                    end, block = min(row + UNIT_ROWS, w.shape[1]), tap * groups + group
                    column, of = group * w.shape[1], group * w.shape[2]
                    add_outer(strips, x, column, g, of, w, block, row, end, inputs, outputs, start, stop)
    return True


class _WeightGradient(NamedTuple):
    """The arguments of `weight_gradient`'s kernel; ``partial`` is ``[segments, taps * groups, in, out]``, all of
    which it writes."""

    features: Tensor
    gradient: Tensor
    partial: Tensor
    input_rows: Tensor
    output_rows: Tensor
    spans: Tensor
    input_count: int
    output_count: int
    rule_count: int
    segments: int
    taps: int
    groups: int
    channels_in: int
    channels_out: int


@cache
def _weight_job(kind: torch.dtype) -> Any:
    """The job of `weight_gradient` for one type of features."""
    sources, arguments = fingerprint(jobs, microkernel, products, ranges), layout(_WeightGradient)
    real, strip_count = REAL[kind], len(STRIPS)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        x = array_at(a.features, (a.input_count, a.groups * a.channels_in), real)
        g = array_at(a.gradient, (a.output_count, a.groups * a.channels_out), real)
        shape = (a.segments, a.taps * a.groups, a.channels_in, a.channels_out)
        partial = array_at(a.partial, shape, real)
        inputs = array_at(a.input_rows, (a.rule_count,), np.int32)
        outputs = array_at(a.output_rows, (a.rule_count,), np.int32)
        spans = array_at(a.spans, (a.taps, 2), np.int64)
        if not are_spans(spans, a.rule_count):
            a.failed = 1
            return
        units = a.groups * ((a.channels_in + UNIT_ROWS - 1) // UNIT_ROWS)
        cost_count = a.segments * a.taps * units
        memory = claim(WORD * (strip_count + a.taps + cost_count))
        if is_missing(memory):
            a.failed = NO_MEMORY
            return
        strips = array_at(memory, (strip_count,), np.int64)
        write_outer_strips(strips, real)
        position = array_at(beyond(memory, WORD * strip_count), (a.taps,), np.int64)
        costs = array_at(beyond(memory, WORD * (strip_count + a.taps)), (cost_count,), np.int64)
        _unit_costs(outputs, spans, len(g), a.segments, units, costs)
        first, last = _split_unit(costs, part, parts), _split_unit(costs, part + 1, parts)
        units *= len(spans)
        for segment in range(first // units, (last + units - 1) // units):
            low, high = segment * len(g) // a.segments, (segment + 1) * len(g) // a.segments
            begin, end = max(first - segment * units, 0), min(last - segment * units, units)
            w = partial[segment]
            if not _weight_units(strips, x, g, w, inputs, outputs, spans, position, low, high, begin, end):
                a.failed = 1
        release(memory)

    return work


def convolution(
    x: Tensor, weight: Tensor, rules: TensorRules, output_count: int, bias: Tensor | None, residual: Tensor | None
) -> tuple[Tensor, list[Step]]:
    """The result of `convolve` in the type of the sums, and the steps that compute it."""
    stored = weight if weight.is_contiguous() else weight.transpose(2, 3)
    transposed = stored is not weight and stored.is_contiguous()
    terms = bias, residual
    return _products(x, stored if transposed else weight, rules[:3], output_count, terms, transposed, False)


def input_gradient(gradient: Tensor, weight: Tensor, rules: TensorRules, input_count: int) -> tuple[Tensor, list[Step]]:
    """The gradient of `convolve` for its features, ``[input_count, groups * in]``, and the steps that compute it: a
    convolution with the transposed weight over the rules read backwards, in the type of the sums."""
    spans, terms = rules.spans, (None, None)
    if isinstance(rules, SortedRules):
        rows = rules.outputs_by_input, rules.inputs_by_input, spans
        return _products(gradient, weight, rows, input_count, terms, True, False)
    return _products(gradient, weight, rules[:3], input_count, terms, True, True)


def _products(
    x: Tensor,
    weight: Tensor,
    rules: tuple[Tensor, Tensor, Tensor],
    output_count: int,
    terms: tuple[Tensor | None, Tensor | None],
    transposed: bool,
    mirrored: bool,
) -> tuple[Tensor, list[Step]]:
    """The step of `_convolve_job`, unless there is nothing to compute, and its result."""
    taps, groups, channels_in, channels_out = weight.shape
    if transposed:
        channels_in, channels_out = channels_out, channels_in
    kind = sum_type(x)
    output = torch.empty(output_count, groups * channels_out, dtype=kind)
    if not output_count or not channels_out:
        return output, []
    bias, residual = terms
    count = rules[0].shape[0]
    arguments = _Convolution(
        of_type(x, kind),
        of_type(weight, kind),
        output,
        None if bias is None else of_type(bias, kind),
        None if residual is None else of_type(residual, kind),
        *rules,
        x.shape[0],
        output_count,
        count,
        taps,
        groups,
        channels_in,
        channels_out,
        transposed,
        mirrored,
    )
    return output, [(_convolve_job(kind), 2 * count * groups * channels_in * channels_out, arguments)]


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
    features; the result has the type ``dtype``, by default that of ``x``. A weight that is the transpose of a
    contiguous one is read as it is.
    """
    output, steps = convolution(x, weight, rules, output_count, bias, residual)
    run_rules(steps)
    return of_type(output, dtype or x.dtype)


def run_rules(steps: list[Step]) -> None:
    """Run steps, some of which read rules. Raises ValueError if the rules name rows that do not exist."""
    if steps and run(*steps):
        raise foreign_rows("rules")


def weight_sums(x: Tensor, gradient: Tensor, rules: TensorRules, groups: int) -> tuple[Tensor, list[Step]]:
    """The partial sums of `weight_gradient`, ``[V, groups, in, out]`` or several of them in the type of the sums, and
    the steps that compute them."""
    taps, channels_in, channels_out = rules.spans.shape[0], x.shape[1] // groups, gradient.shape[1] // groups
    kind, rule_count = sum_type(x), rules.input_rows.shape[0]
    segments = min(max(rule_count // SEGMENT, 1), MAX_SEGMENTS)
    shape = taps, groups, channels_in, channels_out
    if not rule_count:
        return torch.zeros(shape, dtype=kind), []
    partial = torch.empty(shape if segments == 1 else (segments, *shape), dtype=kind)
    arguments = _WeightGradient(
        of_type(x, kind),
        of_type(gradient, kind),
        partial,
        *rules[:3],
        x.shape[0],
        gradient.shape[0],
        rule_count,
        segments,
        *shape,
    )
    return partial, [(_weight_job(kind), 2 * rule_count * groups * channels_in * channels_out, arguments)]


def weight_total(partial: Tensor, dtype: torch.dtype) -> Tensor:
    """The weight gradient ``[V, groups, in, out]`` from the partial sums of `weight_sums`, once these are computed."""
    return of_type(partial if partial.dim() == 4 else partial.sum(0), dtype)


def weight_gradient(
    x: Tensor, gradient: Tensor, rules: TensorRules, groups: int, dtype: torch.dtype | None = None
) -> Tensor:
    """``W[v] = sum x[i]^T g[o]``: ``[N_in, groups * in]``, ``[N_out, groups * out]`` to ``[V, groups, in, out]``.

    ``rules`` and precision are as in `convolve`.
    """
    partial, steps = weight_sums(x, gradient, rules, groups)
    run_rules(steps)
    return weight_total(partial, dtype or x.dtype)

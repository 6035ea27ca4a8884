"""Rulebooks on the CPU: packed keys, one sort, and merges of ascending lists.

Shifting every site by a tap's offset keeps the order of the keys, so a merge of two ascending lists finds the rules of
the tap. Coordinates are NumPy arrays; rules are the CPU rules of `sscn_triton.ops.rules`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.numba_cache import fingerprint
from sscn_triton.ops.checks import refuse_beyond_int32
from sscn_triton.ops.cpu import jobs
from sscn_triton.ops.cpu.jobs import array_at, compiled, job, layout, run
from sscn_triton.ops.cpu.keys import Array, check_count, distinct, limits, radix_of, ranked, sort_keys, unpack
from sscn_triton.ops.rules import MirroredRules, SortedRules
from sscn_triton.relation import Axes, fine_from_coarse, is_mirrored, submanifold_padding

Forward = list[Array]  # input rows, output rows, spans
TABLE = 1 << 26  # neighbours looked up at a time, as int32: a quarter of a GB
KEPT = 4096  # taps up to which the geometry of a kernel is kept for its next rulebook
SEARCH, WRITE = 200, 100  # the time for a site and tap, in floating-point operations of a convolution


class _Search(NamedTuple):
    """The arguments of the kernel that searches neighbours, `_search_job`."""

    keys: Array
    rows: Array
    deltas: Array
    found: Array
    counts: Array
    site_count: int
    searched: int
    taps: int
    line: int
    mirrored: bool


@cache
def _search_job() -> Any:
    """Sets ``found[t, o]`` to i if the key of row i is that of row o plus ``deltas[t]``, else to -1, and counts the
    matches per tap. A part of the work is some of the lines.

    Taps are grouped in lines of ``line`` taps with ascending deltas. A merge finds the first neighbour of a line, and
    the search for the others starts there. If ``mirrored``, tap V - 1 - t gets the matches of tap t read backwards.
    """
    sources, arguments = fingerprint(jobs), layout(_Search)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        count, lines = a.site_count, (a.searched + a.line - 1) // a.line
        keys, rows = array_at(a.keys, (count,), np.int64), array_at(a.rows, (count,), np.int32)
        deltas, counts = array_at(a.deltas, (a.searched,), np.int64), array_at(a.counts, (a.taps,), np.int64)
        found = array_at(a.found, (a.taps, count), np.int32)
        for first in range(part * lines // parts * a.line, (part + 1) * lines // parts * a.line, a.line):
            last = min(first + a.line, a.searched)
            for tap in range(first, last):
                for row in range(count):
                    found[tap, row] = -1
                if a.mirrored:
                    for row in range(count):
                        found[a.taps - 1 - tap, row] = -1
            near = 0
            for rank in range(count):
                target = keys[rank] + deltas[first]
                while near < count and keys[near] < target:
                    near += 1
                here = near
                for tap in range(first, last):
                    target = keys[rank] + deltas[tap]
                    while here < count and keys[here] < target:
                        here += 1
                    if here < count and keys[here] == target:
                        found[tap, rows[rank]] = rows[here]
                        counts[tap] += 1
                        if a.mirrored:
                            found[a.taps - 1 - tap, rows[here]] = rows[rank]

    return work


class _Writing(NamedTuple):
    """The arguments of the kernel that writes rules, `_writing_job`."""

    found: Array
    spans: Array
    inputs: Array
    outputs: Array
    site_count: int
    taps: int


@cache
def _writing_job() -> Any:
    """Writes the rules of every tap, in ascending order of the output row. A part of the work is some of the taps."""
    sources, arguments = fingerprint(jobs), layout(_Writing)

    @job
    def work(words: Any, part: int, parts: int) -> None:
        _ = sources
        a = array_at(words, (1,), arguments)[0]
        found = array_at(a.found, (a.taps, a.site_count), np.int32)
        spans = array_at(a.spans, (a.taps, 2), np.int64)
        rules = spans[a.taps - 1, 1]
        inputs, outputs = array_at(a.inputs, (rules,), np.int32), array_at(a.outputs, (rules,), np.int32)
        for tap in range(part * a.taps // parts, (part + 1) * a.taps // parts):
            rule, stop = spans[tap, 0], spans[tap, 1]
            for row in range(a.site_count):
                if rule < stop:
                    inputs[rule], outputs[rule] = found[tap, row], row
                    rule += found[tap, row] >= 0

    return work


def _spans(counts: Array) -> Array:
    ends = np.cumsum(counts)
    return np.stack([ends - counts, ends], 1)


@compiled
def _sorted_by(rows: Array, others: Array, spans: Array, row_count: int) -> tuple[Array, Array]:
    """The rules, sorted by ``rows`` within each tap; a tap contains each of ``rows`` at most once."""
    sorted_rows, sorted_others = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    other = np.empty(row_count, np.int32)
    for row in range(row_count):
        other[row] = -1
    for start, stop in spans:
        ascending = True
        for rule in range(start, stop):
            sorted_rows[rule], sorted_others[rule] = rows[rule], others[rule]
            ascending &= rule == start or rows[rule - 1] < rows[rule]
        if not ascending:
            for rule in range(start, stop):
                other[rows[rule]] = others[rule]
            rule = start
            for row in range(row_count):
                if rule < stop:
                    sorted_rows[rule], sorted_others[rule] = row, other[row]
                    rule += other[row] >= 0
                    other[row] = -1
    return sorted_rows, sorted_others


def submanifold_rules(
    coordinates: Array, kernel_size: Sequence[int], dilation: Sequence[int]
) -> MirroredRules | SortedRules:
    """Rules from the sites ``[N, 1 + D]`` to themselves: tap v joins output u with input ``u + offset``, where
    ``offset = dilation * tap - padding``. If offsets mirror each other, only half of the taps are searched."""
    offsets, mirrored = _kept(_offsets, kernel_size)(tuple(kernel_size), tuple(dilation))
    keys, rows, radix = ranked(coordinates, [0, *offsets[-1].tolist()])
    deltas = offsets @ radix[1:]
    if mirrored:
        found = _search(keys, rows, deltas[: len(deltas) // 2], kernel_size[-1], True, len(deltas) % 2)
        return MirroredRules(*map(torch.from_numpy, found))
    inputs, outputs, spans = _search(keys, rows, deltas, kernel_size[-1], False, 0)
    return _both_ways(inputs, outputs, spans, len(keys))


def _kept(function: Any, kernel_size: Sequence[int]) -> Any:
    """The function that keeps its results; for kernels of many taps, whose results are large, the one that does not."""
    return function if math.prod(kernel_size) <= KEPT else function.__wrapped__


@lru_cache(64)
def _offsets(kernel: Axes, spread: Axes) -> tuple[Array, bool]:
    """``[V, D]`` int64: ``dilation * tap - padding`` of every tap of a centred kernel, and whether they mirror each
    other. Nobody may write to the array, which all rulebooks of these arguments share."""
    padding = submanifold_padding(kernel, spread)
    axes = [fine_from_coarse(0, np.arange(k), 1, p, d) for k, p, d in zip(kernel, padding, spread, strict=True)]
    return np.array(list(itertools.product(*axes)), np.int64), is_mirrored(kernel, padding, spread)


def _search(keys: Array, rows: Array, deltas: Array, line: int, mirrored: bool, centre: int) -> Forward:
    """The rules of the taps at ``deltas``. If ``mirrored``, the rules of ``centre`` taps (0 or 1), which join each site
    to itself, and of the opposite taps follow. Taps are searched in slabs of as many lines as fit into `TABLE`."""
    count, width = len(keys), 2 if mirrored else 1
    slab = max(TABLE // max(count, 1) // width // line, 1) * line
    front: list[Forward] = []
    back: list[Forward] = []
    for first in range(0, max(len(deltas), 1), slab):
        some = deltas[first : first + slab]
        middle = centre if first + slab >= len(deltas) else 0
        taps = width * len(some) + middle
        found, counts = np.empty((taps, count), np.int32), np.zeros(taps, np.int64)
        arguments = _Search(keys, rows, some, found, counts, count, len(some), taps, line, mirrored)
        run((_search_job(), SEARCH * count * len(some), arguments))
        if mirrored:
            counts[len(some) + middle :] = counts[: len(some)][::-1]
        if middle:
            found[len(some)], counts[len(some)] = np.arange(count), count
        inputs, outputs, spans = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.int32), _spans(counts)
        if taps:
            run((_writing_job(), WRITE * count * taps, _Writing(found, spans, inputs, outputs, count, taps)))
        ahead = len(some) + middle
        cut = counts[:ahead].sum()
        front.append([inputs[:cut], outputs[:cut], counts[:ahead]])
        back.insert(0, [inputs[cut:], outputs[cut:], counts[ahead:]])
        if len(some) == len(deltas):  # all in one slab
            return [inputs, outputs, spans]
    inputs, outputs, counts = (np.concatenate(parts) for parts in zip(*front, *back, strict=True))
    return [inputs, outputs, _spans(counts)]


def _both_ways(inputs: Array, outputs: Array, spans: Array, input_count: int) -> SortedRules:
    """The rules, and the rules sorted by input row within each tap."""
    by_input, others = _sorted_by(inputs, outputs, spans, input_count)
    return SortedRules(*map(torch.from_numpy, (inputs, outputs, spans, others, by_input)))


def rules_of_table(table: Array, input_count: int) -> SortedRules:
    """Rules of a table ``[V, N_out]``: the input row that each tap joins to each output row, or -1.

    A tap names an input row at most once.
    """
    taps, outputs = np.nonzero(table >= 0)
    spans = _spans(np.bincount(taps, minlength=len(table)))
    return _both_ways(table[taps, outputs], outputs.astype(np.int32), spans, input_count)


@compiled
def _digits(
    column: Array,
    rows: Array,
    multiply: int,
    divide: int,
    shifts: Array,
    low: int,
    high: int,
    radix: int,
    digits: Array,
) -> None:
    """Fill ``digits[t, r]`` with the contribution of row r's coordinate to the key of the output it reaches by tap t.

    The output's coordinate on this axis is ``(coordinate * multiply + shift) / divide``; the digit is -1 if that is not
    an integer or not from low to high. ``shifts[t]`` is the shift's quotient and remainder by ``divide``.
    """
    for rank in range(len(rows)):
        moved = column[rows[rank]] * multiply
        quotient = moved // divide
        rest = moved - quotient * divide
        for tap in range(len(shifts)):
            extra = rest + shifts[tap, 1]
            reached = quotient + shifts[tap, 0] + (extra > 0)
            inside = (extra == 0 or extra == divide) and low <= reached <= high
            digits[tap, rank] = (reached - low) * radix if inside else -1


@compiled
def _reach(digits: Array, choices: Array, counts: Array, keys: Array, ranks: Array) -> int:
    """Write, per tap, the keys of the sites reached and the ranks they are reached from; returns their number.

    ``choices[v]`` are the rows of ``digits`` that are added for tap v.
    """
    total = 0
    for tap in range(len(choices)):
        before = total
        for rank in range(digits.shape[1]):
            key = np.int64(0)
            missing = np.int64(0)
            for choice in choices[tap]:
                key += digits[choice, rank]
                missing |= digits[choice, rank]
            if total < len(keys):
                keys[total], ranks[total] = key, rank
                total += int(missing >= 0)
        counts[tap] = total - before
    return total


@compiled
def _join(reached: Array, keys: Array, spans: Array, rows: Array) -> None:
    """Set ``rows[r]`` to the position of the r-th key in the ascending ``reached``; keys ascend within a tap."""
    for start, stop in spans:
        row = np.int32(0)
        for rule in range(start, stop):
            while reached[row] < keys[rule]:
                row += 1
            rows[rule] = row


def strided_rules(
    coordinates: Array,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """``[sites, *rules]``: the sites reached by ``output = (input + padding - dilation * tap) / stride``, in
    lexicographic order, and the rules to them. ``bounds``, if not empty, requires ``0 <= output < bounds``."""
    geometry = tuple(zip(kernel_size, stride, padding, dilation, strict=True))
    return _rules_to_reached(coordinates, _kept(_strided, kernel_size)(geometry), bounds)


def transposed_rules(
    coordinates: Array,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """As `strided_rules`, for ``output = stride * input + dilation * tap - padding``."""
    geometry = tuple(zip(kernel_size, stride, padding, dilation, strict=True))
    return _rules_to_reached(coordinates, _kept(_transposed, kernel_size)(geometry), bounds)


class _Axis(NamedTuple):
    """The outputs of a coordinate on one axis, ``(coordinate * multiply + shift) / divide`` with one shift per tap of
    the axis, and the maximum number of taps for which this is an integer."""

    multiply: int
    divide: int
    shifts: list[int]
    most: int

    def limits(self, low: int, high: int) -> tuple[int, int]:
        """The least and the greatest coordinate reached from low to high, as if every quotient were an integer."""
        ends = low * self.multiply + min(self.shifts), high * self.multiply + max(self.shifts)
        return ends[0] // self.divide, ends[1] // self.divide


class _Window(NamedTuple):
    """The geometry of a strided or transposed layer, made once: its axes, with the batch as the first; the shifts of
    each as quotients and remainders; and ``choices`` ``[V, 1 + D]``, the line of all shifts that each tap adds on each
    axis. Nobody may write to the arrays, which all rulebooks of one geometry share."""

    axes: list[_Axis]
    shifts: list[Array]
    choices: Array

    @classmethod
    def of(cls, spatial: list[_Axis]) -> _Window:
        """The window of these axes."""
        axes = [_Axis(1, 1, [0], 1), *spatial]
        shifts = [np.stack(np.divmod(np.array(axis.shifts), axis.divide), 1) for axis in axes]
        ends = itertools.accumulate(map(len, shifts))
        lines = [range(end - len(some), end) for end, some in zip(ends, shifts, strict=True)]
        return cls(axes, shifts, np.array(list(itertools.product(*lines)), np.int64))


Geometry = tuple[tuple[int, int, int, int], ...]
"""Kernel size, stride, padding and dilation of every axis."""


@lru_cache(64)
def _strided(geometry: Geometry) -> _Window:
    return _Window.of(
        [
            _Axis(1, s, [-fine_from_coarse(0, tap, s, p, d) for tap in range(k)], math.ceil(k / (s // math.gcd(s, d))))
            for k, s, p, d in geometry
        ]
    )


@lru_cache(64)
def _transposed(geometry: Geometry) -> _Window:
    return _Window.of(
        [_Axis(s, 1, [fine_from_coarse(0, tap, s, p, d) for tap in range(k)], k) for k, s, p, d in geometry]
    )


def _rules_to_reached(coordinates: Array, window: _Window, bounds: Sequence[int]) -> list[Tensor]:
    count, (_, *axes) = len(coordinates), window.axes
    _, rows, _ = ranked(coordinates, [0] * (1 + len(axes)))
    low, high = _reached_limits(coordinates, axes, bounds)
    radix = radix_of(low, [max(pair) for pair in zip(low, high, strict=True)], [0] * len(low))
    lines, taps = 0, window.choices
    digits = np.empty((sum(map(len, window.shifts)), count), np.int64)
    for column, (axis, shifts) in enumerate(zip(window.axes, window.shifts, strict=True)):
        geometry = axis.multiply, axis.divide, shifts, low[column], high[column], radix[column]
        _digits(coordinates[:, column], rows, *geometry, digits[lines : lines + len(shifts)])
        lines += len(shifts)
    counts = np.empty(len(taps), np.int64)
    capacity = count * math.prod(axis.most for axis in axes)
    keys, ranks = np.empty(capacity, np.int64), np.empty(capacity, np.int32)
    total = _reach(digits, taps, counts, keys, ranks)
    reached, spans = distinct(sort_keys(keys[:total])[0]), _spans(counts)
    check_count(len(reached))
    outputs = np.empty(total, np.int32)
    _join(reached, keys, spans, outputs)
    sites = torch.from_numpy(unpack(reached, np.array(low, np.int64), radix))
    return [sites, *_both_ways(rows[ranks[:total]], outputs, spans, count)]


def _reached_limits(coordinates: Array, axes: list[_Axis], bounds: Sequence[int]) -> tuple[list[int], list[int]]:
    """The least and greatest coordinates that outputs may have, batch first.

    Raises ValueError if coordinates on an axis would overflow int32.
    """
    low, high = (limit.tolist() for limit in limits(coordinates))
    for column, axis in enumerate(axes, 1):
        low[column], high[column] = axis.limits(low[column], high[column])
        if bounds:
            low[column], high[column] = max(low[column], 0), min(high[column], bounds[column - 1] - 1)
    if len(coordinates):
        refuse_beyond_int32(low, high)
    return low, high

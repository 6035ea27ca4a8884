"""Rulebooks on the CPU: packed keys, one sort, and merges of ascending lists.

A site is packed into one int64 key in lexicographic order. Moving every site by one tap's offset keeps that order, so
the rules of a tap are found by walking two ascending lists side by side. All functions take and return NumPy arrays;
rules are the list that `sscn_triton.ops.sites` describes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

Rules = list[np.ndarray]
_compiled = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _limits(coordinates):
    """Least and greatest coordinate of every column; zeros where there is no site."""
    rows, columns = coordinates.shape
    low, high = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
    for column in range(columns):
        if rows:
            low[column] = high[column] = coordinates[0, column]
        for row in range(rows):
            low[column] = min(low[column], coordinates[row, column])
            high[column] = max(high[column], coordinates[row, column])
    return low, high


@_compiled
def _pack(coordinates, low, radix):
    """One key for each site, and whether the keys ascend."""
    keys = np.empty(len(coordinates), np.int64)
    ascending = True
    for row in range(len(coordinates)):
        key = np.int64(0)
        for column in range(coordinates.shape[1]):
            key += (coordinates[row, column] - low[column]) * radix[column]
        keys[row] = key
        ascending &= row == 0 or keys[row - 1] < key
    return keys, ascending


@_compiled
def _unpack(keys, low, radix):
    """The sites ``[N, 1 + D]`` of the keys."""
    coordinates = np.empty((len(keys), len(radix)), np.int32)
    for row in range(len(keys)):
        key = keys[row]
        for column in range(len(radix)):
            digit = key // radix[column]
            coordinates[row, column] = low[column] + digit
            key -= digit * radix[column]
    return coordinates


def _radix(low: Sequence[int], high: Sequence[int], margin: Sequence[int]) -> np.ndarray:
    """What one step along each column adds to a key, columns having room for low..high and a margin.

    Raises ValueError where keys would pass int64.
    """
    extents = [int(b) - int(a) + 1 + int(m) for a, b, m in zip(low, high, margin, strict=True)]
    if math.prod(extents) >= 2**63:
        ranges = ", ".join(f"{int(a)}..{int(b)}" for a, b in zip(low, high, strict=True))
        raise ValueError(
            f"coordinates span {ranges} (batch first): more than 2**63 sites, which no int64 key can number"
        )
    return np.array([math.prod(extents[column + 1 :]) for column in range(len(extents))], np.int64)


def _ranked(coordinates: np.ndarray, margin: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The keys in ascending order, the rows in that order (None: as they are), and the radix."""
    low, high = _limits(coordinates)
    radix = _radix(low, high, [0, *margin])
    keys, ascending = _pack(coordinates, low, radix)
    if ascending:
        return keys, None, radix
    order = np.argsort(keys)
    return keys[order], order.astype(np.int32), radix


def unique_sites(coordinates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(first, inverse)``: the row where each distinct site first appears (ascending), and for every row the position
    of its site in ``first``; int64."""
    low, high = _limits(coordinates)
    keys, ascending = _pack(coordinates, low, _radix(low, high, [0] * len(low)))
    rows = np.arange(len(keys))
    if ascending:
        return rows, rows.copy()
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    new = np.append(True, ranked[1:] != ranked[:-1])
    first = order[new]
    inverse = np.empty_like(rows)
    position = np.empty_like(first)
    position[np.argsort(first)] = np.arange(len(first))
    inverse[order] = position[np.cumsum(new) - 1]
    return np.sort(first), inverse


@_compiled
def _meet(keys, deltas, found):
    """``found[t, r]``: the rank of the key ``keys[r] + deltas[t]``, or -1; returns how many there are for each t."""
    counts = np.zeros(len(deltas), np.int64)
    for tap in range(len(deltas)):
        candidate = np.int64(0)
        for rank in range(len(keys)):
            target = keys[rank] + deltas[tap]
            while candidate < len(keys) and keys[candidate] < target:
                candidate += 1
            hit = candidate < len(keys) and keys[candidate] == target
            found[tap, rank] = candidate if hit else -1
            counts[tap] += hit
    return counts


@_compiled
def _write_submanifold(found, starts, inputs, outputs):
    """The rules of every tap; those of the taps that ``found`` lacks are the mirror image, or the identity."""
    half, taps = len(found), len(starts) - 1
    for tap in range(half):
        rule = starts[tap]
        mirror = starts[taps - 1 - tap]
        for rank in range(found.shape[1]):
            if found[tap, rank] >= 0:
                inputs[rule], outputs[rule] = found[tap, rank], rank
                rule += 1
                if half < taps:
                    inputs[mirror], outputs[mirror] = rank, found[tap, rank]
                    mirror += 1
    if half < taps and taps % 2:
        for rank in range(found.shape[1]):
            inputs[starts[half] + rank] = outputs[starts[half] + rank] = rank


@_compiled
def _ascending(rows, starts):
    """Whether the rows ascend within every tap."""
    for tap in range(len(starts) - 1):
        for rule in range(starts[tap] + 1, starts[tap + 1]):
            if rows[rule - 1] >= rows[rule]:
                return False
    return True


@_compiled
def _sort_within_taps(rows, others, starts, row_count):
    """The rules with each tap's in ascending order of ``rows``, of which a tap has each once at most."""
    sorted_rows, sorted_others = np.empty_like(rows), np.empty_like(others)
    other = np.full(row_count, -1, np.int32)
    for tap in range(len(starts) - 1):
        for rule in range(starts[tap], starts[tap + 1]):
            other[rows[rule]] = others[rule]
        rule = starts[tap]
        for row in range(row_count):
            if other[row] >= 0:
                sorted_rows[rule], sorted_others[rule] = row, other[row]
                other[row] = -1
                rule += 1
    return sorted_rows, sorted_others


def _with_backwards(input_rows: np.ndarray, output_rows: np.ndarray, starts: np.ndarray, input_count: int) -> Rules:
    """The rules, and the rules in ascending order of the input row within each tap."""
    if _ascending(input_rows, starts):
        by_input, outputs = input_rows.copy(), output_rows.copy()
    else:
        by_input, outputs = _sort_within_taps(input_rows, output_rows, starts, input_count)
    return [input_rows, output_rows, _spans(starts), outputs, by_input]


def _spans(starts: np.ndarray) -> np.ndarray:
    return np.stack([starts[:-1], starts[1:]], 1)


def submanifold_rules(coordinates: np.ndarray, offsets: np.ndarray) -> Rules:
    """Rules from the sites ``[N, 1 + D]`` to themselves: tap v joins output u with input ``u + offsets[v]``.

    ``offsets`` is ``[V, D]`` with the last axis fastest. Where offsets mirror each other, half of them are searched.
    """
    taps, count = len(offsets), len(coordinates)
    keys, order, radix = _ranked(coordinates, np.abs(offsets).max(0))
    mirrored = bool((offsets == -offsets[::-1]).all())
    searched = taps // 2 if mirrored else taps
    found = np.empty((searched, count), np.int32)
    counts = _meet(keys, offsets[:searched] @ radix[1:], found)
    if mirrored:
        counts = np.concatenate([counts, [count] * (taps % 2), counts[::-1]])
    starts = np.append(0, np.cumsum(counts)).astype(np.int64)
    input_rows, output_rows = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    _write_submanifold(found, starts, input_rows, output_rows)
    if order is not None:
        output_rows, input_rows = _sort_within_taps(order[output_rows], order[input_rows], starts, count)
    if mirrored:
        return [input_rows, output_rows, _spans(starts)]
    return _with_backwards(input_rows, output_rows, starts, count)


@_compiled
def _forward_digits(column, order, stride, offset, low, high, radix, digits):
    """What a coordinate adds to the key of the output that it reaches: ``(column + offset) / stride``; -1 if none."""
    for rank in range(len(digits)):
        moved = column[order[rank] if len(order) else rank] + offset
        reached = moved // stride
        inside = reached * stride == moved and low <= reached <= high
        digits[rank] = (reached - low) * radix if inside else -1


@_compiled
def _backward_digits(column, order, stride, offset, low, high, radix, digits):
    """The same for ``column * stride + offset``."""
    for rank in range(len(digits)):
        reached = column[order[rank] if len(order) else rank] * stride + offset
        digits[rank] = (reached - low) * radix if low <= reached <= high else -1


@_compiled
def _reach(digits, choices, counts, keys, ranks):
    """Keys of the sites reached by tap after tap, and the ranks they are reached from; returns their number.

    ``choices[v]`` says which rows of ``digits`` tap v adds up. With ``keys`` empty the sites are only counted.
    """
    total = 0
    for tap in range(len(choices)):
        before = total
        for rank in range(digits.shape[1]):
            key = np.int64(0)
            for choice in choices[tap]:
                digit = digits[choice, rank]
                key = -1 if digit < 0 or key < 0 else key + digit
            if key >= 0:
                if len(keys):
                    keys[total], ranks[total] = key, rank
                total += 1
        counts[tap] = total - before
    return total


@_compiled
def _join(reached, keys, starts, rows):
    """``rows[r]``: where the r-th key lies in the ascending ``reached``; keys ascend within a tap."""
    for tap in range(len(starts) - 1):
        row = np.int32(0)
        for rule in range(starts[tap], starts[tap + 1]):
            while reached[row] < keys[rule]:
                row += 1
            rows[rule] = row


def strided_rules(
    coordinates: np.ndarray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> tuple[np.ndarray, Rules]:
    """The sites reached by ``output = (input + padding - dilation * tap) / stride``, in lexicographic order, and the
    rules to them. ``bounds``, if not empty, keeps the outputs in ``0 <= output < bounds``."""
    offsets = [[p - d * k for k in range(n)] for n, p, d in zip(kernel_size, padding, dilation, strict=True)]
    per_axis = (math.ceil(n / (s // math.gcd(s, d))) for n, s, d in zip(kernel_size, stride, dilation, strict=True))
    capacity = len(coordinates) * math.prod(per_axis)
    return _rules_to_reached(coordinates, offsets, stride, bounds, _forward_digits, capacity)


def transposed_rules(
    coordinates: np.ndarray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> tuple[np.ndarray, Rules]:
    """The same for ``output = stride * input + dilation * tap - padding``."""
    offsets = [[d * k - p for k in range(n)] for n, p, d in zip(kernel_size, padding, dilation, strict=True)]
    capacity = len(coordinates) * math.prod(kernel_size)
    return _rules_to_reached(coordinates, offsets, stride, bounds, _backward_digits, capacity)


def _rules_to_reached(
    coordinates: np.ndarray,
    offsets: list[list[int]],
    stride: Sequence[int],
    bounds: Sequence[int],
    digits_of: Callable[..., None],
    capacity: int,
) -> tuple[np.ndarray, Rules]:
    _, order, _ = _ranked(coordinates, [0] * len(stride))
    low, high = (limit.tolist() for limit in _limits(coordinates))
    for axis, (shifts, step) in enumerate(zip(offsets, stride, strict=True), 1):
        ends = [_reached(end, step, min(shifts), max(shifts), digits_of) for end in (low[axis], high[axis])]
        low[axis], high[axis] = ends[0][0], ends[1][1]
        if bounds:
            low[axis], high[axis] = max(low[axis], 0), min(high[axis], bounds[axis - 1] - 1)
        if low[axis] < -(2**31) or high[axis] >= 2**31:
            raise ValueError(
                f"coordinates of axis {axis - 1} would run from {low[axis]} to {high[axis]}; "
                f"allowed is {-(2**31)} to {2**31 - 1}"
            )
    radix = _radix(low, [max(pair) for pair in zip(low, high, strict=True)], [0] * len(low))
    digits, choices = _digits(coordinates, order, offsets, stride, low, high, radix, digits_of)
    counts = np.empty(len(choices), np.int64)
    keys, ranks = np.empty(capacity, np.int64), np.empty(capacity, np.int32)
    total = _reach(digits, choices, counts, keys, ranks)
    keys, ranks = keys[:total], ranks[:total]
    starts = np.append(0, np.cumsum(counts)).astype(np.int64)
    reached = np.unique(keys)
    output_rows = np.empty(total, np.int32)
    _join(reached, keys, starts, output_rows)
    input_rows = ranks.copy() if order is None else order[ranks]
    sites = _unpack(reached, np.array(low, np.int64), radix)
    return sites, _with_backwards(input_rows, output_rows, starts, len(coordinates))


def _reached(end: int, step: int, least: int, most: int, digits_of: Callable[..., None]) -> tuple[int, int]:
    """The least and the greatest coordinate that one coordinate can reach, divisible or not."""
    if digits_of is _forward_digits:
        return (end + least) // step, (end + most) // step
    return end * step + least, end * step + most


def _digits(
    coordinates: np.ndarray,
    order: np.ndarray | None,
    offsets: list[list[int]],
    stride: Sequence[int],
    low: list[int],
    high: list[int],
    radix: np.ndarray,
    digits_of: Callable[..., None],
) -> tuple[np.ndarray, np.ndarray]:
    """The digits of every column and shift, ``[1 + sum of kernel_size, N]``, and which of them make up each tap."""
    rows = np.empty(0, np.int32) if order is None else order
    digits = np.empty((1 + sum(map(len, offsets)), len(coordinates)), np.int64)
    choices, line = [range(1)], 1
    _forward_digits(coordinates[:, 0], rows, 1, 0, low[0], high[0], radix[0], digits[0])
    for axis, shifts in enumerate(offsets, 1):
        choices.append(range(line, line + len(shifts)))
        for shift in shifts:
            geometry = (stride[axis - 1], shift, low[axis], high[axis], radix[axis])
            digits_of(coordinates[:, axis], rows, *geometry, digits[line])
            line += 1
    return digits, np.array(list(itertools.product(*choices)), np.int64)

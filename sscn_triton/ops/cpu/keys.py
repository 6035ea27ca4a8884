"""Functions that pack each site into one int64 key (in lexicographic order), sort keys and find equal sites."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sscn_triton.ops.checks import refuse_beyond_int64
from sscn_triton.ops.cpu.jobs import compiled

Array = np.ndarray
DIGIT = 11  # bits per pass of the radix sort


def check_count(count: int) -> None:
    """Raise ValueError if there are more sites than the row numbers in rules can represent."""
    if count >= 2**31:
        raise ValueError(f"{count} sites: rows are numbered by int32, so at most {2**31 - 1} are possible")


@compiled
def limits(coordinates: Array) -> tuple[Array, Array]:
    """Least and greatest coordinate of every column; zeros if there is no site."""
    rows, columns = coordinates.shape
    low, high = np.empty(columns, np.int64), np.empty(columns, np.int64)
    for column in range(columns):
        low[column] = high[column] = coordinates[0, column] if rows else 0
    for row in range(rows):
        for column in range(columns):
            value = coordinates[row, column]
            low[column] = min(low[column], value)
            high[column] = max(high[column], value)
    return low, high


@compiled
def pack(coordinates: Array, low: Array, radix: Array) -> tuple[Array, bool]:
    """One key per site, and whether the keys ascend."""
    keys = np.empty(len(coordinates), np.int64)
    ascending = True
    for row in range(len(coordinates)):
        key = np.int64(0)
        for column in range(coordinates.shape[1]):
            key += (coordinates[row, column] - low[column]) * radix[column]
        keys[row] = key
        ascending &= row == 0 or keys[row - 1] < key
    return keys, ascending


@compiled
def unpack(keys: Array, low: Array, radix: Array) -> Array:
    """The sites ``[N, 1 + D]`` of the keys."""
    coordinates = np.empty((len(keys), len(radix)), np.int32)
    for row in range(len(keys)):
        key = keys[row]
        for column in range(len(radix)):
            digit = key // radix[column]
            coordinates[row, column] = low[column] + digit
            key -= digit * radix[column]
    return coordinates


def radix_of(low: Sequence[int], high: Sequence[int], margin: Sequence[int]) -> Array:
    """The amount that one step along each column adds to a key; each column has room for low..high and a margin.

    Raises ValueError if keys would overflow int64.
    """
    extents = [int(b) - int(a) + 1 + int(m) for a, b, m in zip(low, high, margin, strict=True)]
    refuse_beyond_int64(low, high, extents)
    return np.array([math.prod(extents[column + 1 :]) for column in range(len(extents))], np.int64)


@compiled
def sort_keys(keys: Array) -> tuple[Array, Array]:
    """The keys in ascending order and the rows they come from, by a radix sort; equal keys keep the order of rows."""
    count, greatest = len(keys), np.int64(0)
    here, spare_keys = np.empty(count, np.int64), np.empty(count, np.int64)
    rows, spare_rows = np.empty(count, np.int32), np.empty(count, np.int32)
    for row in range(count):
        here[row], rows[row] = keys[row], row
        greatest = max(greatest, keys[row])
    ends, shift = np.empty((1 << DIGIT) + 1, np.int64), np.int64(0)
    while shift < 63 and greatest >> shift:  # a shift by 64 or more is not defined
        for digit in range(len(ends)):
            ends[digit] = 0
        for key in here:
            ends[((key >> shift) & ((1 << DIGIT) - 1)) + 1] += 1
        for digit in range(1 << DIGIT):
            ends[digit + 1] += ends[digit]
        for i in range(count):
            digit = (here[i] >> shift) & ((1 << DIGIT) - 1)
            spare_keys[ends[digit]], spare_rows[ends[digit]] = here[i], rows[i]
            ends[digit] += 1
        here, spare_keys, rows, spare_rows = spare_keys, here, spare_rows, rows
        shift += DIGIT
    return here, rows


def ranked(coordinates: Array, margin: Sequence[int]) -> tuple[Array, Array, Array]:
    """The keys of distinct sites in ascending order, the rows (int32) they come from, and the radix."""
    check_count(len(coordinates))
    low, high = limits(coordinates)
    radix = radix_of(low, high, margin)
    keys, ascending = pack(coordinates, low, radix)
    if ascending:
        return keys, np.arange(len(keys), dtype=np.int32), radix
    keys, rows = sort_keys(keys)
    if (keys[1:] == keys[:-1]).any():
        raise ValueError("coordinates hold duplicate sites; merge them with SparseTensor.from_points")
    return keys, rows, radix


@compiled
def distinct(keys: Array) -> Array:
    """The distinct keys among ascending keys."""
    found, count = np.empty(len(keys), np.int64), 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            found[count] = keys[i]
            count += 1
    return found[:count].copy()


def unique_sites(coordinates: Array) -> tuple[Array, Array]:
    """``(first, inverse)``: the row of each distinct site's first appearance (ascending), and every row's position of
    its site in ``first``; int64."""
    check_count(len(coordinates))
    low, high = limits(coordinates)
    keys, ascending = pack(coordinates, low, radix_of(low, high, [0] * len(low)))
    if not ascending:
        keys, rows = sort_keys(keys)
        new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        if not new.all():
            return _numbered(rows, new)
    return np.arange(len(keys)), np.arange(len(keys))


def _numbered(rows: Array, new: Array) -> tuple[Array, Array]:
    """`unique_sites` of rows sorted by key; ``new`` marks each row whose key differs from the one before."""
    starting = rows[new].astype(np.int64)
    first = np.sort(starting)
    inverse = np.empty(len(rows), np.int64)
    inverse[rows] = np.searchsorted(first, starting)[np.cumsum(new) - 1]
    return first, inverse

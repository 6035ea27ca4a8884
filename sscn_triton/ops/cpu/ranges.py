"""Rules on the CPU as kernels read them: checks of row numbers, and parts of equal work.

Only compiled code calls these functions. ``rows`` are int32, ascending within each span; ``spans`` are ``[V, 2]``.
"""

from __future__ import annotations

import numpy as np

from sscn_triton.ops.cpu.jobs import inner

Array = np.ndarray


@inner
def from_to(rows: Array, start: int, stop: int, low: int, high: int) -> bool:
    """Whether all of the rows start:stop are from low to high - 1.

    The unsigned loop variable spares Numba the test for negative indices, so that the loop becomes vector code.
    """
    reach, furthest = np.uint32(high - low), np.uint32(0)
    for place in range(np.uint64(start), np.uint64(stop)):
        furthest = max(furthest, np.uint32(rows[place] - np.int32(low)))
    return furthest < reach


@inner
def are_spans(spans: Array, rules: int) -> bool:
    """Whether the spans cut `rules` rules into consecutive parts."""
    cut = True
    for start, stop in spans:
        cut &= 0 <= start <= stop <= rules
    return cut


@inner
def first_at_least(rows: Array, start: int, stop: int, bound: int) -> int:
    """The first position in the ascending rows start:stop with a row of at least ``bound``."""
    while start < stop:
        middle = (start + stop) // 2
        if rows[middle] < bound:
            start = middle + 1
        else:
            stop = middle
    return start


@inner
def split_row(outputs: Array, spans: Array, row_count: int, part: int, parts: int) -> int:
    """The row where a part begins if all parts have about the same number of rules."""
    if part == parts:
        return row_count
    low, high = 0, row_count
    while low < high:
        middle = (low + high) // 2
        below = 0
        for start, stop in spans:
            below += first_at_least(outputs, start, stop, middle) - start
        if below * parts < len(outputs) * part:
            low = middle + 1
        else:
            high = middle
    return low

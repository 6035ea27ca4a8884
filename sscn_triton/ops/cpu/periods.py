"""Values per channel, repeated for several rows, so that the inner loops of norms are long.

Only compiled code calls these functions. A period is ``[rows, C]``.
"""

from __future__ import annotations

import numpy as np

from sscn_triton.ops.cpu.jobs import inner

Array = np.ndarray


@inner
def repeat(values: Array, otherwise: float, into: Array) -> None:
    """Fill the rows of ``into`` with the values or, if there are none, with the number ``otherwise``."""
    for row in range(into.shape[0]):
        for channel in range(into.shape[1]):
            into[row, channel] = values[channel] if len(values) else otherwise


@inner
def set_to_zero(numbers: Array) -> None:
    for place in range(len(numbers)):
        numbers[place] = 0


@inner
def fold(sums: Array) -> None:
    """Add the other rows of `sums` to its first row."""
    for row in range(1, sums.shape[0]):
        for channel in range(sums.shape[1]):
            sums[0, channel] += sums[row, channel]


@inner
def repeat_norm(repeated: Array, mean: Array, variance: Array, weight: Array, eps: float) -> None:
    """Fill ``repeated`` with the numbers to normalise by: rows of mean, reciprocal deviation and weight."""
    repeat(mean, 0.0, repeated[0])
    repeat(variance, 0.0, repeated[1])
    for row in range(repeated.shape[1]):
        for channel in range(repeated.shape[2]):
            repeated[1, row, channel] = 1 / np.sqrt(repeated[1, row, channel] + eps)
    repeat(weight, 1.0, repeated[2])

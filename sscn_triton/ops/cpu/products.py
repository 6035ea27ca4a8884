"""Products of gathered rows with a block of the weight, for any number of channels, split into tiles.

Only compiled code calls these functions. ``strips`` are the addresses that `write_product_strips` or
`write_outer_strips` wrote. ``x`` and ``y`` are ``[rows, channels]``, ``w`` is ``[blocks, in, out]``, and a block uses
the columns of x and y that begin at ``x_column`` and ``y_column``. A rule joins a row of ``inputs`` to a row of
``outputs``.
"""

from __future__ import annotations

import numpy as np

from sscn_triton.ops.cpu.jobs import inner
from sscn_triton.ops.cpu.microkernel import HALF_BYTES, MAX_VECTORS, VECTOR_BYTES, add_outer_strip, multiply_strip

Array = np.ndarray


@inner
def _strip(channels: int, itemsize: int) -> tuple[int, int]:
    """The place in `STRIPS` of the best strip for the first of these channels, and its number of channels."""
    full = channels * itemsize // VECTOR_BYTES
    if full:
        strips = (full + MAX_VECTORS - 1) // MAX_VECTORS
        vectors = (full + strips - 1) // strips
        return 1 + vectors, vectors * VECTOR_BYTES // itemsize
    if channels * itemsize >= HALF_BYTES:
        return 1, HALF_BYTES // itemsize
    return 0, 1


@inner
def multiply(
    strips: Array, x: Array, x_column: int, w: Array, block: int, y: Array, y_column: int,
    inputs: Array, outputs: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """``y[o] += x[i] w[block]`` for the rules start:stop."""
    j = 0
    while j < w.shape[2]:
        strip, width = _strip(w.shape[2] - j, y.itemsize)
        multiply_strip(strips[strip], x, x_column, w, block, j, y, y_column, inputs, outputs, start, stop)
        j += width


@inner
def add_outer(
    strips: Array, x: Array, x_column: int, g: Array, g_column: int, w: Array, block: int, first: int, last: int,
    inputs: Array, outputs: Array, start: int, stop: int,
) -> None:  # fmt: skip
    """``w[block] += x[i]^T g[o]`` for the rules start:stop and the rows first:last of the block."""
    j = 0
    while j < w.shape[2]:
        strip, width = _strip(w.shape[2] - j, g.itemsize)
        add_outer_strip(strips[strip], x, x_column, g, g_column, w, block, first, last, j, inputs, outputs, start, stop)
        j += width

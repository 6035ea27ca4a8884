"""Products of gathered rows with a block of the weight, for any number of channels, split into tiles.

Only compiled code calls these functions. ``x`` and ``y`` are ``[rows, channels]``, ``w`` is ``[blocks, in, out]``, and
a block uses the columns of x and y that begin at ``x_column`` and ``y_column``. ``rules`` are (input rows, output
rows).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sscn_triton.ops.cpu.jobs import inlined, inner
from sscn_triton.ops.cpu.microkernel import (
    HALF_BYTES,
    MAX_VECTORS,
    VECTOR_BYTES,
    multiply_tile,
    outer_rows,
    outer_tile,
    product_rows,
)

Array = np.ndarray
Rules = tuple[Array, Array]


def _product_strip(vectors: int, nbytes: int) -> Callable[..., None]:
    rows = product_rows(vectors)

    @inner
    def strip(
        x: Array, x_column: int, w: Array, block: int, j: int, y: Array, y_column: int, rules: Rules, r: int, stop: int
    ) -> None:
        inputs, outputs = rules
        while r + rows <= stop:
            multiply_tile(rows, vectors, nbytes, x, x_column, w, block, j, y, y_column + j, inputs, outputs, r)
            r += rows
        while r < stop:
            multiply_tile(1, vectors, nbytes, x, x_column, w, block, j, y, y_column + j, inputs, outputs, r)
            r += 1

    return strip


def _outer_strip(vectors: int, nbytes: int) -> Callable[..., None]:
    rows = outer_rows(vectors)

    @inner
    def strip(
        x: Array, x_column: int, g: Array, g_column: int, w: Array, block: int, i: int, last: int, j: int,
        rules: Rules, start: int, stop: int,
    ) -> None:  # fmt: skip
        inputs, outputs = rules
        g_column += j
        while i + rows <= last:
            outer_tile(
                rows, vectors, nbytes, x, x_column + i, g, g_column, w, block, i, j, inputs, outputs, start, stop
            )
            i += rows
        while i < last:
            outer_tile(1, vectors, nbytes, x, x_column + i, g, g_column, w, block, i, j, inputs, outputs, start, stop)
            i += 1

    return strip


# A tile that is too wide for the registers is never chosen, so nothing is compiled for it.
_product1, _product2, _product3 = (_product_strip(n, VECTOR_BYTES) for n in (1, 2, 3))
_product4, _product5 = (_product_strip(n, VECTOR_BYTES) if n <= MAX_VECTORS else _product3 for n in (4, 5))
_product_narrow, _product_single = _product_strip(1, HALF_BYTES), _product_strip(1, 0)
_outer1, _outer2, _outer3 = (_outer_strip(n, VECTOR_BYTES) for n in (1, 2, 3))
_outer4, _outer5 = (_outer_strip(n, VECTOR_BYTES) if n <= MAX_VECTORS else _outer3 for n in (4, 5))
_outer_narrow, _outer_single = _outer_strip(1, HALF_BYTES), _outer_strip(1, 0)


@inner
def _strip(channels: int, itemsize: int) -> tuple[int, int]:
    """The best tile for the first of these channels: its number of vectors (0: one narrow vector, -1: one number), and
    its number of channels."""
    full = channels * itemsize // VECTOR_BYTES
    if full:
        strips = (full + MAX_VECTORS - 1) // MAX_VECTORS
        vectors = (full + strips - 1) // strips
        return vectors, vectors * VECTOR_BYTES // itemsize
    if channels * itemsize >= HALF_BYTES:
        return 0, HALF_BYTES // itemsize
    return -1, 1


@inlined
def multiply(
    x: Array, x_column: int, w: Array, block: int, y: Array, y_column: int, rules: Rules, start: int, stop: int
) -> None:
    """``y[o] += x[i] w[block]`` for the rules start:stop."""
    j = np.int64(0)
    while j < w.shape[2]:
        vectors, width = _strip(w.shape[2] - j, y.itemsize)
        if vectors == 1:
            _product1(x, x_column, w, block, j, y, y_column, rules, start, stop)
        elif vectors == 2:
            _product2(x, x_column, w, block, j, y, y_column, rules, start, stop)
        elif vectors == 3:
            _product3(x, x_column, w, block, j, y, y_column, rules, start, stop)
        elif vectors == 4:
            _product4(x, x_column, w, block, j, y, y_column, rules, start, stop)
        elif vectors == 5:
            _product5(x, x_column, w, block, j, y, y_column, rules, start, stop)
        elif vectors == 0:
            _product_narrow(x, x_column, w, block, j, y, y_column, rules, start, stop)
        else:
            _product_single(x, x_column, w, block, j, y, y_column, rules, start, stop)
        j += width


@inlined
def add_outer(
    x: Array, x_column: int, g: Array, g_column: int, w: Array, block: int, first: int, last: int,
    rules: Rules, start: int, stop: int,
) -> None:  # fmt: skip
    """``w[block] += x[i]^T g[o]`` for the rules start:stop and the rows first:last of the block."""
    j = np.int64(0)
    while j < w.shape[2]:
        vectors, width = _strip(w.shape[2] - j, g.itemsize)
        if vectors == 1:
            _outer1(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        elif vectors == 2:
            _outer2(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        elif vectors == 3:
            _outer3(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        elif vectors == 4:
            _outer4(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        elif vectors == 5:
            _outer5(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        elif vectors == 0:
            _outer_narrow(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        else:
            _outer_single(x, x_column, g, g_column, w, block, first, last, j, rules, start, stop)
        j += width

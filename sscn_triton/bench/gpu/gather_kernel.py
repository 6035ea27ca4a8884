"""A kernel that only sums named rows, which measures how fast a device gathers."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.triton.launch import ceil_div, launch

ROWS = 64


@triton.jit(do_not_specialize=["count"])
def gather_kernel(rows, table, output, count, TAPS: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    """``output[p] = sum over t of rows[table[t, p]]``: rows ``[N, WIDTH]``, table ``[TAPS, count]`` int32, output
    ``[count, WIDTH]``."""
    position = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    inside = position < count
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for tap in range(TAPS):
        row = tl.load(table + tap * count + position, mask=inside, other=0)
        total += tl.load(rows + row[:, None] * WIDTH + column, mask=inside[:, None], other=0).to(tl.float32)
    place = position[:, None] * WIDTH + column
    tl.store(output + place, total.to(output.dtype.element_ty), mask=inside[:, None])


def sum_rows(rows: Tensor, table: Tensor, output: Tensor) -> None:
    """``output[p] = sum over t of rows[table[t, p]]``: ``[N, C]``, C a power of two, and int32 ``[T, P]``."""
    taps, count = table.shape
    launch(
        gather_kernel, (ceil_div(count, ROWS),), rows=rows, table=table, output=output, count=count, TAPS=taps,
        WIDTH=rows.shape[1], ROWS=ROWS,
    )  # fmt: skip

"""The layout of a rulebook for the kernels (`sscn_triton.ops.rules.TableRules`): one reading in each direction.

The weight gradient uses the rules themselves, the convolution uses the reading from inputs to outputs, and its input
gradient uses the reading from outputs to inputs.

A reading lists the sites it writes in an order that puts rows with the same active taps together, so that a tile of
consecutive positions can skip the taps that none of its rows has:

    table  ``[V, N]`` int32: the row to read at each tap for the site at each position, -1 if there is none
    order  ``[N]`` int32: the row to write for each position
    masks  ``[words, units]`` int64: which taps are active in each unit of UNIT positions, WORD taps per word

If one reading is the other with its taps reversed (a submanifold convolution whose taps lie opposite each other), it is
left empty.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.rules import Reading
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, launch

UNIT = 16  # positions that share a mask: the minimum number of rows of a matrix instruction
WORD = 63  # taps in a word of a mask
UNITS = 128  # units per program of the kernel that makes masks


@triton.jit
def table_place(rows, BLOCK: tl.constexpr):
    """Flat position, tap and row of the program's elements of a table ``[V, rows]``."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return place, place // rows, place % rows


@triton.jit(do_not_specialize=["size"])
def count_kernel(table, counts, size, BLOCK: tl.constexpr):
    """``counts[block]``: how many entries of a block name a row; table ``[size]`` int32, counts ``[blocks]`` int64."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    active = tl.load(table + place, mask=place < size, other=-1) >= 0
    tl.store(counts + tl.program_id(0), tl.sum(active.to(tl.int64)))


@triton.jit(do_not_specialize=["size", "rows"])
def fill_kernel(table, ends, input_rows, output_rows, spans, size, rows, BLOCK: tl.constexpr):
    """Write the table's entries that name a row, in their order, and the span of each tap's entries.

    table ``[V, rows]`` int32 has ``size`` entries; ends ``[blocks]`` int64 is the cumulative number of named rows at
    the end of each block; input_rows and output_rows ``[rules]`` int32, spans ``[V, 2]`` int64.
    """
    place, tap, row = table_place(rows, BLOCK)
    found = tl.load(table + place, mask=place < size, other=-1)
    active = (found >= 0).to(tl.int64)
    after = tl.load(ends + tl.program_id(0)) - tl.sum(active) + tl.cumsum(active)
    rule = after - active
    tl.store(input_rows + rule, found, mask=active > 0)
    tl.store(output_rows + rule, row.to(tl.int32), mask=active > 0)
    tl.store(spans + 2 * tap, rule, mask=(row == 0) & (place < size))
    tl.store(spans + 2 * tap + 1, after, mask=(row == rows - 1) & (place < size))


@triton.jit(do_not_specialize=["size", "rows", "columns"])
def transpose_kernel(table, transposed, size, rows, columns, BLOCK: tl.constexpr):
    """``transposed[tap, table[tap, row]] = row``: table ``[V, rows]``, transposed ``[V, columns]``, both int32."""
    place, tap, row = table_place(rows, BLOCK)
    found = tl.load(table + place, mask=place < size, other=-1)
    tl.store(transposed + tap * columns + found, row.to(tl.int32), mask=found >= 0)


@triton.jit(do_not_specialize=["size", "rows"])
def arrange_kernel(table, order, arranged, size, rows, BLOCK: tl.constexpr):
    """``arranged[tap, p] = table[tap, order[p]]``: table and arranged ``[V, rows]``, order ``[rows]``, all int32."""
    place, tap, position = table_place(rows, BLOCK)
    row = tl.load(order + position, mask=place < size, other=0)
    found = tl.load(table + tap * rows + row, mask=place < size, other=-1)
    tl.store(arranged + place, found, mask=place < size)


@triton.jit(do_not_specialize=["rows"])
def row_masks_kernel(table, masks, rows, TAPS: tl.constexpr, WORD: tl.constexpr, BLOCK: tl.constexpr):
    """The taps at which each row names another: table ``[TAPS, rows]`` int32, masks ``[words, rows]`` int64."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    word = tl.program_id(1).to(tl.int64)
    mask = tl.zeros([BLOCK], tl.int64)
    for bit in range(tl.minimum(WORD, TAPS - word * WORD).to(tl.int32)):
        found = tl.load(table + (word * WORD + bit) * rows + row, mask=row < rows, other=-1)
        mask |= (found >= 0).to(tl.int64) << bit
    tl.store(masks + word * rows + row, mask, mask=row < rows)


@triton.jit(do_not_specialize=["word", "rows"])
def gray_rank_kernel(masks, ranks, word, rows, BLOCK: tl.constexpr):
    """The place of each mask in a Gray code, in which neighbours differ by one bit.

    masks ``[words, rows]`` int64, of which one word is read; ranks ``[rows]`` int64.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    rank = tl.load(masks + word * rows + row, mask=row < rows, other=0)
    for power in tl.static_range(6):
        rank ^= rank >> (1 << power)
    tl.store(ranks + row, rank, mask=row < rows)


@triton.jit(do_not_specialize=["rows", "units"])
def unit_masks_kernel(row_masks, order, masks, rows, units, UNIT: tl.constexpr, BLOCK: tl.constexpr):
    """The taps that are active in each unit: row_masks ``[words, rows]`` and masks ``[words, units]`` int64, order
    ``[rows]`` int32."""
    unit = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    word = tl.program_id(1).to(tl.int64)
    mask = tl.zeros([BLOCK], tl.int64)
    for position in tl.static_range(UNIT):
        inside = unit * UNIT + position < rows
        row = tl.load(order + unit * UNIT + position, mask=inside, other=0)
        mask |= tl.load(row_masks + word * rows + row, mask=inside, other=0)
    tl.store(masks + word * units + unit, mask, mask=unit < units)


def rule_ends(table: Tensor) -> Tensor:
    """The cumulative number of entries of a table ``[V, N]`` that name a row, at the end of each block and in total."""
    blocks = ceil_div(table.numel(), BLOCK)
    counts = torch.zeros(blocks + 1, dtype=torch.int64, device=table.device)
    launch(count_kernel, (blocks,), table=table, counts=counts, size=table.numel(), BLOCK=BLOCK)
    return counts.cumsum(0)


def pairs(table: Tensor, ends: Tensor, rule_count: int) -> tuple[Tensor, Tensor, Tensor]:
    """``(input_rows, output_rows, spans)`` of a table in the order of its rows."""
    taps, rows = table.shape
    input_rows, output_rows = table.new_empty(rule_count), table.new_empty(rule_count)
    spans = torch.zeros(taps, 2, dtype=torch.int64, device=table.device)
    launch(
        fill_kernel, (ceil_div(table.numel(), BLOCK),), table=table, ends=ends, input_rows=input_rows,
        output_rows=output_rows, spans=spans, size=table.numel(), rows=rows, BLOCK=BLOCK,
    )  # fmt: skip
    return input_rows, output_rows, spans


def transposed_table(table: Tensor, columns: int) -> Tensor:
    """``[V, columns]``: for each tap and each row that the table names, the column that names it."""
    taps, rows = table.shape
    transposed = table.new_full((taps, columns), -1)
    launch(
        transpose_kernel, (ceil_div(table.numel(), BLOCK),), table=table, transposed=transposed, size=table.numel(),
        rows=rows, columns=columns, BLOCK=BLOCK,
    )  # fmt: skip
    return transposed


def reading(table: Tensor) -> list[Tensor]:
    """``[table, order, masks]`` from a table in the order of its rows."""
    taps, rows = table.shape
    words, blocks = ceil_div(taps, WORD), ceil_div(rows, BLOCK)
    row_masks = torch.empty(words, rows, dtype=torch.int64, device=table.device)
    launch(
        row_masks_kernel, (blocks, words), table=table, masks=row_masks, rows=rows, TAPS=taps, WORD=WORD, BLOCK=BLOCK
    )  # fmt: skip
    ranks = torch.empty_like(row_masks[0])
    launch(gray_rank_kernel, (blocks,), masks=row_masks, ranks=ranks, word=words // 2, rows=rows, BLOCK=BLOCK)
    order = torch.sort(ranks, stable=True).indices.int()
    arranged, units = torch.empty_like(table), ceil_div(rows, UNIT)
    launch(
        arrange_kernel, (ceil_div(table.numel(), BLOCK),), table=table, order=order, arranged=arranged,
        size=table.numel(), rows=rows, BLOCK=BLOCK,
    )  # fmt: skip
    masks = row_masks.new_empty(words, units)
    launch(
        unit_masks_kernel, (ceil_div(units, UNITS), words), row_masks=row_masks, order=order, masks=masks, rows=rows,
        units=units, UNIT=UNIT, BLOCK=UNITS,
    )  # fmt: skip
    return [arranged, order, masks]


def reading_arguments(reading: Reading) -> dict[str, Any]:
    """A reading as the arguments of a kernel that iterates over the taps of a tile."""
    taps, (_, units) = reading.table.shape[0], reading.masks.shape
    return {
        "table": reading.table, "order": reading.order, "masks": reading.masks, "units": units, "TAPS": taps,
        "UNIT": UNIT, "WORD": WORD,
    }  # fmt: skip


def no_reading(device: torch.device) -> list[Tensor]:
    """The empty placeholder for a reading that is the other one with its taps reversed."""
    shapes = (((0, 0), torch.int32), ((0,), torch.int32), ((0, 0), torch.int64))
    return [torch.empty(shape, dtype=dtype, device=device) for shape, dtype in shapes]


def rows_or_zero(features: Tensor, rows: Tensor) -> Tensor:
    """The rows that a line of a table names; zeros for entries that name no existing row."""
    if not features.shape[0]:
        return features.new_zeros(rows.shape[0], features.shape[1])
    there = (rows >= 0) & (rows < features.shape[0])
    return features[rows.where(there, 0)].masked_fill(~there[:, None], 0)

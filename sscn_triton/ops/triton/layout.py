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
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, launch, power_of_two

UNIT = 16  # positions that share a mask: the minimum number of rows of a matrix instruction
WORD = 63  # taps in a word of a mask
POSITIONS = 64  # rows per program of the kernels that make a reading


@triton.jit
def table_place(rows, BLOCK: tl.constexpr):
    """Flat position (int64), tap (int32) and row (int64) of the program's elements of a table ``[V, rows]``.

    One division of 64 bits finds the program's first element; those of its other elements have 32 bits.
    """
    first = tl.program_id(0).to(tl.int64) * BLOCK
    tap = first // rows
    count = rows.to(tl.uint32)
    row = (first - tap * rows).to(tl.uint32) + tl.arange(0, BLOCK).to(tl.uint32)
    return first + tl.arange(0, BLOCK), (tap + row // count).to(tl.int32), (row % count).to(tl.int64)


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
    tl.store(transposed + tap.to(tl.int64) * columns + found, row.to(tl.int32), mask=found >= 0)


@triton.jit
def load_word(table, row, inside, rows, word, TAPS: tl.constexpr, WORD: tl.constexpr, LANES: tl.constexpr):
    """The entries of a block of rows at the taps of one word, ``[LANES, rows of the block]``, -1 where there is none.

    Also returns the bit of each lane, where its line begins in the table, and which entries exist.
    """
    lane = tl.arange(0, LANES).to(tl.int64)
    tap = word * WORD + lane
    line = (tap * rows)[:, None]
    there = ((lane < WORD) & (tap < TAPS))[:, None] & inside
    return tl.load(table + line + row, mask=there, other=-1), lane[:, None], line, there


@triton.jit(do_not_specialize=["word", "rows"])
def gray_rank_kernel(
    table, ranks, word, rows, TAPS: tl.constexpr, WORD: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr
):
    """The place of each row's mask in a Gray code, in which neighbours differ by one bit.

    table ``[TAPS, rows]`` int32, of which the taps of one word are read; ranks ``[rows]`` int64.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    found, bit, _, _ = load_word(table, row, row < rows, rows, word, TAPS, WORD, LANES)
    rank = tl.sum((found >= 0).to(tl.int64) << bit, 0)
    for power in tl.static_range(6):
        rank ^= rank >> (1 << power)
    tl.store(ranks + row, rank, mask=row < rows)


@triton.jit(do_not_specialize=["rows", "units"])
def arrange_kernel(
    table, ranked, arranged, order, masks, rows, units, TAPS: tl.constexpr, WORD: tl.constexpr, LANES: tl.constexpr,
    UNIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``arranged[tap, p] = table[tap, ranked[p]]``, and the taps that are active in each unit.

    table and arranged ``[TAPS, rows]`` int32; ranked ``[rows]`` int64, order ``[rows]`` int32 with the same numbers;
    masks ``[words, units]`` int64.
    """
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    word = tl.program_id(1).to(tl.int64)
    inside = position < rows
    row = tl.load(ranked + position, mask=inside, other=0)
    if word == 0:
        tl.store(order + position, row.to(tl.int32), mask=inside)
    found, bit, line, there = load_word(table, row, inside, rows, word, TAPS, WORD, LANES)
    tl.store(arranged + line + position, found, mask=there)
    active = tl.max(tl.reshape((found >= 0).to(tl.int32), [LANES, BLOCK // UNIT, UNIT]), 2)
    unit = tl.program_id(0).to(tl.int64) * (BLOCK // UNIT) + tl.arange(0, BLOCK // UNIT)
    tl.store(masks + word * units + unit, tl.sum(active.to(tl.int64) << bit, 0), mask=unit < units)


def rule_ends(table: Tensor) -> Tensor:
    """The cumulative number of entries of a table ``[V, N]`` that name a row, at the end of each block; the last one is
    the total, also for an empty table."""
    blocks = ceil_div(table.numel(), BLOCK)
    counts = torch.empty(blocks, dtype=torch.int64, device=table.device) if blocks else table.new_zeros(1)
    launch(count_kernel, (blocks,), table=table, counts=counts, size=table.numel(), BLOCK=BLOCK)
    return counts.cumsum(0)


def pairs(table: Tensor, ends: Tensor, rule_count: int) -> tuple[Tensor, Tensor, Tensor]:
    """``(input_rows, output_rows, spans)`` of a table in the order of its rows."""
    taps, rows = table.shape
    input_rows, output_rows = table.new_empty(rule_count), table.new_empty(rule_count)
    make = torch.empty if rows else torch.zeros  # the kernel writes every span if there is a row
    spans = make(taps, 2, dtype=torch.int64, device=table.device)
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
    words, units, blocks = ceil_div(taps, WORD), ceil_div(rows, UNIT), ceil_div(rows, POSITIONS)
    shape = {"rows": rows, "TAPS": taps, "WORD": WORD, "LANES": power_of_two(min(taps, WORD)), "BLOCK": POSITIONS}
    ranks = torch.empty(rows, dtype=torch.int64, device=table.device)
    launch(gray_rank_kernel, (blocks,), table=table, ranks=ranks, word=words // 2, **shape)
    ranked = torch.sort(ranks, stable=True).indices
    arranged, order, masks = torch.empty_like(table), table.new_empty(rows), ranks.new_empty(words, units)
    launch(
        arrange_kernel, (blocks, words), table=table, ranked=ranked, arranged=arranged, order=order, masks=masks,
        units=units, UNIT=UNIT, **shape,
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

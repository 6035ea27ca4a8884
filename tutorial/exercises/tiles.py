"""Exercises of chapter 13: tiles by hand, a sort key, skipped taps, partial sums."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from meter import Meter
from sscn_ref import submanifold_rulebook

from checker import Share, check, check_numbers
from exercises.puzzles import BLOCK, judge, numbers, programs

LINE = (0, 2, 3, 4, 6, 8, 9, 11)
"""The sites of exercise 1."""


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (75, 19, 2025))


def check_reckoned(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check exercise 1: tiles of four rows, segments of two rules."""
    table = table_of([(site,) for site in LINE])
    rules = table >= 0
    masks = bits(table)
    walked = [4 * len(np.unique(np.nonzero(rules[:, a : a + 4])[0])) for a in (0, 4)]
    best = rows_multiplied(masks[np.argsort(masks)], 4)
    parts = sum(-(-int(count) // 2) for count in rules.sum(axis=1))
    total = int(rules.sum())
    wanted = total, table.size, sum(walked), best, Share(1 - total / best), parts
    check_numbers(answer, wanted)


def check_ordered(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `ordered(table)`; print the score of its last order."""
    tables = [
        np.array([[-1, -1, 1], [0, 1, 2], [1, -1, -1]]),
        np.array([[0, -1, 1, -1, 2, 3], [-1, 4, -1, 5, -1, -1]]),
        table_of([(site,) for site in LINE]),
        table_of(cloud(200, 60), kernel_size=7),
        table_of(cloud(400, 32)),
    ]
    orders: list[np.ndarray] = []
    failed: list[str] = []

    def explain(table: np.ndarray, got: Any) -> str:
        orders.append(np.asarray(got))
        failed.append(explain_order(table, got))
        return failed[-1]

    cases = [{"table": table} for table in tables]
    check(answer, lambda table: table, cases, explain)
    if len(failed) == len(tables) and not any(failed):
        masks = bits(tables[-1])
        before, after = (rows_multiplied(m, BLOCK) for m in (masks, masks[orders[-1]]))
        print(f"     score: {after} rows multiplied, {before} unsorted")


def explain_order(table: np.ndarray, got: Any) -> str:
    """Say what is wrong with an order of a table's columns; "" for a right one."""
    rows = table.shape[1]
    got = np.asarray(got)
    if got.shape != (rows,):
        return f"    should return an array of {rows} row numbers"
    if got.dtype.kind not in "iu" or sorted(got.tolist()) != list(range(rows)):
        return "    every row should occur exactly once in the order"
    last: dict[bytes, tuple[int, int]] = {}
    there = table >= 0
    for place, row in enumerate(got.tolist()):
        before = last.get(there[:, row].tobytes())
        if before:
            alike = f"    rows {before[1]} and {row} have the same taps"
            if before[0] != place - 1:
                return f"{alike}, but other rows are between them"
            if before[1] > row:
                return f"{alike}, so they should keep their original order"
        last[there[:, row].tobytes()] = place, row
    return ""


def check_tiled(kernel: Any) -> None:
    """Check the kernel of exercise 3, which processes only the taps of its tile."""

    def launch(
        k: Any,
        h: torch.Tensor,
        f: torch.Tensor,
        weight: torch.Tensor,
        table: torch.Tensor,
        order: torch.Tensor,
        masks: torch.Tensor,
    ) -> None:
        taps, n = table.shape
        options = {"V": taps, "C": 16, "BLOCK": BLOCK}
        k[programs(n)](f, weight, table, order, masks, h, n, **options)

    def expected(
        f: np.ndarray,
        weight: np.ndarray,
        table: np.ndarray,
        order: np.ndarray,
        masks: np.ndarray,
    ) -> np.ndarray:
        gathered = np.where(table[..., np.newaxis] >= 0, f[table], 0)
        h = np.empty_like(f)
        h[order] = (gathered @ weight).sum(axis=0)
        return h

    def faults(
        meter: Meter,
        h: torch.Tensor,
        weight: torch.Tensor,
        masks: torch.Tensor,
        **others: torch.Tensor,
    ) -> str:
        loaded = meter.loaded(weight).sum(axis=(1, 2)) // 16**2
        for tap, count in enumerate(loaded.tolist()):
            tiles = int(((masks >> tap) & 1).sum())
            if count > tiles:
                loads = f"    {count} programs load the matrix of tap {tap}"
                return f"{loads}; {tiles} of {len(masks)} tiles have that tap"
        return written_once(meter, h)

    def least(
        f: np.ndarray,
        weight: np.ndarray,
        table: np.ndarray,
        order: np.ndarray,
        masks: np.ndarray,
    ) -> int:
        entries = 0
        for tile, mask in enumerate(masks.tolist()):
            width = table[:, tile * BLOCK : (tile + 1) * BLOCK].shape[1]
            entries += mask.bit_count() * (width + weight[0].size)
        return entries + masks.size + order.size + int((table >= 0).sum()) * 16 + f.size

    cases = []
    for points, edge in ((16, 40), (5, 2), (45, 40), (60, 14)):
        table = table_of(cloud(points, edge))
        masks = bits(table)
        order = np.argsort(masks, kind="stable")
        arranged = np.ascontiguousarray(table[:, order])
        tiles = [np.bitwise_or.reduce(part) for part in in_tiles(masks[order], BLOCK)]
        case = {"f": numbers(table.shape[1], 16), "weight": numbers(9, 16, 16)}
        case |= {"table": arranged, "order": order, "masks": np.array(tiles)}
        cases.append(case)
    judge(kernel, cases, expected, launch, least, faults)


def check_partial_sums(kernel: Any) -> None:
    """Check the kernel of exercise 4: one partial weight gradient per segment."""

    def expected(
        f: np.ndarray,
        g: np.ndarray,
        rows_in: np.ndarray,
        rows_out: np.ndarray,
        bounds: np.ndarray,
    ) -> np.ndarray:
        return np.array([f[rows_in[a:b]].T @ g[rows_out[a:b]] for a, b in bounds])

    def launch(
        k: Any,
        h: torch.Tensor,
        f: torch.Tensor,
        g: torch.Tensor,
        rows_in: torch.Tensor,
        rows_out: torch.Tensor,
        bounds: torch.Tensor,
    ) -> None:
        k[(len(bounds),)](f, g, rows_in, rows_out, bounds, h, C=16, BLOCK=BLOCK)

    def faults(meter: Meter, h: torch.Tensor, **case: torch.Tensor) -> str:
        if meter.loaded(h).any():
            return "    partial sums are loaded while other programs may write them"
        return written_once(meter, h)

    def least(
        f: np.ndarray,
        g: np.ndarray,
        rows_in: np.ndarray,
        rows_out: np.ndarray,
        bounds: np.ndarray,
    ) -> int:
        return bounds.size + len(rows_in) * (2 + 2 * 16) + len(bounds) * 16**2

    cases = []
    for points, edge, segment in ((16, 4, 16), (9, 4, 16), (45, 7, 48)):
        book = submanifold_rulebook(np.insert(cloud(points, edge), 0, 0, axis=1), 3)
        ends = np.cumsum([0, *(len(rows) for rows, _ in book.rules)])
        bounds = [
            (start, min(start + segment, last))
            for first, last in itertools.pairwise(ends)
            for start in range(first, last, segment)
        ]
        n = len(book.input_coordinates)
        case = {"f": numbers(n, 16), "g": numbers(n, 16)[::-1].copy()}
        case["rows_in"], case["rows_out"] = map(
            np.concatenate, zip(*book.rules, strict=True)
        )
        cases.append(case | {"bounds": np.array(bounds)})
    judge(kernel, cases, expected, launch, least, faults)


def written_once(meter: Meter, h: torch.Tensor) -> str:
    """Say which output was not stored exactly once; "" if each was."""
    stored = meter.stored(h)
    if (stored == 1).all():
        return ""
    place = [int(i) for i in np.argwhere(stored != 1)[0]]
    return f"    output {place} is stored {stored[tuple(place)]} times, not once"


def cloud(points: int, edge: int) -> np.ndarray:
    """At most `points` sites in a square, [N, 2], in lexicographic order."""
    rng = np.random.default_rng(points)
    return np.unique(rng.integers(0, edge, (points, 2)), axis=0)


def table_of(sites: Any, kernel_size: int = 3) -> np.ndarray:
    """The neighbour table [V, N] of sites [N, D], -1 for none."""
    book = submanifold_rulebook(np.insert(np.asarray(sites), 0, 0, axis=1), kernel_size)
    table = np.full((len(book.rules), len(book.input_coordinates)), -1)
    for tap, (rows_in, rows_out) in enumerate(book.rules):
        table[tap, rows_out] = rows_in
    return table


def bits(table: np.ndarray) -> np.ndarray:
    """The tap mask of each row, [N] int64."""
    return ((table >= 0) << np.arange(len(table))[:, np.newaxis]).sum(axis=0)


def in_tiles(masks: np.ndarray, rows: int) -> list[np.ndarray]:
    """The masks of each tile."""
    return [masks[start : start + rows] for start in range(0, len(masks), rows)]


def rows_multiplied(masks: np.ndarray, rows: int) -> int:
    """Count the rows multiplied by tiles that process only the taps of their rows."""
    return sum(
        rows * int(np.bitwise_or.reduce(part)).bit_count()
        for part in in_tiles(masks, rows)
    )

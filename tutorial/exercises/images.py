"""Exercises of chapter 1: sizes by hand, box counts, a box-counting dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sscn_ref import unique_sites

from checker import Share, check, check_numbers, explain_numbers, is_whole, shown


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, ((64 // 4) ** 2, 1, 4))


def check_estimated(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    active = 192**3 / 2000
    grown = active * 4**1.4
    occupancy = Share(grown / 768**3)
    check_numbers(answer, (768**3 * 4, active, grown, occupancy, 16))


def check_boxes(answer: Callable[..., int]) -> None:
    """Check a student's `boxes(points, edge)`."""

    def expected(points: list[tuple[int, ...]], edge: int) -> int:
        sites = np.floor_divide([(0, *point) for point in points], edge)
        return len(unique_sites(sites)[0])

    lists = [
        [(0, 0)],
        [(0, 0), (0, 1)],
        [(0, 0), (0, 3), (3, 0)],
        [(-1, 0), (0, 0), (1, 0)],
        [(5, -4), (4, -3), (5, -4)],
        [(i, i, 2 * i) for i in range(-4, 5)],
    ]
    cases = [{"points": points, "edge": edge} for edge in (1, 2, 3) for points in lists]
    check(answer, expected, cases, explain_count)


def check_dimension(answer: Callable[..., float]) -> None:
    """Check a student's `dimension(fine, edge_fine, coarse, edge_coarse)`."""

    def expected(fine: int, edge_fine: int, coarse: int, edge_coarse: int) -> float:
        return float(np.log2(fine / coarse) / np.log2(edge_coarse / edge_fine))

    numbers = [
        (64, 1, 32, 2),
        (64, 1, 16, 4),
        (4096, 1, 1024, 2),
        (27, 1, 1, 3),
        (5, 2, 5, 4),
        (1000, 2, 100, 8),
    ]
    names = ("fine", "edge_fine", "coarse", "edge_coarse")
    cases = [dict(zip(names, row, strict=True)) for row in numbers]
    check(answer, expected, cases, lambda w, g: explain_numbers((w,), (g,)))


def explain_count(wanted: int, got: Any) -> str:
    """Say what is wrong with a number of boxes; "" for the right one."""
    if not is_whole(got):
        return f"    should return a number of boxes, not {shown(got)}"
    return "" if int(got) == wanted else f"    wanted {wanted} boxes, got {got}"

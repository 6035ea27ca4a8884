"""Exercises of chapter 6: counting, finding and mirroring rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sscn_ref import Rulebook, submanifold_rulebook, taps

from checker import check, check_numbers, is_whole, shown

Site = tuple[int, int]
Pairs = list[tuple[int, int]]

SHAPES: list[list[Site]] = [
    [(0, 0)],
    [(0, 0), (0, 1)],
    [(0, 0), (1, 0)],
    [(1, 1), (0, 0)],
    [(0, 0), (1, 1), (2, 1), (3, 1), (3, 2)],
    [(2, -1), (0, 3), (1, 0), (-1, 1), (0, 1), (2, 2)],
]


def rulebook_of(sites: list[Site], kernel_size: Any, dilation: int = 1) -> Rulebook:
    """Return the reference's submanifold rulebook of one image."""
    coordinates = np.array([(0, *site) for site in sites])
    return submanifold_rulebook(coordinates, kernel_size, dilation)


def pairs_of(rulebook: Rulebook) -> list[Pairs]:
    """Return the rulebook's rules as lists of pairs."""
    return [
        list(zip(rows_in.tolist(), rows_out.tolist(), strict=True))
        for rows_in, rows_out in rulebook.rules
    ]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (15, 5, 2))


def check_counted(answer: Callable[[], tuple[int, ...]]) -> None:
    """Check the four numbers of exercise 1."""
    sites = [(0, 0), (0, 1), (1, 1), (3, 1)]
    books = [
        rulebook_of(sites, kernel, dilation)
        for kernel, dilation in ((3, 1), (3, 2), (2, 1), ((1, 3), 1))
    ]
    check_numbers(answer, [book.number_of_rules for book in books])


def check_rules(answer: Callable[..., list[Pairs]]) -> None:
    """Check a student's `rules(sites, kernel_size)`."""

    def expected(sites: list[Site], kernel_size: int) -> list[Pairs]:
        return pairs_of(rulebook_of(sites, kernel_size))

    cases = [{"sites": sites, "kernel_size": k} for k in (1, 3, 5) for sites in SHAPES]
    check(answer, expected, cases, explain)


def check_mirrored_half(answer: Callable[..., list[Pairs]]) -> None:
    """Check a student's `mirrored_half(first_half, number_of_sites)`."""
    cases, right = [], []
    for kernel_size in (1, 3, 5):
        for sites in SHAPES:
            pairs = pairs_of(rulebook_of(sites, kernel_size))
            half = pairs[: len(pairs) // 2]
            cases.append({"first_half": half, "number_of_sites": len(sites)})
            right.append(pairs)
    wanted = iter(right)
    check(answer, lambda first_half, number_of_sites: next(wanted), cases, explain)


def hasty_rules(sites: list[Site], kernel_size: int) -> list[Pairs]:
    """For each tap a list of (input row, output row), as in exercise 2."""
    row_of = {site: row for row, site in enumerate(sites)}
    middle = kernel_size // 2
    found = []
    for i in range(kernel_size):
        for j in range(kernel_size):
            if i == j == middle:  # every pixel is its own neighbour
                found.append([(row, row) for row in range(len(sites))])
                continue
            pairs = []
            for row_out, (x, y) in enumerate(sites):
                row_in = row_of.get((x + i - middle, y + j - middle))
                if row_in:
                    pairs.append((row_in, row_out))
            found.append(pairs)
    return found


def check_failing(answer: Callable[..., Any]) -> None:
    """Check a student's `failing(suspect)`: sites for which `hasty_rules` is wrong."""

    def explain(example: Any, got: Any) -> str:
        if not 1 <= len(got) <= 3:
            return f"    should return one to three sites, not {shown(got)}"
        sites = [tuple(site) for site in got]
        for site in sites:
            if len(site) != 2 or not all(is_whole(x) for x in site):
                return f"    a site is a pair of integers, not {shown(site)}"
        if len(set(sites)) < len(sites):
            return f"    a site occurs twice in {shown(got)}"
        if hasty_rules(sites, 3) == pairs_of(rulebook_of(sites, 3)):
            return f"    hasty_rules({shown(got)}, 3) is right"
        return ""

    check(answer, lambda suspect: [(0, 0)], [{"suspect": hasty_rules}], explain)


def explain(wanted: list[Pairs], got: Any) -> str:
    """Say which tap is the first wrong one, and how; "" if none is."""
    lists = list, tuple
    if not isinstance(got, lists) or not all(isinstance(taps, lists) for taps in got):
        return "    should return a list with one list of pairs per tap"
    if len(got) != len(wanted):
        return f"    wanted {len(wanted)} taps, got {len(got)}"
    for pair in (pair for pairs in got for pair in pairs):
        if not isinstance(pair, lists) or len(pair) != 2:
            return f"    a pair should be (input row, output row), not {shown(pair)}"
        if not all(is_whole(row) for row in pair):
            return f"    a pair should consist of two row numbers, not {shown(pair)}"
    got = [[(int(i), int(o)) for i, o in pairs] for pairs in got]
    edge = round(len(wanted) ** 0.5)
    for tap, right, given in zip(taps((edge, edge)), wanted, got, strict=True):
        if given != right:
            same = "the right pairs in another order; "
            note = same if sorted(given) == sorted(right) else ""
            return f"    tap {tuple(tap.tolist())}: {note}wanted {right}, got {given}"
    return ""

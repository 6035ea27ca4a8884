"""Exercises of chapter 11: a race by hand, a loop to compile, safely divided rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from checker import Case, check, check_numbers, explain_array


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (3, 1, 11))


def check_reckoned(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""

    def total(schedule: tuple[int, ...]) -> int:
        value, read = 0, {}
        for thread in schedule:
            if thread in read:
                value = read[thread] + 1
            else:
                read[thread] = value
        return value

    two = [total(order) for order in set(itertools.permutations((0, 0, 1, 1)))]
    three = min(map(total, set(itertools.permutations((0, 0, 1, 1, 2, 2)))))
    operations = 2 * 76150 * 16**2
    wrong = sum(value != 2 for value in two)
    check_numbers(answer, (len(two), wrong, three, operations, operations / 5e6))


def check_scattered(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `scattered(f, rows_in, rows_out, h)`, then compiled."""

    def expected(
        f: np.ndarray, rows_in: np.ndarray, rows_out: np.ndarray, h: np.ndarray
    ) -> np.ndarray:
        np.add.at(h, rows_out, f[rows_in])
        return h

    rng = np.random.default_rng(6)
    cases: list[Case] = []
    for inputs, outputs, channels, rules in (
        (1, 1, 1, 1),
        (3, 2, 1, 2),
        (2, 3, 2, 4),
        (5, 4, 3, 9),
        (2, 2, 2, 0),
    ):
        cases.append(
            {
                "f": rng.integers(1, 9, (inputs, channels)).astype(float),
                "rows_in": rng.integers(0, inputs, rules),
                "rows_out": rng.integers(0, outputs, rules),
                "h": np.ones((outputs, channels)),
            }
        )
    plain: list[str] = []

    def explain(wanted: np.ndarray, got: Any) -> str:
        plain.append(explain_array(wanted, got))
        return plain[-1]

    plainly = getattr(answer, "py_func", answer)  # it may be decorated already
    check(plainly, expected, cases, explain)
    if len(plain) == len(cases) and not any(plain):
        compiled = numba.njit(plainly)
        compiled.__name__ = f"{answer.__name__}, compiled"
        check(compiled, expected, cases, explain_array, steps=None)


def check_shared(answer: Callable[..., list[np.ndarray]]) -> None:
    """Check a student's `shared(rows_out, threads)`: there are many right answers."""
    drawn = np.random.default_rng(7).integers(0, 40, 200)
    lists = [[0], [0, 1], [2, 2, 5], [3, 0, 3, 1, 0], [0, 1, 2, 3, 0, 1, 2, 3]]
    cases = [
        {"rows_out": np.array(rows), "threads": threads}
        for rows in (*lists, drawn)
        for threads in (1, 2, 3)
    ]
    check(answer, lambda rows_out, threads: (rows_out, threads), cases, explain_shares)


def explain_shares(asked: tuple[np.ndarray, int], got: Any) -> str:
    """Say what is wrong with the rules of the threads; "" for a right distribution."""
    rows_out, threads = asked
    if not isinstance(got, (list, tuple)) or len(got) != threads:
        return f"    should return a list of {threads} arrays"
    got = [np.asarray(rules) for rules in got]
    got = [rules if rules.size else rules.astype(int) for rules in got]
    if not all(rules.ndim == 1 and rules.dtype.kind in "iu" for rules in got):
        return "    each thread's rules should be an array of their numbers"
    if sorted(itertools.chain(*got)) != list(range(len(rows_out))):
        return "    every rule should belong to exactly one thread"
    owners: dict[int, int] = {}
    for thread, rules in enumerate(got):
        for row in rows_out[rules]:
            if owners.setdefault(int(row), thread) != thread:
                return f"    two threads write output row {row}"
    busy = sum(len(rules) > 0 for rules in got)
    if len(owners) > 20 and busy < threads:
        return f"    only {busy} of {threads} threads have any rules"
    return ""

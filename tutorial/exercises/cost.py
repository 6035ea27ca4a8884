"""Exercises of chapter 7: costs by hand; a convolution from rules and from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sscn_ref import (
    Rulebook,
    convolve,
    count_dense_operations,
    strided_rulebook,
    submanifold_rulebook,
)

from checker import Case, Share, check, check_numbers, explain_array


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (4746, Share(1 - 4746 / 76150)))


def check_counted(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    sites, taps, channels_in, channels_out, size = 1000, 27, 32, 64, 4
    rules = 16 * sites
    operations = rules * channels_in * channels_out
    dense = count_dense_operations((64,) * 3, 3, channels_in, channels_out)
    wanted = (
        operations,
        size * taps * channels_in * channels_out,
        size * rules * channels_in,
        rules / taps,
        dense.multiply_adds / operations,
    )
    check_numbers(answer, wanted)


def layers() -> Iterator[tuple[np.ndarray, np.ndarray, Rulebook]]:
    """Features, weight and rulebook: small submanifold layers, then strided ones."""
    rng = np.random.default_rng(3)
    line = np.array([(0, 0), (0, 1), (0, 3)])
    square = np.array([(0, 2, 2), (0, 0, 1), (0, 0, 0), (0, 1, 1)])
    for rulebook, channels_in, channels_out in (
        (submanifold_rulebook(line[:1], 1), 1, 1),
        (submanifold_rulebook(line, 3), 1, 1),
        (submanifold_rulebook(line, 3), 2, 1),
        (submanifold_rulebook(square, 3), 1, 2),
        (strided_rulebook(line, 2, 2), 1, 3),
        (strided_rulebook(square, 3, 2, 1), 2, 2),
    ):
        rows, taps = len(rulebook.input_coordinates), len(rulebook.rules)
        features = rng.integers(1, 9, (rows, channels_in)).astype(float)
        weight = rng.integers(-4, 5, (taps, channels_in, channels_out)).astype(float)
        yield features, weight, rulebook


def check_convolved(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `convolved(f, weight, rules, outputs)`."""
    cases: list[Case] = []
    results = []
    for f, weight, rulebook in layers():
        outputs = len(rulebook.output_coordinates)
        cases.append(
            {"f": f, "weight": weight, "rules": rulebook.rules, "outputs": outputs}
        )
        results.append(convolve(f, weight, rulebook))
    # One more output, which no rule reaches:
    cases.append(cases[-1] | {"outputs": cases[-1]["outputs"] + 1})
    results.append(np.pad(results[-1], ((0, 1), (0, 0))))
    wanted = iter(results)
    check(answer, lambda **case: next(wanted), cases, explain_array)


def check_from_table(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `from_table(f, weight, table)`."""
    cases: list[Case] = []
    results = []
    for f, weight, rulebook in layers():
        table = np.full((len(rulebook.output_coordinates), len(weight)), -1)
        for tap, (rows_in, rows_out) in enumerate(rulebook.rules):
            table[rows_out, tap] = rows_in
        cases.append({"f": f, "weight": weight, "table": table})
        results.append(convolve(f, weight, rulebook))
    wanted = iter(results)
    check(answer, lambda **case: next(wanted), cases, explain_array)

"""Exercises of chapter 17: slots by hand, keys of a tuner, the search for a tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from checker import Case, check, check_numbers, explain_numbers, named, shown

Call = dict[str, Any]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (2.5, 20, 2.5))


def check_reckoned(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    check_numbers(answer, (6, 132 / 64, 79, 79 * 132 * 27 / 1000, 3))


def check_searches(answer: Callable[..., int]) -> None:
    """Check a student's `searches(calls, start)`."""

    def expected(calls: list[Call], start: int) -> int:
        def size(rows: int) -> int:
            return next(n for n in range(64) if rows <= start * 4**n)

        return len({(*list(call.values())[:4], size(call["rows"])) for call in calls})

    check(answer, expected, lists_of_calls(), lambda w, g: explain_numbers((w,), (g,)))


def lists_of_calls() -> Iterator[Case]:
    """None, equal calls, each part of the key, every border, many."""

    def call(rows: int, kernel: str = "forward", *more: Any) -> Call:
        names = "channels_in", "channels_out", "precision"
        given = dict(zip(names, more or (16, 16, "bfloat16"), strict=True))
        return {"kernel": kernel, **given, "rows": rows}

    yield {"calls": [], "start": 4096}
    yield {"calls": [call(0), call(1), call(4096)], "start": 4096}
    yield {"calls": [call(4096), call(4097)], "start": 4096}
    yield {"calls": [call(4000), call(4000, "weight gradient")], "start": 4096}
    yield {
        "calls": [
            call(900, "forward", *more)
            for more in ((16, 32, "f16"), (32, 16, "f16"), (16, 32, "f32"))
        ],
        "start": 4096,
    }
    for pairs in (
        [(16, 16), (16, 32)],
        [(16, 32), (32, 32)],
        [(3, 216), (32, 16)],  # the same digits
    ):
        calls = [call(900, "forward", *pair, "bfloat16") for pair in pairs]
        yield {"calls": calls, "start": 4096}
    borders = [1000 * 4**n + more for n in range(12) for more in (0, 1)]
    yield {"calls": [call(rows) for rows in borders], "start": 1000}
    rng = np.random.default_rng(17)
    kernels = "forward", "input gradient", "weight gradient"
    many = [
        call(int(4.0 ** rng.uniform(1, 11)), str(rng.choice(kernels)))
        for _ in range(60)
    ]
    yield {"calls": many, "start": 100}


RIGHT = np.array([[3.0, 0.0], [0.0, 4.0]])
"""The right result; its norm is 5."""

Tiles = dict[str, tuple[Any, float]]
"""For each tile what is added to the right result, None if it does not fit, and ms."""


def is_right(error: Any) -> bool:
    """Whether a tile fits, and its result is right."""
    return error is not None and bool(np.hypot.reduce(np.ravel(error)) <= 0.05)


@dataclass(frozen=True)
class Run:
    """Runs a tile."""

    tiles: Tiles

    def __call__(self, tile: str) -> np.ndarray:
        error, _ = self.tiles[tile]
        if error is None:
            raise RuntimeError("out of shared memory")
        return RIGHT + error


@dataclass
class Clock:
    """Times a tile, unless its result is wrong; keeps what it was asked wrongly."""

    tiles: Tiles
    complaint: str = ""

    def __call__(self, tile: str) -> float:
        error, milliseconds = self.tiles[tile]
        if not is_right(error):
            self.complaint = (
                f"the clock was asked about {shown(tile)}, which is not right"
            )
            raise ValueError(self.complaint)
        return milliseconds


def check_fastest(answer: Callable[..., str]) -> None:
    """Check a student's `fastest(candidates, run, right, clock)`."""

    def expected(
        candidates: Sequence[str],
        run: Run,
        right: np.ndarray,
        clock: Clock,
    ) -> str:
        first = run.tiles[candidates[0]][1]
        allowed = [
            (milliseconds, name)
            for name, (error, milliseconds) in run.tiles.items()
            if is_right(error) and 1.03 * milliseconds < first
        ]
        return min(allowed)[1] if allowed else candidates[0]

    def watched(
        candidates: Sequence[str], run: Run, right: np.ndarray, clock: Clock
    ) -> Any:
        tile = answer(candidates, run, right, clock)
        if clock.complaint:  # also if the answer caught the error
            raise ValueError(clock.complaint)
        return tile

    watched.__name__ = named(answer)
    check(watched, expected, devices(), explain_tile)


def devices() -> Iterator[Case]:
    """One alone; faster, not clearly faster, wrong, NaN, too large ones."""
    nan, inf = float("nan"), float("inf")
    last = np.array([[0, 0], [0, 1.0]])
    swapped = RIGHT[::-1, ::-1] - RIGHT  # the same numbers in other rows
    cases: tuple[Tiles, ...] = (
        {"untuned": (0.0, 1.0)},
        {"untuned": (0.0, 1.0), "a": (0.001, 0.5)},
        {"untuned": (0.0, 1.0), "a": (0.001, 1.5)},
        {"untuned": (0.0, 1.0), "a": (0.0, 0.98)},
        {"untuned": (0.0, 1.0), "a": (0.0, 0.6), "b": (0.0, 0.4), "c": (0.0, 0.5)},
        {"untuned": (0.0, 1.0), "a": (0.0, 0.6), "b": (0.0, 0.8), "c": (0.0, 0.4)},
        {"untuned": (0.0, 1.0), "a": (0.0, 0.5), "b": (0.0, 0.49)},
        {"untuned": (0.0, 1.0), "a": (0.5, 0.1), "b": (-0.5, 0.1), "c": (0.0, 0.9)},
        {"untuned": (0.0, 1.0), "a": (0.3 * last, 0.1), "b": (0.045 * last, 0.9)},
        {"untuned": (0.0, 1.0), "a": (0.06 * last, 0.1), "b": (swapped, 0.2)},
        {"untuned": (0.0, 1.0), "a": (nan, 0.1)},
        {"untuned": (0.0, 1.0), "a": (np.diag([0, inf]), 0.1)},
        {"untuned": (0.0, 1.0), "a": (None, 0.1), "b": (0.0, 0.7)},
        # the margin: not by milliseconds, not 3 % of the untuned time, not with =
        {"untuned": (0.0, 10.0), "a": (0.0, 9.8)},
        {"untuned": (0.0, 1.0), "a": (0.0, 0.9705)},
        {"untuned": (0.0, 103.0), "a": (0.0, 100.0)},
    )
    for tiles in cases:
        yield {
            "candidates": list(tiles),
            "run": Run(tiles),
            "right": RIGHT,
            "clock": Clock(tiles),
        }


def explain_tile(wanted: str, got: Any) -> str:
    """Say which tile was wanted."""
    same = isinstance(got, str) and str(got) == wanted
    return "" if same else f"    wanted {wanted!r}, got {shown(got)}"

"""Exercises of chapter 16: numbers by hand, residual ranges, a track's particle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from checker import Case, Share, check, check_numbers, explain_array, shown

Curve = Callable[[np.ndarray], np.ndarray]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (0.9 * 3**0.5, 2.5 * 3**0.5, 2.5))


def check_reckoned(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    ratio = 938.27 / 105.66
    check_numbers(answer, (2.0, 100 * ratio, ratio, 0.7 * 52.83, Share(3 / 16)))


def check_lengths(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `lengths(centres, end)`."""

    def expected(centres: np.ndarray, end: np.ndarray) -> np.ndarray:
        places = [*centres, end]
        steps = [float(np.hypot.reduce(b - a)) for a, b in pairwise(places)]
        return np.array([sum(steps[i:]) for i in range(len(steps))])

    check(answer, expected, tracks(), explain_array)


def tracks() -> Iterator[Case]:
    """One slice; straight, with corners, a slice at the end, turned back; a walk."""
    rng = np.random.default_rng(16)
    walk = np.cumsum(rng.normal([0.6, 0.2, -0.3], 0.2, (9, 3)), axis=0)
    for places in (
        [[0, 0, 0], [0, 3, 4]],
        [[0, 0, 0], [1, 0, 0], [2, 0, 0], [2.5, 0, 0]],
        [[0, 0, 0], [0, 0, 2], [0, 3, 2], [1, 3, 2]],
        [[0, 0, 0], [0, 0, 1], [0, 0, 1]],
        # the track turns back: its first slice is nearer to the end than its last
        [[0, 0, 0], [3, 0, 0], [3, 1, 0], [2, 1, 0], [0, 1, 0]],
        walk,
    ):
        corners = np.array(places, float)
        yield {"centres": corners[:-1], "end": corners[-1]}


def muon(left: np.ndarray) -> np.ndarray:
    """About the energy loss of a muon, MeV/cm, at a residual range in cm."""
    return 8.2 * left**-0.42


def proton(left: np.ndarray) -> np.ndarray:
    """About that of a proton."""
    return 17.4 * left**-0.42


def electron(left: np.ndarray) -> np.ndarray:
    """About that of an electron."""
    return 2.1 + 0 * left


def check_particle(answer: Callable[..., str | None]) -> None:
    """Check a student's `particle(loss, left, curves)`."""

    def expected(
        loss: np.ndarray, left: np.ndarray, curves: dict[str, Curve]
    ) -> str | None:
        kept = np.flatnonzero(left > 0.5)
        if not len(kept):
            return None
        squares = [
            (float(np.mean((loss[kept] / curve(left[kept]) - 1) ** 2)), name)
            for name, curve in curves.items()
        ]
        return min(squares)[1]

    check(answer, expected, losses(), explain_name)


def losses() -> Iterator[Case]:
    """Clear cases, slices at the end that mislead, errors that weigh differently."""
    two: dict[str, Curve] = {"muon": muon, "proton": proton}
    three: dict[str, Curve] = {"electron": electron, **two}
    left = np.arange(0.7, 12, 0.9)
    yield {"loss": muon(left[:3]), "left": left[:3], "curves": two}
    yield {"loss": proton(left[:3]), "left": left[:3], "curves": two}
    yield {"loss": np.array([2.0]), "left": np.array([30.0]), "curves": three}
    yield {"loss": np.array([9.0]), "left": np.array([0.5]), "curves": two}
    yield {"loss": np.array([]), "left": np.array([]), "curves": two}
    # the slices beyond the end would make it an electron's
    ends = np.array([5.0, 2.0, 0.5, 0.3, 0.1])
    loss = np.array([4.3, 6.1, 0.2, 0.2, 0.1])
    yield {"loss": loss, "left": ends, "curves": three}
    # relative errors decide for the muon, absolute ones for the proton
    near = np.array([1.0, 10.0, 20.0, 30.0])
    loss = np.array([15.5, *muon(near[1:])])
    yield {"loss": loss, "left": near, "curves": two}
    # one slice that is far off decides by squares, not by magnitudes
    loss = np.array([*muon(near[:3]), 2.8 * muon(near[3:])[0]])
    yield {"loss": loss, "left": near, "curves": two}
    # the mean ratio is the muon's, but the slices fit the proton better by squares
    loss = np.array([0.3, 0.3, 1.0, 2.4]) * muon(near)
    yield {"loss": loss, "left": near, "curves": two}
    # other particles, and the slices between 0.5 and 1 cm decide
    others: dict[str, Curve] = {"pion": muon, "deuteron": proton}
    short = np.array([0.6, 0.8, 3.0])
    loss = np.array([*proton(short[:2]), 1.2 * muon(short[2:])[0]])
    yield {"loss": loss, "left": short, "curves": others}
    rng = np.random.default_rng(16)
    for curve in (muon, proton):
        loss = curve(left) * rng.normal(1, 0.2, len(left))
        yield {"loss": loss, "left": left, "curves": three}


def explain_name(wanted: str | None, got: Any) -> str:
    """Say which name was wanted."""
    if wanted is None:
        return "" if got is None else f"    wanted None, got {shown(got)}"
    same = isinstance(got, str) and str(got) == wanted
    return "" if same else f"    wanted {wanted!r}, got {shown(got)}"

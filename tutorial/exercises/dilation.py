"""Exercises of chapter 3: growth by hand; the sites that a convolution reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sscn_ref import active_growth, strided_rulebook, submanifold_rulebook

from checker import Case, check, check_numbers, is_number, shown

Site = tuple[int, int]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (1, 1, 1, 4))


def check_counted(answer: Callable[[], tuple[int, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    site = np.zeros((1, 4), int)
    line = np.array([(0, x, 0, 0) for x in range(10)])
    plane = np.array([(0, x, y, 0) for x in range(10) for y in range(10)])
    grown = [active_growth(shape, 3) for shape in (line, plane, site)]
    kept = len(submanifold_rulebook(site, 3).output_coordinates)
    pair = active_growth([(0, 0, 0, 0), (0, 5, 0, 0)], 5)
    single = active_growth(site, 5)
    meet = next(n for n in range(6) if pair[n] < 2 * single[n])
    check_numbers(answer, (grown[0][2], grown[1][2], grown[2][3], kept, meet))


def check_reached(answer: Callable[..., set[Site]]) -> None:
    """Check a student's `reached(sites, kernel_size, stride, padding)`."""
    check(answer, expected, cases(), explain)


def expected(
    sites: set[Site], kernel_size: int, stride: int, padding: int
) -> set[Site]:
    """The outputs of the reference's rulebook."""
    coordinates = np.array([(0, *site) for site in sorted(sites)]).reshape(-1, 3)
    outputs = strided_rulebook(
        coordinates, kernel_size, stride, padding
    ).output_coordinates
    return {(int(u), int(v)) for _, u, v in outputs}


def cases() -> Iterator[Case]:
    """Points, a pair with a negative coordinate, a diagonal; small kernels first."""
    windows = [
        (1, 1, 0),
        (1, 2, 0),
        (2, 2, 0),
        (3, 1, 1),
        (3, 1, 0),
        (3, 2, 1),
        (2, 3, 0),
        (4, 3, 2),
    ]
    for sites in ({(0, 0)}, {(2, 1)}, {(3, 0), (0, -3)}, {(i, i) for i in range(4)}):
        for kernel_size, stride, padding in windows:
            yield {
                "sites": sites,
                "kernel_size": kernel_size,
                "stride": stride,
                "padding": padding,
            }


def explain(wanted: set[Site], got: Any) -> str:
    """Say what is wrong with an answer, with a drawing; "" for a right one."""
    if not isinstance(got, (set, frozenset)):
        return f"    should return a set of sites, not a {type(got).__name__}"
    if got == wanted:
        return ""
    if not all(isinstance(site, tuple) and len(site) == 2 for site in got):
        odd = next(s for s in got if not (isinstance(s, tuple) and len(s) == 2))
        return f"    should contain pairs (u, v), not {shown(odd)}"
    for site in sorted(got, key=str):
        for name, place in zip("uv", site, strict=True):
            if not is_number(place) or place != int(place):
                number = f"{name} = {shown(place)} of {shown(site)}"
                return f"    {number} is not a whole number"
    got = {(int(u), int(v)) for u, v in got}
    return (
        f"    wanted {sorted(wanted)}\n    got    {sorted(got)}\n{drawing(wanted, got)}"
    )


def drawing(wanted: set[Site], got: set[Site]) -> str:
    """Draw both sets on one grid, with the first axis pointing down."""
    both = np.array(sorted(wanted | got))
    (top, left), (bottom, right) = both.min(axis=0), both.max(axis=0)
    if max(bottom - top, right - left) > 30:
        return "    (too far apart to draw)"
    marks = {
        (True, True): "o",
        (True, False): "?",
        (False, True): "x",
        (False, False): ".",
    }
    lines = [
        "    "
        + " ".join(
            marks[(u, v) in wanted, (u, v) in got] for v in range(left, right + 1)
        )
        for u in range(top, bottom + 1)
    ]
    return "\n".join([*lines, "    o right, ? missing, x too many"])

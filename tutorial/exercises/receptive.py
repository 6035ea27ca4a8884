"""Exercises of chapter 10: fields and averages by hand, a norm, connected sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sscn_ref import average_pool, batch_norm, batch_statistics, strided_rulebook

from checker import Case, check, check_numbers, explain_array, is_whole, shown

Site = tuple[int, int]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (0, -1, -4, -1.5))


def check_worked(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""

    def field(layers: list[tuple[int, int]]) -> int:
        width, jump = 1, 1
        for kernel, stride in layers:
            width, jump = width + (kernel - 1) * jump, stride * jump
        return width

    four = [(3, 1)] * 4
    variance = float(batch_statistics(np.array([[1.0], [3.0], [5.0]]))[1][0])
    window = strided_rulebook([(0, 0, 0, 0), (0, 1, 1, 0)], 2, 2)
    average = average_pool(np.array([[3.0], [9.0]]), window, "volume").item()
    line = layers_between({(i, 0) for i in range(50)}, (0, 0), (49, 0))
    wanted = field([(3, 1)] * 3), field([*four, (2, 2), *four]), variance, average, line
    check_numbers(answer, wanted)


def check_normalised(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `normalised(f, eps)`."""

    def expected(f: np.ndarray, eps: float) -> np.ndarray:
        return batch_norm(f, np.ones(f.shape[1]), np.zeros(f.shape[1]), eps)

    check(answer, expected, rows(), explain_array)


def rows() -> Iterator[Case]:
    """Cases of two rows, one and none, constant channels, two channels, many rows."""
    drawn = np.random.default_rng(5).normal(3, 2, (20, 3))
    few = [[1.0], [3.0]], [[7.0]], [[2.0], [2.0], [2.0]], [[1.0, 10.0], [2.0, -10.0]]
    for f in (*map(np.array, few), np.zeros((0, 2)), drawn):
        for eps in (1e-5, 0.5):
            yield {"f": f, "eps": eps}


def layers_between(sites: set[Site], a: Site, b: Site) -> int | None:
    """Count the steps from a to b over sites that touch, by breadth-first search."""
    steps, queue = {a: 0}, [a]
    for x, y in queue:
        for step in np.ndindex(3, 3):
            site = x + step[0] - 1, y + step[1] - 1
            if site in sites and site not in steps:
                steps[site] = steps[x, y] + 1
                queue.append(site)
    return steps.get(b)


def check_meeting(answer: Callable[..., int | None]) -> None:
    """Check a student's `meeting(sites, a, b)`."""
    line = {(i, 0) for i in range(5)}
    hook = {(0, 0), (1, 1), (2, 1), (3, 1), (3, 2)}
    gap = {(0, 0), (0, 1), (0, 3), (0, 4)}
    ring = {(i, j) for i in range(5) for j in range(5)} - {
        (i, j) for i in range(1, 4) for j in range(1, 4)
    }
    cases: list[Case] = [
        {"sites": line, "a": (0, 0), "b": (0, 0)},
        {"sites": line, "a": (1, 0), "b": (2, 0)},
        {"sites": line, "a": (4, 0), "b": (0, 0)},
        {"sites": hook, "a": (0, 0), "b": (3, 2)},
        {"sites": gap, "a": (0, 0), "b": (0, 1)},
        {"sites": gap, "a": (0, 0), "b": (0, 3)},
        {"sites": ring, "a": (0, 0), "b": (4, 4)},
    ]
    check(answer, layers_between, cases, explain_layers)


def explain_layers(wanted: int | None, got: Any) -> str:
    """Say what is wrong with a number of layers; "" for the right one."""
    if wanted is None or not is_whole(got):
        return "" if got is wanted else f"    wanted {wanted}, got {shown(got)}"
    return "" if int(got) == wanted else f"    wanted {wanted} layers, got {got}"

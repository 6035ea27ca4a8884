"""Exercises of chapter 9: gradients by hand, by code, and by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sscn_ref import (
    Rulebook,
    convolve,
    convolve_backward,
    strided_rulebook,
    submanifold_rulebook,
)

from checker import Case, check, check_numbers, explain_array


def check_derived(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    rulebook = submanifold_rulebook([(0, 0), (0, 1), (0, 3)], 3)
    f = np.array([[1.0], [10.0], [100.0]])
    weight = np.array([2.0, 3.0, 5.0]).reshape(3, 1, 1)
    h = convolve(f, weight, rulebook)
    by_f, by_weight, _ = convolve_backward(np.ones_like(h), f, weight, rulebook)
    check_numbers(
        answer,
        (h.sum(), by_f[0, 0], by_f[2, 0], by_weight[0, 0, 0], by_weight[2, 0, 0]),
    )


def check_backward(answer: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Check a student's `backward(g, f, weight, rules)`."""
    rng = np.random.default_rng(4)
    line = np.array([(0, 0), (0, 1), (0, 3)])
    square = np.array([(0, 2, 2), (0, 0, 1), (0, 0, 0), (0, 1, 1)])
    books: list[tuple[Rulebook, int, int]] = [
        (submanifold_rulebook(line[:1], 1), 1, 1),
        (submanifold_rulebook(line, 3), 1, 1),
        (submanifold_rulebook(square, 3), 1, 2),
        (strided_rulebook(line, 2, 2), 2, 3),
        (strided_rulebook(square, 3, 2, 1), 2, 2),
    ]
    cases: list[Case] = []
    results = []
    for book, channels_in, channels_out in books:
        shape = len(book.rules), channels_in, channels_out
        f = rng.integers(1, 9, (len(book.input_coordinates), channels_in)).astype(float)
        rows = len(book.output_coordinates)
        g = rng.integers(1, 9, (rows, channels_out)).astype(float)
        weight = rng.integers(-4, 5, shape).astype(float)
        cases.append({"g": g, "f": f, "weight": weight, "rules": book.rules})
        results.append(convolve_backward(g, f, weight, book)[:2])
    wanted = iter(results)
    check(answer, lambda **case: next(wanted), cases, explain_gradients)


def check_slope(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `slope(function, a, delta)`."""

    def line(a: np.ndarray) -> float:
        return float(3 * a.sum())

    def parabola(a: np.ndarray) -> float:
        return float((a**2).sum())

    def cubic(a: np.ndarray) -> float:
        return float((a**3).sum() + a.prod())

    def expected(
        function: Callable[[np.ndarray], float], a: np.ndarray, delta: float
    ) -> np.ndarray:
        result = np.empty(a.shape)
        for place in np.ndindex(a.shape):
            up, low = a.astype(float), a.astype(float)
            up[place], low[place] = up[place] + delta, low[place] - delta
            result[place] = (function(up) - function(low)) / (2 * delta)
        return result

    shared = np.array([1.0, -2.0])
    arrays = [np.array([2.0]), shared, np.array([[1.0, 2.0], [3.0, -1.0]])]
    functions = (line, parabola, cubic)
    cases = [
        {"function": one, "a": a, "delta": 1e-3} for a in arrays for one in functions
    ]
    check(answer, expected, cases, explain_array)


def explain_gradients(wanted: tuple[np.ndarray, ...], got: Any) -> str:
    """Say what is wrong with the two gradients; "" for right ones."""
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return "    should return two arrays, the gradients for f and the weight"
    for name, right, given in zip(("f", "weight"), wanted, got, strict=True):
        if complaint := explain_array(right, given):
            return f"    gradient for {name}:\n{complaint}"
    return ""

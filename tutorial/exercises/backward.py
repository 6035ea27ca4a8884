"""Exercises of chapter 9: gradients by hand, by code, and by finite differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sscn_ref import (
    Rulebook,
    convolve,
    convolve_backward,
    strided_rulebook,
    submanifold_rulebook,
)

from checker import Case, check, check_numbers, explain_array, is_number, shown


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (15, 10, 30, 30, 30))


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


def check_gradients(answer: Callable[..., Any]) -> None:
    """Check a student's `gradients(f, layers, labels, convolved, backward)`."""
    rng = np.random.default_rng(6)
    line = np.array([(0, 0), (0, 1), (0, 3)])
    square = np.array([(0, 2, 2), (0, 0, 1), (0, 0, 0), (0, 1, 1)])
    submanifold, down = submanifold_rulebook(square, 3), strided_rulebook(square, 2, 2)
    chains: list[tuple[list[Rulebook], list[int], float]] = [
        ([submanifold_rulebook(line[:1], 1)], [1, 2], 1.0),
        ([submanifold_rulebook(line, 3)], [2, 3], 1.0),
        ([submanifold, submanifold], [2, 3, 2], 1.0),
        ([submanifold, down, down.transposed()], [1, 2, 2, 3], 1.0),
        ([submanifold, submanifold], [2, 3, 2], 100.0),
    ]
    cases: list[Case] = []
    for books, channels, scale in chains:
        weights = [
            scale * rng.normal(size=(len(book.rules), *pair))
            for book, pair in zip(books, itertools.pairwise(channels), strict=True)
        ]
        layers = [
            (weight, book.rules, len(book.output_coordinates))
            for weight, book in zip(weights, books, strict=True)
        ]
        f = rng.normal(size=(len(books[0].input_coordinates), channels[0]))
        labels = rng.integers(channels[-1], size=len(books[-1].output_coordinates))
        given = {"convolved": convolved, "backward": backward}
        cases.append({"f": f, "layers": layers, "labels": labels, **given})
    check(answer, expected_gradients, cases, explain_network)


Rules = list[tuple[np.ndarray, np.ndarray]]


def convolved(
    f: np.ndarray, weight: np.ndarray, rules: Rules, outputs: int
) -> np.ndarray:
    """The layer of chapter 7, exercise 2."""
    h = np.zeros((outputs, weight.shape[2]))
    for (rows_in, rows_out), matrix in zip(rules, weight, strict=True):
        h[rows_out] += f[rows_in] @ matrix
    return h


def backward(
    g: np.ndarray, f: np.ndarray, weight: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray]:
    """The backward pass of exercise 2."""
    by_f, by_weight = np.zeros(f.shape), np.zeros(weight.shape)
    for tap, (rows_in, rows_out) in enumerate(rules):
        by_f[rows_in] += g[rows_out] @ weight[tap].T
        by_weight[tap] = f[rows_in].T @ g[rows_out]
    return by_f, by_weight


def expected_gradients(
    f: np.ndarray, layers: list[Any], labels: np.ndarray, **_: Any
) -> tuple[float, list[np.ndarray]]:
    """The loss and its gradients, by PyTorch."""
    weights = [torch.tensor(weight, requires_grad=True) for weight, _, _ in layers]
    h = torch.tensor(f)
    for number, (weight, (_, rules, outputs)) in enumerate(
        zip(weights, layers, strict=True)
    ):
        given = h.relu() if number else h
        h = given.new_zeros(outputs, weight.shape[2])
        for (rows_in, rows_out), matrix in zip(rules, weight, strict=True):
            rows = torch.from_numpy(rows_out)
            h = h.index_add(0, rows, given[torch.from_numpy(rows_in)] @ matrix)
    loss = torch.nn.functional.cross_entropy(h, torch.from_numpy(labels))
    found = torch.autograd.grad(loss, weights)
    return loss.item(), [gradient.numpy() for gradient in found]


def explain_network(wanted: tuple[float, list[np.ndarray]], got: Any) -> str:
    """Say whether the loss or the first wrong gradient differs; "" if nothing does."""
    loss, gradients = got
    if not is_number(loss) or not np.isclose(loss, wanted[0], rtol=1e-6, atol=1e-9):
        return f"    wanted a loss of {wanted[0]:.6g}, got {shown(loss)}"
    if len(gradients) != len(wanted[1]):
        return f"    wanted {len(wanted[1])} gradients, got {len(gradients)}"
    for number, (right, given) in enumerate(zip(wanted[1], gradients, strict=True)):
        complaint = explain_array(right, given)
        if complaint:
            return f"    the gradient of the weight of layer {number}:\n{complaint}"
    return ""

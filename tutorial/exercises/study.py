"""Exercises of chapter 15: costs by hand, nonzero accuracy, efficiency and purity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from sscn_triton.study.training.metrics import event_accuracies

from checker import Case, Points, Share, check, check_numbers, explain_numbers

Cluster = set[int]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (Points(0.628), Points(11.808)))


def check_judged(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    growth = 512 / 192
    wanted = Share(1 - 3500 / 192**3), Share(0), growth**3, growth**1.4, Share(0.75)
    check_numbers(answer, wanted)


def check_accuracy(answer: Callable[..., float]) -> None:
    """Check a student's `accuracy(predicted, labels, events)`."""

    def expected(
        predicted: np.ndarray, labels: np.ndarray, events: np.ndarray
    ) -> float:
        logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 6)
        about = torch.from_numpy(labels), torch.from_numpy(events)
        number = int(events.max()) + 1
        return Share(event_accuracies(logits, *about, number)[0].nanmean())

    check(answer, expected, rows(), lambda w, g: explain_numbers((w,), (g,)))


def rows() -> Iterator[Case]:
    """One event, events of unequal size, padding, an event all padding, many rows."""
    lists = (
        ([1, 1], [1, 2], [0, 0]),
        ([1, 1, 1, 2], [1, 1, 1, 1], [0, 0, 0, 1]),
        ([1, 0, 0], [1, -1, -1], [0, 0, 0]),
        ([2, 0, 2, 1, 1], [2, 0, -1, -1, -1], [0, 0, 1, 1, 1]),
        ([3, 3, 1, 4], [3, 4, 1, 4], [5, 5, 2, 2]),
    )
    names = ("predicted", "labels", "events")
    for three in lists:
        yield dict(zip(names, map(np.array, three), strict=True))
    rng = np.random.default_rng(15)
    events = rng.integers(0, 4, 60) ** 2
    yield {
        "predicted": rng.integers(0, 3, 60),
        "labels": rng.integers(-1, 3, 60),
        "events": events,
    }


def check_matched(answer: Callable[..., tuple[float, ...]]) -> None:
    """Check a student's `matched(true, found)`."""

    def expected(true: list[Cluster], found: list[Cluster]) -> tuple[float, ...]:
        pairs = []
        for candidate in found:
            shared, number = max((len(candidate & t), i) for i, t in enumerate(true))
            if shared:
                pairs.append((number, shared, len(candidate)))
        return (
            len({number for number, _, _ in pairs}) / len(true),
            len(pairs) / len(found),
            sum(shared / len(true[number]) for number, shared, _ in pairs) / len(pairs),
            sum(shared / size for _, shared, size in pairs) / len(pairs),
        )

    lists: tuple[tuple[list[Cluster], list[Cluster]], ...] = (
        ([{1, 2}], [{1, 2}]),
        ([{1, 2, 3, 4}], [{1}]),
        ([{1}], [{1, 2, 3, 4}]),
        ([{1, 2}, {5, 6}], [{1, 2}]),
        ([{1, 2, 3, 4, 5, 6, 7, 8}, {9, 10}], [{1, 2, 3, 9, 10}]),
        ([{1, 2}], [{8, 9}, {1, 2}]),
        ([{1, 2, 3, 4, 5}], [{1, 2, 7}, {4, 5, 8, 9}]),
        ([{1}, {2, 3, 4}, {5, 6}], [{1, 2, 3}, {5, 7, 8, 9}, {10}]),
    )
    cases = [{"true": true, "found": found} for true, found in lists]
    check(answer, expected, cases, explain_shares)


def explain_shares(wanted: tuple[float, ...], got: Any) -> str:
    """Say which of the four is wrong; "" for the right ones."""
    names = "efficiency", "purity", "clustering efficiency", "clustering purity"
    complaint = explain_numbers([Share(value) for value in wanted], got)
    if complaint and isinstance(got, (tuple, list, np.ndarray)) and len(got) == 4:
        right = ", ".join(
            f"{name} {value:.3g}" for name, value in zip(names, wanted, strict=True)
        )
        return f"{complaint}; wanted {right}"
    return complaint

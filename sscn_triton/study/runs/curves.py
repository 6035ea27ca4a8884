"""Curves of a training: smoothed, and thinned to what a figure can show."""

from __future__ import annotations

import numpy as np

POINTS = 100
"""Of each curve at most."""


def running_mean(values: list[float], window: int) -> np.ndarray:
    """Mean of each value and the `window - 1` before it, fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def last_tenth(values: list[float]) -> float:
    """Mean over the last tenth of the steps, at least one: what a training has come to."""
    last = values[-max(1, len(values) // 10) :]
    return sum(last) / len(last)


def smoothing(steps: int) -> int:
    """Steps that a curve averages over: a twentieth of the training, at least 5."""
    return max(5, steps // 20)


def thinned(length: int, points: int) -> list[int]:
    """Places of at most `points` of a list's values, evenly spread, the first and the last among them."""
    return sorted({round(k * (length - 1) / (points - 1)) for k in range(points)})


def curve(accuracy: list[float], wall: list[float], loss: list[float]) -> dict[str, list[float]]:
    """iteration (from 1), wall, accuracy and loss, the latter two as running means, at POINTS places."""
    window, places = smoothing(len(wall)), thinned(len(wall), POINTS)
    means = {"accuracy": running_mean(accuracy, window), "loss": running_mean(loss, window)}
    found: dict[str, list[float]] = {"iteration": [i + 1 for i in places], "wall": [wall[i] for i in places]}
    return found | {name: [float(mean[i]) for i in places] for name, mean in means.items()}

"""Curves of a training, smoothed and thinned for figures."""

from __future__ import annotations

import numpy as np

POINTS = 100
"""Maximum number of points per curve."""


def running_mean(values: list[float], window: int) -> np.ndarray:
    """The mean of each value and the `window - 1` values before it, or fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def last_tenth(values: list[float]) -> float:
    """The mean over the last tenth of the steps, at least one step: the final level of a training."""
    last = values[-max(1, len(values) // 10) :]
    return sum(last) / len(last)


def smoothing(steps: int) -> int:
    """The number of steps over which a curve is averaged: a twentieth of the training, at least 5."""
    return max(5, steps // 20)


def thinned(length: int, points: int) -> list[int]:
    """Indices of at most `points` values of a list, evenly spread, including the first and the last."""
    return sorted({round(k * (length - 1) / (points - 1)) for k in range(points)})


def curve(accuracy: list[float], wall: list[float], loss: list[float]) -> dict[str, list[float]]:
    """The curve at no more than POINTS steps: iteration (from 1), wall, and running means of accuracy and loss."""
    window, places = smoothing(len(wall)), thinned(len(wall), POINTS)
    means = {"accuracy": running_mean(accuracy, window), "loss": running_mean(loss, window)}
    found: dict[str, list[float]] = {"iteration": [i + 1 for i in places], "wall": [wall[i] for i in places]}
    return found | {name: [float(mean[i]) for i in places] for name, mean in means.items()}

"""Table and verdict of the recipes, from the record that `recipe` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import t as student

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.training.metrics import constant_answer

BASIC = "the basic recipe"
"""The names of its trainings begin with this."""
LEVEL = 0.95
"""Confidence level of the interval."""
Record = Mapping[str, Any]


def basic(record: Record) -> np.ndarray:
    """Held-out nonzero accuracy of the basic recipe in percent, by seed."""
    found = [one for name, one in record["cells"].items() if name.startswith(BASIC)]
    return 100 * np.array([one["scores"]["nonzero_accuracy"] for one in found])


def prediction(values: np.ndarray) -> np.ndarray:
    """How far one more training may lie from the mean of these, by column: half the width of Student's prediction
    interval at LEVEL, t * s * sqrt(1 + 1/n); infinite for one training.

    values: one row per training.
    Formula: https://en.wikipedia.org/wiki/Prediction_interval, unknown mean and variance.
    """
    number = len(values)
    if number < 2:
        return np.full(values.shape[1:], math.inf)
    scale = student.ppf((1 + LEVEL) / 2, number - 1) * math.sqrt(1 + 1 / number)
    return np.asarray(scale * values.std(axis=0, ddof=1))


def chance(record: Record) -> float:
    """How far one more training of the basic recipe may lie from the mean of those that were done, in points."""
    return float(prediction(basic(record)))


def differences(record: Record) -> dict[str, float]:
    """Accuracy of each other recipe minus the mean of the basic one, in points, the largest first."""
    mean = float(basic(record).mean())
    others = {
        name: 100 * one["scores"]["nonzero_accuracy"] - mean
        for name, one in record["cells"].items()
        if not name.startswith(BASIC)
    }
    return dict(sorted(others.items(), key=lambda pair: -pair[1]))


def signed(points: float) -> str:
    """A difference with its sign; one that rounds to zero is positive."""
    return f"{round(points, 1) + 0.0:+.1f}"


def constant(record: Record) -> tuple[str, float]:
    """The most frequent class of the held-out events, and the accuracy of giving it to every voxel."""
    first = next(iter(record["cells"].values()))
    return constant_answer(record["classes"], first["scores"]["class_share"])


def recipe_rows(record: Record) -> Table:
    """One row per training: the basic recipe by seed, then the others from the best to the worst, then the best
    constant answer."""
    cells, points = record["cells"], differences(record)
    names = [name for name in cells if name.startswith(BASIC)]
    rows = []
    for name in [*sorted(names), *points]:
        one = cells[name]
        rows.append([
            name,
            f"{one['passes']:,}",
            f"{one['cpu_seconds'] / 60:.1f}",
            percent(one["training_accuracy"]),
            percent(one["scores"]["nonzero_accuracy"]),
            signed(points[name]) if name in points else "",
            *(percent(value) for value in one["scores"]["class_accuracy"]),
        ])  # fmt: skip
    best, share = constant(record)
    shares = (percent(float(name == best)) for name in record["classes"])
    rows.append([f"{best} everywhere", "", "", "", percent(share), "", *shares])
    return Table(["recipe", "events seen", "CPU minutes", "training", "held out", "points", *record["classes"]], rows)


def verdict(record: Record) -> str:
    """Which recipes differ from the basic one by more than chance."""
    values, limit, points = basic(record), chance(record), differences(record)
    mean, number = values.mean(), len(values)
    if number < 2:
        return "One seed of the basic recipe does not show which differences are chance."
    told = (
        f"The basic recipe reaches {mean:.1f} % on average over {number} seeds ({values.min():.1f} to "
        f"{values.max():.1f} %); one more seed would lie within {limit:.1f} points of this mean with a probability of "
        f"{100 * LEVEL:g} %."
    )
    for word, chosen in (
        ("Better by more", {name: value for name, value in points.items() if value > limit}),
        ("Worse by more", {name: value for name, value in points.items() if value < -limit}),
    ):
        listed = ", ".join(f"{name} ({signed(value)})" for name, value in chosen.items())
        told += f" {word}: {listed or 'none'}."
    return told


def limits(record: Record) -> str:
    """What the trials do not show."""
    number = f"{record['setting']['passes']:,}"
    return (
        f"These trainings are short. What helps within {number} events need not help in a long training, where the "
        "learning rate, the class weights and the size of the network may count for more. Every recipe but the basic "
        "one was trained once, so a difference near the limit is uncertain, and among many recipes one may exceed it "
        "by chance. The spread of the basic recipe is that of the whole training at this length: its seeds change the "
        "initial weights, the order of the events, their shifts and their symmetries. It does not contain the choice "
        "of the events to learn from and to judge by, which all seeds share, and the seeds of a longer training may "
        "differ by more or less."
    )


def summary_text(record: Record) -> str:
    """The table and the verdict as text."""
    return "\n\n".join(["", recipe_rows(record).text(), verdict(record)])

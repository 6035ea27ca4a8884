"""How the error of one training falls with the events it has seen, from the networks with which its stages ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
"""Level of the intervals."""
LEAST = 4
"""Number of networks below which nothing is fitted: two points always lie on a line, and three leave one degree of
freedom, whose interval is too wide to be of use."""
JUDGED = ("data", "events", "crop", "conventions", "simulations")
"""What tells the events of two scores apart; older milestones have only the first two."""
FARTHEST = 1000
"""Passes are not extrapolated beyond this multiple of those that were made."""


@dataclass(frozen=True)
class Law:
    """wrong = factor * passes ** -exponent, fitted to the logarithms by least squares.

    low, high: the interval of the exponent at LEVEL, by Student's distribution, if the networks scatter independently
    about the law. Those of one training do not, quite: they share stages.
    """

    exponent: float
    low: float
    high: float
    factor: float
    passes: tuple[float, ...]
    wrong: tuple[float, ...]


def fit(passes: Sequence[float], wrong: Sequence[float]) -> Law | None:
    """The law through networks judged on the same events; None for fewer than LEAST different numbers of passes, and if
    a share is 0, whose logarithm is infinite.

    passes: events seen, above 0; wrong: shares of wrong voxels
    """
    if len(set(passes)) < LEAST or not min(wrong) > 0:
        return None
    found = stats.linregress(np.log(passes), np.log(wrong))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(passes) - 2)) * float(found.stderr)
    exponent = -float(found.slope)
    return Law(exponent, exponent - half, exponent + half, math.exp(found.intercept), tuple(passes), tuple(wrong))


def needed(law: Law, wrong: float) -> tuple[float, float, float | None]:
    """Passes at which the law reaches this share of wrong voxels: the best value, and the interval at LEVEL.

    The interval ends where the lower and the upper edge of the line's confidence band reach the share, at or after the
    passes made. The lower end is inf and the upper one None if its edge has not reached it at FARTHEST times as many.
    """
    best = (law.factor / wrong) ** (1 / law.exponent) if law.exponent > 0 else math.inf
    at = np.geomspace(max(law.passes), FARTHEST * max(law.passes), 10_000)
    x, known = np.log(at), np.log(law.passes)
    line = math.log(law.factor) - law.exponent * x
    residuals = np.log(law.wrong) - (math.log(law.factor) - law.exponent * known)
    free = len(known) - 2
    spread = math.sqrt(float(residuals @ residuals) / free)
    distance = (x - known.mean()) ** 2 / float(((known - known.mean()) ** 2).sum())
    half = float(stats.t.ppf((1 + LEVEL) / 2, free)) * spread * np.sqrt(1 / len(known) + distance)
    below = [np.flatnonzero(edge <= math.log(wrong)) for edge in (line - half, line + half)]
    low = float(at[below[0][0]]) if len(below[0]) else math.inf
    return best, low, float(at[below[1][0]]) if len(below[1]) else None


def summary(record: dict[str, Any], events: int | None) -> dict[str, Any]:
    """What a longer record keeps of an earlier one: how its network was judged, and after how many passes.

    record: as `stages.record` makes it; events: the number of different training events, if it is known
    """
    kept = ("data", "events", "nonzero_accuracy", "class_accuracy")
    scores = [
        {name: value for name, value in score.items() if name in JUDGED} | {name: score[name] for name in kept}
        for score in record["scores"]
    ]
    return {"passes": record["passes"], "training_events": events, "commit": record["commit"], "scores": scores}


def judged_alike(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The networks of a training that were judged on the events of its first scores, the last one included, in their
    order: passes, training_events, nonzero_accuracy, class_accuracy."""
    if not record["scores"]:
        return []
    last = record["scores"][0]
    rows = []
    for network in [*record.get("milestones", []), summary(record, None)]:
        for score in network["scores"]:
            if all(score.get(name, last.get(name)) == last.get(name) for name in JUDGED):
                rows.append({name: network[name] for name in ("passes", "training_events")} | score)
                break
    return rows

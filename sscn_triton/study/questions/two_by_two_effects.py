"""Effects of norms and convolutions in the record that `two_by_two` writes: differences of accuracies over seeds."""

from __future__ import annotations

import math
from typing import NamedTuple, get_args

import numpy as np
from scipy.stats import t as student

from sscn_triton.study.questions.two_by_two_record import (
    BACKGROUND,
    DENSE,
    FOUR,
    SPARSE,
    Measure,
    Record,
    accuracies,
    better,
    crossed,
    of_runs,
    timed,
)

LEVEL = 0.95
"""Confidence level of the intervals."""
FACTORS = ("all", "active")


class Effect(NamedTuple):
    """A difference of accuracies in percentage points, one per seed, and the half width of its interval."""

    name: str
    values: np.ndarray
    half: float

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def clear(self) -> bool:
        """Whether the interval excludes 0 and all seeds agree in sign."""
        return abs(self.mean) > self.half and len({bool(value > 0) for value in self.values}) == 1

    def text(self) -> str:
        """The mean and the interval, which a single seed does not have."""
        if len(self.values) == 1:
            return f"{self.mean:+.1f} (one seed)"
        return f"{self.mean:+.1f} ± {self.half:.1f}"


def effect(name: str, values: np.ndarray) -> Effect:
    """The interval is Student's, for the mean of independent seeds."""
    number = len(values)
    half = math.inf
    if number > 1:
        half = float(student.ppf((1 + LEVEL) / 2, number - 1) * values.std(ddof=1) / math.sqrt(number))
    return Effect(name, values, half)


def difference(record: Record, measure: Measure = "batch_scores") -> Effect:
    """The sparse network minus its dense twin."""
    return effect("both: sparse minus dense", accuracies(record, SPARSE, measure) - accuracies(record, DENSE, measure))


def effects(record: Record, measure: Measure = "batch_scores") -> list[Effect]:
    """Main effects, interaction, the whole difference, and the effect of the background class; the whole difference
    alone if the setting has no other cells. Differences are between trainings of one seed, which share initial weights
    and crops."""
    if len(crossed(record)) < len(FOUR):
        return [difference(record, measure)]
    a = {(n, s): accuracies(record, f"norms {n}, sites {s}", measure) for n in FACTORS for s in FACTORS}
    both, neither = a["active", "active"], a["all", "all"]
    norms, sites = a["active", "all"], a["all", "active"]
    found = [
        effect("norms over active voxels, mean over both convolutions", (both - sites + norms - neither) / 2),
        effect("submanifold convolution, mean over both norms", (both - norms + sites - neither) / 2),
        effect("interaction: what the norms do more if the convolution is submanifold", both - sites - norms + neither),
        difference(record, measure),
    ]
    background = accuracies(record, BACKGROUND, measure)
    if len(background):
        found.append(effect("background class in the dense twin", background - neither[: len(background)]))
    return found


def at_best(record: Record) -> Effect:
    """Sparse minus dense, each judged by the measure by which it does better."""
    return effect("sparse minus dense, each at its best", better(record, SPARSE)[1] - better(record, DENSE)[1])


def timed_best(record: Record) -> Effect | None:
    """Sparse minus dense after equal CPU time, each judged by the measure by which it does better; None without such
    trainings."""
    if not (pairs := _timed_pairs(record)):
        return None
    sparse, dense = (max(values, key=np.mean) for values in zip(*pairs.values(), strict=True))
    return effect("sparse minus dense after equal CPU time, each at its best", sparse - dense)


def timed_difference(record: Record, measure: Measure = "batch_scores") -> Effect | None:
    """The same, both judged by one measure."""
    if not (pairs := _timed_pairs(record)):
        return None
    sparse, dense = pairs[measure]
    return effect("sparse minus dense after equal CPU time", sparse - dense)


def _timed_pairs(record: Record) -> dict[Measure, tuple[np.ndarray, np.ndarray]]:
    """By measure: the accuracies of the sparse network and of its dense twin after equal CPU time; empty without such
    trainings."""
    shorter = timed(record)
    sparse = [record["cells"][f"seed {one['seed']}: {SPARSE}"] for one in shorter]
    return {one: (of_runs(sparse, one), of_runs(shorter, one)) for one in get_args(Measure)} if shorter else {}

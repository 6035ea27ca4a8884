"""Effects, tables and figure of the two-by-two of norms and convolutions, from the record that `two_by_two` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent

LEVEL = 0.95
"""Confidence level of the intervals."""
FACTORS = ("all", "active")
BACKGROUND = "norms all, sites all, background"
COLORS = {
    "norms all, sites all": "#C8553D",
    "norms active, sites all": "#D9A441",
    "norms all, sites active": "#8A5A9E",
    "norms active, sites active": "#0B6E99",
    BACKGROUND: "#8A8A8A",
}
NAMES = {
    "norms all, sites all": "norms over all voxels, dense convolution (the dense twin)",
    "norms active, sites all": "norms over active voxels, dense convolution",
    "norms all, sites active": "norms over all voxels, submanifold convolution",
    "norms active, sites active": "norms over active voxels, submanifold convolution (the sparse network)",
    BACKGROUND: "the dense twin that also learns the background",
}
Record = Mapping[str, Any]


def rates(record: Record, cell: str) -> dict[float, float]:
    """Accuracy on the crops for choosing, by learning rate that was tried."""
    tried = [one for name, one in record["cells"].items() if name.startswith("rate ") and one["cell"] == cell]
    return {one["learning_rate"]: one["scores"]["nonzero_accuracy"] for one in tried}


def rate(record: Record, cell: str) -> float:
    """The learning rate of a cell: the most accurate one of its trials."""
    found = rates(record, cell)
    return max(found, key=lambda peak: found[peak])


def runs(record: Record, cell: str) -> list[dict[str, Any]]:
    """The trainings of a cell, in the order of their seeds."""
    found = [one for name, one in record["cells"].items() if name.startswith("seed ") and one["cell"] == cell]
    return sorted(found, key=lambda one: one["seed"])


def accuracies(record: Record, cell: str) -> np.ndarray:
    """Held-out nonzero accuracy in percent, by seed."""
    return 100 * np.array([one["scores"]["nonzero_accuracy"] for one in runs(record, cell)])


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
        return f"{self.mean:+.1f} ± {self.half:.1f}"


def effect(name: str, values: np.ndarray) -> Effect:
    """The interval is Student's, for the mean of independent seeds."""
    number = len(values)
    half = math.inf
    if number > 1:
        half = float(student.ppf((1 + LEVEL) / 2, number - 1) * values.std(ddof=1) / math.sqrt(number))
    return Effect(name, values, half)


def effects(record: Record) -> list[Effect]:
    """Main effects, interaction, the whole difference, and the effect of the background class. Differences are between
    trainings of one seed, which share initial weights and crops."""
    a = {(n, s): accuracies(record, f"norms {n}, sites {s}") for n in FACTORS for s in FACTORS}
    both, neither = a["active", "active"], a["all", "all"]
    norms, sites = a["active", "all"], a["all", "active"]
    return [
        effect("norms over active voxels, mean over both convolutions", (both - sites + norms - neither) / 2),
        effect("submanifold convolution, mean over both norms", (both - norms + sites - neither) / 2),
        effect("interaction: what the norms do more if the convolution is submanifold", both - sites - norms + neither),
        effect("both: sparse minus dense", both - neither),
        effect("background class in the dense twin", accuracies(record, BACKGROUND) - neither),
    ]


def constant(record: Record) -> tuple[str, float]:
    """The most frequent class of the crops for judging, and the accuracy of giving it to every voxel."""
    shares = runs(record, "norms all, sites all")[0]["scores"]["class_share"]
    share, name = max(zip(shares, record["classes"], strict=False))
    return name, share


def spread(values: np.ndarray) -> str:
    """Mean, lowest and highest of percentages."""
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})"


def accuracy_rows(record: Record) -> Table:
    """Accuracy of each network by class, over seeds, and of the best constant answer."""
    classes = record["classes"]
    rows = []
    for cell in record["cell_names"]:
        by_class = 100 * np.array([one["scores"]["class_accuracy"][: len(classes)] for one in runs(record, cell)])
        trained = 100 * np.array([one["training_accuracy"] for one in runs(record, cell)])
        peak = f"{rate(record, cell):g}"
        means = [f"{value:.1f} %" for value in by_class.mean(0)]
        rows.append([NAMES[cell], peak, spread(trained), spread(accuracies(record, cell)), *means])
    best, share = constant(record)
    rows.append([f"{best} everywhere", "", "", percent(share), *(percent(float(name == best)) for name in classes)])
    return Table(["network", "rate", "training", "held out", *classes], rows)


def effect_rows(record: Record) -> Table:
    """Effects in percentage points."""
    seeds = [f"seed {one['seed']}" for one in runs(record, "norms all, sites all")]
    rows = [[one.name, *(f"{value:+.1f}" for value in one.values), one.text()] for one in effects(record)]
    return Table(["difference in held-out accuracy, points", *seeds, f"mean, {100 * LEVEL:g} % interval"], rows)


def rate_rows(record: Record) -> Table:
    """The trials that chose the learning rates."""
    tried = record["setting"]["rates"]
    rows = [[NAMES[c], *(percent(rates(record, c)[peak]) for peak in tried)] for c in record["cell_names"]]
    return Table(["accuracy on the crops for choosing", *(f"rate {peak:g}" for peak in tried)], rows)


def cost(record: Record) -> tuple[float, float]:
    """CPU seconds and wall seconds of all trainings."""
    cells = record["cells"].values()
    return sum(one["cpu_seconds"] for one in cells), sum(one["wall_seconds"] for one in cells)


def summary_text(record: Record) -> str:
    """The tables as text."""
    tables = (rate_rows(record), accuracy_rows(record), effect_rows(record))
    return "\n\n".join(["", *(table.text() for table in tables)])


def figure(record: Record) -> Figure:
    """Left: accuracy during training, mean over seeds. Right: held-out accuracy, a point per seed."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.2), width_ratios=(3, 2))
    best, share = constant(record)
    for place, cell in enumerate(record["cell_names"]):
        curves = [one["curve"] for one in runs(record, cell)]
        mean = 100 * np.mean([one["accuracy"] for one in curves], axis=0)
        left.plot(curves[0]["iteration"], mean, color=COLORS[cell], lw=1.4, label=NAMES[cell])
        held_out = accuracies(record, cell)
        right.plot([place] * len(held_out), held_out, "o", color=COLORS[cell], mec="white", ms=7)
    for axes in (left, right):
        axes.axhline(100 * share, ls=":", color="#8A8A8A", lw=1.2)
    left.annotate(f"{best} everywhere", (0, 100 * share), (0, 3), textcoords="offset points", fontsize=8)
    left.set(xlabel="step", ylabel="nonzero accuracy (%)", title="training")
    right.set(title="held-out crops", xticks=[], xlim=(-0.5, len(record["cell_names"]) - 0.5))
    drawn.legend(*left.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=8)
    return drawn

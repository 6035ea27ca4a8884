"""Effects, tables and figure of the two-by-two of norms and convolutions, from the record that `two_by_two` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.training.metrics import constant_answer

LEVEL = 0.95
"""Confidence level of the intervals."""
MARGIN = 0.05
"""A network has begun to learn if it is better than the best constant answer by this much."""
FACTORS = ("all", "active")
DENSE, SPARSE = "norms all, sites all", "norms active, sites active"
BACKGROUND = f"{DENSE}, background"
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
FOUR = [cell for cell in NAMES if cell != BACKGROUND]
MEASURES = {"batch_scores": "statistics of the batch", "scores": "running statistics"}
"""Ways of judging the held-out crops, by the statistics that the norms use."""
Record = Mapping[str, Any]
Measure = Literal["batch_scores", "scores"]


def rates(record: Record, cell: str) -> dict[float, float]:
    """Accuracy on the crops for choosing, by learning rate that was tried."""
    tried = [one for name, one in record["cells"].items() if name.startswith("rate ") and one["cell"] == cell]
    return {one["learning_rate"]: one["scores"]["nonzero_accuracy"] for one in tried}


def rate(record: Record, cell: str) -> float:
    """The learning rate of a cell: the most accurate one of its trials."""
    found = rates(record, cell)
    return max(found, key=lambda peak: found[peak])


def seeds(record: Record) -> list[int]:
    """The seeds with which all four networks were trained: a command that was stopped leaves others."""
    done = {(one["seed"], one["cell"]) for name, one in record["cells"].items() if name.startswith("seed ")}
    return [seed for seed in sorted({seed for seed, _ in done}) if all((seed, cell) in done for cell in FOUR)]


def runs(record: Record, cell: str) -> list[dict[str, Any]]:
    """The trainings of a cell with these seeds, in their order; there may be fewer of the fifth network."""
    names = [f"seed {seed}: {cell}" for seed in seeds(record)]
    return [record["cells"][name] for name in names if name in record["cells"]]


def trained(record: Record) -> list[str]:
    """The cells that have trainings."""
    return [cell for cell in NAMES if runs(record, cell)]


def active_share(record: Record) -> float:
    """The share of active pixels in the crops for judging; those of unknown label do not count."""
    scores = runs(record, DENSE)[0]["scores"]
    return float(scores["voxels"] / (scores["events"] * record["setting"]["size"] ** 2))


def accuracies(record: Record, cell: str, measure: Measure = "batch_scores") -> np.ndarray:
    """Held-out nonzero accuracy in percent, by seed."""
    return 100 * np.array([one[measure]["nonzero_accuracy"] for one in runs(record, cell)])


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


def effects(record: Record, measure: Measure = "batch_scores") -> list[Effect]:
    """Main effects, interaction, the whole difference, and the effect of the background class. Differences are between
    trainings of one seed, which share initial weights and crops."""
    a = {(n, s): accuracies(record, f"norms {n}, sites {s}", measure) for n in FACTORS for s in FACTORS}
    both, neither = a["active", "active"], a["all", "all"]
    norms, sites = a["active", "all"], a["all", "active"]
    found = [
        effect("norms over active voxels, mean over both convolutions", (both - sites + norms - neither) / 2),
        effect("submanifold convolution, mean over both norms", (both - norms + sites - neither) / 2),
        effect("interaction: what the norms do more if the convolution is submanifold", both - sites - norms + neither),
        effect("both: sparse minus dense", both - neither),
    ]
    background = accuracies(record, BACKGROUND, measure)
    if len(background):
        found.append(effect("background class in the dense twin", background - neither[: len(background)]))
    return found


def better(record: Record, cell: str) -> tuple[Measure, np.ndarray]:
    """The measure by which the network does better on average, and its accuracies."""
    found = {measure: accuracies(record, cell, measure) for measure in get_args(Measure)}
    best = max(found, key=lambda measure: found[measure].mean())
    return best, found[best]


def at_best(record: Record) -> Effect:
    """Sparse minus dense, each judged by the measure by which it does better."""
    return effect("sparse minus dense, each at its best", better(record, SPARSE)[1] - better(record, DENSE)[1])


def measures_sentence(record: Record) -> str:
    """What running statistics change for each network, and the comparison of the two at their best."""
    told = []
    for cell in trained(record):
        change = effect("", accuracies(record, cell, "scores") - accuracies(record, cell))
        told.append(f"{NAMES[cell]} {change.text()}")
    one, (sparse, dense) = at_best(record), (MEASURES[better(record, cell)[0]] for cell in (SPARSE, DENSE))
    return (
        f"Running statistics instead of those of the batch change the accuracy by (points): {'; '.join(told)}. If "
        f"each is judged by the measure by which it does better ({sparse} for the sparse network, {dense} for its "
        f"dense twin), the sparse network minus its dense twin is "
        f"{one.text()} points, {_judged(one)}."
    )


def constant(record: Record) -> tuple[str, float]:
    """The most frequent class of the crops for judging, and the accuracy of giving it to every voxel."""
    shares = runs(record, DENSE)[0]["scores"]["class_share"]
    return constant_answer(record["classes"], shares[: len(record["classes"])])


def spread(values: np.ndarray) -> str:
    """Mean, lowest and highest of percentages."""
    return f"{values.mean():.1f} % ({values.min():.1f} to {values.max():.1f})"


def accuracy_rows(record: Record) -> Table:
    """Accuracy of each network by class, over seeds, and of the best constant answer."""
    classes = record["classes"]
    rows = []
    for cell in trained(record):
        by_class = 100 * np.array([one["batch_scores"]["class_accuracy"][: len(classes)] for one in runs(record, cell)])
        at_end = 100 * np.array([one["training_accuracy"] for one in runs(record, cell)])
        peak = f"{rate(record, cell):g}"
        means = [f"{value:.1f} %" for value in by_class.mean(0)]
        judged = [spread(accuracies(record, cell, measure)) for measure in get_args(Measure)]
        rows.append([NAMES[cell], peak, spread(at_end), *judged, *means])
    best, share = constant(record)
    rows.append(
        [
            f"{best} everywhere",
            "",
            "",
            percent(share),
            percent(share),
            *(percent(float(name == best)) for name in classes),
        ]
    )
    header = ["network", "rate", "training", *(f"held out, {name}" for name in MEASURES.values())]
    return Table([*header, *classes], rows)


def effect_rows(record: Record, measure: Measure = "batch_scores") -> Table:
    """Effects in percentage points."""
    names = [f"seed {seed}" for seed in seeds(record)]
    rows = []
    for one in effects(record, measure):
        values = [f"{value:+.1f}" for value in one.values]
        rows.append([one.name, *values, *("" for _ in names[len(values) :]), one.text()])
    return Table([f"points, by {MEASURES[measure]}", *names, f"mean, {100 * LEVEL:g} % interval"], rows)


def verdict(record: Record, measure: Measure = "batch_scores") -> str:
    """What the effects say: which intervals exclude 0 with all seeds of one sign, and which do not."""
    norms, sites, interaction, both, *fifth = effects(record, measure)
    best, _ = constant(record)
    who = "all four networks" if learnt(record, measure) else "not all of the four networks"
    parts = [
        f"By {MEASURES[measure]}, {who} are at least {100 * MARGIN:g} points above {best} everywhere for every seed.",
        f"The sparse network minus its dense twin: {both.text()} points, {_judged(both)}.",
        f"Norms over active voxels change the accuracy by {norms.text()} points, {_judged(norms)}; submanifold "
        f"convolutions change it by {sites.text()} points, {_judged(sites)}. {_source(norms, sites, both)}",
        f"The interaction is {interaction.text()} points, {_judged(interaction)}.",
    ]
    for background in fifth:
        parts.append(
            f"A background class changes the accuracy of the dense twin by {background.text()} points, "
            f"{_judged(background)}."
        )
    if fifth and measure == "scores":
        without = 100 * np.array([one["without_background"] for one in runs(record, BACKGROUND)])
        parts.append(f"If its background score does not count, it labels {spread(without)} of the active voxels.")
    return " ".join(parts)


def _judged(one: Effect) -> str:
    return "which these seeds distinguish from 0" if one.clear else "which these seeds do not distinguish from 0"


def _source(norms: Effect, sites: Effect, both: Effect) -> str:
    """Which factor the difference between sparse and dense comes from."""
    if not both.clear:
        return "These seeds show no difference between sparse and dense that either of them would have to explain."
    told = f"Of the {both.mean:+.1f} points, {norms.mean:+.1f} come with the norms and {sites.mean:+.1f} with the"
    clear = {name: one.mean * both.mean > 0 for name, one in (("norms", norms), ("convolutions", sites)) if one.clear}
    if not clear:
        return f"{told} convolutions: these seeds do not tell the two apart."
    if len(clear) == 2:
        return f"{told} convolutions: both contribute." if all(clear.values()) else f"{told} convolutions."
    (name, helps), *_ = clear.items()
    if not helps:
        return f"{told} convolutions."
    return f"{told} convolutions: the difference comes from the {name}, as far as these seeds can tell."


def learnt(record: Record, measure: Measure = "batch_scores") -> bool:
    """Whether each of the four networks is better than the best constant answer by MARGIN, for every seed."""
    worst = min(accuracies(record, cell, measure).min() for cell in FOUR)
    return bool(worst > 100 * (constant(record)[1] + MARGIN))


def limits(record: Record) -> str:
    """What the experiment does not show, and what would refute it."""
    setting = record["setting"]
    return (
        "This is not yet an explanation of the slides. Their dense network differs from its sparse one in size, blocks "
        "and border as well, their images have three dimensions and a much smaller share of active voxels, and they "
        f"trained for far longer than {setting['steps']:,} steps. More seeds whose differences have another sign, or "
        "a longer training in which the networks meet, would refute what is said here. So "
        "would running statistics, found in another way, by which the dense twin loses nothing."
    )


def rate_rows(record: Record) -> Table:
    """The trials that chose the learning rates."""
    tried = record["setting"]["rates"]
    rows = [[NAMES[c], *(percent(rates(record, c)[peak]) for peak in tried)] for c in NAMES if rates(record, c)]
    return Table(["accuracy on the crops for choosing", *(f"rate {peak:g}" for peak in tried)], rows)


def rate_sentence(record: Record) -> str:
    """How the rates were chosen, and for which networks the best one is the lowest or the highest that was tried."""
    setting = record["setting"]
    tried = setting["rates"]
    text = (
        f"Each rate was tried for {setting['trial_steps']} steps with a seed of its own, and judged by "
        f"running statistics on {setting['choosing']} crops that judge nothing else."
    )
    for word, peak in (("lowest", min(tried)), ("highest", max(tried))):
        names = [NAMES[cell] for cell in NAMES if rates(record, cell) and rate(record, cell) == peak]
        if names:
            text += f" The {word} is the best for: {'; '.join(names)}. A rate beyond it might be better still."
    return text


def cost(record: Record) -> tuple[float, float]:
    """CPU seconds and wall seconds of all trainings."""
    cells = record["cells"].values()
    return sum(one["cpu_seconds"] for one in cells), sum(one["wall_seconds"] for one in cells)


def cost_sentence(record: Record) -> str:
    """CPU time of a training of the sparse network and of its dense twin."""
    sparse, dense = (float(np.median([one["cpu_seconds"] for one in runs(record, cell)])) for cell in (SPARSE, DENSE))
    return (
        f"A training of {record['setting']['steps']:,} steps took {sparse:.0f} s of CPU time with the sparse network "
        f"and {dense:.0f} s with its dense twin (medians over seeds)."
    )


def summary_text(record: Record) -> str:
    """The tables as text."""
    tables = [rate_rows(record), accuracy_rows(record), *(effect_rows(record, one) for one in get_args(Measure))]
    told = (verdict(record, measure) for measure in get_args(Measure))
    return "\n\n".join(["", *(table.text() for table in tables), *told, measures_sentence(record)])


def figure(record: Record) -> Figure:
    """Left: accuracy during training, mean over seeds. Right: held-out accuracy, two points per seed."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.2), width_ratios=(3, 2))
    best, share = constant(record)
    for place, cell in enumerate(trained(record)):
        curves = [one["curve"] for one in runs(record, cell)]
        mean = 100 * np.mean([one["accuracy"] for one in curves], axis=0)
        left.plot(curves[0]["iteration"], mean, color=COLORS[cell], lw=1.4, label=NAMES[cell])
        for measure, marker, shift in (("batch_scores", "o", -0.12), ("scores", "s", 0.12)):
            held_out = accuracies(record, cell, measure)  # type: ignore[arg-type]
            right.plot([place + shift] * len(held_out), held_out, marker, color=COLORS[cell], mec="white", ms=7)
    for axes in (left, right):
        axes.axhline(100 * share, ls=":", color="#8A8A8A", lw=1.2)
    left.annotate(f"{best} everywhere", (0, 100 * share), (0, 3), textcoords="offset points", fontsize=8)
    left.set(xlabel="step", ylabel="nonzero accuracy (%)", title="training")
    right.set(title="held-out crops", xticks=[], xlim=(-0.5, len(NAMES) - 0.5))
    drawn.legend(*left.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.02), fontsize=8)
    return drawn

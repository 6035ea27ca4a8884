"""Figures of the open questions. Points are means over seeds; bars extend from the smallest to the largest value."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sscn_triton.study.analysis.mistakes_report import heat
from sscn_triton.study.runs.roles import COLORS, on_crops

BLUE, RED, VIOLET, GREEN = "#0B6E99", "#C8553D", "#8A5A9E", "#5B8E3E"
MARKERS = {"none": ("o", BLUE), "sqrt": ("s", GREEN), "balanced": ("^", RED)}
SPECIES_COLORS = ("#5B8E3E", "#D9A441", "#0B6E99", "#8A5A9E", "#C8553D")


def draw(record: dict[str, Any]) -> dict[str, Figure]:
    """All figures, by file name."""
    answers = record["questions"]
    return {
        "equal.png": equal(record),
        "events.png": events(answers),
        "depth.png": depth(answers),
        "weights.png": weights(answers),
        "particles.png": particles(answers["particles"]),
    }


def values(trials: list[dict[str, Any]], name: str, shift: int = 0) -> np.ndarray:
    """A score per seed, in percent."""
    return 100 * np.array([trial["shifted"][shift][name] for trial in trials], dtype=float)


def spread(values: np.ndarray) -> np.ndarray:
    """The distances of the smallest and the largest value from the mean, [2, 1]."""
    return np.array([[values.mean() - values.min()], [values.max() - values.mean()]])


def _line(axes: Axes, x: list[int], series: list[np.ndarray], color: str, label: str, look: str = "o-") -> None:
    means = [one.mean() for one in series]
    axes.errorbar(
        x, means, np.hstack([spread(one) for one in series]), fmt=look, color=color, label=label, ms=5, capsize=3
    )


def equal(record: dict[str, Any]) -> Figure:
    """Left: accuracy against time at equal memory. Right: peak memory against accuracy, all at equal time."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.2))
    for one in record["questions"]["equal"]:
        color = COLORS[one["kind"]]
        label = f"{one['name']}, {one['images']} crops of {one['edge']} px"
        curve = one["curve"]
        left.plot(curve["wall"], 100 * np.array(curve["accuracy"]), color=color, label=label)
        left.plot(
            curve["wall"][-1], 100 * one["held_out"], "D", color=color, mec="white", ms=6, clip_on=False, zorder=5
        )
        right.plot(one["memory"] / 1e6, 100 * one["held_out"], "D", color=color, mec="white", ms=8, label=f"{label}")
    for role, network in on_crops(record).items():
        color = COLORS[role]
        accuracy = 100 * network["held_out"]["nonzero_accuracy"]
        right.plot(network["training_memory"] / 1e6, accuracy, "o", color=color, ms=8, label=network["name"])
    left.set(xlabel="wall time of training (s)", ylabel="nonzero accuracy (%)", ylim=(0, 102), title="equal memory")
    right.set(xscale="log", xlabel="peak memory of training (MB)", ylim=(0, 102), title="equal time")
    left.plot([], [], "D", color="#555555", mec="white", label="held-out crops, at the end")
    left.set_xlim(0, None)
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return figure


def events(answers: dict[str, Any]) -> Figure:
    """Accuracy against the number of training events."""
    figure, axes = plt.subplots(figsize=(9.2, 3.4))
    counts = [one["events"] for one in answers["events"]]
    trained = [100 * np.array([t["training_accuracy"] for t in one["trials"]]) for one in answers["events"]]
    _line(axes, counts, trained, "#8A8A8A", "training images", "s--")
    _line(
        axes, counts, [values(one["trials"], "nonzero_accuracy") for one in answers["events"]], BLUE, "held-out images"
    )
    axes.set(xscale="log", xlabel="training events", ylabel="nonzero accuracy (%)", ylim=(0, 102))
    axes.set_title(f"{answers['steps']:,} steps each")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure


def depth(answers: dict[str, Any]) -> Figure:
    """Michel accuracy, accuracy elsewhere, and the share of Michel voxels joined to a muon, against depth."""
    figure, axes = plt.subplots(figsize=(9.2, 3.6))
    rows = answers["depth"]
    depths = [row["depth"] for row in rows]
    joined = [np.nan if row["joined_share"] is None else 100 * row["joined_share"] for row in rows]
    axes.plot(depths, joined, "D--", color="#8A8A8A", ms=5, label="Michel voxels that a MIP voxel can reach")
    _line(axes, depths, [values(row["trials"], "elsewhere") for row in rows], BLUE, "accuracy, all other voxels")
    _line(axes, depths, [values(row["trials"], "michel") for row in rows], RED, "accuracy, Michel voxels")
    axes.set_xticks(depths, [f"{row['depth']}\n{row['receptive_field']} px" for row in rows])
    axes.set(xlabel="depth of the network, and its receptive field", ylabel="share of voxels (%)", ylim=(0, 102))
    axes.set_title(f"{answers['steps']:,} steps each")
    axes.legend(fontsize=8, loc="best")
    return figure


def weights(answers: dict[str, Any]) -> Figure:
    """Michel accuracy against accuracy elsewhere, for class weights and for shifts after the training."""
    figure, axes = plt.subplots(figsize=(9.2, 4.0))
    for row in answers["weights"]:
        marker, color = MARKERS[row["class_weights"]]
        trials = row["trials"]
        shifts = range(len(trials[0]["shifted"]))
        places = [(values(trials, "elsewhere", k).mean(), values(trials, "michel", k).mean()) for k in shifts]
        axes.plot(*np.transpose(places), "-", color=color, lw=1.2, alpha=0.7)
        axes.plot(*np.transpose(places[1:]), ".", color=color)
        x, y = values(trials, "elsewhere"), values(trials, "michel")
        label = f"class weights: {row['class_weights']}"
        bars: Any = {"xerr": spread(x), "yerr": spread(y)}
        axes.errorbar(x.mean(), y.mean(), **bars, fmt=marker, color=color, ms=8, capsize=3, label=label)
    last = answers["weights"][0]["trials"][0]["shifted"][-1]["shift"]
    axes.plot([], [], ".-", color="#555555", label=f"probabilities divided by powers of the shares, up to {last:g}")
    axes.set(xlabel="accuracy of all other voxels (%)", ylabel="accuracy of Michel voxels (%)")
    axes.set_title(f"{answers['steps']:,} steps each")
    axes.legend(fontsize=8)
    return figure


def particles(singles: dict[str, Any]) -> Figure:
    """Left: species, all seeds together. Right: energy found against true, of the first seed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 4.0))
    trials, names = singles["trials"], singles["species"]
    heat(left, np.sum([trial["confusion"] for trial in trials], axis=0).astype(float), names)
    left.set_title("share of a species (%)")
    first = trials[0]
    species, true, found = (np.array(first[name]) for name in ("species", "energy", "found_energy"))
    for i, (name, color) in enumerate(zip(names, SPECIES_COLORS, strict=True)):
        right.plot(true[species == i], found[species == i], ".", color=color, ms=5, label=name)
    right.plot(singles["energies"], singles["energies"], color="#8A8A8A", lw=1)
    right.set(
        xlabel="true kinetic energy (MeV)", ylabel="predicted (MeV)", title="energy", xlim=(0, None), ylim=(0, None)
    )
    right.legend(fontsize=7, ncols=2)
    return figure

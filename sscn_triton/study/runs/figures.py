"""Figures of runs that every report draws: learning curves, and accuracy by class."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

STYLE: Any = {
    "figure.dpi": 150,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Line:
    """A run in the figure of learning curves.

    curve: the result of `curves.curve`
    held_out: nonzero accuracy on held-out images, a fraction
    """

    name: str
    color: str
    curve: dict[str, list[float]]
    held_out: float
    dashed: bool = False


@dataclass(frozen=True)
class Bars:
    """A run, or a publication, in the figure of class accuracies. accuracies: fractions; None or nan for a class that
    no image has."""

    name: str
    color: str
    accuracies: list[float | None]
    hatched: bool = False


def learning_curves(lines: list[Line], baseline: tuple[str, float] | None = None) -> Figure:
    """Nonzero accuracy against iterations and against wall time. baseline: the name and the nonzero accuracy of a
    trivial answer, drawn as a dotted line."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.7), sharey=True)
    for axes, key in ((left, "iteration"), (right, "wall")):
        for line in lines:
            axes.plot(
                line.curve[key],
                100 * np.array(line.curve["accuracy"]),
                color=line.color,
                lw=1.8,
                label=line.name if axes is left else None,
                ls="--" if line.dashed else "-",
            )
            end = line.curve[key][-1], 100 * line.held_out
            axes.plot(*end, "D", ms=6, color=line.color, mec="white", clip_on=False, zorder=5)
        if baseline is not None:
            label = baseline[0] if axes is left else None
            axes.axhline(100 * baseline[1], color="#555555", lw=1.2, ls=":", label=label)
    left.plot([], [], "D", color="#555555", ms=6, mec="white", label="held-out images, at the end")
    left.set(
        xscale="log", xlabel="iterations", ylabel="nonzero accuracy (%)", title="against iterations", ylim=(0, 102)
    )
    right.set(xlabel="wall time of training (s)", title="against wall time", xlim=(0, None))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure


def class_accuracies(groups: list[Bars], classes: list[str], shares: list[float]) -> Figure:
    """Accuracy of each class on held-out images. shares: of the nonzero voxels, written below the classes' names."""
    figure, axes = plt.subplots(figsize=(9.2, 3.6))
    width, places = 0.17, np.arange(len(classes))
    for i, group in enumerate(groups):
        look: Any = {"color": group.color}
        if group.hatched:
            look = {"color": "white", "edgecolor": group.color, "hatch": "////"}
        x = places + (i - (len(groups) - 1) / 2) * width
        values = [np.nan if value is None else value for value in group.accuracies]  # JSON stores nan as null
        heights = [0.0 if np.isnan(v) else 100 * v for v in values]
        axes.bar(x, heights, width * 0.92, label=group.name, **look)
        for place, value, height in zip(x, values, heights, strict=True):
            text = "none" if np.isnan(value) else f"{height:.0f}"
            axes.text(place, height + 1, text, ha="center", va="bottom", fontsize=6, color="#333333")
    ticks = [f"{name}\n{100 * share:.1f} % of voxels" for name, share in zip(classes, shares, strict=True)]
    axes.set_xticks(places, ticks)
    axes.set(ylabel="accuracy (%)", ylim=(0, 112), title="held-out images, by class")
    axes.grid(axis="x", visible=False)
    axes.legend(ncols=2, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file; closes it."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    return file.getvalue()

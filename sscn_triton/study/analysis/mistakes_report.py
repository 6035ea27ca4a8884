"""The report's part on mistakes: confusion, certainty, distance to the next class, and causes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sscn_triton.common.page import figure, heading, paragraph
from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.lartpc import CLASS_COLORS
from sscn_triton.study.analysis.causes import SMALL, WHOLE


def confusion(mistakes: dict[str, Any], classes: list[str]) -> Figure:
    """Confusion by voxel and by energy, each row a true class and summing to 100 %."""
    drawn, panels = plt.subplots(1, 2, figsize=(9.2, 4.0))
    titles = ("share of the voxels of a true class (%)", "share of the energy of a true class (%)")
    for axes, key, title in zip(panels, ("confusion_voxels", "confusion_energy"), titles, strict=True):
        heat(axes, np.array(mistakes[key], dtype=float), classes)
        axes.set_title(title)
    return drawn


def heat(axes: Axes, counts: np.ndarray, classes: list[str]) -> None:
    """Counts [true, predicted] as shares of their row."""
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100 * counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), share in np.ndenumerate(shares):
        text = "none" if np.isnan(share) else f"{share:.1f}"
        axes.text(predicted, true, text, ha="center", va="center", fontsize=8, color="w" if share > 55 else "#1d2733")
    axes.set_xticks(range(len(classes)), classes, fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    axes.grid(False)


def confusion_rows(mistakes: dict[str, Any], classes: list[str]) -> Table:
    header = ["true class", *(f"predicted {name}" for name in classes)]
    rows = [
        [f"{name}, voxels", *(f"{count:,}" for count in counts)]
        for name, counts in zip(classes, mistakes["confusion_voxels"], strict=True)
    ]
    rows += [
        [f"{name}, MeV", *(f"{energy:,.1f}" for energy in energies)]
        for name, energies in zip(classes, mistakes["confusion_energy"], strict=True)
    ]
    return Table(header, rows)


def certainty(mistakes: dict[str, Any], classes: list[str]) -> Figure:
    """Left: softmax of the right class. Right: share of wrong voxels against the distance to the next true class."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.5))
    edges = np.array(mistakes["score_bins"])
    for name, counts, color in zip(classes, mistakes["score_of_true_class"], CLASS_COLORS, strict=True):
        if sum(counts):
            left.stairs(100 * np.array(counts) / sum(counts), edges, color=color, lw=1.6, label=name)
    left.set(yscale="log", xlabel="softmax of the true class", ylabel="share of the class (%)", xlim=(0, 1))
    left.set_title("score of the true class")
    left.legend(fontsize=8)
    shares = [share for _, _, share in _by_distance(mistakes)]
    names = [name for name, _, _ in _by_distance(mistakes)]
    heights = [0.0 if np.isnan(share) else 100 * share for share in shares]
    right.bar(range(len(names)), heights, color="#C1121F", width=0.85)
    right.set_xticks(range(len(names)), names, fontsize=7, rotation=45)
    right.set(xlabel="distance to the nearest voxel of another true class (voxels)", ylabel="wrong voxels (%)")
    right.set_title("errors near class boundaries")
    right.grid(axis="x", visible=False)
    return drawn


def _by_distance(mistakes: dict[str, Any]) -> list[tuple[str, int, float]]:
    """The name of each bin, its number of voxels and the share of wrong ones; nan for an empty bin."""
    edges = [f"{edge:.0f}" if edge != 1.5 else "1.5" for edge in mistakes["distance_bins"]]
    names = [f"{a} to {b}" for a, b in pairwise(edges)] + [f"over {edges[-1]}"]
    pairs = zip(mistakes["boundary_distance_right"], mistakes["boundary_distance_wrong"], strict=True)
    found = []
    for name, (good, bad) in zip(names, pairs, strict=True):
        found.append((name, good + bad, bad / (good + bad) if good + bad else float("nan")))
    return found


def certainty_rows(mistakes: dict[str, Any], classes: list[str]) -> Table:
    """The softmax of the true class in fifths, followed by the distances."""
    fifths = np.array(mistakes["score_of_true_class"]).reshape(len(classes), 5, -1).sum(2)
    header = ["voxels", "0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"]
    rows = [
        [f"{name}, softmax of the true class", *(f"{count:,}" for count in counts)]
        for name, counts in zip(classes, fifths.tolist(), strict=True)
    ]
    for name, voxels, share in _by_distance(mistakes):
        rows.append([f"{name} voxels from another class", f"{voxels:,}", f"{percent(share)} wrong", "", "", ""])
    return Table(header, rows)


def cause_rows(mistakes: dict[str, Any], classes: list[str]) -> Table:
    """Wrong voxels by cause, each with its share of all wrong voxels and its three most frequent confusions."""
    counts = np.array(mistakes["cause_voxels"])
    header = ["where the wrong voxels are", "voxels", "share", "most frequent (true as predicted)"]
    rows = []
    for name, mine in zip(mistakes["causes"], counts, strict=True):
        pairs = sorted(np.ndindex(*mine.shape), key=lambda pair: -mine[pair])[:3]
        told = [f"{classes[true]} as {classes[said]} {mine[true, said]:,}" for true, said in pairs if mine[true, said]]
        share = percent(mine.sum() / counts.sum()) if counts.sum() else ""
        rows.append([name, f"{mine.sum():,}", share, "; ".join(told)])
    return Table(header, rows)


def sentence(mistakes: dict[str, Any]) -> str:
    """A description of where the errors are, generated from the numbers."""
    wrong = mistakes["boundary_distance_wrong"]
    edges = mistakes["distance_bins"]
    near = sum(count for count, edge in zip(wrong, [*edges[1:], float("inf")], strict=True) if edge <= 2.01)
    share = percent(near / sum(wrong)) if sum(wrong) else "none"
    return (
        f"Of {sum(wrong):,} wrong voxels in the held-out whole events, {share} lie within two voxels of another true "
        "class. An inexact class boundary does not explain the others."
    )


def parts(mistakes: dict[str, Any], classes: list[str], folder: Path) -> list[Markup]:
    return [
        heading("Mistakes"),
        paragraph(sentence(mistakes)),
        figure(folder, "confusion.png", "Confusion of the sparse network on held-out whole events, by voxel and by "
               "energy.", confusion_rows(mistakes, classes)),
        figure(folder, "certainty.png", "The same events: softmax of the true class (left); share of wrong voxels "
               "against their distance to the nearest voxel of another true class (right).",
               certainty_rows(mistakes, classes)),
        cause_rows(mistakes, classes).html(),
        paragraph(f"Every wrong voxel counts once, in the first line that applies. Boundary: one of its neighbours "
                  f"truly has the predicted class. Whole particle: at least {percent(WHOLE, 0)} of the particle's "
                  f"voxels are wrong; cut: the particle leaves the image; small: it has fewer than {SMALL} voxels.",
                  "small"),
    ]  # fmt: skip

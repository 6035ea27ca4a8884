"""The report's page on Michel electrons: how many are found, their purity, completeness and energy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from sscn_triton.common.page import figure, heading, paragraph
from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.runs.roles import networks

ONE_SIGMA = math.erf(math.sqrt(0.5))
"""Probability within one standard deviation of a normal distribution."""
_TRUE, _FOUND = "#303030", "#C8553D"


def rows(record: dict[str, Any]) -> Table:
    """Every three-dimensional network that was judged on whole events, by both definitions, then the paper's."""
    header = [
        "network", "labels", "accuracy, Michel", "true", "identification efficiency", "candidates",
        "identification purity", "clustering efficiency", "clustering purity",
    ]  # fmt: skip
    michel = record["classes"].index("Michel")
    table = []
    for network in (networks(record)["whole"], record["michel"]["network"]):
        closer = network["closer"]
        scores = {"slides": network["held_out"], "attached": closer["attached"]}
        for labels, found in (("slides", closer["michel"]), ("attached", closer["attached"]["michel"])):
            table.append([
                network["name"], labels, percent(scores[labels]["class_accuracy"][michel]), str(found["true"]),
                _share(found["found"], found["true"]), str(found["candidates"]),
                _share(found["matched"], found["candidates"]), percent(found["clustering_efficiency"]),
                percent(found["clustering_purity"]),
            ])  # fmt: skip
    theirs = record["published"]["michel"]
    published = [percent(theirs[name]) for name in ("efficiency", "purity", "clustering_efficiency")]
    published.append(percent(theirs["clustering_purity"]))
    table.append(["2018: sparse, paper", "", "", "", published[0], "", *published[1:]])
    return Table(header, table)


def _share(some: int, whole: int) -> str:
    """A share with one standard deviation in both directions, by Wilson's score interval (1927)."""
    if not whole:
        return "none"
    from scipy.stats import binomtest

    low, high = binomtest(some, whole).proportion_ci(ONE_SIGMA, method="wilson")
    return f"{percent(some / whole, 0)} ({100 * low:.0f} to {100 * high:.0f})"


def energies(record: dict[str, Any]) -> Figure:
    """Left: true and found energy spectra. Right: energies of matched pairs."""
    found = record["michel"]["network"]["closer"]["michel"]
    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6))
    edges = np.arange(0, 61, 5.0)
    true, seen = found["true_energies"], found["candidate_energies"]
    left.hist(np.clip(true, 0, 59.9), edges, histtype="step", color=_TRUE, lw=1.8, label=f"true, {len(true)}")
    left.hist(np.clip(seen, 0, 59.9), edges, color=_FOUND, alpha=0.55, label=f"found, {len(seen)}")
    left.set(xlabel="energy in voxels (MeV), overflow in the last bin", ylabel="Michel electrons per 5 MeV")
    left.set_ylim(0, max(1.0, left.get_ylim()[1]))
    left.set_title("energy spectrum")
    left.legend(fontsize=8)
    pairs = np.array(found["matched_energies"], dtype=float).reshape(-1, 2)
    right.plot([0, 60], [0, 60], color="#8A8A8A", lw=1)
    right.plot(pairs[:, 0], pairs[:, 1], "o", ms=4, color=_FOUND, mec="white")
    limit = max(60.0, float(pairs.max(initial=0)) * 1.05)
    right.set(xlabel="energy of the true cluster (MeV)", ylabel="energy of the candidate (MeV)")
    right.set(xlim=(0, limit), ylim=(0, limit), title=f"{len(pairs)} matched")
    return drawn


def energy_rows(record: dict[str, Any]) -> Table:
    """The binned spectra, then one row per matched pair."""
    found = record["michel"]["network"]["closer"]["michel"]
    edges = np.append(np.arange(0, 60, 5.0), np.inf)
    counts = [np.histogram(found[name], edges)[0] for name in ("true_energies", "candidate_energies")]
    table = []
    for i, (true, seen) in enumerate(zip(*counts, strict=True)):
        upper = f"to {edges[i + 1]:.0f}" if np.isfinite(edges[i + 1]) else "and more"
        table.append([f"{edges[i]:.0f} {upper} MeV", str(true), str(seen)])
    pairs = sorted(found["matched_energies"])
    table += [[f"matched pair {i + 1}", f"{true:.1f} MeV", f"{seen:.1f} MeV"] for i, (true, seen) in enumerate(pairs)]
    return Table(["energy", "true", "found"], table)


def sentence(record: dict[str, Any]) -> str:
    """A summary of the numbers in words, generated from the numbers."""
    network = record["michel"]["network"]
    found, michel = network["closer"]["michel"], record["classes"].index("Michel")
    weights = "" if network["class_weights"] == "none" else f", class weights {network['class_weights']}"
    return (
        f"Michel electrons are rare, so another network was trained for them, on {record['michel']['source']} "
        f"({network['step_count']:,} steps on whole images{weights}). It labels "
        f"{percent(network['held_out']['class_accuracy'][michel])} of the Michel voxels of a held-out image correctly "
        f"and finds {found['found']} of {found['true']} Michel electrons at the ends of tracks; {found['matched']} of "
        f"its {found['candidates']} candidates are Michel electrons."
    )


NOTE = (
    "Identification: a candidate is a DBSCAN cluster of voxels labelled Michel that touches the end of a track. "
    "Efficiency is the share of true Michel electrons that are found; purity is the share of candidates that are "
    "Michel electrons; brackets contain one standard deviation (Wilson). Clustering: the number of shared voxels "
    "divided by the number of voxels of the true cluster (efficiency) or of the candidate (purity), averaged over "
    "matched candidates. Labels: slides labels voxels by their particle; attached applies a rule to truth and "
    "prediction that relabels delta rays and Michel electrons as shower if they touch no track. In the paper's row, "
    "the purity is what its abstract calls the true positive rate."
)


def parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    return [
        heading("Michel electrons"),
        paragraph(sentence(record)),
        rows(record).html(),
        paragraph(NOTE, "small"),
        figure(folder, "michel.png", "Energies of the Michel electrons at the ends of tracks in the held-out images of "
               "stopping muons: true and found (left), and matched pairs (right).",
               energy_rows(record)),
        figure(folder, "michel-event.png", "One of these images: truth and prediction.", _shares(record)),
    ]  # fmt: skip


def _shares(record: dict[str, Any]) -> Table:
    """Mean share and the network's accuracy per class, on the held-out images of stopping muons."""
    scores = record["michel"]["network"]["held_out"]
    found = zip(record["classes"], scores["class_share"], scores["class_accuracy"], strict=True)
    header = ["class (all held-out images of stopping muons)", "share", "accuracy"]
    return Table(header, [[name, percent(share), percent(accuracy)] for name, share, accuracy in found])

"""The results of the full-size study so far, next to the 2018 study's, as Markdown for the terminal and the book."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study import published
from sscn_triton.study.full_size.setting import Kind

GOAL = {"training": 0.993, "held out": 0.98, "size": 192, "seconds": 600.0}
"""The goal on a GPU: the accuracies of the 2018 study after ten minutes of training."""

ALT = (
    "Nonzero accuracy in training against iterations and against wall time, one line per training; a dotted line "
    "marks the accuracy of the 2018 study."
)


def table(record: dict[str, Any]) -> str:
    """Tables of trainings, classes and costs; results that do not exist yet are left out."""
    trainings = _of_kind(record, "training")
    costs = _of_kind(record, "costs")
    parts = [_trainings(trainings), _goal(trainings), _classes(trainings), _costs(costs)]
    return "\n\n".join(part for part in parts if part)


def _of_kind(record: dict[str, Any], kind: Kind) -> list[dict[str, Any]]:
    """The finished pieces of a kind."""
    return [cell for cell in record["cells"].values() if cell["kind"] == kind and "failed" not in cell]


def figure(record: dict[str, Any]) -> Any:
    """Nonzero accuracy in training against iterations and against wall time; a matplotlib figure."""
    import matplotlib.pyplot as plt

    drawn, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True)
    for cell in _of_kind(record, "training"):
        curve = cell["curve"]
        left.plot(curve["iteration"], curve["accuracy"], lw=1.5, label=cell["label"])
        right.plot([wall / 60 for wall in curve["wall"]], curve["accuracy"], lw=1.5)
    for panel, what in ((left, "iterations"), (right, "wall time (min)")):
        panel.axhline(GOAL["training"], color="0.5", lw=1, ls=":")
        panel.set_xlabel(what, fontsize=8)
        panel.tick_params(labelsize=7)
    left.set_ylabel("nonzero accuracy, training", fontsize=8)
    drawn.legend(loc="outside lower center", ncols=2, fontsize=7)
    return drawn


def _trainings(trainings: list[dict[str, Any]]) -> str:
    if not trainings:
        return ""
    header = ["training", "steps", "batch", "time", "training accuracy", "held out", "peak memory"]
    rows = []
    for cell in trainings:
        config, scores = cell["config"], cell["held_out"]
        row = [cell["label"], str(config["steps"]), str(config["batch"] * config["accumulate"])]
        row += [seconds(cell["training_seconds"]), percent(cell["training_accuracy"], 2)]
        rows.append([*row, percent(scores["nonzero_accuracy"], 2), memory(cell["peak_memory"])])
    for one in published.NETWORKS:
        trained = one.remark == "training accuracy"
        accuracy = percent(one.nonzero_accuracy)
        duration = "11 days" if one.name == "dense" else "19 h" if one.size == GOAL["size"] else ""
        training = accuracy if trained else "99.3 %" if one.size == GOAL["size"] else ""
        row = [f"2018: {one.name}, {one.size} px", "", "", duration, training, "" if trained else accuracy]
        rows.append([*row, ""])
    return Table(header, rows).markdown()


def _goal(trainings: list[dict[str, Any]]) -> str:
    """A sentence that says whether the goal was reached, and how soon."""
    lines = []
    for cell in trainings:
        config = cell["config"]
        if config["network"] == "sparse" and cell["size"] == GOAL["size"] and not config["stream"]:
            reached = (
                cell["training_accuracy"] >= GOAL["training"],
                cell["held_out"]["nonzero_accuracy"] >= GOAL["held out"],
            )
            words = ["reached" if one else "not reached" for one in reached]
            within = "" if cell["training_seconds"] <= GOAL["seconds"] else ", after more than ten minutes"
            lines.append(
                f"training {cell['label']}: goal of {percent(GOAL['training'])} in training {words[0]}, "
                f"goal of {percent(GOAL['held out'])} held out {words[1]}{within}."
            )
    return "\n\n".join(lines)


def _classes(trainings: list[dict[str, Any]]) -> str:
    if not trainings:
        return ""
    header = ["class", *(cell["label"] for cell in trainings), "2018", "share", "share, 2018"]
    rows = []
    first = trainings[0]["held_out"]
    for i, theirs in enumerate(published.CLASSES):
        found = [percent(cell["held_out"]["class_accuracy"][i]) for cell in trainings]
        rows.append(
            [theirs.name, *found, percent(theirs.accuracy), percent(first["class_share"][i]), percent(theirs.share)]
        )
    return Table(header, rows).markdown()


def _costs(costs: list[dict[str, Any]]) -> str:
    if not costs:
        return ""
    theirs = {one.size: one for one in published.NETWORKS if one.name == "sparse"}
    header = ["image", "voxels", "forward", "2018", "memory, forward", "2018", "step", "memory, training"]
    rows = []
    for cell in costs:
        old = theirs.get(cell["size"])
        row = [f"{cell['size']} px", f"{cell['voxels']:,.0f}", seconds(cell["forward_seconds"])]
        row += [seconds(old.forward_seconds) if old else "", memory(cell["forward_memory"])]
        row += [memory(1e9 * old.memory_gb) if old else "", seconds(cell["step_seconds"]), memory(cell["step_memory"])]
        rows.append(row)
    return Table(header, rows).markdown()

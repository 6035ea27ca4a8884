"""Tables and verdict of the Michel trials, from the record that `michel_trials` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.questions.recipe_report import LEVEL, prediction, signed
from sscn_triton.study.training.metrics import constant_answer

CONTROL = "control"
"""The names of its trainings begin with this."""
NAMES = {"slides": "the labels of the slides", "attached": "attached labels"}
DEFINITIONS = tuple(NAMES)
Record = Mapping[str, Any]


def controls(record: Record) -> list[str]:
    """The names of the trainings of the control, by seed."""
    return sorted(name for name in record["cells"] if name.startswith(CONTROL))


def names(record: Record) -> list[str]:
    """The trainings of the control, then the others in the order in which they were done."""
    first = controls(record)
    return [*first, *(name for name in record["cells"] if name not in first)]


def scores(record: Record, name: str, definition: str) -> Mapping[str, Any]:
    """nonzero_accuracy, class_accuracy, class_share and michel of a training, by a definition of the labels."""
    found: Mapping[str, Any] = record["cells"][name]["scores"]
    return found if definition == "slides" else found["attached"]


def values(record: Record, name: str, definition: str = "slides") -> np.ndarray:
    """Accuracies in percent: of all nonzero voxels, then of each class; means over events."""
    found = scores(record, name, definition)
    return 100 * np.array([found["nonzero_accuracy"], *found["class_accuracy"]], dtype=float)  # null is not a number


def baseline(record: Record, definition: str = "slides") -> np.ndarray:
    """The same for the control: the mean over its trainings."""
    return np.mean([values(record, name, definition) for name in controls(record)], axis=0)


def chance(record: Record, definition: str = "slides") -> np.ndarray:
    """How far one more training of the control may lie from `baseline`, in points; infinite for a single one."""
    return prediction(np.array([values(record, name, definition) for name in controls(record)]))


def michel_voxels(record: Record, name: str) -> tuple[float, float]:
    """Of all Michel voxels, the share labelled Michel; of all voxels labelled Michel, the share that is Michel."""
    confusion = np.array(record["cells"][name]["scores"]["confusion"])
    place = record["classes"].index("Michel")
    right = confusion[place, place]
    return _share(right, confusion[place].sum()), _share(right, confusion[:, place].sum())


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def accuracy_rows(record: Record, definition: str) -> Table:
    """One row per training, and the best constant answer. Points: difference from the mean of the control."""
    mean, rows = baseline(record, definition), []
    for name in names(record):
        one, found = record["cells"][name], values(record, name, definition)
        points = "" if name in controls(record) else signed(found[0] - mean[0])
        minutes = f"{one['cpu_seconds'] / 60:.1f}"
        rows.append([name, f"{one['passes']:,}", minutes, points, *(percent(value / 100) for value in found)])
    best, share = constant_answer(record["classes"], scores(record, names(record)[0], definition)["class_share"])
    shares = (percent(float(name == best)) for name in record["classes"])
    rows.append([f"{best} everywhere", "", "", "", percent(share), *shares])
    return Table(["training", "events seen", "CPU minutes", "points", "held out", *record["classes"]], rows)


def michel_rows(record: Record) -> Table:
    """Michel electrons found by each training, by both definitions of the labels."""
    rows = []
    for name in names(record):
        for definition in DEFINITIONS:
            one = scores(record, name, definition)["michel"]
            kept = ("identification_efficiency", "identification_purity", "clustering_efficiency", "clustering_purity")
            voxels = michel_voxels(record, name) if definition == "slides" else ()
            shown = [percent(value) for value in (*(one[key] for key in kept), *voxels)]
            rows.append([name, definition, f"{one['true']:,}", *shown, *[""] * (6 - len(shown))])
    return Table(
        [
            "training", "labels", "true electrons", "efficiency", "purity", "clustering efficiency",
            "clustering purity", "Michel voxels found", "voxels called Michel that are",
        ],
        rows,
    )  # fmt: skip


def change(record: Record, name: str, definition: str = "slides") -> str:
    """What a training changes against the control: Michel voxels, all voxels, and the class that loses most."""
    points = values(record, name, definition) - baseline(record, definition)
    others = {one: points[1 + i] for i, one in enumerate(record["classes"]) if one != "Michel"}
    worst = min(others, key=lambda one: others[one])
    michel = points[1 + record["classes"].index("Michel")]
    lost = f"{worst} loses most ({signed(others[worst])})" if round(others[worst], 1) < 0 else "no other class loses"
    return f"{name}: Michel {signed(michel)} points, all voxels {signed(points[0])}, {lost}"


def beyond(record: Record, definition: str = "slides") -> list[str]:
    """The differences from the control that exceed `chance`, by training, of all voxels and of each class."""
    mean, limit, told = baseline(record, definition), chance(record, definition), []
    for name in names(record):
        if name in controls(record):
            continue
        points = values(record, name, definition) - mean
        for what, point, most in zip(("all voxels", *record["classes"]), points, limit, strict=True):
            if round(abs(point), 1) > round(most, 1):  # as shown; two trainings may agree by chance
                told.append(f"{name}, {what} {signed(point)} (limit {most:.1f})")
    return told


def verdict(record: Record, definition: str = "slides") -> str:
    """What every other training changes against the control, and which changes exceed those of chance."""
    mean, limit, number = baseline(record, definition), chance(record, definition), len(controls(record))
    place = 1 + record["classes"].index("Michel")
    told = (
        f"By {NAMES[definition]}, the control labels {mean[place]:.1f} % of the Michel voxels of an event and "
        f"{mean[0]:.1f} % of all voxels"
    )
    if number > 1:
        told += (
            f", on average over {number} trainings. One more training of the control would lie within "
            f"{limit[place]:.1f} and {limit[0]:.1f} points of these means with a probability of {100 * LEVEL:g} %, so "
            "a difference below such a limit may be chance"
        )
    others = [change(record, name, definition) for name in names(record) if name not in controls(record)]
    if not others:
        return f"{told}."
    told += f". {'; '.join(others)}."
    if number == 1:
        return f"{told} One training of the control does not show which differences are chance."
    listed = "; ".join(beyond(record, definition))
    return f"{told} Every class has such a limit; the differences beyond their limits: {listed or 'none'}."


def limits(record: Record) -> str:
    """What the trials do not show."""
    one = scores(record, controls(record)[0], "slides")["michel"]
    share, number = one["identification_efficiency"], one["true"]
    error = f"{100 * math.sqrt(share * (1 - share) / number):.1f} points" if number else "unknown"
    return (
        f"The efficiencies rest on {number} true Michel electrons: the standard error of the control's efficiency is "
        f"{error} (binomial; all networks are judged on the same events). Every training but the control was done "
        "once. The trainings of the control start from the same weights and see the same events, so they differ "
        "only in the order of the events, their shifts and their symmetries, and so few of them show the size of "
        "chance only roughly; about one in twenty differences exceeds its limit by chance. What changes the result of "
        "a short last stage need not change that of a whole training."
    )


def summary_text(record: Record) -> str:
    """The tables and the verdicts as text."""
    tables = [*(accuracy_rows(record, one) for one in DEFINITIONS), michel_rows(record)]
    return "\n\n".join(["", *(table.text() for table in tables), *(verdict(record, one) for one in DEFINITIONS)])

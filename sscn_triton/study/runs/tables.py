"""Tables of runs that every report contains: learning curves and confusion."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study.runs.curves import thinned


def curve_rows(curves: dict[str, dict[str, list[float]]]) -> Table:
    """Twenty points of each run's curve; curves: results of `curves.curve`, by the name of the run."""
    rows = []
    for name, curve in curves.items():
        for i in thinned(len(curve["wall"]), 20):
            wall, accuracy, loss = (curve[key][i] for key in ("wall", "accuracy", "loss"))
            rows.append([name, f"{curve['iteration'][i]:,}", f"{wall:.1f}", percent(accuracy), f"{loss:.3f}"])
    return Table(["network", "iteration", "wall time (s)", "accuracy, running mean", "loss, running mean"], rows)


def confusion_rows(scores: dict[str, Any], classes: list[str]) -> Table:
    """The number of voxels per true and predicted class, over all held-out images of one run."""
    rows = [
        [name, *(f"{count:,}" for count in counts)] for name, counts in zip(classes, scores["confusion"], strict=True)
    ]
    return Table(["true class (all held-out images)", *(f"predicted {name}" for name in classes)], rows)

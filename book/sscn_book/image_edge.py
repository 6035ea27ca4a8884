"""Section of the page on the study about the edge of the image, from a record that
`sscn_triton.study.questions.image_edge` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy import stats

from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study import published as slides
from sscn_triton.study.analysis.progress import LEVEL

PATTERN = "*-image-edge.json"


def text(results: Path) -> str:
    """Return the section on the newest record."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    machine, setting, network = record["machine"], record["setting"], record["network"]
    return "\n\n".join([
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}.",
        f"Events were simulated in images of {setting['whole']} px (seed {setting['seed']}) until "
        f"{setting['events']:,} had their vertex in the {setting['window']} px in the middle and at least "
        f"{setting['minimum_voxels']:,} voxels there. The network `{network['checkpoint']}` labels this window twice: "
        "from the window alone, and from the whole image. The same voxels count by the same truth.",
        shown(accuracy_rows(record)),
        "Accuracies are means over events; a gain is in points, with its standard error.",
        shown(cause_rows(record)),
        verdict(record),
    ])  # fmt: skip


def accuracy_rows(record: dict[str, Any]) -> Table:
    """Accuracies of both readings and the gain, of all voxels and by class."""
    rows = []
    for place, (name, (mean, error, events)) in enumerate(record["gain"].items()):
        accuracies = [
            record[seen]["class_accuracy"][place - 1] if place else record[seen]["nonzero_accuracy"]
            for seen in ("window", "whole")
        ]
        rows.append([
            "all voxels" if name == "nonzero" else name,
            *(percent(value) for value in accuracies),
            (f"{100 * mean:+.2f}" if events else "none") + (f" ± {100 * error:.2f}" if events > 1 else ""),
            f"{events:,}",
        ])  # fmt: skip
    return Table(["class", "window alone", "whole image", "gain", "events"], rows)


def cause_rows(record: dict[str, Any]) -> Table:
    """Wrong voxels of both readings by cause."""
    counts = [_by_cause(record[seen]) for seen in ("window", "whole")]
    rows = [[name, *(f"{one[name]:,}" for one in counts)] for name in record["window"]["causes"]]
    totals = [f"{sum(one.values()):,}" for one in counts]
    return Table(["where the wrong voxels are", "window alone", "whole image"], [*rows, ["all", *totals]])


def _by_cause(scores: dict[str, Any]) -> dict[str, int]:
    counts = (sum(map(sum, matrix)) for matrix in scores["cause_voxels"])
    return dict(zip(scores["causes"], counts, strict=True))


def verdict(record: dict[str, Any]) -> str:
    """What the gain means for the mistakes, and what it leaves of the distance from the slides' accuracy."""
    mean, error, events = record["gain"]["nonzero"]
    alone, whole = (record[seen]["nonzero_accuracy"] for seen in ("window", "whole"))
    half = float(stats.t.ppf((1 + LEVEL) / 2, events - 1)) * error
    low, high = mean - half, mean + half
    told = "What the window cuts off changes the accuracy of this network by no more than chance"
    if low > 0:
        told = f"Seeing what the window cuts off mends {percent(mean / (1 - alone), 0)} of the mistakes"
    elif high < 0:
        told = "This network makes more mistakes when it sees what the window cuts off"
    told += f": the gain is {100 * mean:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f} at {percent(LEVEL, 0)}). "
    window, size = record["setting"]["window"], record["setting"]["whole"]
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}.get(window)
    if theirs is not None:
        told += f"From the whole image, {percent(1 - whole)} of the voxels are wrong; the slides report "
        told += f"{percent(1 - theirs.nonzero_accuracy)} for their images of {window} px, which have edges, too. "
        if alone < theirs.nonzero_accuracy:
            closes = "does not close" if whole < theirs.nonzero_accuracy else "closes"
            told += f"Seeing the whole image {closes} the distance from the slides' accuracy. "
    return f"{told}A network that was trained on images of {size} px could gain more."

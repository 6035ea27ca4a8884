"""Section of the page on the study about the edge of the image, from a record that
`sscn_triton.study.questions.image_edge` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.study import published as slides

PATTERN = "*-image-edge.json"
SURE = 1.96
"""Standard errors beyond which a gain is taken for one: an interval of 95 % for a mean over many events."""


def text(results: Path) -> str:
    """Return the section on the newest record."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    machine, setting, network = record["machine"], record["setting"], record["network"]
    return "\n\n".join([
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}.",
        f"{setting['events']:,} events were simulated in images of {setting['whole']} px (seed {setting['seed']}). The "
        f"network `{network['checkpoint']}` labels the {setting['window']} px in the middle twice: from this window "
        "alone, and from the whole image. The same voxels count by the same truth.",
        shown(accuracy_rows(record)),
        "Accuracies are means over events; a gain is in points, with its standard error. ",
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
            f"{100 * mean:+.2f} ± {100 * error:.2f}",
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
    """Whether the edge explains the distance from the slides' accuracy."""
    mean, error, _ = record["gain"]["nonzero"]
    alone, whole = (record[seen]["nonzero_accuracy"] for seen in ("window", "whole"))
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}[192].nonzero_accuracy
    if mean < SURE * error:
        told = "Seeing what the window cuts off does not help this network by more than chance."
    else:
        told = (
            f"Seeing what the window cuts off mends {percent(mean / (1 - alone), 0)} of the mistakes "
            f"({percent((mean - SURE * error) / (1 - alone), 0)} to {percent((mean + SURE * error) / (1 - alone), 0)})."
        )
    told += f" {percent(1 - whole)} of the voxels stay wrong, and the slides' network has {percent(1 - theirs)} wrong, "
    told += "so the edge does not explain the distance." if whole < theirs else "so the edge explains the distance."
    size = record["setting"]["whole"]
    return f"{told} The gain is a lower bound, because the network was not trained on images of {size} px."

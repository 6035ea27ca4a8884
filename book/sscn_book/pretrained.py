"""The model cards of the packaged networks, and their scores by the conventions of PILArNet-M."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.models.pretrained import folder_of, packaged
from sscn_triton.study.training.packaging import CARD


def cards() -> str:
    """Return the cards below one another, without the front matter that only Hugging Face reads."""
    texts = [(folder_of(name) / CARD).read_text(encoding="utf-8") for name in packaged()]
    bodies = [text.split("---\n", 2)[2].strip() for text in texts]
    return "\n\n".join(re.sub(r"^#", "##", body, flags=re.MULTILINE) for body in bodies)


PATTERN = "*-conventions.json"


def by_conventions(results: Path) -> str:
    """Return the newest scores that `sscn_triton.study.analysis.by_conventions` wrote."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    counted, whole = (record[read]["voxel_metrics"] for read in ("counted", "all"))
    seeds = ", ".join(str(one["seed"]) for one in record["simulations"])
    where = f"`{record['data']}`" + (f", simulated with seed {seeds}" if seeds else "")
    judged = f"{record['counted']['events']:,} events of {where} that have at least 1,024 points"
    return "\n\n".join([
        f"From `results/{name}`, {record['date'][:10]}: `{record['checkpoint']}` on the {judged}. It has not seen "
        "them. On the left it reads only the voxels above 0.13 MeV; on the right it reads all voxels, and those above "
        "0.13 MeV count.",
        shown(score_rows(record)),
        f"The mean F1 is {counted['mean_f1']:.3f} on the left and {whole['mean_f1']:.3f} on the right, the mean IoU "
        f"{counted['mean_iou']:.3f} and {whole['mean_iou']:.3f}, over {len(_occurring(record))} classes.",
    ])  # fmt: skip


def _occurring(record: dict[str, Any]) -> list[int]:
    """Numbers of the classes of which the events have voxels."""
    return [number for number, row in enumerate(record["counted"]["confusion"]) if sum(row)]


def score_rows(record: dict[str, Any]) -> Table:
    """Precision, recall, F1 and IoU of each class that occurs, twice."""
    measures = ("precision", "recall", "f1", "iou")
    rows = []
    for number in _occurring(record):
        found = [record[read]["voxel_metrics"][measure][number] for read in ("counted", "all") for measure in measures]
        values = ["none" if value is None else f"{value:.3f}" for value in found]
        rows.append([record["classes"][number], f"{sum(record['counted']['confusion'][number]):,}", *values])
    return Table(["class", "voxels", *["precision", "recall", "F1", "IoU"] * 2], rows)

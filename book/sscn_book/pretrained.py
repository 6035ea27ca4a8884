"""The model cards of the packaged networks, and their scores by the conventions of PILArNet-M."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from sscn_book.records import newest, read
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.lartpc.files.conventions import PILARNET_POINTS, PILARNET_THRESHOLD
from sscn_triton.models.pretrained import folder_of, packaged, read_folder
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
    where = f"`{record['data']}`" + (f" (simulated, seed{'s' if ',' in seeds else ''} {seeds})" if seeds else "")
    judged = f"{record['counted']['events']:,} events of {where} that have at least {PILARNET_POINTS:,} points"
    means = [(one["mean_f1"], one["mean_iou"], sum(f1 == f1 for f1 in one["f1"])) for one in (counted, whole)]
    return "\n\n".join([
        f"From `results/{name}`, {record['date'][:10]}: `{record['checkpoint']}` on the {judged}. On the left it "
        f"reads only the voxels above {PILARNET_THRESHOLD} MeV; on the right it reads all voxels, and those above "
        f"{PILARNET_THRESHOLD} MeV count.{_seen(record, results)}",
        shown(score_rows(record)),
        "The mean F1 is " + " on the left and ".join(f"{f1:.3f} over {n} classes" for f1, _, n in means)
        + " on the right, the mean IoU " + " and ".join(f"{iou:.3f}" for _, iou, _ in means)
        + "; classes without true and predicted voxels do not count.",
    ])  # fmt: skip


def _seen(record: dict[str, Any], results: Path) -> str:
    """Whether the network has learnt from events of the same seeds; nothing if its training is not recorded."""
    path = results / f"{_record_of(record['checkpoint'])}.json"
    made = (record["simulations"], read(path)["simulations"] if path.is_file() else [])
    seeds = [{one["seed"] for one in simulations} for simulations in made]
    if not all(seeds):
        return ""
    return " It may have learnt from some of these events." if seeds[0] & seeds[1] else " It has not seen these events."


def _record_of(name: str) -> str | None:
    """The name of the record of a packaged network's training."""
    found: str | None = read_folder(folder_of(name)).about.get("record") if name in packaged() else None
    return found


def _occurring(record: dict[str, Any]) -> list[int]:
    """Numbers of the classes that have true or predicted voxels in one of the readings."""
    counts = np.array([record[seen]["confusion"] for seen in ("counted", "all")])
    return np.flatnonzero(counts.sum((0, 1)) + counts.sum((0, 2))).tolist()


def score_rows(record: dict[str, Any]) -> Table:
    """Precision, recall, F1 and IoU of each class that has true or predicted voxels, twice."""
    measures = ("precision", "recall", "f1", "iou")
    rows = []
    for number in _occurring(record):
        found = [record[read]["voxel_metrics"][measure][number] for read in ("counted", "all") for measure in measures]
        values = ["none" if value != value else f"{value:.3f}" for value in found]
        rows.append([record["classes"][number], f"{sum(record['counted']['confusion'][number]):,}", *values])
    return Table(["class", "voxels", *["precision", "recall", "F1", "IoU"] * 2], rows)

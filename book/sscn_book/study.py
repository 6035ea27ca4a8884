"""Tables and curves of the page on the study, from the reports that `sscn study` wrote."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.pyplot import close

from sscn_book.records import newest, read
from sscn_book.tables import shown
from sscn_triton.common.table import Rows, Table
from sscn_triton.common.units import percent
from sscn_triton.study import published as slides
from sscn_triton.study.analysis import michel_report
from sscn_triton.study.laptop import figures, report
from sscn_triton.study.questions import figures as questions_figures
from sscn_triton.study.questions import report as questions_report

WANTED = {
    "laptop": "a laptop, no GPU: `make study`",
    "gpu": "192, 512 and 768 px on one GPU, 80,000 events: `sscn study --scale gpu`",
}
"""Results that the page should show, by the end of their file name; the page on scaling shows the second kind."""

LONG = "*-training-192.json"
"""Records of the long training."""

INK = "#010203"
INKS = (INK, "#333333", "#555555")  # replaced by the page's text colour
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def text(results: Path) -> str:
    """Return a section for each result, and a list of the missing ones."""
    parts: list[str] = []
    found = newest(results, LONG)
    long = [] if found is None else [long_row(found[1])]
    for path in sorted(results.glob("*-study-*.json")):
        if path.stem.endswith("-study-gpu"):
            parts += [f"The page on [scaling](scaling.md) shows `results/{path.name}`, the study at full size."]
        else:
            parts += section(path.name, read(path), long)
    missing = [[what, "**not measured yet**"] for name, what in WANTED.items() if not _found(results, name)]
    if missing:
        parts += ["## Not measured yet", Table(["", ""], missing).markdown()]
    return "\n\n".join(parts)


def _found(results: Path, name: str) -> bool:
    return any(results.glob(f"*-study-{name}.json"))


def published() -> str:
    """Return the slides' table and its source."""
    header = ["network", "image", "nonzero accuracy", "GPU memory", "forward pass"]
    training = ", ".join(f"{name} {100 * value:g} %" for name, value in slides.TRAINING_ACCURACY.items())
    rows = [
        [
            n.name,
            f"{n.size} px",
            f"{100 * n.nonzero_accuracy:g} % {n.remark and f'({n.remark})'}".strip(),
            f"{n.memory_gb} GB",
            f"{n.forward_seconds} s",
        ]
        for n in slides.NETWORKS
    ]
    shares = [[one.name, f"{100 * one.share:g} %", f"{100 * one.accuracy:g} %"] for one in slides.CLASSES]
    classes = Table(["class", "mean share of nonzero voxels", "accuracy, sparse"], shares)
    after = f"Nonzero accuracy in training: {training}."
    return "\n\n".join(
        [shown(Table(header, rows)), after, shown(classes), f"{slides.SOURCE}. {slides.TASK.capitalize()}."]
    )


def long_row(record: dict[str, Any]) -> list[str]:
    """Return the row of the long training in a table of networks that were trained for minutes, without times and
    memory: they belong to another load of the machine."""
    size = record["simulations"][0]["size"] if record["simulations"] else None
    image = "" if size is None else f"{size} px"
    steps = sum(stage["steps"] for stage in record["stages"])
    accuracy = percent(record["scores"][0]["nonzero_accuracy"])
    hours = f"{record['seconds'] / 3600:.1f} h"
    name = "sparse, the long training above"
    return [name, image, f"{record['parameters']:,}", f"{steps:,}", hours, "", accuracy, "", "", "", ""]


def section(name: str, record: dict[str, Any], more: Rows) -> list[str]:
    """Return one report: device and date, sentences, tables, curves and conditions. more: rows for its first table."""
    machine = record["machine"]
    head = f"## {machine['processor']}, {machine['cores']} cores, {record['created'][:10]}"
    where = f"From `results/{name}`, written by `sscn study`."
    last = ", ".join(f"{n['name']} {percent(n['training_accuracy'])}" for n in record["networks"])
    curves = f"Nonzero accuracy against iterations and against wall time. At the end of training: {last}."
    bars = "Accuracy of each class on held-out images beside that of the 2018 slides (the numbers of the table above)."
    listed = "\n".join(f"- {note}" for note in report.notes(record))
    return [
        head,
        where,
        *report.sentences(record),
        shown(Table(report.COLUMNS, [*report.main_rows(record), *more])),
        drawn(figures.accuracy, record, curves),
        shown(report.class_rows(record)),
        drawn(figures.classes, record, bars),
        "### Michel electrons",
        michel_report.sentence(record),
        shown(michel_report.rows(record)),
        *open_questions(record),
        "### How it was measured",
        listed,
    ]


def open_questions(record: dict[str, Any]) -> list[str]:
    """Return the answers to those open questions of the 2018 study that this study asked."""
    answers = record["questions"]
    if answers is None:
        return []
    field = "Receptive field: accuracy of Michel and all other voxels. Grey: Michel voxels that a MIP voxel can reach."
    lifted = "Class weights (large markers) and probabilities divided by powers of the classes' shares (lines)."
    return [
        "### What the study left open",
        questions_report.introduction(answers),
        questions_report.equal_sentence(record),
        questions_report.events_sentence(answers),
        questions_report.depth_sentence(answers),
        drawn(questions_figures.depth, answers, field),
        questions_report.weights_sentence(answers),
        drawn(questions_figures.weights, answers, lifted),
        questions_report.particles_sentence(answers["particles"]),
    ]


def drawn(figure: Callable[[dict[str, Any]], Figure], record: dict[str, Any], described: str) -> str:
    """Draw a figure of the report as SVG in the page's text colour, which changes in dark mode."""
    with rc_context({**figures.STYLE, **dict.fromkeys(INKED, INK), "svg.fonttype": "none", "svg.hashsalt": "book"}):
        drawing = figure(record)
        kept = io.StringIO()
        drawing.savefig(kept, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
        close(drawing)
    svg = kept.getvalue()
    svg = svg[svg.index("<svg") :].replace("#e6e6e6", "var(--pst-color-border)")
    for ink in INKS:
        svg = svg.replace(ink, "currentColor")
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{described}"', 1)
    # several figures share a page, and matplotlib numbers the ids of each figure from 1
    mark = f"drawn-{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{mark}", svg)
    lines = "\n".join(line for line in svg.splitlines() if line.strip())
    return f'```{{raw}} html\n<figure class="drawn">{lines}<figcaption>{described}</figcaption></figure>\n```'

"""Tables and curve of the long training on the page on the study, from a record that
`sscn_triton.study.training.stages` wrote."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from sscn_book import study
from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.table import Table
from sscn_triton.common.units import percent, significant
from sscn_triton.models.pretrained import folder_of, packaged, read_folder
from sscn_triton.study import published as slides
from sscn_triton.study.analysis.causes import SMALL, WHOLE
from sscn_triton.study.analysis.mistakes_report import cause_rows
from sscn_triton.study.analysis.progress import FARTHEST, LEVEL, Law, fit, judged_alike, needed
from sscn_triton.study.training.metrics import constant_answer
from sscn_triton.study.training.model_card import PILARNET, class_rows, stage_rows, training_events
from sscn_triton.study.training.packaging import belongs

PATTERN = study.LONG


def text(results: Path) -> str:
    """Return the section on the newest long training."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    judged = record["scores"][0]
    mistakes = judged["mistakes"]
    machine = record["machine"]
    few = (
        f"The events of `{PILARNET}` belong to the data set of the study. They are few, and they were looked at while "
        "simulation and training were developed, so they are no independent test."
    )
    return "\n\n".join([
        f"From `results/{name}`{_network(record, Path(name).stem)}. {machine['processor']}, torch {machine['torch']}, "
        f"{record['date'][:10]}.",
        sentence(record),
        shown(class_rows(record)),
        *[few for score in record["scores"] if score["data"] == PILARNET],
        study.drawn(
            learning_curve,
            record,
            "Share of wrong voxels during training, the mean over events, against the number of events seen. Points: "
            f"the trained network on held-out events.{_marks(record)} Both axes are logarithmic.",
        ),
        *_slope(record),
        "**Where the wrong voxels are**",
        shown(cause_rows(mistakes, record["classes"])),
        "Every wrong voxel of the simulated held-out events counts once, in the first line that applies. Boundary: one "
        f"of its neighbours truly has the predicted class. Whole particle: at least {percent(WHOLE, 0)} of the "
        f"particle's voxels are wrong; cut: the particle leaves the image; small: it has fewer than {SMALL} voxels.",
        "**The stages**",
        shown(stage_rows(record)),
        "Options that a line does not name have their defaults. A stage starts from the averaged weights of the one "
        "before it, with a new optimiser. Hours are wall time on a machine that did other work as well.",
    ])  # fmt: skip


def _network(record: dict[str, Any], stem: str) -> str:
    """Where the network of this record is; nothing if it is not in the package."""
    names = [name for name in packaged() if belongs(read_folder(folder_of(name)).about, record, stem)]
    return f"; the network is in the package: [`{names[0]}`](pretrained.md)" if names else ""


def sentence(record: dict[str, Any]) -> str:
    """What was trained, for how long, and the result."""
    network, judged = record["network"], record["scores"][0]
    name, share = constant_answer(record["classes"], judged["class_share"])
    events = training_events(record)
    number = "" if events is None else f" ({events:,} different ones)"
    return (
        f"The study's sparse network ({network['filters']} filters, depth {network['depth']}, {record['parameters']:,} "
        f"parameters) has seen {record['passes']:,} simulated events of 192 px{number} in "
        f"{record['seconds'] / 3600:.1f} hours. It correctly labels {percent(judged['nonzero_accuracy'])} of the "
        f"nonzero voxels of {judged['events']:,} held-out events (the mean over events); labelling every voxel {name} "
        f"would be right for {percent(share)}."
    )


def law(record: dict[str, Any]) -> Law | None:
    """The law of the error, from all networks of the training that were judged on the same events."""
    alike = judged_alike(record)
    return fit([one["passes"] for one in alike], [1 - one["nonzero_accuracy"] for one in alike])


def _marks(record: dict[str, Any]) -> str:
    """What the marks of earlier networks and of the law mean, if the figure has them."""
    told = " Circles: earlier networks of this training, on the same events." if judged_alike(record)[:-1] else ""
    return told + (" Red and dotted: the law fitted to all of them." if law(record) else "")


def _slope(record: dict[str, Any]) -> list[str]:
    """How the error fell from one network of the training to the next, and what that means for the slides' accuracy."""
    alike, found = judged_alike(record), law(record)
    if found is None:
        return []
    rows = []
    for before, one in zip([None, *alike], alike, strict=False):
        events = training_events(record) if one is alike[-1] else one["training_events"]
        right = one["nonzero_accuracy"]
        different = "unknown" if events is None else f"{events:,}"
        rows.append([f"{one['passes']:,}", different, percent(right), percent(1 - right, 2), _since(before, one)])
    told = (
        f"Each row is a network of this training; all were judged on the same {alike[-1]['events']:,} events. A "
        "network may end with a stage that lowers the learning rate and that later networks do not contain. The law "
        f"wrong = a · (events seen)^(-b) fits with b = {found.exponent:.2f} ({found.low:.2f} to {found.high:.2f} at "
        f"{percent(LEVEL, 0)}, from {len(alike)} networks). The interval takes the networks as independent; they are "
        "not quite, because they share stages. The last column is b from one row to the next. Where the number of "
        "different events grew, too, b is the effect of both. "
    )
    return [
        "**What more events give**",
        shown(Table(["events seen", "different events", "right", "wrong", "b since the row above"], rows)),
        told + _outlook(found),
    ]


def _since(before: dict[str, Any] | None, one: dict[str, Any]) -> str:
    """The exponent between two networks."""
    if before is None:
        return ""
    if before["passes"] == one["passes"]:
        return "none"
    wrong = (1 - before["nonzero_accuracy"]) / (1 - one["nonzero_accuracy"])
    return f"{math.log(wrong) / math.log(one['passes'] / before['passes']):.2f}"


def _outlook(found: Law) -> str:
    """What the law means for the slides' accuracy."""
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}[192].nonzero_accuracy
    if found.wrong[-1] <= 1 - theirs:
        return f"The last network has reached the slides' {percent(theirs)}."
    if found.high < 0:
        return "The error grew, so these networks do not tell how many events the slides' accuracy would need."
    if found.low <= 0:
        return "The interval contains 0, so these networks do not tell how many events the slides' accuracy would need."
    best, low, high = needed(found, 1 - theirs)
    now = max(found.passes)
    far = f"more than {significant(FARTHEST * now)}"
    if low > FARTHEST * now:
        return f"If it went on in this way, the slides' {percent(theirs)} would need {far} events seen."
    about = far if best > FARTHEST * now else f"about {significant(max(best, now))}"
    return (
        f"If it went on in this way, the slides' {percent(theirs)} would need {about} events seen "
        f"({significant(low)} to {far if high is None else significant(high)}); this training has seen {now:,}. "
        "That is an extrapolation."
    )


def learning_curve(record: dict[str, Any]) -> Figure:
    """Wrong voxels against passes; lines for the slides and for the trivial answer; points for held-out events."""
    drawn, axes = plt.subplots(figsize=(7.0, 3.8))
    passes = [point["passes"] for point in record["curve"]]
    wrong = [100 * (1 - point["nonzero_accuracy"]) for point in record["curve"]]
    axes.plot(passes, wrong, color="#0B6E99", lw=1.4, label="during training")
    for score, marker in zip(record["scores"], "os^D", strict=False):
        height = 100 * (1 - score["nonzero_accuracy"])
        axes.plot(passes[-1], height, marker, color="#C8553D", label=f"held out: {score['data']}")
    earlier, found = judged_alike(record)[:-1], law(record)
    if earlier:
        heights = [100 * (1 - one["nonzero_accuracy"]) for one in earlier]
        axes.plot(
            [one["passes"] for one in earlier], heights, "o", mfc="none", color="#C8553D", label="earlier networks"
        )
    if found is not None:
        ends = [min(found.passes), 10 * max(found.passes)]
        axes.plot(ends, [100 * found.factor * end**-found.exponent for end in ends], ":", color="#C8553D", lw=1.2)
    best, share = constant_answer(record["classes"], record["scores"][0]["class_share"])
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}[192]
    for value, style, name in (
        (share, ":", f"{best} everywhere"),
        (theirs.nonzero_accuracy, "--", "2018, sparse, 192 px"),
    ):
        axes.axhline(100 * (1 - value), ls=style, color="#8A5A9E", lw=1.2, label=name)
    axes.set(xscale="log", yscale="log", xlabel="events seen", ylabel="wrong nonzero voxels (%)")
    axes.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return drawn

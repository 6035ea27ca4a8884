"""The model card of a trained network, in Markdown: every number comes from the record of its training."""

from __future__ import annotations

import math
from typing import Any

from sscn_triton.common.table import Table
from sscn_triton.common.units import percent
from sscn_triton.lartpc.simulation.imaging import THRESHOLD
from sscn_triton.lartpc.simulation.simulate import VOXEL_SIZE
from sscn_triton.models.pretrained import Stored
from sscn_triton.study import published as slides
from sscn_triton.study.training.metrics import constant_answer

WEAK = 0.8
"""A class whose accuracy is lower is listed among the limits."""

PILARNET = "small_192px.root"
"""Public events of the data set of the study, beside which simulation and training were developed."""

CARD = """\
---
license: bsd-3-clause
library_name: sscn
pipeline_tag: other
tags: [sparse-convolution, semantic-segmentation, liquid-argon, lartpc, physics]
---

# {name}

{what}

```python
import torch

from sscn_triton import SparseTensor, lartpc, models

network = models.SparseUResNet.from_pretrained("{name}")
event = lartpc.open_events("events.root")[0]
coordinates, energy, _ = map(torch.from_numpy, lartpc.collate([event]))
logits = network(SparseTensor(energy / network.about["energy_unit"], coordinates)).features
```

or `sscn predict events.root --checkpoint {name}`; `sscn train --start {name}` continues from these weights.

## Input and output

- **Coordinates**: `[voxels, {columns}]` integers, the number of the event, then the voxel. {size}
- **Feature**: `[voxels, {channels}]`, the energy of the voxel in MeV divided by {unit} (`about["energy_unit"]`). In the
  training data it is the energy that charged particles deposit in the voxel, after the smearing of the simulation,
  without recombination, noise or electronics; voxels below {threshold} MeV are empty. Bring reconstructed charge to
  this scale first.
- **Output**: `[voxels, {outputs}]` scores before softmax, in the order of `about["classes"]`: {classes}.
- **Weights**: {types}; `from_pretrained` computes in float32. The accuracies below are those of the network before its
  weights were rounded.

## Training

{training}

{stages}

Options that a line does not name have the defaults of `sscn train`; `trained_on` and the learning curve are in the
record `{record}.json`. A stage after the first starts from the averaged weights of the one before it, with a new
optimiser; a stage with `start` begins with the weights of that network, in half precision. The hours are wall time.

## Accuracy

{accuracy}

Accuracies are means over events, of all nonzero voxels and of the voxels of each class. {judged}

## Limits

{limits}
"""


def model_card(name: str, record: dict[str, Any], stored: Stored) -> str:
    """The model card. record: as `stages.record` makes it; stored: the network that it belongs to."""
    ndim, channels = record["network"]["ndim"], record["network"]["in_channels"]
    return CARD.format(
        name=name,
        what=_what(record),
        columns=1 + ndim,
        size=_size(record),
        channels=channels,
        unit=stored.about["energy_unit"],
        threshold=THRESHOLD,
        outputs=len(record["classes"]),
        classes=", ".join(record["classes"]),
        types=" and ".join(sorted({str(w.dtype).removeprefix("torch.") for w in stored.weights.values()})),
        training=_training(record, stored.about["training"]["sscn"]),
        stages=stage_rows(record).markdown(),
        record=stored.about["record"],
        accuracy=class_rows(record).markdown() if record["scores"] else "Not measured.",
        judged=" ".join(_judged(score, record) for score in record["scores"]),
        limits="\n".join(f"- {limit}" for limit in _limits(record)),
    )


def _what(record: dict[str, Any]) -> str:
    network = record["network"]
    text = (
        f"A {network['kind']} UResNet ({network['filters']} filters, depth {network['depth']}, "
        f"{record['parameters']:,} parameters) that gives each voxel of a liquid-argon image one of "
        f"{len(record['classes'])} classes: {', '.join(record['classes'])}. It was trained on "
    )
    text += "simulated events" if record["simulations"] else "the events described below"
    if not record["scores"]:
        return f"{text}."
    judged = record["scores"][0]
    right = percent(judged["nonzero_accuracy"])
    return f"{text} and gives the right class to {right} of the nonzero voxels of {_events(judged)}."


def _events(score: dict[str, Any]) -> str:
    return f"{score['events']:,} events that it has not seen (`{score['data']}`)"


def _size(record: dict[str, Any]) -> str:
    sizes = sorted({one["size"] for one in record["simulations"]})
    if not sizes:
        return "Use the voxel size of the training data."
    edges = " and ".join(f"{size} voxels ({size * VOXEL_SIZE / 10:g} cm)" for size in sizes)
    return (
        f"The edge of a voxel is {VOXEL_SIZE:g} mm and that of a training image {edges}; other image sizes need no "
        "change, because the network is convolutional, but were not tested."
    )


def training_events(record: dict[str, Any]) -> int | None:
    """The number of different events that a training in stages has seen; None if a stage shares some but not all of its
    files with larger ones, or does not identify its events. Files of the same name and size are the same file: their
    checksums are of blocks that depend on the other files of the folder."""
    total = 0
    counted: set[tuple[Any, ...]] = set()
    for about in sorted((stage["trained_on"] or {} for stage in record["stages"]), key=lambda a: -a.get("events", 0)):
        files: set[tuple[Any, ...]] = {(name, size) for name, size, _ in about.get("files", ())}
        files = files or {(about.get("checksum"),)}
        if not about or (files & counted and files - counted):
            return None
        total += 0 if files <= counted else about["events"]
        counted |= files
    return total


def _training(record: dict[str, Any], version: str) -> str:
    """version: of the sscn that trained; the record has the one that joined the stages."""
    number = training_events(record)
    events = "events" if number is None else f"{number:,} events"
    seeds = ", ".join(str(one["seed"]) for one in record["simulations"])
    made = f" that `sscn simulate` made (seeds {seeds})" if seeds else ""
    start = record["stages"][0]["options"].get("seed", 0)
    machine, hours = record["machine"], record["seconds"] / 3600
    return (
        f"On {events}{made}; counting repeats, the network saw {record['passes']:,} events in "
        f"{hours:.1f} hours. Seed {start} of `sscn train`; sscn {version}, torch {machine['torch']}, "
        f"{machine['processor']}, {record['date'][:10]}. The loss is cross-entropy, the optimiser Adam; images are "
        "rotated and mirrored by a random symmetry of the cube and moved by up to `shift` voxels."
    )


def _judged(score: dict[str, Any], record: dict[str, Any]) -> str:
    if score["data"] == PILARNET:
        return (
            f"`{PILARNET}` has {score['events']} events of PILArNet, the public data set of the study "
            "(arXiv:2006.01993). They are few, and they were looked at while simulation and training were developed, "
            "so they are no independent test."
        )
    seeds = {one["seed"] for one in score.get("simulations", [])}
    if seeds & {one["seed"] for one in record["simulations"]}:
        return f"`{score['data']}` was simulated with a seed of the training events, so it may contain some of them."
    told = ", ".join(map(str, sorted(seeds)))
    return f"`{score['data']}` was simulated with seed {told}, with which nothing was trained." if seeds else ""


def _limits(record: dict[str, Any]) -> list[str]:
    limits = []
    if record["simulations"]:
        limits.append(
            "The training events are simulated; the page of the book on simulated events says where they differ from "
            "those of PILArNet, which are simulated too, in more detail. The network has not been tried on data of a "
            "detector."
        )
    limits += [_weak(score, record["classes"]) for score in record["scores"]]
    limits.append("One training with one seed: how much another seed changes is not measured.")
    if record["scores"]:
        judged = record["scores"][0]
        best, share = constant_answer(record["classes"], judged["class_share"])
        limits.append(f"For comparison: {best} as the answer for every voxel of the first file has {percent(share)}.")
    return [limit for limit in limits if limit]


def _weak(score: dict[str, Any], classes: list[str]) -> str:
    """The classes below WEAK, each with the class that its wrong voxels are most often given; classes that no event
    has."""
    told, absent = [], []
    for i, (name, accuracy) in enumerate(zip(classes, score["class_accuracy"], strict=True)):
        if accuracy is None or math.isnan(accuracy):
            absent.append(name)
        elif accuracy < WEAK:
            row = [0 if j == i else count for j, count in enumerate(score["confusion"][i])]
            part = max(row) / sum(score["confusion"][i])
            told.append(f"{name} {percent(accuracy)} ({percent(part)} of its voxels are called {classes[_peak(row)]})")
    text = f"Weak classes in `{score['data']}`: {', '.join(told)}." if told else ""
    none = f"`{score['data']}` has no {' and no '.join(absent)}." if absent else ""
    return f"{text} {none}".strip()


def _peak(counts: list[int]) -> int:
    return counts.index(max(counts))


def class_rows(record: dict[str, Any]) -> Table:
    """Accuracies on each file of events, beside the trivial answer and the slides."""
    names, scores = record["classes"], record["scores"]
    header = ["mean over events", *(f"{s['data']}, {s['events']:,} events" for s in scores)]
    best, share = constant_answer(names, scores[0]["class_share"])
    header += [f"{best} everywhere", "2018, sparse, 192 px"]
    theirs = {n.size: n for n in slides.NETWORKS if n.name == "sparse"}[192]
    rows = [["nonzero accuracy", *(percent(s["nonzero_accuracy"]) for s in scores), percent(share)]]
    rows[0].append(percent(theirs.nonzero_accuracy))
    of_slides = {one.name: percent(one.accuracy) for one in slides.CLASSES}
    for i, name in enumerate(names):
        mine = [percent(s["class_accuracy"][i]) for s in scores]
        rows.append([name, *mine, percent(float(name == best)), of_slides.get(name, "")])
    for i, name in enumerate(names):
        mine = [_decimal(s["voxel_metrics"]["f1"][i]) for s in scores]
        rows.append([f"{name}, F1 over all voxels", *mine, "", ""])
    return Table(header, rows)


def _decimal(value: float | None) -> str:
    return "none" if value is None or math.isnan(value) else f"{value:.3f}"


def stage_rows(record: dict[str, Any]) -> Table:
    """Options, passes and hours of every stage."""
    rows = []
    for number, stage in enumerate(record["stages"], 1):
        options = ", ".join(f"{name}={value}" for name, value in stage["options"].items())
        passes, hours = f"{stage['passes']:,}", f"{stage['seconds'] / 3600:.1f}"
        rows.append([str(number), options, f"{stage['steps']:,}", passes, hours])
    return Table(["stage", "options", "steps", "events seen", "hours"], rows)

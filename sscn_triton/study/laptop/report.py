"""The study's table in plain text, and its report as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from sscn_triton.common.output import as_json
from sscn_triton.common.page import data_uri, figure, heading, page, paragraph
from sscn_triton.common.table import Rows, Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study.analysis import michel_report, mistakes_report
from sscn_triton.study.laptop.figures import WORST, worst_name
from sscn_triton.study.questions import report as questions_report
from sscn_triton.study.runs.roles import Role, networks
from sscn_triton.study.runs.tables import confusion_rows, curve_rows
from sscn_triton.study.scaling import report as scaling_report
from sscn_triton.study.scaling.size_table import size_rows

COLUMNS = [
    "network", "image", "parameters", "steps", "trained", "accuracy, training", "accuracy, held out",
    "step", "forward", "memory, training", "memory, forward",
]  # fmt: skip


def main_rows(record: dict[str, Any]) -> Rows:
    """The measured networks, followed by those of 2018."""
    rows = []
    for n in record["networks"]:
        rows.append([
            n["name"], f"{n['spatial_shape'][0]} px", f"{n['parameters']:,}", f"{n['step_count']:,}",
            seconds(n["training_seconds"]), percent(n["training_accuracy"]),
            percent(n["held_out"]["nonzero_accuracy"]), seconds(n["step_seconds"]),
            seconds(n["forward_seconds_median"]), memory(n["training_memory"]), memory(n["forward_memory"]),
        ])  # fmt: skip
    for n in record["published"]["networks"]:
        is_training = bool(n["remark"])
        accuracy, held = percent(n["nonzero_accuracy"]), f"{memory(1e9 * n['memory_gb'])} (GPU)"
        rows.append([
            f"2018: {n['name']}", f"{n['size']} px", "", "", "", accuracy if is_training else "",
            "" if is_training else accuracy, "", seconds(n["forward_seconds"]), "", held,
        ])  # fmt: skip
    return rows


def class_rows(record: dict[str, Any]) -> Table:
    """Accuracy of each class for each network, with mean shares and the 2018 study's numbers."""
    runs = networks(record)
    header = ["class", "share", *(n["name"] for n in runs.values()), "2018: share", "2018: sparse"]
    rows = []
    for c, theirs in enumerate(record["published"]["classes"]):
        ours = [percent(n["held_out"]["class_accuracy"][c]) for n in runs.values()]
        share = percent(runs["whole"]["held_out"]["class_share"][c])
        rows.append([theirs["name"], share, *ours, percent(theirs["share"], 0), percent(theirs["accuracy"])])
    return Table(header, rows)


def table(record: dict[str, Any]) -> str:
    """The table that `sscn study` prints when it ends."""
    short = [name.replace("accuracy", "acc.").replace("memory", "mem.") for name in COLUMNS]
    return "\n".join(
        ["", *sentences(record), "", Table(short, main_rows(record)).text(), "", class_rows(record).text(), ""]
    )


def sentences(record: dict[str, Any]) -> list[str]:
    """A summary of the numbers in words, generated from the numbers."""
    runs = networks(record)
    sparse, dense, large = runs["sparse"], runs["matched"], runs["study"]
    size = sparse["spatial_shape"][0]
    labelled = [
        f"{name} {percent(n['held_out']['nonzero_accuracy'])} ({n['step_count']:,} steps)"
        for name, n in (("the sparse network labels", sparse), ("its dense twin", dense), ("that of 2018", large))
    ]
    return [
        f"On the same {size} px crops, trained for {seconds(sparse['training_seconds'])} (sparse), "
        f"{seconds(dense['training_seconds'])} (dense) and {seconds(large['training_seconds'])} (dense of 2018), "
        f"{', '.join(labelled)} of the nonzero voxels of held-out crops right.",
        f"A training step takes {seconds(sparse['step_seconds'])} against {seconds(dense['step_seconds'])} "
        f"({dense['step_seconds'] / sparse['step_seconds']:.1f} times) and {seconds(large['step_seconds'])}, its "
        f"memory peaks at {memory(sparse['training_memory'])} against {memory(dense['training_memory'])} "
        f"({dense['training_memory'] / max(1, sparse['training_memory']):.1f} times) and "
        f"{memory(large['training_memory'])}.",
    ]


def notes(record: dict[str, Any]) -> list[str]:
    """Notes that a reader needs to judge the numbers."""
    config, data, machine = record["config"], record["data"], record["machine"]
    sparse, large = networks(record)["sparse"], networks(record)["study"]
    by_steps = config["steps"] is not None
    limit = f"{config['steps']:,} steps each" if by_steps else "the same wall time for the three networks on crops"
    return [
        f"Events: {data['source']}; {data['train_events']} to learn from, {data['held_out_events']} held out.",
        f"Networks: UResNet of {config['depth']} levels, {config['filters']} filters, {sparse['parameters']:,} "
        "parameters. The matched dense one is the sparse one layer by layer with ordinary convolutions; both start "
        f"from the same weights. The dense one of the 2018 study has {large['parameters']:,} "
        "parameters. All three see the same crops in the same order.",
        f"Training: Adam, one-cycle learning rate up to {config['learning_rate']:g}, {config['batch']} crop(s) a step "
        f"(whole events one by one), {limit}. Loss: cross-entropy on active voxels only, for all, averaged per "
        f"event. Input: a voxel's energy in units of {data['energy_unit_mev']} MeV. The defaults, rate 0.003 and 2 "
        "crops a step, come from short trials of the sparse network alone, on simulated events, so they lean its way; "
        "the 2018 study used 0.001.",
        "Accuracy: correct nonzero voxels over nonzero voxels per image, then the mean over images, as the 2018 study "
        "defines it. Training accuracy is the mean of the last tenth of the steps. Class accuracy is the mean over the "
        "images that have the class.",
        f"Before judging, batch norm's statistics are taken anew, for every network, from {data['statistics_batches']} "
        "training batches (fewer if it made fewer steps): running averages forget their start too slowly for a "
        "training this short.",
        "Time: medians; a step is forward, loss, backward and Adam, a forward pass includes the loss. Sparse times "
        "include building the rulebooks, anew for every image.",
        f"Memory: {sparse['memory_method']}; what is listed is the rise above what was held then. Forward memory is "
        "one pass without gradients on the largest held-out image.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}, sscn {machine['sscn']}; load average before "
        f"training {record['load_before']} (well above 1, other work has slowed all times and cost steps). The study "
        f"took {seconds(record['seconds'])} before drawing, seed {config['seed']}, {record['created']}.",
        f"2018: {record['published']['source']}; {record['published']['task']}. Other events, a GPU, a far longer "
        "training: they are here for orientation, not as a race.",
    ]


def html(record: dict[str, Any], folder: Path) -> str:
    """The page. Reads the figures from `folder` and embeds them."""
    parts = [
        Markup("<h1>{}</h1>").format(record["title"]),
        *(paragraph(sentence, "lead") for sentence in sentences(record)),
        Table(COLUMNS, main_rows(record)).html(),
        paragraph("Rows named 2018 are the study's own numbers, of other events and a GPU; all else was measured in "
                  "this run.", "small"),
        *_accuracy_parts(record, folder),
        *_cost_parts(record, folder),
        *_mistake_parts(record, folder),
        *michel_report.parts(record, folder),
        *questions_report.parts(record, folder),
        heading("How it was measured"),
        Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(note) for note in notes(record))),
        heading("All numbers"),
        Markup('<p><a download="report.json" href="{}">report.json</a> holds every number on this page and every '
               "training step.</p>").format(data_uri(as_json(record).encode(), "application/json")),
    ]  # fmt: skip
    return page(record["title"], parts)


def _accuracy_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    curves = {n["name"]: n["curve"] for n in record["networks"]}
    return [
        heading("Accuracy"),
        figure(folder, "accuracy.png", "Nonzero accuracy of the batches learnt from, as a running mean over "
               "a twentieth of the training; diamonds: held-out images at the end.", curve_rows(curves)),
        figure(folder, "classes.png", "Accuracy by class on held-out images. The shares below the names are those "
               "of the held-out whole events. Hatched: the 2018 study.", class_rows(record)),
        class_rows(record).html(),
        paragraph("Mean shares of the nonzero voxels and accuracies by class; the last two columns are the study's.",
                  "small"),
    ]  # fmt: skip


def _cost_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    scaling = record["scaling"]
    return [
        heading("What it costs"),
        figure(folder, "cost.png", "What it costs, on logarithmic axes: median training step, median forward pass, "
               "peak memory of training. Hatched: the 2018 study, forward, on a GPU.", _cost_rows(record)),
        size_rows(record).html(),
        paragraph("The slides' table: one image at the sizes of the study, here by this machine's processor, there by "
                  "a GPU. Computed: what this run did not reach, as said below the next figure; empty: it measured too "
                  "little for that.", "small"),
        paragraph(scaling_report.sentence(scaling)),
        figure(folder, "scaling.png", "How costs grow with the image, one image at a time, on logarithmic axes. The "
               "table has the batches too, and what follows for images that were not measured: for dense networks in "
               "proportion to the places of the image, for the sparse one to its voxels, which follow a power law.",
               scaling_report.point_rows(scaling)),
        scaling_report.exponent_rows(scaling).html(),
        paragraph("Exponents with their standard errors, of what grows above a fixed cost. Off: root mean square of "
                  "the points about such a power law and about such an exponential, of sizes with one image; voxels "
                  "of batches too.", "small"),
    ]  # fmt: skip


def _mistake_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    mistakes = networks(record)["whole"]["closer"]["mistakes"]
    pictures = [
        figure(folder, worst_name(number), f"Number {number} of the held-out whole events with the lowest accuracy: "
               "truth and the sparse network's answer.",
               Table(["event", "nonzero accuracy"], [[one["name"], percent(one["nonzero_accuracy"])]]))
        for number, one in enumerate(mistakes["worst"][:WORST], 1)
    ]  # fmt: skip
    return [
        *mistakes_report.parts(mistakes, record["classes"], folder),
        figure(folder, "event.png", "A held-out whole event: truth and the sparse network's answer. "
               "event.html, beside this page, shows it to turn and zoom, and where it errs.",
               _confusion(record, "whole")),
        *pictures,
        figure(folder, "crop-sparse.png", "A held-out crop: truth and the sparse network's answer.",
               _confusion(record, "sparse")),
        figure(folder, "crop-dense.png", "The same crop by its dense twin.", _confusion(record, "matched")),
        figure(folder, "crop-dense-2018.png", "The same crop by the dense network of 2018.",
               _confusion(record, "study")),
    ]  # fmt: skip


def _cost_rows(record: dict[str, Any]) -> Table:
    picked = [COLUMNS.index(name) for name in ("network", "image", "step", "forward", "memory, training")]
    picked.append(COLUMNS.index("memory, forward"))
    return Table([COLUMNS[i] for i in picked], [[row[i] for i in picked] for row in main_rows(record)])


def _confusion(record: dict[str, Any], role: Role) -> Table:
    return confusion_rows(networks(record)[role]["held_out"], record["classes"])

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
from sscn_triton.study.training.metrics import constant_answer

COLUMNS = [
    "network", "image", "parameters", "steps", "trained", "accuracy, training", "accuracy, held out",
    "step", "forward", "memory, training", "memory, forward",
]  # fmt: skip


BY_BATCH = "statistics of the batch"
"""What the tables call the dense twin's scores with the norms' statistics of the held-out crops themselves."""


def main_rows(record: dict[str, Any]) -> Rows:
    """The measured networks, the best constant answers on their held-out images, and the networks of 2018."""
    rows = []
    for n in record["networks"]:
        rows.append([
            n["name"], f"{n['spatial_shape'][0]} px", f"{n['parameters']:,}", f"{n['step_count']:,}",
            seconds(n["training_seconds"]), percent(n["training_accuracy"]),
            percent(n["held_out"]["nonzero_accuracy"]), seconds(n["step_seconds"]),
            seconds(n["forward_seconds_median"]), memory(n["training_memory"]), memory(n["forward_memory"]),
        ])  # fmt: skip
        if of_batches := n.get("held_out_batch"):  # older records have none
            accuracy = percent(of_batches["nonzero_accuracy"])
            rows.append([f"{n['name']}, {BY_BATCH}", "", "", "", "", "", accuracy, "", "", "", ""])
    for images, best, share in trivial_answers(record):
        rows.append([f"{best} everywhere, {images}", "", "", "", "", "", percent(share), "", "", "", ""])
    for n in record["published"]["networks"]:
        is_training = bool(n["remark"])
        accuracy, held = percent(n["nonzero_accuracy"]), f"{memory(1e9 * n['memory_gb'])} (GPU)"
        rows.append([
            f"2018: {n['name']}", f"{n['size']} px", "", "", "", accuracy if is_training else "",
            "" if is_training else accuracy, "", seconds(n["forward_seconds"]), "", held,
        ])  # fmt: skip
    return rows


def trivial_answers(record: dict[str, Any]) -> list[tuple[str, str, float]]:
    """For the held-out crops and whole events: which they are, the most frequent class, and its nonzero accuracy if
    every voxel got it."""
    runs = networks(record)
    edge = runs["sparse"]["spatial_shape"][0]
    images: tuple[tuple[Role, str], ...] = (("sparse", f"{edge} px crops"), ("whole", "whole events"))
    return [(name, *constant_answer(record["classes"], runs[role]["held_out"]["class_share"])) for role, name in images]


def class_rows(record: dict[str, Any]) -> Table:
    """Accuracy of each class for each network, with mean shares and the 2018 study's numbers."""
    runs = networks(record)
    scores = {n["name"]: n["held_out"] for n in runs.values()}
    if of_batches := runs["matched"].get("held_out_batch"):
        scores[f"{runs['matched']['name']}, {BY_BATCH}"] = of_batches
    header = ["class", "share", *scores, "2018: share", "2018: sparse"]
    rows = []
    for c, theirs in enumerate(record["published"]["classes"]):
        ours = [percent(one["class_accuracy"][c]) for one in scores.values()]
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
    _, best, share = trivial_answers(record)[0]
    accuracies = [
        f"{percent(n['held_out']['nonzero_accuracy'])} ({n['step_count']:,} steps)" for n in (sparse, dense, large)
    ]
    if of_batches := dense.get("held_out_batch"):
        accuracies[1] += f" by running statistics and {percent(of_batches['nonzero_accuracy'])} by {BY_BATCH},"
    return [
        f"The networks trained on the same {size} px crops for {seconds(sparse['training_seconds'])} (sparse), "
        f"{seconds(dense['training_seconds'])} (dense) and {seconds(large['training_seconds'])} (dense of 2018). Of "
        f"the nonzero voxels of held-out crops, the sparse network labels {accuracies[0]} correctly, its dense twin "
        f"{accuracies[1]} and the dense network of 2018 {accuracies[2]}; labelling every voxel {best} would be "
        f"right for {percent(share)}.",
        f"A training step takes {seconds(sparse['step_seconds'])} (sparse), {seconds(dense['step_seconds'])} (dense, "
        f"{dense['step_seconds'] / sparse['step_seconds']:.1f} times as long) and {seconds(large['step_seconds'])} "
        f"(dense of 2018). Its memory peaks at {memory(sparse['training_memory'])}, {memory(dense['training_memory'])} "
        f"({dense['training_memory'] / max(1, sparse['training_memory']):.1f} times as much) and "
        f"{memory(large['training_memory'])}.",
    ]


def notes(record: dict[str, Any]) -> list[str]:
    """Notes that a reader needs to judge the numbers."""
    config, data, machine = record["config"], record["data"], record["machine"]
    sparse, large = networks(record)["sparse"], networks(record)["study"]
    by_steps = config["steps"] is not None
    limit = f"{config['steps']:,} steps each" if by_steps else "the same wall time for the three networks on crops"
    return [
        f"Events: {data['source']}; {data['train_events']} for training, {data['held_out_events']} held out.",
        f"Networks: a UResNet with {config['depth']} levels, {config['filters']} filters and "
        f"{sparse['parameters']:,} parameters. The matched dense network has the same layers as the sparse one, with "
        "ordinary convolutions; both start from the same weights. The dense network of the 2018 study has "
        f"{large['parameters']:,} parameters. All three see the same crops in the same order.",
        f"Training: Adam, one-cycle learning rate up to {config['learning_rate']:g}, {config['batch']} crop(s) per "
        f"step (whole events one at a time), {limit}. Loss of all networks: cross-entropy on active voxels only, "
        f"averaged per event. Input: the energy of a voxel in units of {data['energy_unit_mev']} MeV. The defaults "
        "(learning rate 0.003, 2 crops per step) come from short trials of the sparse network alone on simulated "
        "events, so they favour it; the 2018 study used a learning rate of 0.001.",
        "Accuracy: the number of correct nonzero voxels divided by the number of nonzero voxels of an image, averaged "
        "over images, as the 2018 study defines it. Training accuracy is the mean over the last tenth of the steps. "
        "Class accuracy is the mean over the images that contain the class.",
        "Before a network is evaluated, its batch norm statistics are recomputed from "
        f"{data['statistics_batches']} training batches (fewer if it made fewer steps), because running averages "
        "forget their start too slowly in such a short training. " + statistics_note(record),
        "Times are medians. A step consists of forward pass, loss, backward pass and Adam; a forward pass includes the "
        "loss. Sparse times include building new rulebooks for every image.",
        f"Memory: {sparse['memory_method']}; the tables list the increase above the memory held at that time. Forward "
        "memory is that of one pass without gradients on the largest held-out image.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}, sscn {machine['sscn']}; load average before "
        f"training {record['load_before']} (if it is well above 1, other work has lengthened all times and reduced the "
        f"number of steps). The study took {seconds(record['seconds'])} without drawing its figures; seed "
        f"{config['seed']}, {record['created']}.",
        f"2018: {record['published']['source']}; {record['published']['task']}. That study used other events, a GPU "
        "and a far longer training; its numbers are here for orientation only.",
    ]


def statistics_note(record: dict[str, Any]) -> str:
    """By which statistics the norms of the dense twin were judged, whose mean and variance are over all voxels."""
    name, images = networks(record)["matched"]["name"], record["config"]["batch"]
    if networks(record)["matched"].get("held_out_batch") is None:
        return (
            f"“{name}” is judged by running statistics alone, which may cost it accuracy: its norms average over empty "
            "voxels too, and crops differ in how many they have. A newer version also judges it by statistics of the "
            "batch."
        )
    return (
        f"“{name}, {BY_BATCH}” is the same network with the norms' statistics of {images} held-out crops at a time, as "
        "in training: its norms average over empty voxels too, and crops differ in how many they have, so running "
        "statistics may cost it accuracy."
    )


def html(record: dict[str, Any], folder: Path) -> str:
    """The page. Reads the figures from `folder` and embeds them."""
    parts = [
        Markup("<h1>{}</h1>").format(record["title"]),
        *(paragraph(sentence, "lead") for sentence in sentences(record)),
        Table(COLUMNS, main_rows(record)).html(),
        paragraph("Rows named 2018 contain the numbers of the 2018 study, from other events and a GPU; all other "
                  "numbers were measured in this run.", "small"),
        *_accuracy_parts(record, folder),
        *_cost_parts(record, folder),
        *_mistake_parts(record, folder),
        *michel_report.parts(record, folder),
        *questions_report.parts(record, folder),
        heading("How it was measured"),
        Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(note) for note in notes(record))),
        heading("All numbers"),
        Markup('<p><a download="report.json" href="{}">report.json</a> contains every number on this page and every '
               "training step.</p>").format(data_uri(as_json(record).encode(), "application/json")),
    ]  # fmt: skip
    return page(record["title"], parts)


def _accuracy_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    curves = {n["name"]: n["curve"] for n in record["networks"]}
    return [
        heading("Accuracy"),
        figure(folder, "accuracy.png", "Nonzero accuracy on training batches, a running mean over a twentieth of "
               "the training. Diamonds: held-out images at the end.", curve_rows(curves)),
        figure(folder, "classes.png", "Accuracy by class on held-out images. The shares below the names are those "
               "of the held-out whole events. Hatched: the 2018 study.", class_rows(record)),
        class_rows(record).html(),
        paragraph("Mean shares of the nonzero voxels and accuracies by class; the last two columns are from 2018.",
                  "small"),
    ]  # fmt: skip


def _cost_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    scaling = record["scaling"]
    return [
        heading("Cost"),
        figure(folder, "cost.png", "Cost on logarithmic axes: median training step, median forward pass and peak "
               "memory of training. Hatched: the 2018 study, forward pass on a GPU.", _cost_rows(record)),
        size_rows(record).html(),
        paragraph("The slides' table: one image at each size of the study, on this machine's processor here and on a "
                  "GPU in 2018. Computed: sizes that this run did not reach; the text below the next figure explains "
                  "how. Empty: the run measured too few points to compute the value.", "small"),
        paragraph(scaling_report.sentence(scaling)),
        figure(folder, "scaling.png", "Growth of the costs with the size of the image, for single images, on "
               "logarithmic axes. The table also contains batches, and computed costs of images that were not "
               "measured: those of the dense networks are proportional to the number of grid points, those of the "
               "sparse network to the number of active voxels, which follows a power law.",
               scaling_report.point_rows(scaling)),
        scaling_report.exponent_rows(scaling).html(),
        paragraph("Exponents, with standard errors, of the part that grows above a fixed cost. Deviation: root mean "
                  "square of the points about such a power law and about such an exponential. Fits against size use "
                  "single images; fits against voxels also use batches.", "small"),
    ]  # fmt: skip


def _mistake_parts(record: dict[str, Any], folder: Path) -> list[Markup]:
    mistakes = networks(record)["whole"]["closer"]["mistakes"]
    pictures = [
        figure(folder, worst_name(number), f"Held-out whole event number {number} in order of increasing accuracy: "
               "truth and prediction of the sparse network.",
               Table(["event", "nonzero accuracy"], [[one["name"], percent(one["nonzero_accuracy"])]]))
        for number, one in enumerate(mistakes["worst"][:WORST], 1)
    ]  # fmt: skip
    return [
        *mistakes_report.parts(mistakes, record["classes"], folder),
        figure(folder, "event.png", "A held-out whole event: truth and prediction of the sparse network. "
               "In event.html, beside this page, it can be rotated and zoomed, and the errors are marked.",
               _confusion(record, "whole")),
        *pictures,
        figure(folder, "crop-sparse.png", "A held-out crop: truth and prediction of the sparse network.",
               _confusion(record, "sparse")),
        figure(folder, "crop-dense.png", "The same crop, predicted by its dense twin.", _confusion(record, "matched")),
        figure(folder, "crop-dense-2018.png", "The same crop, predicted by the dense network of 2018.",
               _confusion(record, "study")),
    ]  # fmt: skip


def _cost_rows(record: dict[str, Any]) -> Table:
    picked = [COLUMNS.index(name) for name in ("network", "image", "step", "forward", "memory, training")]
    picked.append(COLUMNS.index("memory, forward"))
    return Table([COLUMNS[i] for i in picked], [[row[i] for i in picked] for row in main_rows(record)])


def _confusion(record: dict[str, Any], role: Role) -> Table:
    return confusion_rows(networks(record)[role]["held_out"], record["classes"])

"""`sscn report`: the page of one training, made from the files in its folder."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from markupsafe import Markup

from sscn_triton.common.files import write_whole
from sscn_triton.common.output import as_json
from sscn_triton.common.page import data_uri, heading, page, paragraph, picture
from sscn_triton.common.table import Rows, Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study.analysis.mistakes_report import heat
from sscn_triton.study.runs.figures import STYLE, Bars, Line, as_png, class_accuracies, learning_curves
from sscn_triton.study.runs.tables import confusion_rows, curve_rows
from sscn_triton.study.runs.trained import Trained, read_trained
from sscn_triton.study.training.config import Report, TrainConfig
from sscn_triton.study.training.metrics import constant_answer, voxel_metrics

COLOR = "#0B6E99"
NETWORKS = {"sparse": "sparse UResNet", "matched": "dense UResNet, matched", "study": "dense UResNet of 2018"}
MISTAKES = 10
"""Maximum number of pairs of classes in the table of mistakes."""


def report(options: Report) -> None:
    """Write the page and print its path. Raises as `read_trained` does."""
    trained = read_trained(Path(options.folder))
    title = f"Training {Path(options.folder).resolve().name}"
    write_whole(options.path, html(trained, title), overwrite=options.overwrite)
    print(f"report: {options.path}")


def html(trained: Trained, title: str) -> str:
    """The page as self-contained HTML."""
    classes, scores = trained.scores["classes"], trained.scores
    name, (trivial, share) = NETWORKS[trained.config.network], baseline(scores)
    with plt.rc_context(STYLE):
        line = Line(name, COLOR, trained.curve, scores["nonzero_accuracy"])
        curves = as_png(learning_curves([line], (trivial, share)))
        bars = as_png(class_accuracies([Bars(name, COLOR, scores["class_accuracy"])], classes, scores["class_share"]))
        drawn, axes = plt.subplots(figsize=(4.6, 4.0))
        heat(axes, np.array(scores["confusion"], dtype=float), classes)
        confusion = as_png(drawn)
    parts = [
        Markup("<h1>{}</h1>").format(title),
        paragraph(sentence(trained), "lead"),
        main_rows(trained).html(),
        paragraph(f"The last row is the trivial answer that labels every voxel {trivial.rpartition(' ')[2]}.", "small"),
        heading("Learning curves"),
        picture(curves, "Nonzero accuracy on training batches, a running mean over a twentieth of the training. "
                "Diamond: held-out images at the end. Dotted: the trivial answer on the same held-out images.",
                curve_rows({name: trained.curve})),
        heading("Scores by class"),
        picture(bars, "Accuracy by class on held-out images, and the classes' shares of the voxels.",
                class_rows(trained)),
        class_rows(trained).html(),
        paragraph("The share of a class is also the nonzero accuracy of labelling every voxel with it.", "small"),
        heading("Measures of other works"),
        paragraph("Precision, recall, F1 and intersection over union (IoU), over the voxels of all held-out images "
                  "together; the accuracies above are averages over images."),
        voxel_metrics_rows(scores).html(),
        paragraph(trivial_metrics(scores), "small"),
        heading("Confusion"),
        picture(confusion, "Held-out images: share of the voxels of each true class, by predicted class.",
                confusion_rows(scores, classes), most=32),
        heading("Mistakes"),
        paragraph("Pairs of true and predicted classes on held-out images, the most frequent mistakes first."),
        mistake_rows(scores).html(),
        heading("Options"),
        option_rows(trained.config, default=False).html(),
        Markup("<details><summary>Options that have their default value</summary>{}</details>").format(
            option_rows(trained.config, default=True).html()),
        heading("How it was measured"),
        Markup("<ul>{}</ul>").format(Markup().join(Markup("<li>{}</li>").format(note) for note in notes(trained))),
        Markup('<p><a download="scores.json" href="{}">scores.json</a> contains the scores; steps.csv, in the folder '
               "of the training, every step.</p>").format(data_uri(as_json(scores).encode(), "application/json")),
    ]  # fmt: skip
    return page(title, parts)


def baseline(scores: dict[str, Any]) -> tuple[str, float]:
    """The name and the held-out nonzero accuracy of the trivial answer, which gives every voxel the most frequent
    class."""
    name, share = constant_answer(scores["classes"], scores["class_share"])
    return f"everything {name}", share


def sentence(trained: Trained) -> str:
    """A summary of the numbers in words, generated from the numbers."""
    scores, (trivial, share) = trained.scores, baseline(trained.scores)
    return (
        f"After {trained.config.steps:,} steps ({seconds(trained.training_seconds)}), the network labels "
        f"{percent(scores['nonzero_accuracy'])} of the nonzero voxels of {scores['events']:,} held-out images "
        f"correctly; the trivial answer ({trivial}) is right for {percent(share)}."
    )


def main_rows(trained: Trained) -> Table:
    """The network, then the trivial answer."""
    header = [
        "network", "steps", "trained", "accuracy, training", "accuracy, held out", "loss, held out", "step",
        "memory, peak",
    ]  # fmt: skip
    name, (trivial, share) = NETWORKS[trained.config.network], baseline(trained.scores)
    rows = [
        [
            name, f"{trained.config.steps:,}", seconds(trained.training_seconds), percent(trained.training_accuracy),
            percent(trained.scores["nonzero_accuracy"]), f"{trained.scores['loss']:.3f}",
            seconds(trained.median("seconds_forward", "seconds_backward")), memory(trained.peak_memory),
        ],
        [trivial, "", "", "", percent(share), "", "", ""],
    ]  # fmt: skip
    return Table(header, rows)


def class_rows(trained: Trained) -> Table:
    """Share and accuracy of each class, the network's and the trivial answer's."""
    scores, (trivial, _) = trained.scores, baseline(trained.scores)
    found = zip(scores["classes"], scores["class_share"], scores["class_accuracy"], strict=True)
    rows = [
        [name, percent(share), percent(accuracy), percent(float(trivial == f"everything {name}"), 0)]
        for name, share, accuracy in found
    ]
    return Table(["class", "share", f"accuracy, {NETWORKS[trained.config.network]}", f"accuracy, {trivial}"], rows)


def voxel_metrics_rows(scores: dict[str, Any]) -> Table:
    """Precision, recall, F1 and IoU of each class over all voxels, then the means of F1 and IoU, and the accuracy by
    voxel."""
    found = voxel_metrics(scores["confusion"])
    columns = [found.precision, found.recall, found.f1, found.iou]
    rows: Rows = [[name, *(percent(column[i]) for column in columns)] for i, name in enumerate(scores["classes"])]
    rows.append(["mean", "", "", percent(found.mean_f1), percent(found.mean_iou)])
    rows.append(["all voxels", "", percent(found.voxel_accuracy), "", ""])
    return Table(["class", "precision", "recall", "F1", "IoU"], rows)


def trivial_metrics(scores: dict[str, Any]) -> str:
    """The same measures of the trivial answer, in words."""
    trivial, _ = baseline(scores)
    counts, chosen = np.array(scores["confusion"]), scores["classes"].index(trivial.removeprefix("everything "))
    answer = np.zeros_like(counts)
    answer[:, chosen] = counts.sum(1)
    found = voxel_metrics(answer.tolist())
    return (
        f"The trivial answer ({trivial}) has a mean IoU of {percent(found.mean_iou)} and is right for "
        f"{percent(found.voxel_accuracy)} of the voxels."
    )


def mistake_rows(scores: dict[str, Any]) -> Table:
    """The most frequent pairs of a true and another predicted class."""
    classes, counts = scores["classes"], np.array(scores["confusion"])
    wrong = int(counts.sum() - np.trace(counts))
    pairs = [(int(counts[i, j]), i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
    rows: Rows = []
    for number, i, j in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:MISTAKES]:
        if number:
            of_class, of_all = percent(number / counts[i].sum()), percent(number / wrong)
            rows.append([f"{classes[i]} taken for {classes[j]}", f"{number:,}", of_class, of_all])
    return Table(["mistake", "voxels", "of the voxels of the true class", "of all mistakes"], rows)


def option_rows(config: TrainConfig, default: bool) -> Table:
    """The options that have their default value, or those that have another."""
    rows = [
        [field.name, _shown(getattr(config, field.name))]
        for field in fields(config)
        if (getattr(config, field.name) == field.default) == default
    ]
    return Table(["option", "value"], rows)


def _shown(value: Any) -> str:
    """The value as it is written on the command line."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def notes(trained: Trained) -> list[str]:
    """Notes that a reader needs to judge the numbers."""
    config, held_out = trained.config, trained.scores.get("held_out")
    images = f"{config.batch * config.accumulate} image(s) per step"
    judged = f" of {held_out}" if held_out else ""
    return [
        f"Training: Adam, {config.schedule} learning rate up to {config.learning_rate:g}, {images}. Training accuracy "
        "is the mean over the last tenth of the steps.",
        f"Held out: {trained.scores['events']:,} images{judged}. Accuracy: the number of correct nonzero voxels "
        "divided by the number of nonzero voxels of an image, averaged over images, as the 2018 study defines it. "
        "Class accuracy is the mean over the images that contain the class.",
        "Time: median of forward pass, loss, backward pass and Adam, without the preparation of the images. Memory: "
        "peak memory allocated on the GPU in a step, or peak memory of the process on a CPU.",
    ]

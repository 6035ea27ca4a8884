"""The study's figures, drawn from its record and, for the events, from voxels and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sscn_triton.common.files import WholeFile, write_whole
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.lartpc.pictures.display import draw_event, event_html, plot_event, write_png
from sscn_triton.study.analysis import michel_report, mistakes_report
from sscn_triton.study.questions import figures
from sscn_triton.study.runs.figures import STYLE, Bars, Line, class_accuracies, learning_curves
from sscn_triton.study.runs.run import Outcome
from sscn_triton.study.scaling import report

COLORS = ("#0B6E99", "#C8553D", "#8A5A9E", "#5B8E3E")
"""One a run, in the order of the report."""
PUBLISHED_COLOR = "#8A8A8A"

EVENT_FIGURES = ("crop-sparse.png", "crop-dense.png", "crop-dense-2018.png", "event.png", "michel-event.png")
"""One per run, likewise; finally that of the run on stopping muons."""
WORST = 3
"""Held-out whole events of lowest accuracy that are drawn."""
EVENT_PAGE = "event.html"


def draw_all(folder: Path, record: dict[str, Any], outcomes: list[Outcome], held_out: list[list[Event]]) -> list[str]:
    """Write every figure into `folder` as PNG; returns the file names. held_out: the images of each run."""
    mistakes = record["networks"][-1]["closer"]["mistakes"]
    with plt.rc_context(STYLE):
        drawn = {
            "accuracy.png": accuracy(record),
            "classes.png": classes(record),
            "cost.png": cost(record),
            "scaling.png": report.figure(record["scaling"]),
            "confusion.png": mistakes_report.confusion(mistakes, record["classes"]),
            "certainty.png": mistakes_report.certainty(mistakes, record["classes"]),
            "michel.png": michel_report.energies(record),
        }
        if record["questions"] is not None:
            drawn |= figures.draw(record)
        for name, figure in drawn.items():
            with WholeFile(folder / name) as file:
                figure.savefig(file, format="png")
            plt.close(figure)
    return [*drawn, *draw_events(folder, outcomes, held_out), *draw_worst(folder, outcomes[-2], held_out[-2])]


def accuracy(record: dict[str, Any]) -> Figure:
    """Nonzero accuracy against iterations and against wall time."""
    rows = zip(record["networks"], COLORS, strict=True)
    return learning_curves(
        [Line(n["name"], color, n["curve"], n["held_out"]["nonzero_accuracy"], n["whole"]) for n, color in rows]
    )


def classes(record: dict[str, Any]) -> Figure:
    """Accuracy of each class on held-out images, the study's beside it."""
    rows = zip(record["networks"], COLORS, strict=True)
    groups = [Bars(n["name"], color, n["held_out"]["class_accuracy"]) for n, color in rows]
    theirs = [one["accuracy"] for one in record["published"]["classes"]]
    groups.append(Bars("sparse, 192 px, 2018 study", PUBLISHED_COLOR, theirs, hatched=True))
    whole = next(network for network in record["networks"] if network["whole"])
    return class_accuracies(groups, record["classes"], whole["held_out"]["class_share"])


def cost(record: dict[str, Any]) -> Figure:
    """Time of a training step, time of a forward pass, peak memory; the study's GPU numbers where it gave some."""
    figure, panels = plt.subplots(1, 3, figsize=(9.2, 2.9))
    rows = list(zip(record["networks"], COLORS, strict=True))
    theirs = [n for n in record["published"]["networks"] if n["size"] == 192]
    published = [(f"{n['name']}, 192 px,\n2018 study (GPU)", n["forward_seconds"], n["memory_gb"]) for n in theirs]
    ours = [_short(network["name"]) for network, _ in rows]
    _bars(panels[0], ours, [n["step_seconds"] for n, _ in rows], "training step (s)")
    forward = [n["forward_seconds_median"] for n, _ in rows] + [time for _, time, _ in published]
    _bars(panels[1], ours + [name for name, _, _ in published], forward, "forward pass (s)")
    memory = [n["training_memory"] / 1e9 for n, _ in rows] + [gb for _, _, gb in published]
    _bars(panels[2], ours + [name for name, _, _ in published], memory, "peak memory (GB)")
    return figure


def _short(name: str) -> str:
    return name.replace(", ", ",\n")


def _bars(axes: Axes, names: list[str], values: list[float], title: str) -> None:
    """Horizontal bars on a logarithmic axis; those after the runs are the study's, hatched."""
    places = np.arange(len(names))[::-1]
    low, high = min(values) / 4, max(values) * 6
    for i, (place, value) in enumerate(zip(places, values, strict=True)):
        ours = i < len(COLORS)
        hatched: Any = {"color": "white", "edgecolor": PUBLISHED_COLOR, "hatch": "////"}
        look: Any = {"color": COLORS[i]} if ours else hatched
        axes.barh(place, value - low, left=low, height=0.72, **look)
        axes.text(value * 1.1, place, f"{value:.2g}", va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=7)
    axes.set(xscale="log", xlim=(low, high), title=title)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", visible=False)


def telling(images: list[Event]) -> int:
    """The image to draw: most classes with ten voxels or more, then most voxels."""

    def interest(i: int) -> tuple[int, int]:
        counts = np.bincount(images[i].labels[images[i].labels >= 0], minlength=len(CLASS_NAMES))
        return int((counts >= 10).sum()), len(images[i])

    return max(range(len(images)), key=interest)


def draw_events(folder: Path, outcomes: list[Outcome], held_out: list[list[Event]]) -> list[str]:
    """For each run one held-out image, truth beside prediction; the whole event also as a page to turn it in."""
    names = []
    for outcome, images, name in zip(outcomes, held_out, EVENT_FIGURES, strict=True):
        chosen = telling(images)
        image, prediction = images[chosen], outcome.predictions[chosen]
        title = _draw(folder / name, outcome.name, image, prediction)
        names.append(name)
        if name == "event.png":
            page = event_html(plot_event(image, ("label", "prediction", "difference"), prediction, title))
            write_whole(folder / EVENT_PAGE, page)
            names.append(EVENT_PAGE)
    return names


def draw_worst(folder: Path, outcome: Outcome, images: list[Event]) -> list[str]:
    """The held-out whole events that were read worst, truth beside prediction."""
    places = {image.name: place for place, image in enumerate(images)}
    names = []
    for number, worst in enumerate(outcome.closer["mistakes"]["worst"][:WORST], 1):
        place = places[worst["name"]]
        names.append(worst_name(number))
        _draw(folder / names[-1], outcome.name, images[place], outcome.predictions[place])
    return names


def worst_name(number: int) -> str:
    return f"worst-{number}.png"


def _draw(path: Path, run: str, image: Event, prediction: np.ndarray) -> str:
    """Returns the title."""
    title = f"{run}: {image.name}, {len(image):,} voxels"
    write_png(draw_event(image, ("label", "prediction"), prediction, title), path, dpi=100)
    return title

"""The study's figures, drawn from its record; figures of events also use voxels and predictions."""

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
from sscn_triton.study.runs.roles import COLORS, Role, networks
from sscn_triton.study.runs.run import Run
from sscn_triton.study.scaling import report
from sscn_triton.study.training.metrics import constant_answer

PUBLISHED_COLOR = "#8A8A8A"

EVENT_FIGURES: dict[Role, str] = {
    "sparse": "crop-sparse.png",
    "matched": "crop-dense.png",
    "study": "crop-dense-2018.png",
    "whole": "event.png",
    "muons": "michel-event.png",
}
WORST = 3
"""Number of held-out whole events with the lowest accuracy that are drawn."""
EVENT_PAGE = "event.html"


def draw_all(folder: Path, record: dict[str, Any], runs: dict[Role, Run]) -> list[str]:
    """Write every figure into `folder` as PNG; returns the file names."""
    mistakes = networks(record)["whole"]["closer"]["mistakes"]
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
    return [*drawn, *draw_events(folder, runs), *draw_worst(folder, runs["whole"])]


def accuracy(record: dict[str, Any]) -> Figure:
    """Nonzero accuracy against iterations and against wall time."""
    rows = networks(record)
    best, share = constant_answer(record["classes"], rows["sparse"]["held_out"]["class_share"])
    return learning_curves(
        [
            Line(n["name"], COLORS[role], n["curve"], n["held_out"]["nonzero_accuracy"], n["whole"])
            for role, n in rows.items()
        ],
        (f"{best} everywhere, held-out crops", share),
    )


def classes(record: dict[str, Any]) -> Figure:
    """Accuracy of each class on held-out images, next to the 2018 study's."""
    rows = networks(record)
    groups = [Bars(n["name"], COLORS[role], n["held_out"]["class_accuracy"]) for role, n in rows.items()]
    theirs = [one["accuracy"] for one in record["published"]["classes"]]
    groups.append(Bars("sparse, 192 px, 2018 study", PUBLISHED_COLOR, theirs, hatched=True))
    return class_accuracies(groups, record["classes"], rows["whole"]["held_out"]["class_share"])


def cost(record: dict[str, Any]) -> Figure:
    """Time of a training step, time of a forward pass and peak memory; also the 2018 study's published GPU numbers."""
    figure, panels = plt.subplots(1, 3, figsize=(9.2, 2.9))
    rows = networks(record)
    theirs = [n for n in record["published"]["networks"] if n["size"] == 192]
    names = [f"{n['name']}, 192 px,\n2018 study (GPU)" for n in theirs]
    published = dict(zip(names, [n["forward_seconds"] for n in theirs], strict=True))
    memory = dict(zip(names, [n["memory_gb"] for n in theirs], strict=True))
    _bars(panels[0], rows, [n["step_seconds"] for n in rows.values()], {}, "training step (s)")
    _bars(panels[1], rows, [n["forward_seconds_median"] for n in rows.values()], published, "forward pass (s)")
    _bars(panels[2], rows, [n["training_memory"] / 1e9 for n in rows.values()], memory, "peak memory (GB)")
    return figure


def _short(name: str) -> str:
    return name.replace(", ", ",\n")


def _bars(
    axes: Axes, runs: dict[Role, dict[str, Any]], measured: list[float], published: dict[str, float], title: str
) -> None:
    """Horizontal bars on a logarithmic axis: one value per run, then the 2018 study's by name, hatched."""
    names, values = [_short(n["name"]) for n in runs.values()] + [*published], [*measured, *published.values()]
    looks: list[Any] = [{"color": COLORS[role]} for role in runs]
    looks += [{"color": "white", "edgecolor": PUBLISHED_COLOR, "hatch": "////"}] * len(published)
    places = np.arange(len(names))[::-1]
    low, high = min(values) / 4, max(values) * 6
    for place, value, look in zip(places, values, looks, strict=True):
        axes.barh(place, value - low, left=low, height=0.72, **look)
        axes.text(value * 1.1, place, f"{value:.2g}", va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=7)
    axes.set(xscale="log", xlim=(low, high), title=title)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", visible=False)


def telling(images: list[Event]) -> int:
    """The index of the most informative image: most classes with ten voxels or more, then most voxels."""

    def interest(i: int) -> tuple[int, int]:
        counts = np.bincount(images[i].labels[images[i].labels >= 0], minlength=len(CLASS_NAMES))
        return int((counts >= 10).sum()), len(images[i])

    return max(range(len(images)), key=interest)


def draw_events(folder: Path, runs: dict[Role, Run]) -> list[str]:
    """Draw one held-out image per run, with truth next to prediction; the whole event also as an interactive page."""
    names = []
    for role, run in runs.items():
        name, images = EVENT_FIGURES[role], run.job.held_out
        chosen = telling(images)
        image, prediction = images[chosen], run.outcome.predictions[chosen]
        title = _draw(folder / name, run.outcome.name, image, prediction)
        names.append(name)
        if role == "whole":
            page = event_html(plot_event(image, ("label", "prediction", "difference"), prediction, title))
            write_whole(folder / EVENT_PAGE, page)
            names.append(EVENT_PAGE)
    return names


def draw_worst(folder: Path, run: Run) -> list[str]:
    """Draw the held-out whole events with the lowest accuracy, with truth next to prediction."""
    outcome, images = run.outcome, run.job.held_out
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
    """Draw one image; returns its title."""
    title = f"{run}: {image.name}, {len(image):,} voxels"
    write_png(draw_event(image, ("label", "prediction"), prediction, title), path, dpi=100)
    return title

"""Pictures of events: static ones by matplotlib, interactive ones by plotly. Both take the same arguments.

This makes the picture on the project's first page:

    write_png(draw_event(simulate(1, 389), ("energy", "label"), title=None), "book/_static/event.png", dpi=120)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sscn_triton.common.files import WholeFile
from sscn_triton.common.optional import require
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.pictures.matplotlib_panels import INK, draw_panel
from sscn_triton.lartpc.pictures.panels import make_panels
from sscn_triton.lartpc.pictures.plotly_page import interactive_page
from sscn_triton.lartpc.pictures.plotly_scenes import frame, traces

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_event(
    event: Event,
    color: str | Sequence[str] = "label",
    prediction: np.ndarray | None = None,
    title: str | None = "",
    starts: bool = True,
) -> Figure:
    """A static picture of an event of two or three dimensions, with one marker per voxel or pixel.

    color: what colours show: "label", "energy" (MeV, on a logarithmic scale), "prediction", or "difference" (where
    prediction and label differ; voxels of unknown label are left out); or several of these, drawn side by side. "label"
    with a `prediction` means both. prediction: [N] classes, -1 unknown, in place of `event.prediction`. title: the
    event's name if empty, none if None. starts: circles where particles first left energy, drawn with the truth.

    Raises ValueError for another dimension, another word, or a prediction that is missing, unused, or does not match.
    """
    require("matplotlib")
    from matplotlib.figure import Figure

    panels = make_panels(event, color, prediction)
    figure = Figure(figsize=(6.4 * len(panels), 6.2), dpi=150)
    name = event.name if title == "" else title
    if name:
        figure.suptitle(name, color=INK, fontsize=12, x=0.5, y=0.985)
    sides = {"left": 0.0, "right": 0.97, "bottom": 0.09, "wspace": 0.02}
    if event.ndim == 2:
        sides = {"left": 0.09 / len(panels), "right": 0.98, "bottom": 0.19, "wspace": 0.16}
    figure.subplots_adjust(**sides, top=0.92 if name else 0.95)
    for place, panel in enumerate(panels):
        draw_panel(figure, event, panel, place, len(panels), starts)
    return figure


def write_png(figure: Figure, path: str | os.PathLike[str], dpi: int = 150, *, overwrite: bool = True) -> Path:
    """Write a static picture, completely or not at all. Replaces an existing file, as `savefig` does, unless
    `overwrite` is False; see `WholeFile`."""
    with WholeFile(path, overwrite=overwrite) as file:
        figure.savefig(file, dpi=dpi, format="png", facecolor="white")
    return Path(path)


def plot_event(
    event: Event,
    color: str | Sequence[str] = "label",
    prediction: np.ndarray | None = None,
    title: str | None = "",
    starts: bool = True,
) -> Any:
    """The plotly figure of an event, which can be rotated and zoomed: arguments and errors as in `draw_event`.

    Pointing at a voxel shows its energy and classes; pointing at a start shows the particle.
    """
    require("plotly")
    import plotly.graph_objects as go

    panels = make_panels(event, color, prediction)
    figure = go.Figure()
    named: set[str] = set()
    for place, panel in enumerate(panels):
        for trace in traces(event, panel, place, prediction, starts):
            trace.showlegend = trace.name not in {"energy", *named}
            named.add(trace.name)
            figure.add_trace(trace)
        figure.update_layout(frame(event, place, len(panels)))
        if panel.heading:
            middle = (place + 0.5) / len(panels)
            figure.add_annotation(text=panel.heading, x=middle, y=1.0, xref="paper", yref="paper", yanchor="bottom")
    figure.update_annotations(showarrow=False, font={"size": 14, "color": INK})
    name = event.name if title == "" else title
    figure.update_layout(
        title={"text": name, "x": 0.5} if name else None,
        legend={"itemsizing": "constant", "font": {"color": INK}},
        margin={"l": 0, "r": 0, "t": 70, "b": 0 if event.ndim == 3 else 40},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    return figure


def event_html(figure: Any, *, full_page: bool = True) -> str:
    """A plotly figure of an event as HTML that opens without a network: a page, whose panels are stacked if it is
    narrow, or a fragment (`full_page=False`) that still includes plotly's code."""
    if full_page:
        return interactive_page(figure)
    return figure.to_html(full_html=False, include_plotlyjs=True, include_mathjax=False)

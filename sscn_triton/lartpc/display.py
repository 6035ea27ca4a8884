"""Pictures of events: still ones by matplotlib, ones to turn by plotly. Both take the same arguments.

The picture of the project's first page is made by

    write_png(draw_event(simulate(1, 1604), ("energy", "label"), title=None), "book/_static/event.png", dpi=120)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .event import CLASS_NAMES, Event
from .panels import Layer, Panel, centimetres, energy_range, make_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _FRAME = "#303030", "#B8B8B8"
_ENERGY_MAP = "plasma_r"


def draw_event(
    event: Event,
    color: str | Sequence[str] = "label",
    prediction: np.ndarray | None = None,
    title: str | None = "",
) -> Figure:
    """A still picture of a three-dimensional event, one marker a voxel.

    color: what colours say: "label", "energy" (MeV, on a logarithmic scale), "prediction", or "difference" (where
    prediction and label differ; voxels of unknown label are left out); or several of these, drawn side by side. "label"
    with a `prediction` means both. prediction: [N] classes, -1 unknown. title: the event's name if empty, none if None.

    Raises ValueError for another dimension, another word, or a prediction that is missing, of no use, or does not fit.
    """
    from matplotlib.figure import Figure

    panels = make_panels(event, color, prediction)
    figure = Figure(figsize=(6.4 * len(panels), 6.2), dpi=150)
    name = event.name if title == "" else title
    if name:
        figure.suptitle(name, color=_INK, fontsize=12, x=0.5, y=0.985)
    figure.subplots_adjust(left=0.0, right=0.97, bottom=0.09, top=0.92 if name else 0.95, wspace=0.02)
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1, projection="3d", computed_zorder=False)
        _draw_frame(axes, event)
        if panel.layers:
            _draw_layers(axes, event, panel)
        else:
            _draw_energy(figure, axes, event)
        if panel.title:
            axes.set_title(panel.title, color=_INK, fontsize=11, y=1.025)
    return figure


def write_png(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Writes a still picture under its final name only when it is whole."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(unfinished, dpi=dpi, format="png", facecolor="white")
    unfinished.replace(path)
    return path


def plot_event(
    event: Event,
    color: str | Sequence[str] = "label",
    prediction: np.ndarray | None = None,
    title: str | None = "",
) -> Any:
    """The plotly figure of an event, to turn and to zoom: arguments and errors of `draw_event`.

    Pointing at a voxel shows its energy and classes.
    """
    import plotly.graph_objects as go

    panels = make_panels(event, color, prediction)
    figure = go.Figure()
    hover = _hover(event, prediction)
    for place, panel in enumerate(panels):
        scene = "scene" if place == 0 else f"scene{place + 1}"
        layers = panel.layers or [Layer("energy", "", np.arange(len(event)))]
        for layer in layers:
            figure.add_trace(_trace(event, layer, scene, hover, show=place == 0))
        left, right = place / len(panels), (place + 1) / len(panels)
        figure.update_layout({scene: _scene(event, [left, right])})
        if panel.title:
            figure.add_annotation(text=panel.title, x=(left + right) / 2, y=1.0, xref="paper", yref="paper")
    figure.update_annotations(showarrow=False, font={"size": 14, "color": _INK})
    name = event.name if title == "" else title
    figure.update_layout(
        title={"text": name, "x": 0.5} if name else None,
        legend={"itemsizing": "constant", "font": {"color": _INK}},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        paper_bgcolor="white",
    )
    return figure


def event_html(figure: Any, *, full_page: bool = True) -> str:
    """A plotly figure as HTML that opens without a network: a page, or a piece of one (`full_page=False`) that still
    carries plotly's code."""
    return figure.to_html(full_html=full_page, include_plotlyjs=True, include_mathjax=False)


def _draw_frame(axes: Any, event: Event) -> None:
    """The image's outline, hidden panes, few ticks."""
    edges = np.array(event.spatial_shape) * event.voxel_size / 10
    for low, high in _box_edges(edges):
        axes.plot(*np.column_stack([low, high]), color=_FRAME, linewidth=0.6, zorder=0)
    for axis, name, edge in zip((axes.xaxis, axes.yaxis, axes.zaxis), "xyz", edges, strict=True):
        axis.pane.set_visible(False)
        axis.line.set_visible(False)
        axis.set_ticks(_ticks(edge))
        axis._axinfo["tick"].update(inward_factor=0.0, outward_factor=0.0)
        axis.set_tick_params(labelsize=7, labelcolor="#707070", pad=-3)
        axis.set_label_text(f"{name} [cm]", fontsize=8, color="#505050")
        axis.labelpad = -7
    axes.grid(False)
    axes.set(xlim=(0, edges[0]), ylim=(0, edges[1]), zlim=(0, edges[2]))
    axes.set_box_aspect(edges, zoom=1.08)
    axes.view_init(elev=20, azim=-56)


def _ticks(edge: float) -> np.ndarray:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if edge / step <= 4 or step == 1000)
    return np.arange(0, edge + 1e-9, step)


def _box_edges(edges: np.ndarray) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    corners = np.array(list(np.ndindex(2, 2, 2)))
    return [(a * edges, b * edges) for i, a in enumerate(corners) for b in corners[i + 1 :] if np.abs(a - b).sum() == 1]


def _marker_area(event: Event) -> float:
    """Area of a marker in square points, a little less than a voxel's."""
    return min(max((230 / max(event.spatial_shape)) ** 2, 0.6), 60.0)


def _draw_layers(axes: Any, event: Event, panel: Panel) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.lines import Line2D

    rows = np.concatenate([layer.rows for layer in panel.layers])
    colors = np.concatenate([np.tile(to_rgb(layer.color), (len(layer.rows), 1)) for layer in panel.layers])
    x, y, z = centimetres(event)[rows].T
    axes.scatter(x, y, z, c=colors, s=_marker_area(event), marker="o", linewidths=0, alpha=0.9, depthshade=False)
    total = max(len(rows), 1)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=layer.color, label=_share(layer, total))
        for layer in panel.layers
    ]
    legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "ncols": len(handles), "frameon": False}
    axes.legend(handles=handles, fontsize=9, labelcolor=_INK, columnspacing=1.4, handletextpad=0.1, **legend)


def _share(layer: Layer, total: int) -> str:
    share = 100 * len(layer.rows) / total
    return f"{layer.name}  {share:.0f} %" if share >= 1 or not len(layer.rows) else f"{layer.name}  {share:.1f} %"


def _draw_energy(figure: Figure, axes: Any, event: Event) -> None:
    """Faint small markers for little energy, full large ones for much, so that tracks show through their halo."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    scale = ScalarMappable(LogNorm(*energy_range(event)), colormaps[_ENERGY_MAP])
    share = np.clip(np.asarray(scale.norm(np.maximum(event.energy, energy_range(event)[0]))), 0.0, 1.0)
    colors = colormaps[_ENERGY_MAP](share)
    colors[:, 3] = np.clip(0.2 + 1.2 * share, 0.0, 1.0)
    x, y, z = centimetres(event).T
    axes.scatter(x, y, z, c=colors, s=_marker_area(event) * (0.4 + 1.2 * share), linewidths=0, depthshade=False)
    box = axes.get_position()
    below = (box.x0 + 0.3 * box.width, 0.068, 0.4 * box.width, 0.014)
    bar = figure.colorbar(scale, cax=figure.add_axes(below), orientation="horizontal", format="%g")
    bar.set_label("energy of a voxel [MeV]", color=_INK, fontsize=9, labelpad=1)
    bar.ax.tick_params(labelsize=8, which="both", color=_FRAME, labelcolor=_INK)
    bar.ax.minorticks_off()
    bar.ax.spines[:].set_visible(False)
    bar.outline.set_visible(False)


def _hover(event: Event, prediction: np.ndarray | None) -> np.ndarray:
    names = np.array([*CLASS_NAMES, "unknown"])  # -1 picks the last
    lines = [f"{energy:.3f} MeV<br>{name}" for energy, name in zip(event.energy, names[event.labels], strict=True)]
    if prediction is not None:
        lines = [f"{line}, predicted {name}" for line, name in zip(lines, names[np.asarray(prediction)], strict=True)]
    return np.array(lines, dtype=object)


def _trace(event: Event, layer: Layer, scene: str, hover: np.ndarray, *, show: bool) -> Any:
    import plotly.graph_objects as go

    marker: dict[str, Any] = {"size": 2.0, "color": layer.color, "line": {"width": 0}}
    if layer.name == "energy":
        low, high = np.log10(energy_range(event))
        ticks = np.arange(np.ceil(low), np.floor(high) + 1)
        bar = {"title": "MeV", "tickvals": ticks, "ticktext": [f"{10**tick:g}" for tick in ticks], "len": 0.6}
        values = np.log10(np.clip(event.energy, 10**low, None))
        marker |= {"color": values, "colorscale": _ENERGY_MAP, "cmin": low, "cmax": high, "colorbar": bar}
    x, y, z = np.round(centimetres(event)[layer.rows], 3).T
    return go.Scatter3d(
        x=x,
        y=y,
        z=z,
        mode="markers",
        marker=marker,
        name=layer.name,
        legendgroup=layer.name,
        showlegend=show and layer.name != "energy",
        scene=scene,
        text=hover[layer.rows],
        hoverinfo="text",
    )


def _scene(event: Event, domain: list[float]) -> dict[str, Any]:
    edges = np.array(event.spatial_shape) * event.voxel_size / 10
    axis = {"showbackground": False, "gridcolor": "#E6E6E6", "zeroline": False, "showspikes": False}
    scene: dict[str, Any] = {
        f"{name}axis": {**axis, "range": [0, float(edge)], "title": {"text": f"{name} [cm]"}}
        for name, edge in zip("xyz", edges, strict=True)
    }
    camera = {"eye": {"x": 1.1, "y": -1.5, "z": 0.75}}
    return {**scene, "aspectmode": "data", "domain": {"x": domain, "y": [0.0, 1.0]}, "camera": camera}

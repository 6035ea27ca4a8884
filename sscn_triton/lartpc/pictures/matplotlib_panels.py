"""Static pictures of events, by matplotlib: one set of axes per panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.pictures.panels import (
    START_COLOR,
    Layer,
    Panel,
    axis_names,
    centimetres,
    energy_range,
    energy_ticks,
    particle_starts,
    start_places,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, _FRAME = "#303030", "#B8B8B8"
ENERGY_MAP = "plasma_r"


def draw_panel(figure: Figure, event: Event, panel: Panel, place: int, panels: int, starts: bool) -> None:
    """Draw one of `panels` panels in a row, for an event of two or three dimensions."""
    flat = event.ndim == 2
    options = {} if flat else {"projection": "3d", "computed_zorder": False}
    axes: Any = figure.add_subplot(1, panels, place + 1, **options)
    handles = []
    if flat:
        _draw_plane(axes, event)
    else:
        _draw_frame(axes, event)
    if panel.layers:
        handles = (_paint_layers if flat else _draw_layers)(axes, event, panel)
    else:
        scale, share = _energy_scale(event)
        (_paint_energy if flat else _draw_energy)(axes, event, scale, share)
        _draw_bar(figure, axes, scale, energy_ticks(*energy_range(event)))
    if starts and panel.truth:
        handles += _draw_starts(axes, event)
    if panel.layers:
        legend = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13 if flat else -0.01), "frameon": False}
        columns = {"ncols": len(handles) if len(handles) < 6 else -(-len(handles) // 2), "columnspacing": 1.4}
        axes.legend(handles=handles, fontsize=9, labelcolor=INK, handletextpad=0.1, **columns, **legend)
    if panel.heading:
        axes.set_title(panel.heading, color=INK, fontsize=11, **({} if flat else {"y": 1.025}))


def _draw_plane(axes: Any, event: Event) -> None:
    edges = np.array(event.spatial_shape) * event.voxel_size / 10
    axes.set(xlim=(0, edges[0]), ylim=(0, edges[1]), xticks=_ticks(edges[0]), yticks=_ticks(edges[1]))
    axes.set_aspect("equal")
    axes.spines[:].set_color(_FRAME)
    axes.tick_params(labelsize=7, color=_FRAME, labelcolor="#707070")
    for axis, name in zip((axes.xaxis, axes.yaxis), axis_names(event), strict=True):
        axis.set_label_text(f"{name} [cm]", fontsize=8, color="#505050")


def _paint(axes: Any, event: Event, rows: np.ndarray, colors: np.ndarray) -> None:
    """Paint every pixel in its colour and at its exact size."""
    pixels = np.zeros((*event.spatial_shape[::-1], 4))
    pixels[tuple(event.coordinates[rows, ::-1].T)] = colors
    edges = np.array(event.spatial_shape) * event.voxel_size / 10
    axes.imshow(pixels, origin="lower", interpolation="nearest", extent=(0, edges[0], 0, edges[1]))


def _paint_layers(axes: Any, event: Event, panel: Panel) -> list[Any]:
    from matplotlib.colors import to_rgba

    rows = np.concatenate([layer.rows for layer in panel.layers])
    colors = np.concatenate([np.tile(to_rgba(layer.color), (len(layer.rows), 1)) for layer in panel.layers])
    _paint(axes, event, rows, colors)
    return _handles(panel)


def _paint_energy(axes: Any, event: Event, scale: Any, share: np.ndarray) -> None:
    _paint(axes, event, np.arange(len(event)), scale.cmap(share))


def _draw_starts(axes: Any, event: Event) -> list[Any]:
    from matplotlib.lines import Line2D

    rows = particle_starts(event)
    if not len(rows):
        return []
    places = start_places(event, rows)
    style = {"marker": "o", "facecolors": "none", "edgecolors": START_COLOR, "linewidths": 0.9, "zorder": 9}
    axes.scatter(*places.T, s=30, **style, **({"depthshade": False} if event.ndim == 3 else {}))
    return [Line2D([], [], linestyle="", marker="o", markerfacecolor="none", color=START_COLOR, label="particle start")]


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
    """Area of a marker in square points, slightly less than a voxel's."""
    return min(max((230 / max(event.spatial_shape)) ** 2, 0.6), 60.0)


def _draw_layers(axes: Any, event: Event, panel: Panel) -> list[Any]:
    from matplotlib.colors import to_rgb

    rows = np.concatenate([layer.rows for layer in panel.layers])
    colors = np.concatenate([np.tile(to_rgb(layer.color), (len(layer.rows), 1)) for layer in panel.layers])
    x, y, z = centimetres(event)[rows].T
    axes.scatter(x, y, z, c=colors, s=_marker_area(event), marker="o", linewidths=0, alpha=0.9, depthshade=False)
    return _handles(panel)


def _handles(panel: Panel) -> list[Any]:
    """A line of the legend per layer, with its share of the voxels."""
    from matplotlib.lines import Line2D

    total = max(sum(len(layer.rows) for layer in panel.layers), 1)
    return [
        Line2D([], [], linestyle="", marker="o", markersize=6, color=layer.color, label=_share(layer, total))
        for layer in panel.layers
    ]


def _share(layer: Layer, total: int) -> str:
    share = 100 * len(layer.rows) / total
    return f"{layer.name}  {share:.0f} %" if share >= 1 or not len(layer.rows) else f"{layer.name}  {share:.1f} %"


def _energy_scale(event: Event) -> tuple[Any, np.ndarray]:
    """The logarithmic colour scale, and each voxel's place on it, 0 to 1."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    low, high = energy_range(event)
    scale = ScalarMappable(LogNorm(low, high), colormaps[ENERGY_MAP])
    return scale, np.clip(np.asarray(scale.norm(np.maximum(event.energy, low))), 0.0, 1.0)


def _draw_energy(axes: Any, event: Event, scale: Any, share: np.ndarray) -> None:
    """Draw low energies as small faint markers, high ones as large opaque ones: tracks show through their halo."""
    colors = scale.cmap(share)
    colors[:, 3] = np.clip(0.2 + 1.2 * share, 0.0, 1.0)
    x, y, z = centimetres(event).T
    axes.scatter(x, y, z, c=colors, s=_marker_area(event) * (0.4 + 1.2 * share), linewidths=0, depthshade=False)


def _draw_bar(figure: Figure, axes: Any, scale: Any, ticks: list[float]) -> None:
    box = axes.get_position()
    below = (box.x0 + 0.3 * box.width, 0.068, 0.4 * box.width, 0.014)
    bar = figure.colorbar(scale, cax=figure.add_axes(below), orientation="horizontal", ticks=ticks, format="%g")
    bar.set_label("energy of a voxel [MeV]", color=INK, fontsize=9, labelpad=1)
    bar.ax.tick_params(labelsize=8, which="both", color=_FRAME, labelcolor=INK)
    bar.ax.minorticks_off()
    bar.ax.spines[:].set_visible(False)
    bar.outline.set_visible(False)

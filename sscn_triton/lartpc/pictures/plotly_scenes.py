"""Interactive pictures of events, by plotly: one scene per panel."""

from __future__ import annotations

from typing import Any

import numpy as np

from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.pictures.matplotlib_panels import ENERGY_MAP
from sscn_triton.lartpc.pictures.panels import (
    START_COLOR,
    Layer,
    Panel,
    axis_names,
    centimetres,
    energy_range,
    energy_ticks,
    find_prediction,
    particle_starts,
    particle_words,
    start_places,
)


def traces(event: Event, panel: Panel, place: int, prediction: np.ndarray | None, starts: bool) -> list[Any]:
    """The traces of a panel."""
    hover = _hover(event, prediction)
    layers = panel.layers or [Layer("energy", "", np.arange(len(event)))]
    found = [_trace(event, layer, place, hover) for layer in layers]
    if starts and panel.truth and len(rows := particle_starts(event)):
        found.append(_starts(event, rows, place))
    return found


def frame(event: Event, place: int, panels: int) -> dict[str, Any]:
    """The layout of a panel's axes: the image's edges in cm, equal lengths along all axes."""
    edges = np.array(event.spatial_shape) * event.voxel_size / 10
    number = "" if place == 0 else str(place + 1)
    domain = [place / panels, (place + 1) / panels]
    axis = {"showbackground": False, "gridcolor": "#E6E6E6", "zeroline": False, "showspikes": False}
    named = [
        {"range": [0, float(edge)], "title": {"text": f"{name} [cm]"}}
        for name, edge in zip(axis_names(event), edges, strict=True)
    ]
    if event.ndim == 2:
        inner = [domain[0] + 0.03, domain[1] - 0.02]
        style = {"zeroline": False, "gridcolor": "#E6E6E6", "mirror": True, "linecolor": "#B8B8B8", "showline": True}
        across = {**style, **named[0], "domain": inner, "constrain": "domain", "anchor": f"y{number}"}
        along = {**style, **named[1], "anchor": f"x{number}", "scaleanchor": f"x{number}"}
        along |= {"constrain": "domain", "constraintoward": "top"}
        return {f"xaxis{number}": across, f"yaxis{number}": along}
    scene = {f"{name}axis": {**axis, **extra} for name, extra in zip("xyz", named, strict=True)}
    camera = {"eye": {"x": 1.3, "y": -1.75, "z": 0.85}, "center": {"x": 0, "y": 0, "z": -0.1}}
    return {f"scene{number}": {**scene, "aspectmode": "data", "domain": {"x": domain}, "camera": camera}}


def _hover(event: Event, prediction: np.ndarray | None) -> np.ndarray:
    truth = np.array([*event.label_names, "unknown"])  # -1 selects the last
    lines = [f"{energy:.3f} MeV<br>{name}" for energy, name in zip(event.energy, truth[event.labels], strict=True)]
    names, guess = find_prediction(event, prediction)
    if guess is not None:
        predicted = np.array([*names, "unknown"])[guess]
        lines = [f"{line}, predicted {name}" for line, name in zip(lines, predicted, strict=True)]
    if prediction is None and event.prediction is not None:
        best = event.prediction.scores.max(1, initial=0.0)
        lines = [f"{line} ({share:.2f})" for line, share in zip(lines, best, strict=True)]
    return np.array(lines, dtype=object)


def _place(event: Event, place: int) -> dict[str, str]:
    """The axes of a panel."""
    number = "" if place == 0 else str(place + 1)
    return {"scene": f"scene{number}"} if event.ndim == 3 else {"xaxis": f"x{number}", "yaxis": f"y{number}"}


def _markers(event: Event, points: np.ndarray, place: int, **options: Any) -> Any:
    import plotly.graph_objects as go

    coordinates = dict(zip("xyz", np.round(points, 3).T, strict=False))
    kind = go.Scatter3d if event.ndim == 3 else go.Scattergl
    return kind(**coordinates, mode="markers", hoverinfo="text", **_place(event, place), **options)


def _trace(event: Event, layer: Layer, place: int, hover: np.ndarray) -> Any:
    size = 1.5 if event.ndim == 3 else max(2.5, 650 / max(event.spatial_shape))
    marker: dict[str, Any] = {"size": size, "color": layer.color, "line": {"width": 0}}
    if event.ndim == 2:
        marker["symbol"] = "square"
    if layer.name == "energy":
        low, high = np.log10(energy_range(event))
        ticks = energy_ticks(*energy_range(event))
        bar: dict[str, Any] = {"title": "MeV", "tickvals": np.log10(ticks), "ticktext": [f"{tick:g}" for tick in ticks]}
        bar |= {"len": 0.45, "y": 0.0, "yanchor": "bottom"}  # below the legend
        values = np.log10(np.clip(event.energy, 10**low, None))
        marker |= {"color": values, "colorscale": ENERGY_MAP, "cmin": low, "cmax": high, "colorbar": bar}
        if event.ndim == 3:  # small markers for little energy, so that tracks show through their halo
            marker["size"] = 1.0 + 2.5 * (values - low) / (high - low)
    return _markers(
        event,
        centimetres(event)[layer.rows],
        place,
        marker=marker,
        name=layer.name,
        legendgroup=layer.name,
        text=hover[layer.rows],
    )


def _starts(event: Event, rows: np.ndarray, place: int) -> Any:
    symbol = {"symbol": "circle-open", "size": 5 if event.ndim == 3 else 9, "color": START_COLOR}
    return _markers(
        event,
        start_places(event, rows),
        place,
        marker=symbol,
        name="particle start",
        legendgroup="particle start",
        text=[particle_words(event, int(row)) for row in rows],
    )

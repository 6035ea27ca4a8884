"""What a picture of an event shows: its panels, and in each the voxels of one colour. Used by both kinds of picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .event import CLASS_COLORS, CLASS_NAMES, UNKNOWN_COLOR, Event

COLORINGS = ("label", "energy", "prediction", "difference")
RIGHT_COLOR, WRONG_COLOR = "#C9C9C9", "#C1121F"


class Layer(NamedTuple):
    """Voxels of one colour and one line of the legend."""

    name: str
    color: str
    rows: np.ndarray


class Panel(NamedTuple):
    """One view of an event: its layers, or none where energy gives the colour."""

    title: str
    layers: list[Layer]


def make_panels(event: Event, color: str | Sequence[str], prediction: np.ndarray | None) -> list[Panel]:
    if event.ndim != 3:
        raise ValueError(f"only three-dimensional events are drawn, got one of {event.ndim} dimensions")
    colors = (color,) if isinstance(color, str) else tuple(color)
    if not colors or any(word not in COLORINGS for word in colors):
        raise ValueError(f"color must be one or several of {', '.join(COLORINGS)}, got {color!r}")
    if colors == ("label",) and prediction is not None:
        colors = ("label", "prediction")
    needs = "prediction" in colors or "difference" in colors
    if needs != (prediction is not None):
        raise ValueError(f"color={color!r} {'needs a prediction' if needs else 'does not show the prediction given'}")
    guess = event.labels if prediction is None else _checked(prediction, len(event))
    layers = {
        "label": _class_layers(event.labels),
        "energy": [],
        "prediction": _class_layers(guess),
        "difference": _difference_layers(event.labels, guess),
    }
    titles = {"label": "truth" if needs else "label"}
    return [Panel(titles.get(word, word) if len(colors) > 1 else "", layers[word]) for word in colors]


def _checked(prediction: np.ndarray, count: int) -> np.ndarray:
    prediction = np.asarray(prediction)
    if prediction.shape != (count,) or prediction.dtype.kind not in "iu":
        raise ValueError(
            f"prediction must be [{count}] integers, one class a voxel, got {prediction.dtype} of {prediction.shape}"
        )
    if count and not (prediction.min() >= -1 and prediction.max() < len(CLASS_NAMES)):
        raise ValueError(
            f"prediction must be -1 to {len(CLASS_NAMES) - 1}, got {prediction.min()} to {prediction.max()}"
        )
    return prediction


def _class_layers(classes: np.ndarray) -> list[Layer]:
    """All classes, also those without a voxel: the same legend under every picture."""
    layers = [
        Layer(name, color, np.flatnonzero(classes == label))
        for label, (name, color) in enumerate(zip(CLASS_NAMES, CLASS_COLORS, strict=True))
    ]
    unknown = np.flatnonzero(classes < 0)
    return layers + ([Layer("unknown", UNKNOWN_COLOR, unknown)] if len(unknown) else [])


def _difference_layers(labels: np.ndarray, prediction: np.ndarray) -> list[Layer]:
    known = labels >= 0
    right = np.flatnonzero(known & (prediction == labels))
    wrong = np.flatnonzero(known & (prediction != labels))
    return [Layer("right", RIGHT_COLOR, right), Layer("wrong", WRONG_COLOR, wrong)]


def centimetres(event: Event) -> np.ndarray:
    """Centres of voxels from the image's lower corner."""
    return (event.coordinates + 0.5) * (event.voxel_size / 10)


def energy_range(event: Event) -> tuple[float, float]:
    """Ends of the logarithmic scale: from the least positive energy, at least a decade."""
    positive = event.energy[event.energy > 0]
    low = float(positive.min()) if len(positive) else 0.01
    return low, max(float(positive.max()) if len(positive) else 0.1, 10 * low)

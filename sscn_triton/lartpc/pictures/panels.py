"""The content of a picture of an event: its panels and their layers of voxels. Both kinds of picture use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sscn_triton.lartpc.event import CLASS_COLORS, CLASS_NAMES, UNKNOWN_COLOR, Event
from sscn_triton.lartpc.numbering import NUMBERS, as_named, can_express

COLORS = dict(zip(CLASS_NAMES, CLASS_COLORS, strict=True)) | {"track": CLASS_COLORS[1], "shower": CLASS_COLORS[2]}
COLORS |= {"low-energy": "#56B4E9", "ghost": "#F0E442"}
_OTHERS = (*CLASS_COLORS, "#56B4E9", "#F0E442")
"""Colours of labels with other names, by number."""
START_COLOR = "#000000"
LEAST_VOXELS = 5
"""Particles with fewer voxels are not marked."""

_PARTICLES = {
    11: "electron", -11: "positron", 13: "mu-", -13: "mu+", 22: "photon", 111: "pi0", 211: "pi+", -211: "pi-",
    321: "K+", -321: "K-", 2112: "neutron", 2212: "proton",
}  # fmt: skip
COLORINGS = ("label", "energy", "prediction", "difference")
RIGHT_COLOR, WRONG_COLOR = "#C9C9C9", "#C1121F"


class Layer(NamedTuple):
    """Voxels of one colour and one line of the legend."""

    name: str
    color: str
    rows: np.ndarray


class Panel(NamedTuple):
    """One view of an event: its layers, or none if energy gives the colour."""

    title: str
    layers: list[Layer]
    truth: bool = True
    """Whether it shows the event itself, not a network's prediction."""
    note: str = ""
    """The share of the prediction that is right, if the truth is known."""

    @property
    def heading(self) -> str:
        return ": ".join(filter(None, (self.title, self.note)))


def make_panels(event: Event, color: str | Sequence[str], prediction: np.ndarray | None) -> list[Panel]:
    if event.ndim not in (2, 3):
        raise ValueError(f"only events of two or three dimensions can be drawn, got {event.ndim}")
    colors = (color,) if isinstance(color, str) else tuple(color)
    if not colors or any(word not in COLORINGS for word in colors):
        raise ValueError(f"color must be one or several of {', '.join(COLORINGS)}, got {color!r}")
    if colors == ("label",) and prediction is not None:
        colors = ("label", "prediction")
    needs = "prediction" in colors or "difference" in colors
    if prediction is not None and not needs:
        raise ValueError(
            f"a prediction was given, but color={color!r} does not show it: add prediction or difference to color"
        )
    names, guess = find_prediction(event, prediction)
    if needs and guess is None:
        raise ValueError(f"color={color!r} needs a prediction")
    if "difference" in colors or (needs and can_express(names, event.label_names)):
        truth, called = as_named(event.labels, names, event.label_names), names
    else:
        truth, called = event.labels, event.label_names
    layers = {"label": _class_layers(truth, called), "energy": []}
    if guess is not None and needs:
        layers |= {"prediction": _class_layers(guess, names)}
        layers |= {"difference": _difference_layers(truth, guess)} if "difference" in colors else {}
    titles = {"label": "truth" if needs else "label"}
    noted = next((word for word in colors if word in ("prediction", "difference")), None)
    note = _right(truth, guess) if guess is not None and tuple(called) == tuple(names) else ""
    return [
        Panel(
            titles.get(word, word) if len(colors) > 1 else "",
            layers[word],
            word in ("label", "energy"),
            note if word == noted else "",
        )
        for word in colors
    ]


def find_prediction(event: Event, prediction: np.ndarray | None) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Names of the classes, and the class of each voxel: as given, in the five types, or the event's own."""
    if prediction is not None:
        return CLASS_NAMES, _checked(prediction, len(event))
    if event.prediction is not None:
        return event.prediction.names, event.prediction.labels
    return CLASS_NAMES, None


def _checked(prediction: np.ndarray, count: int) -> np.ndarray:
    prediction = np.asarray(prediction)
    if prediction.shape != (count,) or prediction.dtype.kind not in "iu":
        raise ValueError(
            f"prediction must be [{count}] integers, one class per voxel, got {prediction.dtype} of {prediction.shape}"
        )
    if count and not (prediction.min() >= -1 and prediction.max() < len(CLASS_NAMES)):
        raise ValueError(
            f"prediction must be -1 to {len(CLASS_NAMES) - 1}, got {prediction.min()} to {prediction.max()}"
        )
    return prediction


def _class_layers(classes: np.ndarray, names: Sequence[str]) -> list[Layer]:
    """All classes, including those without a voxel, so that every picture has the same legend; for numbers of unknown
    meaning only those that occur."""
    shown = np.unique(classes[classes >= 0]).tolist() if tuple(names) == NUMBERS else range(len(names))
    layers = [Layer(names[i], label_color(names[i], i), np.flatnonzero(classes == i)) for i in shown]
    unknown = np.flatnonzero(classes < 0)
    return layers + ([Layer("unknown", UNKNOWN_COLOR, unknown)] if len(unknown) else [])


def label_color(name: str, number: int) -> str:
    """The colour of a label, the same in every picture."""
    return COLORS.get(name, _OTHERS[number % len(_OTHERS)])


def _difference_layers(labels: np.ndarray, prediction: np.ndarray) -> list[Layer]:
    known = labels >= 0
    right = np.flatnonzero(known & (prediction == labels))
    wrong = np.flatnonzero(known & (prediction != labels))
    return [Layer("right", RIGHT_COLOR, right), Layer("wrong", WRONG_COLOR, wrong)]


def _right(truth: np.ndarray, prediction: np.ndarray) -> str:
    """The share of right voxels among those of known truth; empty if no truth is known."""
    known = truth >= 0
    if not known.any():
        return ""
    return f"{100 * (truth == prediction)[known].mean():.1f} % of {int(known.sum()):,} voxels correct"


def particle_starts(event: Event) -> np.ndarray:
    """Rows of the particles that left energy in enough voxels, first within 3 voxels of an active one.

    Others began outside the image or, in a plane, beside it.
    """
    rows = np.flatnonzero(event.particles["num_voxels"] >= LEAST_VOXELS)
    place = start_places(event, rows) * 10 / event.voxel_size - 0.5
    near = [bool((np.abs(event.coordinates - one).max(1) <= 3).any()) for one in place]  # an unknown place is not near
    return rows[near] if len(rows) else rows


def start_places(event: Event, rows: np.ndarray) -> np.ndarray:
    """Where particles first left energy, in cm from the image's lower corner."""
    return (event.particles["first_step"][rows, : event.ndim] - event.origin) / 10


def particle_words(event: Event, row: int) -> str:
    """Describe a particle in one line."""
    particle = event.particles[row]
    pdg, energy = int(particle["pdg"]), float(particle["energy_init"])
    words = [_PARTICLES.get(pdg, f"PDG {pdg}")]
    words += [f"{energy:.0f} MeV"] if np.isfinite(energy) and energy > 0 else []
    words += [str(particle["process"])] if particle["process"] else []
    return ", ".join(words)


def axis_names(event: Event) -> tuple[str, ...]:
    """The names of the axes; for a plane those of `project`."""
    return ("x", "y", "z") if event.ndim == 3 else ("wire", "drift")


def centimetres(event: Event) -> np.ndarray:
    """Centres of voxels relative to the image's lower corner."""
    return (event.coordinates + 0.5) * (event.voxel_size / 10)


def energy_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high`` on a logarithmic scale, at least two if they are a decade apart: powers
    of ten, and their multiples by two and five if there is room."""
    steps = (1, 2, 5) if high <= 200 * low else (1,)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [float(f"{step}e{power}") for power in powers for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def energy_range(event: Event) -> tuple[float, float]:
    """Ends of the logarithmic scale: from the smallest positive energy, at least a decade."""
    positive = event.energy[event.energy > 0]
    low = float(positive.min()) if len(positive) else 0.01
    return low, max(float(positive.max()) if len(positive) else 0.1, 10 * low)

"""The classes that a network distinguishes, two definitions of their labels, and two-dimensional images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sscn_triton.lartpc import CLASS_NAMES, Event, projection, relabelling
from sscn_triton.lartpc.numbering import PILARNET_CLASSES, TWO_CLASSES, as_named
from sscn_triton.lartpc.relabelling import Labels

Classes = Literal["five", "two", "shapes"]
_NAMES: dict[Classes, tuple[str, ...]] = {"five": CLASS_NAMES, "two": TWO_CLASSES, "shapes": PILARNET_CLASSES}
ALL_NAMES = tuple(_NAMES.values())
"""The names of the outputs of every kind of network."""


def class_names(classes: Classes) -> tuple[str, ...]:
    """Names of the outputs, in order."""
    return _NAMES[classes]


def classes_of(names: Sequence[str]) -> Classes | None:
    """The option that stands for these outputs, None if there is none."""
    return next((classes for classes, known in _NAMES.items() if known == tuple(names)), None)


def relabel(event: Event, classes: Classes = "five", labels: Labels = "slides") -> Event:
    """The event with labels of the given definition and classes.

    labels: `slides` leaves them unchanged; `attached` turns detached delta rays and Michel electrons into shower, as
    the study did after its slides (`lartpc.detached_to_shower`)
    classes: `five`; `two`: track (HIP, MIP) against shower (shower, delta, Michel); or `shapes`: PILArNet-M's shower,
    track, Michel, delta and low-energy deposit

    Raises ValueError if the labels do not distinguish these classes.
    """
    event = relabelling.relabel(event, labels)
    names = class_names(classes)
    try:
        return event.replace(labels=as_named(event.labels, names, event.label_names), label_names=names)
    except ValueError as error:
        raise ValueError(f"{event.name}: {error}") from error


def project(event: Event, ndim: Literal[2, 3]) -> Event:
    """The event itself (ndim = 3), or its image on the wire plane y, the voxels summed along y (ndim = 2)."""
    if event.ndim == ndim:
        return event
    if event.ndim != 3:
        raise ValueError(f"{event.name}: has {event.ndim} axes, but the network reads {ndim}")
    return projection.project(event, "y")

"""What a network is asked to tell apart: the classes, two definitions of them, and images of two dimensions."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sscn_triton.lartpc import CLASS_NAMES, Event, relabelling
from sscn_triton.lartpc.numbering import TWO_CLASSES, as_named
from sscn_triton.lartpc.relabelling import Labels

Classes = Literal["five", "two"]


def class_names(classes: Classes) -> tuple[str, ...]:
    """Names of the outputs, in order."""
    return CLASS_NAMES if classes == "five" else TWO_CLASSES


def relabel(event: Event, classes: Classes = "five", labels: Labels = "slides") -> Event:
    """The event with the labels that are asked for.

    labels: `slides` as they are; `attached` turns detached delta rays and Michel electrons into shower, as the study
    did after its slides (`lartpc.detached_to_shower`)
    classes: `five`, or `two`: track (HIP, MIP) against shower (shower, delta, Michel)
    """
    event = relabelling.relabel(event, labels)
    return event.replace(labels=as_named(event.labels, class_names(classes)))


def project(event: Event, ndim: Literal[2, 3]) -> Event:
    """The event itself (ndim = 3), or its sum along the last axis, as one wire plane would show it (ndim = 2).

    A pixel has the energy of all its voxels, and label and cluster of the one with the most energy.
    """
    if event.ndim == ndim:
        return event
    if event.ndim != 3:
        raise ValueError(f"{event.name}: has {event.ndim} axes, a network of {ndim} cannot read it")
    order = np.argsort(event.energy, kind="stable")[::-1]  # the strongest voxel of a pixel comes first
    pixels = event.coordinates[order, :2]
    unique, first, pixel = np.unique(pixels, axis=0, return_index=True, return_inverse=True)
    energy = np.bincount(pixel.ravel(), weights=event.energy[order], minlength=len(unique))
    return event.replace(
        coordinates=unique,
        energy=energy.astype(np.float32),
        labels=event.labels[order][first],
        clusters=event.clusters[order][first],
        origin=event.origin[:2],
        spatial_shape=event.spatial_shape[:2],
    )

"""The conventions by which results on a public data set are published."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.base import ChangedEvents, EventFile
from sscn_triton.lartpc.numbering import SHAPE_NAMES, as_named

Conventions = Literal["pilarnet-m"]
CONVENTIONS = ("pilarnet-m",)
PILARNET_THRESHOLD = 0.13
"""MeV; voxels with this energy or less are dropped."""
PILARNET_POINTS = 1024
"""Events with fewer points, before any is dropped, are left out."""


class PilarnetConventions(ChangedEvents):
    """The events of a file by the conventions of PILArNet-M, which PoLAr-MAE (arXiv:2502.02558) and Panda
    (arXiv:2512.01324) share, as their code states them (`energy_threshold`, `min_points`).

    Events of at least `PILARNET_POINTS` points, voxels above `PILARNET_THRESHOLD`, and labels that are shapes. Opening
    counts the points of every event.
    """

    def __init__(self, events: EventFile) -> None:
        self.numbers = [number for number in range(len(events)) if events.points(number) >= PILARNET_POINTS]
        super().__init__(events, by_pilarnet)

    def _count(self) -> int:
        return len(self.numbers)

    def _read(self, number: int) -> Event:
        return super()._read(self.numbers[number])

    def points(self, number: int) -> int:
        return super().points(self.numbers[number])


def by_pilarnet(event: Event) -> Event:
    """The voxels of an event above the threshold, labelled by shape, as its particles are. Raises ValueError if the
    labels do not determine shapes."""
    try:
        labels = as_named(event.labels, SHAPE_NAMES, event.label_names)
        particles = event.particles.copy()
        particles["label"] = as_named(particles["label"], SHAPE_NAMES, event.label_names)
    except ValueError as error:
        raise ValueError(f"{event.name}: {error}") from error
    kept = event.energy > np.float32(PILARNET_THRESHOLD)
    return event.replace(
        coordinates=event.coordinates[kept],
        energy=event.energy[kept],
        labels=labels[kept],
        label_names=SHAPE_NAMES,
        clusters=event.clusters[kept],
        particles=particles,
        prediction=None if event.prediction is None else event.prediction.take(kept),
    )


def check_conventions(name: str) -> str:
    """Return the name if there are such conventions."""
    if name not in CONVENTIONS:
        raise ValueError(f"conventions must be {' or '.join(CONVENTIONS)}, got {name!r}")
    return name

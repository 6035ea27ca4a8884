"""The simulated events of events.npz, read with NumPy alone.

`sscn_triton.lartpc` reads this file too, checks it, and reads many other formats; it
needs PyTorch, which takes longer to import than most chapters to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

EVENTS = Path(__file__).with_name("events.npz")

CLASS_NAMES = ("HIP", "MIP", "shower", "delta", "Michel")
"""The classes of voxels, in the order of their labels 0 to 4."""

CLASS_COLORS = ("#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7")
"""One colour per class, as in `sscn_triton.lartpc`."""


@dataclass(frozen=True)
class Event:
    """One event: coordinates [N, 3] int32, energy [N] in MeV, labels [N] from 0 to 4.

    `voxel_size` is the edge of a voxel in mm, `spatial_shape` the size of the image in
    voxels.
    """

    coordinates: np.ndarray
    energy: np.ndarray
    labels: np.ndarray
    voxel_size: float
    spatial_shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.coordinates)


def read_events(path: Path = EVENTS) -> list[Event]:
    """Read all events of the file."""
    with np.load(path) as arrays:
        return list(_events(arrays))


def _events(arrays: np.lib.npyio.NpzFile) -> Iterator[Event]:
    for number in range(int(arrays["events"])):
        x, y, z, energy, labels, voxel_size, shape = (
            arrays[f"{number}/{name}"]
            for name in ("x", "y", "z", "value", "label", "voxel_size", "spatial_shape")
        )
        coordinates = np.column_stack([x, y, z])
        shape = tuple(shape.tolist())
        yield Event(coordinates, energy, labels, float(voxel_size), shape)


def crop(event: Event, edge: int) -> Event:
    """The fullest cube of this edge, among those on a grid of half an edge."""
    corners = product(*(range(0, n - edge + 1, edge // 2) for n in event.spatial_shape))

    def inside(corner: tuple[int, ...]) -> np.ndarray:
        moved = event.coordinates - np.array(corner, np.int32)
        return ((moved >= 0) & (moved < edge)).all(axis=1)

    best = max(corners, key=lambda corner: inside(corner).sum())
    keep = inside(best)
    return replace(
        event,
        coordinates=event.coordinates[keep] - np.array(best, np.int32),
        energy=event.energy[keep],
        labels=event.labels[keep],
        spatial_shape=(edge,) * 3,
    )

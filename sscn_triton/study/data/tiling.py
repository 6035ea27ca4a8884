"""Images cut into tiles of one edge: the one way in which this study lays tiles over an image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from sscn_triton.lartpc import Event, crop

Corner = tuple[int, ...]


def covering(event: Event, size: int) -> list[Event]:
    """The crops of this edge that cover the event; those at the far ends overlap others where the image is no multiple.

    Raises ValueError for tiles larger than the image.
    """
    return [crop(event, size, corner=corner) for corner, _ in _corners(event, size)]


def fitting(event: Event, size: int) -> list[Event]:
    """The crops of this edge that lie side by side from the lowest corner on; what is left at the far ends is in
    none."""
    return [crop(event, size, corner=corner) for corner, new in _corners(event, size) if corner == new]


def sharing(event: Event, size: int) -> list[Event]:
    """The covering crops that hold a voxel of their own: labels of voxels that an earlier one has are unknown."""
    found = []
    for corner, new in _corners(event, size):
        tile = crop(event, size, corner=corner)
        own = ((tile.coordinates + corner) >= new).all(1)
        if own.any():
            found.append(tile.replace(labels=np.where(own, tile.labels, -1)))
    return found


def _corners(event: Event, size: int) -> Iterator[tuple[Corner, Corner]]:
    """The lowest corner of each covering tile, and the lowest corner of what no earlier tile has."""
    if min(event.spatial_shape) < size:
        raise ValueError(f"crop must fit into the images of {event.name}, {event.spatial_shape}, got {size}")
    for new in product(*(range(0, whole, size) for whole in event.spatial_shape)):
        yield tuple(min(a, whole - size) for a, whole in zip(new, event.spatial_shape, strict=True)), new

"""Functions that cut images into tiles of one edge length; all of the study uses these."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from sscn_triton.lartpc import Event, crop

Corner = tuple[int, ...]


def covering(event: Event, size: int) -> list[Event]:
    """The crops of this edge that cover the event. If the edge does not divide the image, the last ones overlap others.

    Raises ValueError if tiles are larger than the image.
    """
    return [crop(event, size, corner=corner) for corner, _ in _corners(event, size)]


def fitting(event: Event, size: int) -> list[Event]:
    """The crops of this edge that lie side by side, starting at the lowest corner; no crop contains the remainder at
    the far ends."""
    return [crop(event, size, corner=corner) for corner, new in _corners(event, size) if corner == new]


def sharing(event: Event, size: int) -> list[Event]:
    """The covering crops that contain a voxel of their own; voxels that an earlier crop contains get unknown labels."""
    found = []
    for corner, new in _corners(event, size):
        tile = crop(event, size, corner=corner)
        own = ((tile.coordinates + corner) >= new).all(1)
        if own.any():
            found.append(tile.replace(labels=np.where(own, tile.labels, -1)))
    return found


def _corners(event: Event, size: int) -> Iterator[tuple[Corner, Corner]]:
    """The lowest corner of each covering tile, and the lowest corner of the part that no earlier tile covers."""
    if min(event.spatial_shape) < size:
        raise ValueError(f"crop must fit into the images of {event.name}, {event.spatial_shape}, got {size}")
    for new in product(*(range(0, whole, size) for whole in event.spatial_shape)):
        yield tuple(min(a, whole - size) for a, whole in zip(new, event.spatial_shape, strict=True)), new

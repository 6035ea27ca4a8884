"""Cut smaller images out of larger ones."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import numpy as np

from .event import Event


def crop(
    event: Event, size: int | Sequence[int], *, corner: Sequence[int] | None = None, seed: int | None = None
) -> Event:
    """The part of an event inside a window of `size` voxels along each axis.

    The window's place: `corner` (its lowest voxel) if given; otherwise, with `seed`, a place drawn from it such that
    the window contains one randomly drawn active voxel; otherwise the fullest window on a grid of half a window's
    steps. Windows lie entirely inside the image, so a crop can be empty only at a given `corner` or if the event is
    empty. Particles are unchanged, including their energies and voxel counts; `origin` moves with the window.

    Raises ValueError for a window that is larger than the image or extends beyond it, and for `corner` together with
    `seed`.
    """
    shape = _per_axis(size, event.ndim, "size")
    if any(n < 1 or n > whole for n, whole in zip(shape, event.spatial_shape, strict=True)):
        raise ValueError(f"size must be 1 to {event.spatial_shape} voxels per axis, got {shape}")
    if corner is not None and seed is not None:
        raise ValueError(f"pass corner or seed, not both: got corner={corner}, seed={seed}")
    room = np.array(event.spatial_shape) - shape
    if corner is not None:
        low = np.array(_per_axis(corner, event.ndim, "corner"))
        if (low < 0).any() or (low > room).any():
            raise ValueError(f"corner must be 0 to {room.tolist()} for a window of {shape}, got {low.tolist()}")
    elif seed is not None:
        low = _drawn_corner(event, np.array(shape), room, seed)
    else:
        low = _fullest_corner(event, np.array(shape), room)
    moved = event.coordinates - low
    keep = ((moved >= 0) & (moved < shape)).all(1)
    return event.replace(
        coordinates=moved[keep],
        energy=event.energy[keep],
        labels=event.labels[keep],
        clusters=event.clusters[keep],
        origin=event.origin + low * event.voxel_size,
        spatial_shape=shape,
        prediction=None if event.prediction is None else event.prediction.take(keep),
    )


def _per_axis(value: int | Sequence[int], ndim: int, name: str) -> tuple[int, ...]:
    values = (value,) * ndim if isinstance(value, (int, np.integer)) else tuple(value)
    if len(values) != ndim:
        raise ValueError(f"{name} must be one integer or {ndim} integers, got {values}")
    return tuple(operator.index(n) for n in values)


def _drawn_corner(event: Event, shape: np.ndarray, room: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=seed))
    if len(event) == 0:
        return generator.integers(0, room, endpoint=True)
    inside = event.coordinates[generator.integers(len(event))]
    return np.clip(inside - generator.integers(0, shape), 0, room)


def _fullest_corner(event: Event, shape: np.ndarray, room: np.ndarray) -> np.ndarray:
    steps = np.maximum(shape // 2, 1)
    corners = [np.append(np.arange(0, most, step), most) for most, step in zip(room, steps, strict=True)]
    sites = event.coordinates.T[:, :, None]
    inside = [(x >= low) & (x < low + n) for x, low, n in zip(sites, corners, shape, strict=True)]
    counts = _count_windows(inside)
    best = np.unravel_index(int(counts.argmax()), counts.shape)
    return np.array([low[place] for low, place in zip(corners, best, strict=True)])


def _count_windows(inside: list[np.ndarray]) -> np.ndarray:
    """The number of voxels in every window, given for each axis whether each voxel [N] is in a corner's slab [C]."""
    if len(inside) == 1:
        return inside[0].sum(0)
    return np.stack([_count_windows([axis[rows] for axis in inside[1:]]) for rows in inside[0].T])

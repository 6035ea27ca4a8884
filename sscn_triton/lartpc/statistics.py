"""What events look like in numbers: the rows by which simulated events are held against real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from .event import CLASS_NAMES, Event

HALVINGS = 5
GROWTH_STEPS = 3


def statistics(events: Sequence[Event]) -> dict[str, np.ndarray]:
    """One row a quantity, one number an event (NaN where an event has none); take medians, ranges or means of them.

    voxels, occupancy (share of all voxels), energy (MeV, sum), minimum_voxel and median_voxel (MeV), neighbours (active
    voxels in the 3^D block around an active one, itself included, mean), halving_1 to halving_5 (sites left when
    coordinates are halved, over those before), growth_1 to growth_3 (active sites after that many ordinary convolutions
    of kernel 3, over those before; as if the image had no borders), share_<class> for each of `CLASS_NAMES` (of
    labelled voxels).

    Raises ValueError for no events.
    """
    if not events:
        raise ValueError("statistics need at least one event, got none")
    rows = [_event_statistics(event) for event in events]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}


def _event_statistics(event: Event) -> dict[str, float]:
    count = len(event)
    result: dict[str, float] = {
        "voxels": count,
        "occupancy": count / math.prod(event.spatial_shape),
        "energy": float(event.energy.sum(dtype=np.float64)),
        "minimum_voxel": float(event.energy.min()) if count else np.nan,
        "median_voxel": float(np.median(event.energy)) if count else np.nan,
        "neighbours": _neighbours(event) if count else np.nan,
    }
    sites = event.coordinates.astype(np.int64)
    for level in range(1, HALVINGS + 1):
        halved = np.unique(sites // 2, axis=0)
        result[f"halving_{level}"] = len(halved) / len(sites) if count else np.nan
        sites = halved
    for step, grown in enumerate(_growth(event), start=1):
        result[f"growth_{step}"] = grown / count if count else np.nan
    labelled = event.labels[event.labels >= 0]
    for label, name in enumerate(CLASS_NAMES):
        result[f"share_{name}"] = float(np.mean(labelled == label)) if len(labelled) else np.nan
    return result


def _keys(coordinates: np.ndarray, shape: tuple[int, ...], border: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted numbers of sites in an image with a border, and the number's step from a site to each of its 3^D
    neighbours."""
    padded = tuple(n + 2 * border for n in shape)
    keys = np.ravel_multi_index(tuple((coordinates.astype(np.int64) + border).T), padded)
    strides = np.array([math.prod(padded[axis + 1 :]) for axis in range(len(padded))])
    steps = np.array([np.dot(offset, strides) for offset in product((-1, 0, 1), repeat=len(shape))])
    return np.sort(keys), steps


def _neighbours(event: Event) -> float:
    keys, steps = _keys(event.coordinates, event.spatial_shape, 1)
    found = 0
    for step in steps:
        place = np.searchsorted(keys, keys + step)
        found += int((keys[np.minimum(place, len(keys) - 1)] == keys + step).sum())
    return found / len(keys)


def _growth(event: Event) -> list[int]:
    keys, steps = _keys(event.coordinates, event.spatial_shape, GROWTH_STEPS)
    counts = []
    for _ in range(GROWTH_STEPS):
        keys = np.unique(keys[:, None] + steps)
        counts.append(len(keys))
    return counts

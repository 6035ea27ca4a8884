"""Statistics of events: the rows that compare simulated events with those of PILArNet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from sscn_triton.lartpc.event import CLASS_NAMES, Event
from sscn_triton.lartpc.numbers.track_shapes import track_shapes

HALVINGS = 5
GROWTH_STEPS = 3
TRACKS = {"muon": 13, "pion": 211, "proton": 2212}


def statistics(events: Sequence[Event]) -> dict[str, np.ndarray]:
    """One row per quantity, one number per event (NaN if the event has none); take medians, ranges or means of them.

    voxels, occupancy (share of all voxels), energy (MeV, sum), minimum_voxel and median_voxel (MeV), neighbours (active
    voxels in the 3^D block around an active one, itself included, mean), halving_1 to halving_5 (sites left when
    coordinates are halved, over those before), growth_1 to growth_3 (active sites after that many ordinary convolutions
    of kernel 3, over those before; as if the image had no borders), share_<class> for each of `CLASS_NAMES` (of
    labelled voxels, NaN if labels are not of these classes); for the tracks of `track_shapes`: track_voxels (voxels
    per voxel of length) and track_rms (thickness, voxels, mean) of muons and pions, dedx_muon, dedx_pion, dedx_proton
    (MeV/cm, energy over length).

    Raises ValueError if there are no events.
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
    labelled = event.labels[event.labels >= 0] if event.label_names == CLASS_NAMES else event.labels[:0]
    for label, name in enumerate(CLASS_NAMES):
        result[f"share_{name}"] = float(np.mean(labelled == label)) if len(labelled) else np.nan
    return result | _tracks(event)


def _tracks(event: Event) -> dict[str, float]:
    shapes = track_shapes(event) if event.ndim == 3 and event.label_names == CLASS_NAMES else []
    thin = [shape for shape in shapes if shape.pdg != TRACKS["proton"]]
    length = sum(shape.length for shape in thin)
    result = {
        "track_voxels": sum(shape.voxels for shape in thin) / length if thin else np.nan,
        "track_rms": float(np.mean([shape.rms for shape in thin])) if thin else np.nan,
    }
    for name, pdg in TRACKS.items():
        own = [shape for shape in shapes if shape.pdg == pdg]
        centimetres = sum(shape.length for shape in own) * event.voxel_size / 10
        result[f"dedx_{name}"] = sum(shape.energy for shape in own) / centimetres if own else np.nan
    return result


def _keys(event: Event, border: int) -> tuple[np.ndarray, list[int]]:
    """Sorted numbers of the active sites in an image with a border, and the step of the numbers along each axis."""
    padded = tuple(n + 2 * border for n in event.spatial_shape)
    keys = np.ravel_multi_index(tuple((event.coordinates.astype(np.int64) + border).T), padded)
    return np.sort(keys), [math.prod(padded[axis + 1 :]) for axis in range(event.ndim)]


def _neighbours(event: Event) -> float:
    keys, strides = _keys(event, 1)
    found = 0
    for offset in product((-1, 0, 1), repeat=event.ndim):
        near = keys + int(np.dot(offset, strides))
        place = np.minimum(np.searchsorted(keys, near), len(keys) - 1)
        found += int((keys[place] == near).sum())
    return found / len(keys)


def _growth(event: Event) -> list[int]:
    """Site counts after each step; a block of 3^D grows a set like three sites along one axis after another."""
    keys, strides = _keys(event, GROWTH_STEPS)
    counts = []
    for _ in range(GROWTH_STEPS):
        for stride in strides:
            merged = np.sort(np.concatenate([keys - stride, keys, keys + stride]), kind="stable")  # merges sorted runs
            keys = merged[np.diff(merged, prepend=-1) > 0]
        counts.append(len(keys))
    return counts

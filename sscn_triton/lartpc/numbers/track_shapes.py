"""Measure the thickness and the energy loss of a track on the voxels of one particle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sscn_triton.lartpc.event import Event

LEAST_LENGTH = 15.0  # voxels
_SLICE = 2.0  # voxels along the track
_STRAIGHT = 0.1  # the largest ratio of thickness to length


class TrackShape(NamedTuple):
    """One track. length: voxels; rms: transverse, along one axis, weighted by energy, voxels; energy: MeV."""

    pdg: int
    voxels: int
    length: float
    rms: float
    energy: float


def track_shapes(event: Event) -> list[TrackShape]:
    """Muons, charged pions and protons of a 3D event that are nearly straight and at least 15 voxels long.

    `Event.clusters` gives the particle of each voxel. Without it, the voxels of a class belong to a particle if it is
    the only one of its class that left voxels, and left the same number.

    A track is cut across its principal axis into slices of two voxels. Its length is the path from centre to centre of
    the slices, extended to both ends; thickness is measured about the centres.
    """
    clusters = _clusters(event)
    rows = np.flatnonzero(np.isin(np.abs(event.particles["pdg"]), (13, 211, 2212)))
    shapes = []
    for row in rows[np.isin(rows, clusters)]:
        mine = clusters == row
        found = _measured(event.coordinates[mine], event.energy[mine].astype(np.float64))
        if found is not None:
            energy = float(event.energy[mine].sum(dtype=np.float64))
            shapes.append(TrackShape(abs(int(event.particles["pdg"][row])), int(mine.sum()), *found, energy))
    return shapes


def _clusters(event: Event) -> np.ndarray:
    if (event.clusters >= 0).any():
        return event.clusters
    clusters = event.clusters.copy()
    for label in np.unique(event.labels[event.labels >= 0]):
        rows = np.flatnonzero((event.particles["label"] == label) & (event.particles["num_voxels"] > 0))
        mine = event.labels == label
        if len(rows) == 1 and event.particles["num_voxels"][rows[0]] == mine.sum():
            clusters[mine] = rows[0]
    return clusters


def _measured(coordinates: np.ndarray, energy: np.ndarray) -> tuple[float, float] | None:
    """Length and thickness, or None if the track is too short, too bent or in pieces."""
    if len(coordinates) < LEAST_LENGTH:
        return None
    centred = coordinates - np.average(coordinates, axis=0, weights=energy)
    values, axes = np.linalg.eigh(np.cov(centred.T, aweights=energy))
    along = centred @ axes[:, -1]
    extent = along.max() - along.min()
    if extent < LEAST_LENGTH or np.sqrt(values[1] / values[2]) > _STRAIGHT:
        return None
    slices = np.floor((along - along.min()) / extent * np.ceil(extent / _SLICE) * (1 - 1e-12)).astype(int)
    weights = np.bincount(slices, energy)
    if not weights.all():
        return None
    centres = np.column_stack([np.bincount(slices, energy * axis) / weights for axis in centred.T])
    way = np.linalg.norm(np.diff(centres, axis=0), axis=1).sum()
    off = centred - centres[slices]
    off -= np.outer(off @ axes[:, -1], axes[:, -1])
    rms = np.sqrt((energy * (off**2).sum(1)).sum() / energy.sum() / 2)
    return float(way * len(weights) / (len(weights) - 1)), float(rms)

"""What a network is asked to tell apart: the classes, two definitions of them, and images of two dimensions."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sscn_triton.lartpc import CLASS_NAMES, Event

Classes = Literal["five", "two"]
Labels = Literal["slides", "attached"]

ATTACHED = 2 * 2**0.5
"""Voxels. Two clusters of voxels nearer than this touch: the study's 2.83."""

_TWO = np.array([0, 0, 1, 1, 1, -1], dtype=np.int8)  # HIP, MIP; shower, delta, Michel; the last for -1


def class_names(classes: Classes) -> tuple[str, ...]:
    """Names of the outputs, in order."""
    return CLASS_NAMES if classes == "five" else ("track", "shower")


def relabel(event: Event, classes: Classes = "five", labels: Labels = "slides") -> Event:
    """The event with the labels that are asked for.

    labels: `slides` as they are; `attached` turns detached delta rays and Michel electrons into shower, as the study
    did after its slides (`detached_to_shower`)
    classes: `five`, or `two`: track (HIP, MIP) against shower (shower, delta, Michel)
    """
    if labels == "attached":
        event = event.replace(labels=detached_to_shower(event.coordinates, event.labels))
    return event if classes == "five" else event.replace(labels=_TWO[event.labels])


def detached_to_shower(coordinates: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels in which clusters of delta or Michel voxels that touch neither a HIP nor a MIP voxel are shower.

    Clusters by DBSCAN of one class at a time, eps 2 sqrt(2) voxels, every voxel a core; a cluster touches where the
    distance is below 2 sqrt(2) voxels (the study's bin/relabel_showers.py). coordinates [N, D], labels [N].
    """
    from scipy.spatial import cKDTree
    from sklearn.cluster import DBSCAN

    hip, mip, shower, delta, michel = range(5)
    result = labels.copy()
    track = np.isin(labels, (hip, mip))
    for kind in (delta, michel):
        rows = np.flatnonzero(labels == kind)
        if not len(rows):
            continue
        clusters = DBSCAN(eps=ATTACHED + 1e-6, min_samples=1).fit(coordinates[rows]).labels_
        near = np.zeros(len(rows), dtype=bool)
        if track.any():
            distance, _ = cKDTree(coordinates[track]).query(coordinates[rows])
            near = distance < ATTACHED - 1e-9
        touching = np.bincount(clusters, weights=near) > 0
        result[rows[~touching[clusters]]] = shower
    return result


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

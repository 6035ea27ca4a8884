"""The study's two definitions of delta rays and Michel electrons."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sscn_triton.common.optional import require

from .event import CLASS_NAMES, Event
from .numbering import names_in_words

Labels = Literal["slides", "attached"]
"""`slides`: as shown in 2018, labels by the particle; `attached`: the later definition, see `detached_to_shower`."""

CLUSTERING = ("scipy", "sklearn")
"""Optional packages that find clusters."""
ATTACHED = 2 * 2**0.5
"""Voxels. Clusters that are nearer than this touch: the study's 2.83."""


def detached_to_shower(coordinates: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels [N] in which clusters of delta or Michel voxels that touch no HIP or MIP voxel become shower.

    Clusters contain voxels [N, D] of one class within 2 sqrt(2) of each other. A cluster touches a voxel at a distance
    less than that (bin/relabel_showers.py of the study, github.com/Temigo/uresnet_pytorch).
    """
    require(*CLUSTERING)
    from scipy.spatial import cKDTree
    from sklearn.cluster import DBSCAN

    hip, mip, shower, delta, michel = range(len(CLASS_NAMES))
    result = np.array(labels)
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


def relabel(event: Event, labels: str) -> Event:
    """The event with labels by one of the two definitions. Raises ValueError for another word, and for `attached` if
    the labels are not of the five classes."""
    if check_labels(labels) == "slides":
        return event
    if event.label_names != CLASS_NAMES:
        raise ValueError(
            f"{event.name or 'event'}: labels={labels} needs labels {', '.join(CLASS_NAMES)}; these are "
            f"{names_in_words(event.label_names)}. If they are the five types, say so with truth_means (--truth_means)"
        )
    return event.replace(labels=detached_to_shower(event.coordinates, event.labels))


def check_labels(labels: str) -> str:
    """Return the definition's name if it exists."""
    if labels not in get_args(Labels):
        raise ValueError(f"labels must be one of {', '.join(get_args(Labels))}, got {labels!r}")
    return labels

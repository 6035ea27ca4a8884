"""Where the wrong voxels are: at a boundary, in a particle that was mistaken as a whole, or in a part of a particle."""

from __future__ import annotations

from typing import Any

import numpy as np

from sscn_triton.lartpc import Event

CAUSES = (
    "boundary",
    "whole particle, cut",
    "whole particle, small",
    "whole particle",
    "part of a particle",
    "particle unknown",
)
"""Every wrong voxel counts once, in the first of these that applies.

boundary: one of the 3^D - 1 neighbours truly has the predicted class. Such voxels contain energy of two particles, or
lie beside one that does.
whole particle: at least WHOLE of the particle's voxels are wrong; cut if the particle leaves the image, small if it has
fewer than SMALL voxels in it.
part of a particle: the other voxels of known particles.
particle unknown: the file does not say which particle left the voxel.
"""

WHOLE = 0.8
SMALL = 20
EDGE = 2
"""A particle leaves the image if one of its voxels is less than this many voxels from the image's edge."""


def causes(event: Event, predicted: np.ndarray) -> np.ndarray:
    """The index into CAUSES of each voxel [N] whose label is known and differs from `predicted` [N]; -1 elsewhere."""
    found = np.full(len(event), -1, dtype=np.int8)
    wrong = (event.labels >= 0) & (event.labels != predicted)
    found[wrong] = CAUSES.index("particle unknown")
    known = event.clusters >= 0
    if known.any():
        found[wrong & known] = _of_particles(event, wrong & known)[event.clusters[wrong & known]]
    found[np.flatnonzero(wrong)[_at_boundary(event, predicted, wrong)]] = CAUSES.index("boundary")
    return found


def _of_particles(event: Event, wrong: np.ndarray) -> np.ndarray:
    """The cause of the wrong voxels of each particle that are not at a boundary; one per row of `event.particles`."""
    number = int(event.clusters.max()) + 1
    rows = np.flatnonzero((event.clusters >= 0) & (event.labels >= 0))
    particle = event.clusters[rows]
    voxels = np.bincount(particle, minlength=number)
    mistaken = np.bincount(event.clusters[wrong], minlength=number)
    last = np.array(event.spatial_shape) - 1
    near = (np.minimum(event.coordinates[rows], last - event.coordinates[rows]) < EDGE).any(1)
    leaves = np.bincount(particle[near], minlength=number) > 0
    whole = mistaken >= WHOLE * voxels
    names = np.select(
        [whole & leaves, whole & (voxels < SMALL), whole],
        [CAUSES.index("whole particle, cut"), CAUSES.index("whole particle, small"), CAUSES.index("whole particle")],
        CAUSES.index("part of a particle"),
    )
    return names.astype(np.int8)


def _at_boundary(event: Event, predicted: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """For each wrong voxel, whether a neighbour truly has the predicted class."""
    from scipy.spatial import cKDTree

    rows = np.flatnonzero(wrong)
    beside = np.zeros(len(rows), dtype=bool)
    for label in np.unique(predicted[rows]):
        mine, others = predicted[rows] == label, event.labels == label
        if others.any():
            distances = cKDTree(event.coordinates[others]).query(event.coordinates[rows[mine]], p=np.inf)[0]
            beside[mine] = distances <= 1
    return beside


class CauseCounts:
    """Counts wrong voxels by cause, true class and predicted class; add events one by one."""

    def __init__(self, classes: int) -> None:
        self.voxels = np.zeros((len(CAUSES), classes, classes), dtype=np.int64)

    def add(self, event: Event, predicted: np.ndarray) -> None:
        """Add one event with its predicted labels [N]."""
        found = causes(event, predicted)
        rows = np.flatnonzero(found >= 0)
        np.add.at(self.voxels, (found[rows], event.labels[rows], predicted[rows]), 1)

    def record(self) -> dict[str, Any]:
        """causes: the names; cause_voxels: wrong voxels [cause][true class][predicted class]."""
        return {"causes": list(CAUSES), "cause_voxels": self.voxels.tolist()}

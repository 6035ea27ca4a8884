"""Statistics of mistakes: confusion by voxel and by energy, the score of the right class, the distance of wrong voxels
to the next class, and the causes."""

from __future__ import annotations

from typing import Any

import numpy as np

from sscn_triton.lartpc import Event
from sscn_triton.study.analysis.causes import CauseCounts

SCORE_BINS = np.linspace(0, 1, 21)
DISTANCE_BINS = np.array([0, 1.01, 1.5, 2.01, 3.01, 4.01, 6.01, 8.01, 12.01, 16.01, 32.01, np.inf])
"""In voxels; edges lie just above distances that occur on a grid."""


def boundary_distances(coordinates: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Distance in voxels from each voxel [N, D] to the nearest one with another label [N]; inf if there is none.

    The label -1 (unknown) is treated like any other label.
    """
    from scipy.spatial import cKDTree

    distances = np.full(len(labels), np.inf)
    for label in np.unique(labels):
        own, others = labels == label, labels != label
        if others.any():
            distances[own] = cKDTree(coordinates[others]).query(coordinates[own])[0]
    return distances


class Mistakes:
    """Collects events one by one; `record()` summarises them. Voxels of unknown label are always excluded."""

    def __init__(self, classes: int) -> None:
        self.voxels = np.zeros((classes, classes), dtype=np.int64)
        self.energy = np.zeros((classes, classes))  # MeV
        self.scores = np.zeros((classes, len(SCORE_BINS) - 1), dtype=np.int64)
        self.distances = np.zeros((2, len(DISTANCE_BINS) - 1), dtype=np.int64)
        self.worst: list[tuple[float, str]] = []
        self.causes = CauseCounts(classes)

    def add(self, event: Event, scores: np.ndarray) -> None:
        """Add one event and the network's probabilities for its voxels, [N, classes]."""
        rows = np.flatnonzero(event.labels >= 0)
        if not len(rows):
            return
        true, predicted = event.labels[rows], scores[rows].argmax(1)
        np.add.at(self.voxels, (true, predicted), 1)
        np.add.at(self.energy, (true, predicted), event.energy[rows].astype(np.float64))
        right = scores[rows, true].clip(0, 1)
        for label in range(len(self.scores)):
            self.scores[label] += np.histogram(right[true == label], SCORE_BINS)[0]
        distances = boundary_distances(event.coordinates, event.labels)[rows]
        for kind, chosen in enumerate((true == predicted, true != predicted)):
            self.distances[kind] += np.histogram(distances[chosen & np.isfinite(distances)], DISTANCE_BINS)[0]
            self.distances[kind, -1] += (chosen & ~np.isfinite(distances)).sum()
        self.causes.add(event, scores.argmax(1))
        self.worst = sorted([*self.worst, (float((true == predicted).mean()), event.name)])[:5]

    def record(self) -> dict[str, Any]:
        """The statistics of all events.

        confusion_voxels and confusion_energy (MeV): [true][predicted]; score_of_true_class: [true class][bin of
        score_bins]; boundary_distance_right and _wrong: voxels by their distance to the nearest voxel of another true
        class, in bins between distance_bins (the last bin is open and contains images of one class); worst: the five
        events with the lowest nonzero accuracy; causes and cause_voxels as in `CauseCounts.record`.
        """
        return {
            "confusion_voxels": self.voxels.tolist(),
            "confusion_energy": self.energy.tolist(),
            "score_bins": SCORE_BINS.tolist(),
            "score_of_true_class": self.scores.tolist(),
            "distance_bins": DISTANCE_BINS[:-1].tolist(),
            "boundary_distance_right": self.distances[0].tolist(),
            "boundary_distance_wrong": self.distances[1].tolist(),
            "worst": [{"name": name, "nonzero_accuracy": accuracy} for accuracy, name in self.worst],
            **self.causes.record(),
        }

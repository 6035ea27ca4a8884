"""Michel electrons found in a segmentation: their number, purity, completeness and energy.

The analysis of the 2018 study and of arXiv:1903.05663. Voxels of one class are clustered by DBSCAN (Ester et al. 1996).
A *candidate* is a cluster of voxels labelled Michel that touches the end of a track:

- it is *attached* if its distance to a cluster of voxels labelled MIP is less than `REACH`,
- and it is at the *edge* of that cluster if at most one cluster remains after the MIP voxels within `CUT` of the
  contact are removed. The contact is the MIP voxel nearest to the Michel cluster.

A true Michel electron is defined in the same way from the true labels. A candidate is *matched* to the true Michel
cluster, attached or not, with which it shares the most voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sscn_triton.lartpc import CLASS_NAMES, Event

REACH, CUT = 2.83, 15.0
"""In voxels: the distance below which clusters touch, and the radius around a contact that is removed from a track."""

MIP_VOXELS, MICHEL_VOXELS = 10, 5
"""DBSCAN's min_samples, which includes the voxel itself."""

_MIP, _MICHEL = CLASS_NAMES.index("MIP"), CLASS_NAMES.index("Michel")


@dataclass(frozen=True)
class Cluster:
    """Michel voxels of one cluster. rows: indices into the event's voxels; energy: the sum over them, in MeV."""

    rows: np.ndarray
    energy: float
    attached: bool
    edge: bool

    @property
    def is_candidate(self) -> bool:
        return self.attached and self.edge


def clusters(coordinates: np.ndarray, rows: np.ndarray, least: int) -> list[np.ndarray]:
    """DBSCAN clusters among some rows of coordinates [N, D], each as its rows; other voxels are left out."""
    from sklearn.cluster import DBSCAN

    if not len(rows):
        return []
    numbers = DBSCAN(eps=REACH, min_samples=least).fit(coordinates[rows]).labels_
    return [rows[numbers == number] for number in range(numbers.max() + 1)]


def michel_clusters(event: Event, labels: np.ndarray) -> list[Cluster]:
    """The Michel clusters of an event by labels [N] of the five classes, which may be true or predicted."""
    tracks = clusters(event.coordinates, np.flatnonzero(labels == _MIP), MIP_VOXELS)
    found = clusters(event.coordinates, np.flatnonzero(labels == _MICHEL), MICHEL_VOXELS)
    return [_cluster(event, rows, tracks) for rows in found]


def _cluster(event: Event, rows: np.ndarray, tracks: list[np.ndarray]) -> Cluster:
    from scipy.spatial import cKDTree

    energy = float(event.energy[rows].sum(dtype=np.float64))
    tree = cKDTree(event.coordinates[rows])
    nearest = [(tree.query(event.coordinates[track])[0], track) for track in tracks]
    distances, track = min(nearest, key=lambda one: one[0].min(), default=(np.array([np.inf]), None))
    if track is None or distances.min() >= REACH:
        return Cluster(rows, energy, attached=False, edge=False)
    contact = event.coordinates[track[distances.argmin()]]
    far = track[np.linalg.norm(event.coordinates[track] - contact, axis=1) > CUT]
    return Cluster(rows, energy, attached=True, edge=len(clusters(event.coordinates, far, MIP_VOXELS)) <= 1)


@dataclass(frozen=True)
class Match:
    """A candidate and the true cluster with which it shares the most voxels."""

    shared: int
    predicted: int  # voxels of the candidate
    true: int  # voxels of the true cluster
    predicted_energy: float  # MeV
    true_energy: float


@dataclass
class MichelAnalysis:
    """Collects events one by one; `record()` summarises them."""

    true: int = 0  # Michel electrons at the end of a true track
    found: int = 0  # of these, matched by a candidate
    candidates: int = 0
    true_energies: list[float] = field(default_factory=list)
    candidate_energies: list[float] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)

    def add(self, event: Event, labels: np.ndarray) -> None:
        """One three-dimensional event and the labels [N] predicted for its voxels."""
        truth = michel_clusters(event, event.labels)
        candidates = [cluster for cluster in michel_clusters(event, labels) if cluster.is_candidate]
        owner = np.full(len(event), -1)
        for number, cluster in enumerate(truth):
            owner[cluster.rows] = number
        matched = set()
        for candidate in candidates:
            owners = owner[candidate.rows]
            shared = np.bincount(owners[owners >= 0], minlength=1)
            if not shared.max():
                continue
            best = int(shared.argmax())
            matched.add(best)
            counts = int(shared[best]), len(candidate.rows), len(truth[best].rows)
            self.matches.append(Match(*counts, candidate.energy, truth[best].energy))
        wanted = {number for number, cluster in enumerate(truth) if cluster.is_candidate}
        self.true += len(wanted)
        self.found += len(wanted & matched)
        self.candidates += len(candidates)
        self.true_energies += [truth[number].energy for number in sorted(wanted)]
        self.candidate_energies += [candidate.energy for candidate in candidates]

    def record(self) -> dict[str, Any]:
        """Counts, efficiencies and purities (fractions; nan if the denominator is 0), and energies in MeV.

        Identification efficiency: the fraction of true Michel electrons at the end of a track that a candidate matches;
        purity: the fraction of candidates that match a true Michel cluster. Clustering efficiency and purity: shared
        voxels divided by those of the true cluster and by those of the candidate, averaged over matched candidates.
        """
        return {
            "true": self.true,
            "found": self.found,
            "candidates": self.candidates,
            "matched": len(self.matches),
            "identification_efficiency": _mean([1.0] * self.found + [0.0] * (self.true - self.found)),
            "identification_purity": len(self.matches) / self.candidates if self.candidates else float("nan"),
            "clustering_efficiency": _mean([match.shared / match.true for match in self.matches]),
            "clustering_purity": _mean([match.shared / match.predicted for match in self.matches]),
            "true_energies": self.true_energies,
            "candidate_energies": self.candidate_energies,
            "matched_energies": [[match.true_energy, match.predicted_energy] for match in self.matches],
        }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")

"""Michel electrons and mistakes in cases whose answers were counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sscn_triton.lartpc import PARTICLE_DTYPE, Event
from sscn_triton.study.analysis.michel import MichelAnalysis, clusters, michel_clusters
from sscn_triton.study.analysis.mistakes import DISTANCE_BINS, SCORE_BINS, Mistakes, boundary_distances

HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


def event(*parts: tuple[list[tuple[int, int, int]], int], energy: float = 0.5) -> Event:
    sites = np.array([site for sites, _ in parts for site in sites])
    labels = np.array([label for sites, label in parts for _ in sites])
    energies = np.full(len(sites), energy, dtype=np.float32)
    return Event(sites, energies, labels, np.zeros(0, PARTICLE_DTYPE), 3.0, np.zeros(3), (128, 128, 128), "by hand")


def line(start: tuple[int, int, int], along: tuple[int, int, int], number: int) -> list[tuple[int, int, int]]:
    return [tuple(np.add(start, np.multiply(along, i)).tolist()) for i in range(number)]  # type: ignore[misc]


def thick(start: tuple[int, int, int], number: int) -> list[tuple[int, int, int]]:
    """A track along x, 3 x 3 voxels thick: enough neighbours for a core."""
    return [(start[0] + i, start[1] + j, start[2] + k) for i in range(number) for j in range(3) for k in range(3)]


TRACK = thick((0, 50, 50), 60)  # x from 0 to 59


def test_dbscan_links_voxels_2_83_apart_and_requires_a_minimum_number() -> None:
    sites = np.array(line((0, 0, 0), (1, 0, 0), 5) + line((6, 2, 0), (1, 0, 0), 5) + [(40, 0, 0)])
    # (4, 0, 0) to (6, 2, 0) is 2 sqrt(2) = 2.828, less than 2.83; but the ends of a line of five have three neighbours
    assert [len(one) for one in clusters(sites, np.arange(11), 3)] == [10]
    assert [len(one) for one in clusters(sites, np.arange(11), 1)] == [10, 1]
    assert clusters(sites, np.arange(11), 8) == []
    assert clusters(sites, np.zeros(0, dtype=int), 1) == []


@pytest.mark.parametrize(
    ("start", "attached", "edge"),
    [
        ((60, 51, 51), True, True),  # the next voxel after the last
        ((61, 53, 52), True, True),  # (59, 52, 52) is sqrt(5) away
        ((61, 54, 52), True, True),  # 2 sqrt(2) = 2.828 is under 2.83
        ((62, 51, 51), False, False),  # 3 voxels away
        ((30, 53, 51), True, False),  # in the middle: 14 and 14 voxels of the track remain on either side
        ((15, 53, 51), True, True),  # only a slice of x 0 to 15 - 15 remains, which is no cluster of ten
    ],
    ids=["next", "near", "barely", "apart", "middle", "near the end"],
)
def test_a_candidate_touches_the_end_of_a_track(start: tuple[int, int, int], attached: bool, edge: bool) -> None:
    away = (0, 1, 0) if start[1] >= 53 else (1, 0, 0)
    made = event((TRACK, MIP), (line(start, away, 12), MICHEL))
    (found,) = michel_clusters(made, made.labels)
    assert (found.attached, found.edge) == (attached, edge)
    assert found.is_candidate == (attached and edge)
    assert len(found.rows) == 12
    assert found.energy == pytest.approx(6.0)


def test_a_track_without_dense_voxels_does_not_attach_a_michel_electron() -> None:
    made = event((line((0, 0, 0), (1, 0, 0), 30), MIP), (line((30, 0, 0), (1, 0, 0), 12), MICHEL))
    (found,) = michel_clusters(made, made.labels)  # no voxel of a single line has ten voxels around it
    assert not found.attached


def test_efficiencies_and_purities_equal_those_counted_by_hand() -> None:
    second = thick((0, 100, 100), 40)
    made = event(
        (TRACK, MIP),
        (line((60, 51, 51), (1, 0, 0), 20), MICHEL),  # at the track's end: found, but for 5 of its voxels
        (second, MIP),
        (line((40, 101, 101), (1, 0, 0), 10), MICHEL),  # at the other track's end: not found
        (line((0, 10, 10), (1, 0, 0), 10), MICHEL),  # away from any track: there is no Michel electron to find
        (line((0, 49, 51), (0, -1, 0), 10), SHOWER),  # at the other end of the track, labelled Michel: false
    )
    rows = np.arange(len(made))
    first, later = len(TRACK), len(TRACK) + 20 + len(second)
    predicted = made.labels.copy()
    predicted[first + 15 : first + 20] = SHOWER  # the far end of the first
    predicted[later : later + 10] = SHOWER
    predicted[rows >= later + 20] = MICHEL
    # and three voxels at the very end of the track are labelled Michel
    ends = np.flatnonzero((made.coordinates[:first, 0] == 59) & (made.coordinates[:first, 1] == 51))
    predicted[ends] = MICHEL
    analysis = MichelAnalysis()
    analysis.add(made, predicted)
    record = analysis.record()
    assert (record["true"], record["found"]) == (2, 1)
    assert (record["candidates"], record["matched"]) == (2, 1)
    assert record["identification_efficiency"] == 1 / 2
    assert record["identification_purity"] == 1 / 2
    assert record["clustering_efficiency"] == pytest.approx(15 / 20)
    assert record["clustering_purity"] == pytest.approx(15 / 18)
    assert sorted(record["true_energies"]) == pytest.approx([5.0, 10.0])
    assert sorted(record["candidate_energies"]) == pytest.approx([5.0, 9.0])
    assert record["matched_energies"] == [pytest.approx([10.0, 9.0])]


def test_a_perfect_labelling_finds_every_michel_and_nothing_gives_nan() -> None:
    made = event((TRACK, MIP), (line((60, 51, 51), (1, 0, 0), 20), MICHEL))
    analysis = MichelAnalysis()
    analysis.add(made, made.labels)
    record = analysis.record()
    for name in ("identification_efficiency", "identification_purity", "clustering_efficiency", "clustering_purity"):
        assert record[name] == 1
    empty = MichelAnalysis()
    empty.add(event((TRACK, MIP)), np.full(len(TRACK), MIP))
    assert math.isnan(empty.record()["identification_efficiency"])
    assert math.isnan(empty.record()["identification_purity"])


def test_distances_to_the_boundary_are_those_to_the_nearest_voxel_of_another_label() -> None:
    sites = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 2, 0], [9, 0, 0]])
    labels = np.array([0, 0, 1, 1, 2])
    expected = [2, 1, 1, math.sqrt(5), 7]
    np.testing.assert_allclose(boundary_distances(sites, labels), expected)
    assert np.isinf(boundary_distances(sites, np.zeros(5, int))).all()


def test_mistakes_are_counted_by_voxel_by_energy_by_score_and_by_distance() -> None:
    made = event(([(0, 0, 0), (1, 0, 0), (2, 0, 0)], MIP), ([(3, 0, 0), (4, 0, 0)], SHOWER))
    made = made.replace(energy=np.array([1, 2, 4, 8, 16], np.float32), labels=np.array([1, 1, 1, 2, -1]))
    scores = np.full((5, 5), 0.02)
    scores[[0, 1, 2, 3], [1, 1, 2, 2]] = 0.92  # the third voxel, next to the shower, is labelled shower
    mistakes = Mistakes(5)
    mistakes.add(made, scores)
    mistakes.add(made.replace(labels=np.full(5, -1)), scores)  # nothing known
    record = mistakes.record()
    assert np.array(record["confusion_voxels"])[1:3, 1:3].tolist() == [[2, 1], [0, 1]]
    assert np.array(record["confusion_energy"])[1:3, 1:3].tolist() == [[3.0, 4.0], [0.0, 8.0]]
    assert np.sum(record["confusion_voxels"]) == 4
    mip = record["score_of_true_class"][MIP]
    assert (mip[np.searchsorted(SCORE_BINS, 0.92) - 1], mip[0], sum(mip)) == (2, 1, 3)
    by_distance = np.zeros(len(DISTANCE_BINS) - 1, int)
    by_distance[0] = 1
    assert record["boundary_distance_wrong"] == by_distance.tolist()  # 1 voxel from the shower
    assert sum(record["boundary_distance_right"]) == 3
    assert record["worst"] == [{"name": "by hand", "nonzero_accuracy": 0.75}]


def test_the_first_class_counts_among_the_mistakes_too() -> None:
    made = event(([(0, 0, 0), (1, 0, 0)], HIP), ([(2, 0, 0)], MIP))
    mistakes = Mistakes(5)
    mistakes.add(made, np.eye(5)[[HIP, MIP, HIP]])
    assert np.array(mistakes.record()["confusion_voxels"])[:2, :2].tolist() == [[1, 1], [1, 0]]

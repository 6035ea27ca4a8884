"""The report's tables of mistakes and Michel electrons show the numbers of the records, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_NAMES
from sscn_triton.study.analysis import michel_report, mistakes_report
from sscn_triton.study.analysis.predictions import Closer
from sscn_triton.study.scaling import size_table
from tests.study.analysis.test_michel import MICHEL, MIP, SHOWER, TRACK, event, line


def sure(labels: np.ndarray) -> np.ndarray:
    return np.eye(5)[labels] * 0.95 + 0.01


def test_attached_labels_apply_to_truth_and_prediction() -> None:
    attached, apart = line((60, 51, 51), (1, 0, 0), 20), line((0, 10, 10), (1, 0, 0), 10)
    made = event((TRACK, MIP), (attached, MICHEL), (apart, MICHEL))
    predicted = made.labels.astype(int)
    predicted[-10:] = SHOWER  # the other definition labels it so in any case
    closer = Closer(CLASS_NAMES, 3)
    closer.add(made, sure(predicted))
    record = closer.record()
    assert record["michel"]["true"] == record["attached"]["michel"]["true"] == 1
    assert np.array(record["mistakes"]["confusion_voxels"])[MICHEL, SHOWER] == 10
    assert record["attached"]["nonzero_accuracy"] == 1.0
    assert record["attached"]["class_accuracy"][MICHEL] == 1.0
    assert record["attached"]["class_share"][SHOWER] == pytest.approx(10 / len(made))


def test_a_detached_candidate_matches_only_by_the_definition_of_the_slides() -> None:
    # 4 voxels after the end of the track; two shower voxels between, labelled Michel, make it touch
    made = event((TRACK, MIP), (line((61, 51, 51), (1, 0, 0), 2), SHOWER), (line((63, 51, 51), (1, 0, 0), 20), MICHEL))
    predicted = made.labels.astype(int)
    predicted[len(TRACK) : len(TRACK) + 2] = MICHEL
    closer = Closer(CLASS_NAMES, 3)
    closer.add(made, sure(predicted))
    record = closer.record()
    assert (record["michel"]["candidates"], record["michel"]["matched"]) == (1, 1)
    assert (record["attached"]["michel"]["candidates"], record["attached"]["michel"]["matched"]) == (1, 0)


def test_other_classes_and_dimensions_have_no_michel_electrons() -> None:
    record = Closer(("track", "shower"), 3).record()
    assert record["michel"] is None
    assert record["attached"] is None
    assert Closer(CLASS_NAMES, 2).record()["michel"] is None


def test_the_wilson_interval_equals_that_computed_by_hand() -> None:
    # k = 1 of 2: (1/2 + 1/4) / (3/2) = 1/2, half sqrt(1/8 + 1/16) / (3/2) = 0.2887
    # k = 0 of 3: from 0 to (1/6 + 1/6) / (4/3) = 1/4
    assert michel_report._share(1, 2) == "50 % (21 to 79)"
    assert michel_report._share(0, 3) == "0 % (0 to 25)"
    assert michel_report._share(0, 0) == "none"


MISTAKES = {
    "confusion_voxels": [[8, 2], [0, 0]],
    "confusion_energy": [[3.0, 1.0], [0.0, 0.0]],
    "score_bins": list(np.linspace(0, 1, 21)),
    "score_of_true_class": [[1] * 20, [0] * 20],
    "distance_bins": [0, 1.01, 1.5, 2.01, 3.01],
    "boundary_distance_right": [1, 1, 0, 4, 0],
    "boundary_distance_wrong": [3, 0, 1, 1, 0],
}


def test_the_table_lists_distances_and_scores_by_bin() -> None:
    header, rows = mistakes_report.certainty_rows(MISTAKES, ["a", "b"])
    assert rows[0] == ["a, softmax of the true class", "4", "4", "4", "4", "4"]
    told = [row[:3] for row in rows[2:]]
    assert told[0] == ["0 to 1 voxels from another class", "4", "75.0 % wrong"]
    assert told[2] == ["1.5 to 2 voxels from another class", "1", "100.0 % wrong"]
    assert told[3] == ["2 to 3 voxels from another class", "5", "20.0 % wrong"]
    assert all(len(row) == len(header) for row in rows)
    assert "Of 5 wrong voxels in the held-out whole events, 80.0 %" in mistakes_report.sentence(MISTAKES)


def test_confusion_is_listed_by_voxel_and_by_energy() -> None:
    assert mistakes_report.confusion_rows(MISTAKES, ["a", "b"])[1] == [
        ["a, voxels", "8", "2"],
        ["b, voxels", "0", "0"],
        ["a, MeV", "3.0", "1.0"],
        ["b, MeV", "0.0", "0.0"],
    ]


def test_the_slides_table_prefers_measured_to_computed_values() -> None:
    def cost(kind: str, size: int, **more: object) -> dict[str, object]:
        return {"kind": kind, "ndim": 3, "size": size, "forward_seconds": 0.5, "forward_memory": 2e8, **more}

    ranges = {"forward_seconds_range": [0.4, 0.6], "forward_memory_range": [2e8, 2e8]}
    points = [cost("sparse", 192, images=1), cost("sparse", 512, images=2), cost("matched", 64, images=1)]
    theirs = {"name": "dense", "size": 192, "nonzero_accuracy": 0.92, "memory_gb": 4.6, "forward_seconds": 0.68}
    record = {
        "scaling": {"points": points, "computed": [cost("sparse", 192, **ranges), cost("matched", 192, **ranges)]},
        "published": {"networks": [theirs | {"remark": "training accuracy"}]},
    }
    rows = {(row[0], row[1]): row[2:] for row in size_table.size_rows(record)[1]}
    assert rows["sparse", "192 px"] == ["500 ms", "200 MB", "", "", ""]
    assert rows["sparse", "512 px"] == [""] * 5  # two images are another measurement
    assert rows["dense, matched", "192 px"][:2] == ["500 ms (400 ms to 600 ms), computed", "200 MB, computed"]
    assert rows["dense, 2018", "192 px"] == ["", "", "680 ms", "4.60 GB", "92.0 % (training)"]

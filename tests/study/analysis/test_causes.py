"""Every wrong voxel has one cause, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.lartpc.event import PARTICLE_DTYPE
from sscn_triton.study.analysis.causes import CAUSES, CauseCounts, causes
from sscn_triton.study.analysis.mistakes_report import cause_rows

HIP, MIP, SHOWER = 0, 1, 2


def row(y: int, xs: range) -> np.ndarray:
    return np.array([(x, y, 50) for x in xs])


def image(*particles: tuple[np.ndarray, int], known: bool = True) -> Event:
    """An event of 100 px whose particles have these voxels and labels."""
    coordinates = np.concatenate([voxels for voxels, _ in particles])
    numbers = np.concatenate([np.full(len(voxels), i) for i, (voxels, _) in enumerate(particles)])
    labels = np.array([label for _, label in particles])[numbers]
    return Event(
        coordinates=coordinates.astype(np.int32),
        energy=np.ones(len(coordinates), np.float32),
        labels=labels.astype(np.int8),
        particles=np.zeros(len(particles), PARTICLE_DTYPE),
        clusters=numbers if known else None,
        voxel_size=3.0,
        origin=np.zeros(3),
        spatial_shape=(100, 100, 100),
    )


def names(event: Event, predicted: np.ndarray) -> list[str]:
    return [CAUSES[cause] if cause >= 0 else "" for cause in causes(event, predicted)]


@pytest.mark.parametrize(
    ("voxels", "cause"),
    [
        (row(10, range(1, 60)), "whole particle, cut"),
        (row(10, range(50, 99)), "whole particle, cut"),
        (row(10, range(2, 60)), "whole particle"),
        (row(10, range(50, 98)), "whole particle"),
        (row(10, range(40, 59)), "whole particle, small"),
        (row(10, range(40, 60)), "whole particle"),
    ],
)
def test_a_particle_that_is_mistaken_as_a_whole_is_cut_small_or_neither(voxels: np.ndarray, cause: str) -> None:
    event = image((voxels, MIP), (row(80, range(20, 40)), HIP))
    predicted = event.labels.astype(int)
    predicted[: len(voxels)] = SHOWER
    assert names(event, predicted) == [cause] * len(voxels) + [""] * 20


@pytest.mark.parametrize(("wrong", "cause"), [(31, "part of a particle"), (32, "whole particle")])
def test_four_voxels_in_five_make_a_whole_particle(wrong: int, cause: str) -> None:
    event = image((row(10, range(20, 60)), MIP))
    predicted = event.labels.astype(int)
    predicted[:wrong] = SHOWER
    assert names(event, predicted) == [cause] * wrong + [""] * (40 - wrong)


def test_a_voxel_beside_one_of_the_predicted_class_is_at_a_boundary() -> None:
    event = image((row(10, range(20, 60)), MIP), (row(11, range(60, 90)), SHOWER))  # neighbours across the corner
    predicted = event.labels.astype(int)
    predicted[38:40] = SHOWER  # the last one touches the shower
    predicted[40] = HIP  # the shower's first touches a MIP, but no HIP
    assert names(event, predicted)[37:42] == ["", "part of a particle", "boundary", "part of a particle", ""]


def test_unknown_labels_are_not_wrong_and_unknown_particles_are_named() -> None:
    event = image((row(10, range(20, 60)), MIP), known=False)
    event = event.replace(labels=np.where(np.arange(40) < 10, -1, event.labels).astype(np.int8))
    assert names(event, np.full(40, SHOWER)) == [""] * 10 + ["particle unknown"] * 30


def test_counts_are_listed_with_their_shares_and_the_most_frequent_confusions() -> None:
    counts = CauseCounts(5)
    event = image((row(10, range(20, 60)), MIP), (row(50, range(20, 30)), HIP), (row(70, range(20, 50)), SHOWER))
    predicted = event.labels.astype(int)
    predicted[:5], predicted[40:50] = SHOWER, MIP
    counts.add(event, predicted)
    counts.add(event, event.labels)
    table = {line[0]: line[1:] for line in cause_rows(counts.record(), list(CLASS_NAMES)).rows}
    assert list(table) == list(CAUSES)
    assert table["part of a particle"] == ["5", "33.3 %", "MIP as shower 5"]
    assert table["whole particle, small"] == ["10", "66.7 %", "HIP as MIP 10"]
    assert table["boundary"] == ["0", "0.0 %", ""]

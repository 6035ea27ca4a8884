"""PILArNet-M's conventions: which events, which voxels and which labels results on that set are about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_NAMES, Event, EventFileError, Prediction, create_events, numbering, open_events
from tests.support.events.files import random_event, write_pilarnet


def public_event(points: int, first: float = 0.13) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One voxel of `first` MeV and others of 0.14, of a low-energy deposit and a track that nobody left."""
    rows = np.zeros((points, 8))
    rows[:, :3] = np.stack(np.unravel_index(np.arange(points), (16, 16, 16)), 1)
    rows[:, 3] = 0.14
    rows[0, 3] = first
    clusters = np.array([[2, -1, -1, -1, 4, -1], [points - 2, 1, 1, 0, 1, -1]])
    return rows, clusters, np.full((2, 6), -1.0)


def test_few_points_are_left_out_and_weak_voxels_dropped(tmp_path: Path) -> None:
    path = write_pilarnet(tmp_path / "public.h5", [public_event(n) for n in (1023, 1024, 5, 1500)])
    with open_events(path, conventions="pilarnet-m") as events:
        assert [event.name for event in events] == ["public.h5:1", "public.h5:3"]
        assert [len(event) for event in events] == [1023, 1499]
        assert [events.points(number) for number in range(2)] == [1024, 1500]
        event = events[0]
    assert event.label_names == numbering.SHAPE_NAMES
    assert event.labels.tolist() == [numbering.LOW_ENERGY] + 1022 * [numbering.TRACK]
    assert event.clusters.tolist() == [-1] + 1022 * [0]


def test_the_index_of_a_public_file_saves_counting(tmp_path: Path) -> None:
    path = write_pilarnet(tmp_path / "public.h5", [public_event(n) for n in (1024, 1030)])
    np.save(tmp_path / "public_points.npy", np.array([5, 1030]))
    assert [event.name for event in open_events(path, conventions="pilarnet-m")] == ["public.h5:1"]
    np.save(tmp_path / "public_points.npy", np.array([5]))
    with pytest.raises(EventFileError, match=r"public_points\.npy: expected 2 integers, .* got int64 of \(1,\)"):
        open_events(path, conventions="pilarnet-m")
    for content in (b"text", b"", b"PK\x05\x06" + bytes(18)):  # the last is an empty npz
        (tmp_path / "public_points.npy").write_bytes(content)
        with pytest.raises(EventFileError, match=r"public_points\.npy: cannot be read"):
            open_events(path, conventions="pilarnet-m")
    for counts, words in ((np.array([1030, -1]), "event 1 has -1 points"), (np.array([1.0, 2.0]), "float64 of")):
        np.save(tmp_path / "public_points.npy", counts)
        with pytest.raises(EventFileError, match=words):
            open_events(path, conventions="pilarnet-m")


def heavy(seed: int, count: int) -> Event:
    event = random_event(seed, count, (16, 16, 16))
    return event.replace(energy=np.linspace(0.05, 1, count))


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_five_types_become_shapes_in_every_format_and_in_folders(tmp_path: Path, suffix: str) -> None:
    originals = [heavy(0, 1100), heavy(1, 900), heavy(2, 1200)]
    for number, event in enumerate(originals):
        with create_events(tmp_path / f"{number}{suffix}") as writer:
            writer.append(event)
    events = open_events(tmp_path, conventions="pilarnet-m")
    assert len(events) == 2
    for event, original in zip(events, originals[::2], strict=True):
        kept = original.energy > 0.13
        assert 0 < len(event) == kept.sum() < len(original)
        shapes = numbering.shape_from_five_types(original.labels)
        assert np.bincount(event.labels + 1).tolist() == np.bincount(shapes[kept] + 1).tolist()
        assert numbering.LOW_ENERGY not in event.labels
        if suffix == ".h5":
            assert event.particles["label"].tolist() == [numbering.TRACK, numbering.TRACK, numbering.DELTA]


def test_labels_without_a_meaning_and_unknown_conventions_are_refused(tmp_path: Path) -> None:
    with create_events(tmp_path / "a.npz") as writer:
        writer.append(heavy(0, 1100))
    events = open_events(tmp_path / "a.npz", truth_means="numbers", conventions="pilarnet-m")
    with pytest.raises(
        ValueError, match=r"labels are numbers of unknown meaning, which do not determine shower, track"
    ):
        events[0]
    with pytest.raises(ValueError, match="conventions must be pilarnet-m, got 'mine'"):
        open_events(tmp_path / "a.npz", conventions="mine")
    with pytest.raises(ValueError, match="labels=attached needs the five types, but conventions=pilarnet-m turns"):
        open_events(tmp_path / "a.npz", labels="attached", conventions="pilarnet-m")


def test_predictions_follow_their_voxels_and_folders_count_the_points_of_each_event(tmp_path: Path) -> None:
    originals = [heavy(0, 1100), heavy(1, 1200)]
    with create_events(tmp_path / "a.h5") as writer:
        for event in originals:
            scores = np.repeat(event.energy[:, None], 5, 1)
            writer.append(event.replace(prediction=Prediction(np.zeros(len(event), int), scores, CLASS_NAMES)))
    np.save(tmp_path / "a_points.npy", np.array([5, 5]))  # not an index: our own files have none
    events = open_events(tmp_path, conventions="pilarnet-m")
    assert [events.points(number) for number in range(2)] == [1100, 1200]
    for event in events:
        np.testing.assert_allclose(event.prediction.scores[:, 0], event.energy, rtol=1e-6)


def test_labels_read_as_five_types_are_shapes_afterwards(tmp_path: Path) -> None:
    path = write_pilarnet(tmp_path / "public.h5", [public_event(1024)])
    (event,) = open_events(path, conventions="pilarnet-m", truth_means="five-types")
    assert event.label_names == numbering.SHAPE_NAMES
    assert (event.labels == -1).all(), "low-energy deposits and tracks of unknown particles are no five types"

"""PILArNet-M in Parquet gives the events of the HDF5 files, one row group at a time, and names what is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sscn_triton.lartpc import Event, EventFileError, PilarnetParquetEvents, numbering, open_events

pytest.importorskip("h5py")
pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet  # noqa: E402

from tests.support.events.files import Rows, public_rows, same_event, write_parquet, write_pilarnet  # noqa: E402

MOMENTA = np.array([[-1.0] * 5, [0.3, 0.0, -1, -1, -1], [0.15, 0.2, 0, 111, 7], [-1, -1, -1, 2212, 3]])
VERTICES = np.array([[0.0, 10, 20, 30.5]])


def different(version: int, *more: np.ndarray) -> Rows:
    """Five events that differ in an energy, one of which is empty."""
    events = []
    for number in range(5):
        points, *others = (part.copy() for part in (*public_rows(version), *more))
        points[0, 3] = number + 1
        events.append((points, *others))
    events[3] = tuple(np.zeros((0, part.shape[1])) for part in events[3])
    return events


@pytest.mark.parametrize("version", [1, 2, 3, "3 extra"])
def test_the_events_are_those_of_the_hdf5_file(tmp_path: Path, version: int | str) -> None:
    rows = different(3, MOMENTA, VERTICES) if version == "3 extra" else different(int(version))
    with open_events(write_parquet(tmp_path / "a.parquet", rows)) as events:
        assert isinstance(events, PilarnetParquetEvents)
        assert len(events) == 5
        originals = open_events(write_pilarnet(tmp_path / "a.h5", rows))
        assert all(map(same_event, events, originals))
        assert [len(events[number]) for number in (4, 3, 0)] == [7, 0, 7]
        assert events[4].energy[0] == 5
        assert [events.points(number) for number in range(5)] == [7, 7, 7, 0, 7]
        assert events[1].name == "a.parquet:1"
        assert same_event(pickle.loads(pickle.dumps(events))[2], originals[2])


def test_labels_are_shapes_by_the_conventions_of_pilarnet(tmp_path: Path) -> None:
    points, clusters, extra = public_rows(3)
    many = np.tile(points[2:5], (400, 1))
    many[:, :3] = np.column_stack(np.unravel_index(np.arange(1200), (10, 12, 10))) + 20
    clusters[1, 0] = 1200
    large = np.concatenate([points[:2], many, points[5:]]), clusters, extra
    (event,) = open_events(write_parquet(tmp_path / "a.parquet", [public_rows(3), large]), conventions="pilarnet-m")
    assert event.label_names == numbering.SHAPE_NAMES
    assert event.labels[0] == numbering.LOW_ENERGY
    assert len(event) == 1203, "without the voxel of 0.1 MeV, and without the event of 7 points"


def test_events_in_order_decode_each_row_group_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = parquet.ParquetFile.read_row_group

    def note(self: object, group: int, columns: list[str], **options: object) -> object:
        read.append((group, *columns))
        return real(self, group, columns, **options)

    with open_events(write_parquet(tmp_path / "a.parquet", different(3), tag=["x"] * 5)) as events:
        events[4]  # opening reads the first clusters
        monkeypatch.setattr(parquet.ParquetFile, "read_row_group", note)
        assert len(list(events)) == 5
    columns = ("point", "cluster", "cluster_extra")
    assert sorted(read) == sorted((group, column) for group in range(3) for column in columns)


class _Shared(dict):
    """The row groups in memory, where another thread reads the last event when one looks for the points of its own."""

    busy = False

    def get(self, name: str, default: Any) -> Any:
        found = super().get(name, default)
        if name == "point" and not self.busy:
            self.busy = True
            self.other()
            self.busy = False
        return found


def test_threads_that_share_a_file_read_their_own_events(tmp_path: Path) -> None:
    events = open_events(write_parquet(tmp_path / "a.parquet", different(3)))
    shared = events.handle._decoded = _Shared()
    shared.other = lambda: events[4]
    assert [events[number].energy[0] for number in (0, 1, 0)] == [1, 2, 1]


def test_the_column_of_counts_saves_reading_the_points(tmp_path: Path) -> None:
    counts = [7, 7, 7, 0, 6]
    path = write_parquet(tmp_path / "a.parquet", different(3), n_points=counts)
    events = open_events(path)
    assert [events.points(number) for number in range(5)] == counts
    assert len(events[0]) == 7
    with pytest.raises(EventFileError, match=r"a\.parquet: event 4: point: 56 numbers, but n_points is 6"):
        events[4]


WRONG = {
    "no points": ({"cluster": [[0]]}, r"no column point; the file contains cluster \(rows of int64\); expected"),
    "text": ({"point": ["a"], "cluster": [[0]]}, "point is string; expected one row of numbers of variable length"),
    "lists of text": ({"point": [["a"]], "cluster": [[0]]}, r"point is list<.*: string>; expected one row of numbers"),
    "null": (
        {"point": [None, [0.0] * 8], "cluster": [[0]] * 2},
        r"event 0: point: cannot be read \(.*null in place of",
    ),
    "null in a row": ({"point": [[0.5, None]], "cluster": [[0]]}, r"event 0: point: .*null among the numbers"),
    "counts": ({"point": [[0.0] * 8], "cluster": [[1, -1, -1, -1, 4]], "n_points": [-1]}, "n_points: expected one num"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_columns_are_named(tmp_path: Path, name: str) -> None:
    columns, message = WRONG[name]
    path = tmp_path / "wrong.parquet"
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(EventFileError, match=rf"wrong\.parquet: {message}"):
        open_events(path)[0]


def test_long_lists_are_read_too(tmp_path: Path) -> None:
    rows = dict(zip(("point", "cluster", "cluster_extra"), (part.ravel() for part in public_rows(3)), strict=True))
    table = pa.table({name: pa.array([row], pa.large_list(pa.float32())) for name, row in rows.items()})
    parquet.write_table(table, tmp_path / "a.parquet")
    (event,) = open_events(tmp_path / "a.parquet")
    assert same_event(event, open_events(write_pilarnet(tmp_path / "a.h5", [public_rows(3)]))[0])


def _name(event: Event) -> str:
    return event.name


def test_workers_of_a_data_loader_read_a_folder_of_files(tmp_path: Path) -> None:
    from torch.utils.data import DataLoader

    for stem in "ab":
        write_parquet(tmp_path / f"{stem}.parquet", different(3))
    events = open_events(tmp_path)
    assert [len(event) for event in events[4:6]] == [7, 7]
    loader = DataLoader(events, batch_size=None, num_workers=2, collate_fn=_name)
    assert list(loader) == [f"{stem}.parquet:{number}" for stem in "ab" for number in range(5)]

"""Every file format gives the events that were put into it, one at a time, through one entrance."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import Event, EventFileError, Larcv3Events, create_events, open_events

pytest.importorskip("h5py")
pytest.importorskip("uproot")
from event_files import random_event, same_event, write_larcv3
from larcv_files import write_larcv

EVENTS = [random_event(seed) for seed in range(3)] + [random_event(3, 0)]


def as_larcv3(path: Path, **options: float) -> Path:
    labelled = [event.replace(labels=np.maximum(event.labels, 0)) for event in EVENTS]
    groups = {"data": [event.energy for event in EVENTS], "fivetypes": [event.labels for event in labelled]}
    entries = {
        f"sparse3d_{name}_group": [[(event, one)] for event, one in zip(EVENTS, values, strict=True)]
        for name, values in groups.items()
    }
    return write_larcv3(path, entries, **options)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".h5", ".HDF5"])
def test_what_is_written_reads_back(tmp_path: Path, suffix: str) -> None:
    with create_events(tmp_path / f"events{suffix}") as writer:
        for event in EVENTS:
            writer.append(event)
    with open_events(writer.path) as events:
        assert len(events) == 4
        for event, original in zip(events, EVENTS, strict=True):
            assert same_event(event, original, particles=False)
            assert event.name == original.name
        assert same_event(events[2], EVENTS[2], particles=False)
        assert [len(event) for event in events[1:]] == [60, 60, 0]
        assert same_event(pickle.loads(pickle.dumps(events))[-2], EVENTS[2], particles=False)


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_planes_are_written_too(tmp_path: Path, suffix: str) -> None:
    plane = random_event(0, shape=(20, 9))
    with create_events(tmp_path / f"planes{suffix}") as writer:
        writer.append(plane)
    (event,) = open_events(writer.path)
    assert same_event(event, plane, particles=False)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".h5"])
def test_no_events_are_a_file_too(tmp_path: Path, suffix: str) -> None:
    with create_events(tmp_path / f"none{suffix}"):
        pass
    assert len(open_events(tmp_path / f"none{suffix}")) == 0


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".h5"])
def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path, suffix: str) -> None:
    def fail() -> None:
        with create_events(tmp_path / f"events{suffix}") as writer:
            writer.append(EVENTS[0])
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_larcv2_is_read_event_by_event(tmp_path: Path) -> None:
    known = [event.replace(labels=np.maximum(event.labels, 0)) for event in EVENTS]
    with open_events(write_larcv(tmp_path / "events.root", known)) as events:
        assert len(events) == 4
        for event, original in zip(events, known, strict=True):
            np.testing.assert_array_equal(event.labels.sum(), original.labels.sum())
            np.testing.assert_allclose(event.energy.sum(), original.energy.sum(), rtol=1e-6)
        assert len(events[-1]) == 0
        assert events[1].name == "events.root:1"
        assert events[1].particles["pdg"].tolist() == [2212, -13, 11]


def test_the_real_events_pass_through_our_file_unchanged(real_file: Path, tmp_path: Path) -> None:
    with create_events(tmp_path / "real.h5") as writer, open_events(real_file) as events:
        for event in events:
            writer.append(event)
    with open_events(real_file) as events, open_events(writer.path) as copies:
        for event, copy in zip(events, copies, strict=True):
            assert same_event(event, copy)


def test_larcv3_images_are_read(tmp_path: Path) -> None:
    with open_events(as_larcv3(tmp_path / "larcv3.h5")) as events:
        assert isinstance(events, Larcv3Events)
        assert len(events) == 4
        for number, (event, original) in enumerate(zip(events, EVENTS, strict=True)):
            expected = original.replace(labels=np.maximum(original.labels, 0), origin=event.origin)
            assert same_event(event, expected, particles=False)
            np.testing.assert_allclose(event.origin, original.origin)
            assert event.name == f"larcv3.h5:{number}"


def test_larcv3_planes_are_events_of_their_own(tmp_path: Path) -> None:
    planes = [random_event(seed, shape=(20, 9)) for seed in range(5)]
    images = [[(plane, plane.energy) for plane in planes[:3]], [], [(plane, plane.energy) for plane in planes[3:]]]
    with open_events(write_larcv3(tmp_path / "planes.h5", {"sparse2d_wire_group": images})) as events:
        assert [event.name.split(":", 1)[1] for event in events] == ["0:0", "0:1", "0:2", "2:0", "2:1"]
        for event, plane in zip(events, planes, strict=True):
            assert same_event(event, plane.replace(labels=np.full(60, -1), origin=event.origin), particles=False)


def test_larcv3_groups_are_chosen_or_named(tmp_path: Path) -> None:
    images = [[(EVENTS[0], EVENTS[0].energy)]]
    groups = {f"sparse3d_{name}_group": images for name in ("one", "two")}
    path = write_larcv3(tmp_path / "larcv3.h5", groups)
    with pytest.raises(EventFileError, match=r"Data must hold one sparse group .*'sparse3d_two_group'"):
        open_events(path)
    assert len(Larcv3Events(path, data="sparse3d_two_group")) == 1
    with pytest.raises(EventFileError, match="no sparse group sparse3d_three_group"):
        Larcv3Events(path, data="sparse3d_three_group")


def test_unequal_edges_need_a_decision(tmp_path: Path) -> None:
    path = as_larcv3(tmp_path / "larcv3.h5", edges=2.0)
    with pytest.raises(EventFileError, match="unequal edges: give Larcv3Events the voxel_size"):
        open_events(path)[0]
    assert Larcv3Events(path, voxel_size=4.0)[0].voxel_size == 4.0


def columns(tmp_path: Path, **changes: np.ndarray) -> Event:
    given = {"x": np.array([3, 0]), "y": np.array([1, 2]), "z": np.array([0, 9]), "value": np.array([0.5, 1.5])}
    np.savez(tmp_path / "plain.npz", **{k: v for k, v in {**given, **changes}.items() if v is not None})
    (event,) = open_events(tmp_path / "plain.npz")
    return event


def test_plain_npz_columns_are_an_event(tmp_path: Path) -> None:
    event = columns(tmp_path)
    assert event.coordinates.tolist() == [[3, 1, 0], [0, 2, 9]]
    assert (event.spatial_shape, event.voxel_size, event.name) == ((4, 3, 10), 3.0, "plain.npz:0")
    assert event.labels.tolist() == [-1, -1]
    event = columns(tmp_path, label=np.array([4, -1]), spatial_shape=np.array([16, 16, 16]), voxel_size=np.array(4.0))
    assert (event.labels.tolist(), event.spatial_shape, event.voxel_size) == ([4, -1], (16, 16, 16), 4.0)
    assert columns(tmp_path, z=None).coordinates.tolist() == [[3, 1], [0, 2]]
    assert columns(tmp_path, x=np.array([3.0, 0.0])).coordinates[0, 0] == 3


BAD_COLUMNS = {
    "none": ({"y": None}, "event 0: no array y"),
    "short": ({"x": np.array([1])}, "event 0: columns of different lengths"),
    "table": ({"x": np.ones((2, 2), int)}, "event 0: columns of different lengths, or not columns"),
    "fraction": ({"x": np.array([0.5, 1])}, "event 0: x: 0.5, not a voxel's number"),
    "negative": ({"z": np.array([-1, 1])}, "event 0: z: -1 to 1; allowed are 0 to 1048575"),
    "huge": ({"z": np.array([1, 2**40])}, "event 0: z: 1 to 1099511627776"),
    "NaN site": ({"x": np.array([np.nan, 1])}, "event 0: x: nan"),
    "NaN": ({"value": np.array([np.nan, 1])}, "event 0: energy of row 0 is nan"),
    "twice": ({"x": np.zeros(2, int), "y": np.zeros(2, int), "z": np.zeros(2, int)}, "a second time"),
    "label": ({"label": np.array([0, 5])}, "event 0: labels of row 1 is 5"),
    "words": ({"value": np.array(["a", "b"])}, "event 0: energy must be real numbers"),
    "objects": ({"value": np.array([{}, 1], dtype=object)}, "event 0: value: cannot be read .*pickle"),
    "size": ({"voxel_size": np.array([1.0, 2.0])}, "event 0: voxel_size must be one length"),
    "shape": ({"spatial_shape": np.array([4, 4])}, "event 0: spatial_shape"),
    "origin": ({"origin": np.array([0.0])}, "event 0: origin must be 3"),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_bad_npz_columns_are_named(tmp_path: Path, name: str) -> None:
    changes, message = BAD_COLUMNS[name]
    with pytest.raises(EventFileError, match=rf"plain\.npz: {message}|plain\.npz: event 0: .*{message}"):
        columns(tmp_path, **changes)


def csv(tmp_path: Path, text: str) -> list[Event]:
    (tmp_path / "plain.csv").write_text(text)
    return list(open_events(tmp_path / "plain.csv"))


def test_plain_csv_is_read(tmp_path: Path) -> None:
    (event,) = csv(tmp_path, "x,y,z,value,label\n1,2,3,0.5,4\n\n0,0,0,1e-2,-1\n")
    assert event.coordinates.tolist() == [[1, 2, 3], [0, 0, 0]]
    assert (event.labels.tolist(), event.name) == ([4, -1], "plain.csv:0")
    assert event.energy.tolist() == [0.5, np.float32(0.01)]
    several = csv(tmp_path, "# from a colleague\nvalue, x, y, event, charge\n1,0,0,7,9\n2,1,0,7,9\n3,0,0,9,9")
    assert [event.energy.tolist() for event in several] == [[1, 2], [3]]
    assert [event.ndim for event in several] == [2, 2]


BAD_ROWS = {
    "no header": ("1,2,3,0.5\n", r"header \['1', '2', '3', '0\.5'\]; expected columns x, y"),
    "empty": ("", "no header"),
    "short": ("x,y,z,value\n1,2,3\n", "event 0: row '1,2,3' has 3 columns, the header 4"),
    "fraction": ("x,y,z,value\n1,2.5,3,1\n", "event 0: y: ValueError"),
    "word": ("x,y,z,value\n1,2,3,much\n", "event 0: value: ValueError"),
    "NaN": ("x,y,z,value\n1,2,3,nan\n", "event 0: energy of row 0 is nan"),
    "huge": ("x,y,z,value\n1,2,99999999999999999999,1\n", "event 0: z: "),
    "label": ("x,y,z,value,label\n1,2,3,1,9\n", "event 0: labels of row 0 is 9"),
    "bytes": ("x,y,z,value\n1,2,\udcff,1\n", "event 0: z: ValueError"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_csv_rows_are_named(tmp_path: Path, name: str) -> None:
    text, message = BAD_ROWS[name]
    (tmp_path / "plain.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EventFileError, match=rf"plain\.csv: {message}"):
        list(open_events(tmp_path / "plain.csv"))


@pytest.mark.parametrize("name", ["none.h5", "none.csv", "none"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
        open_events(tmp_path / name)


@pytest.mark.parametrize("name", ["a.root", "a.h5", "a.npz", "a.csv", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"some words", bytes(500), b"root", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_a_foreign_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EventFileError) as caught:
        open_events(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_only_what_can_be_written_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.root: files are written as \.h5, \.hdf5, \.npz, \.csv"):
        create_events(tmp_path / "a.root")

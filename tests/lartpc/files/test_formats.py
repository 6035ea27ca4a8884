"""Every file format returns the events written to it, one at a time, through `open_events`."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import Event, EventFileError, Larcv3Events, create_events, open_events

pytest.importorskip("h5py")
pytest.importorskip("uproot")
from tests.support.events.files import public_rows, random_event, same_event, write_larcv3, write_pilarnet
from tests.support.events.formats import FORMATS, Format, make
from tests.support.events.larcv import Trees, unfill, write_larcv

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
def test_written_events_are_read_back(tmp_path: Path, suffix: str) -> None:
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
def test_planes_can_be_written(tmp_path: Path, suffix: str) -> None:
    plane = random_event(0, shape=(20, 9))
    with create_events(tmp_path / f"planes{suffix}") as writer:
        writer.append(plane)
    (event,) = open_events(writer.path)
    assert same_event(event, plane, particles=False)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".h5"])
def test_a_file_may_contain_no_events(tmp_path: Path, suffix: str) -> None:
    with create_events(tmp_path / f"none{suffix}"):
        pass
    assert len(open_events(tmp_path / f"none{suffix}")) == 0


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".h5"])
def test_a_failed_writer_leaves_no_file(tmp_path: Path, suffix: str) -> None:
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


def test_the_events_of_pilarnet_pass_through_our_file_unchanged(pilarnet_file: Path, tmp_path: Path) -> None:
    with create_events(tmp_path / "pilarnet.h5") as writer, open_events(pilarnet_file) as events:
        for event in events:
            writer.append(event)
    with open_events(pilarnet_file) as events, open_events(writer.path) as copies:
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


def test_larcv3_planes_are_separate_events(tmp_path: Path) -> None:
    planes = [random_event(seed, shape=(20, 9)) for seed in range(5)]
    images = [[(plane, plane.energy) for plane in planes[:3]], [], [(plane, plane.energy) for plane in planes[3:]]]
    with open_events(write_larcv3(tmp_path / "planes.h5", {"sparse2d_wire_group": images})) as events:
        assert [event.name.split(":", 1)[1] for event in events] == ["0:0", "0:1", "0:2", "1", "2:0", "2:1"]
        assert (len(events[3]), events[3].spatial_shape) == (0, (20, 9))
        for event, plane in zip([*events[:3], *events[4:]], planes, strict=True):
            assert same_event(event, plane.replace(labels=np.full(60, -1), origin=event.origin), particles=False)


EMPTY = {"first": [0], "middle": [2], "last": [4], "two": [0, 1], "apart": [1, 4], "all": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("where", EMPTY)
def test_an_entry_that_was_never_filled_is_an_empty_event(tmp_path: Path, kind: Format, where: str) -> None:
    """For larcv2, no voxels and an image that was never set; for larcv3, the same or no image at all."""
    full = [random_event(seed).replace(labels=np.arange(60) % 5) for seed in range(5)]
    given = [random_event(i, 0) if i in EMPTY[where] else event for i, event in enumerate(full)]
    with open_events(make(kind, tmp_path, given)) as events:
        assert [len(event) for event in events] == [len(event) for event in given]
        assert [len(events[i]) for i in (4, 2, 0)] == [len(given[i]) for i in (4, 2, 0)]
        for event, original in zip(events, given, strict=True):
            assert np.array_equal(np.sort(event.energy), np.sort(original.energy))
            if kind.writer or (where != "all" and kind.name != "PILArNet-M Parquet"):  # public images have one shape
                assert (event.spatial_shape, event.voxel_size) == (original.spatial_shape, original.voxel_size)


def test_fields_that_larcv_never_set_may_contain_its_invalid_number(tmp_path: Path) -> None:
    def damage(trees: Trees) -> None:
        unfill(trees, 0, number=2**64 - 1)

    given = [event.replace(labels=np.maximum(event.labels, 0)) for event in EVENTS[:2]]
    with open_events(write_larcv(tmp_path / "events.root", given, damage)) as events:
        assert [len(event) for event in events] == [0, 60]


def test_public_pilarnet_rows_that_were_never_written_are_empty_events(tmp_path: Path) -> None:
    import h5py

    path = write_pilarnet(tmp_path / "public.h5", [public_rows(3)] * 3)
    with h5py.File(path, "r+") as file:
        for name in ("point", "cluster", "cluster_extra"):
            file[name][1] = file[name][1][:0]
    assert [len(event) for event in open_events(path)] == [7, 0, 7]
    with h5py.File(tmp_path / "none.h5", "w") as file:
        for name, kind in (("point", "f4"), ("cluster", "i4"), ("cluster_extra", "f4")):
            file.create_dataset(name, (3,), h5py.vlen_dtype(np.dtype(kind)))
    assert [len(event) for event in open_events(tmp_path / "none.h5")] == [0, 0, 0]


def test_plain_npz_without_a_voxel_is_an_empty_event(tmp_path: Path) -> None:
    none = dict.fromkeys(("x", "y", "z", "value", "label"), np.array([]))
    np.savez(tmp_path / "none.npz", **none)
    (event,) = open_events(tmp_path / "none.npz")
    assert (len(event), event.spatial_shape) == (0, (1, 1, 1))


def test_larcv3_groups_are_chosen_or_named(tmp_path: Path) -> None:
    images = [[(EVENTS[0], EVENTS[0].energy)]]
    groups = {f"sparse3d_{name}_group": images for name in ("one", "two")}
    path = write_larcv3(tmp_path / "larcv3.h5", groups)
    with pytest.raises(EventFileError, match=r"names do not show which sparse group .*'sparse3d_two_group'"):
        open_events(path)
    assert len(Larcv3Events(path, energies="sparse3d_two_group")) == 1
    with pytest.raises(EventFileError, match="no sparse group sparse3d_three_group"):
        Larcv3Events(path, energies="sparse3d_three_group")


def test_unequal_voxel_edges_require_voxel_size(tmp_path: Path) -> None:
    path = as_larcv3(tmp_path / "larcv3.h5", edges=2.0)
    with pytest.raises(
        EventFileError, match=r"unequal edges: pass the edge in mm to use as voxel_size \(--voxel_size MM\)"
    ):
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
    "short": ({"x": np.array([1])}, "event 0: columns must be one-dimensional and equally long"),
    "table": ({"x": np.ones((2, 2), int)}, "event 0: columns must be one-dimensional"),
    "fraction": ({"x": np.array([0.5, 1])}, "event 0: x: 0.5 in row 0 is not a voxel number"),
    "negative": ({"z": np.array([-1, 1])}, "event 0: z: -1 to 1; the allowed range is 0 to 1048575"),
    "huge": ({"z": np.array([1, 2**40])}, "event 0: z: 1 to 1099511627776"),
    "NaN site": ({"x": np.array([np.nan, 1])}, "event 0: x: nan"),
    "NaN": ({"value": np.array([np.nan, 1])}, "event 0: energy of row 0 is nan"),
    "twice": ({"x": np.zeros(2, int), "y": np.zeros(2, int), "z": np.zeros(2, int)}, "1 duplicate voxels"),
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
    "no header": (
        "1,2,3,0.5\n",
        r"line 1: header '1,2,3,0\.5': no column x, y, value; expected a line with the columns",
    ),
    "empty": ("", "no header; expected columns x, y"),
    "short": ("x,y,z,value\n1,2,3\n", "event 0: line 2: 3 cells in '1,2,3', but the header names 4 columns"),
    "fraction": (
        "x,y,z,value\n1,2.5,3,1\n",
        r"event 0: line 2: column y is '2\.5'; expected an integer voxel number, 0",
    ),
    "word": ("x,y,z,value\n\n1,2,3,much\n", "event 0: line 3: column value is 'much'; expected an energy in MeV"),
    "NaN": ("x,y,z,value\n1,2,3,nan\n", "event 0: line 2: column value is 'nan'; expected an energy"),
    "huge": (
        "x,y,z,value\n1,2,99999999999999999999,1\n",
        "event 0: line 2: column z is '9*'; expected .* 0 to 1048575",
    ),
    "too much": ("x,y,z,value\n1,2,3,1e39\n", "event 0: line 2: column value is '1e39'"),
    "label": (
        "x,y,z,value,label\n1,2,3,1,9\n",
        r"event 0: line 2: column label is '9'; expected an integer label, .* to 4",
    ),
    "bytes": ("x,y,z,value\n1,2,\udcff,1\n", "event 0: line 2: column z is "),
    "empty cell": (
        "x,y,z,value,label\n1,2,3,1,\n",
        "event 0: line 2: column label is empty; expected an integer label",
    ),
    "empty event": ("event,x,y,value\n1,2,3,1\n,1,2,3\n", "line 3: column event is empty; expected an event number"),
    "more cells": ("x,y,z,value\n1,2,3,1,5\n", "event 0: line 2: 5 cells in '1,2,3,1,5', but the header names 4"),
    "semicolons": ("x;y;z;value\n1;2;3;0,5\n", "line 1: columns are separated by semicolons; expected commas"),
    "tabs": ("# note, this\nx\ty\tz\tvalue\n", "line 2: columns are separated by tabs; expected commas"),
    "UTF-16": ("\udcff\udcfex\0,\0", "line 1: the text is UTF-16; save it as CSV UTF-8"),
    "CR": ("x,y,z,value\r1,2,3,4\r", "line 1: lines end with CR alone"),
    "two columns": ("x,y,Value,VALUE\n", r"line 1: header .*: 2 columns named value \(Value, VALUE\)"),
    "quotation": ('x,y,z,value,note\n1,2,3,1,"one\nline more"\n', "event 0: line 2: a quotation mark is not closed"),
    "event again": (
        "event,x,y,value\n7,0,0,1\n\n8,0,0,1\n7.0,1,1,1\n",
        "line 5: event 7, which began at line 2, continues after rows of event 8; .* sort the file by the column event",
    ),
    "voxel again": (
        "x,y,value\n1,2,3\n0,0,1\n1,2,4\n",
        r"event 0: 1 duplicate voxels in coordinates, .* \[1, 2\] in row 2",
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_csv_rows_are_named(tmp_path: Path, name: str) -> None:
    text, message = BAD_ROWS[name]
    (tmp_path / "plain.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EventFileError, match=rf"plain\.csv: {message}"):
        list(open_events(tmp_path / "plain.csv"))


AS_WRITTEN = {
    "as it should be": "event,x,y,z,value,label\n1,2,3,4,0.5,4\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0\n",
    "byte order mark": "\ufeffevent,x,y,z,value,label\n1,2,3,4,0.5,4\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0\n",
    "CRLF": "event,x,y,z,value,label\r\n1,2,3,4,0.5,4\r\n1,0,0,0,1.5,-1\r\n3,1,1,1,2.0,0\r\n",
    "blank lines": "\n\nevent,x,y,z,value,label\n\n1,2,3,4,0.5,4\n\n1,0,0,0,1.5,-1\n \n3,1,1,1,2.0,0\n\n\n",
    "blank CRLF lines": "event,x,y,z,value,label\r\n1,2,3,4,0.5,4\r\n\r\n1,0,0,0,1.5,-1\r\n3,1,1,1,2.0,0\r\n\r\n",
    "commas alone": "event,x,y,z,value,label\n1,2,3,4,0.5,4\n,,,,,\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0\n,,,,,\n",
    "whole floats": "event,x,y,z,value,label\n1.0,2.0,3.,4e0,0.5,4.0\n1,0,0,0,1.5,-1.0\n3.00,1,1,1,2,0\n",
    "spaces": "event, x, y, z, value, label\n1, 2, 3, 4, 0.5, 4\n1 ,0 ,0 ,0 ,1.5 ,-1\n 3,1,1,1,2.0,0\n",
    "capitals": "Event,X,Y,Z,VALUE,Label\n1,2,3,4,0.5,4\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0\n",
    "trailing commas": "event,x,y,z,value,label,\n1,2,3,4,0.5,4,\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0,,,\n",
    "quotation marks": '"event","x","y","z","value","label"\n"1","2","3","4","0.5","4"\n1,0,0,0, "1.5",-1\n3,1,1,1,2,0',
    "quoted events": 'note,event,x,y,z,value,label\n,1,2,3,4,0.5,4\n,1,0,0,0,1.5,-1\n"x,1,y",3,1,1,1,2.0,0\n',
    "quoted commas": 'note,event,x,y,z,value,label\n"a, b",1,2,3,4,0.5,4\n,1,0,0,0,1.5,-1\n"",3,1,1,1,2.0,0\n',
    "no last line end": "event,x,y,z,value,label\n1,2,3,4,0.5,4\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0",
    "words for events": "event,x,y,z,value,label\nrun1_a,2,3,4,0.5,4\nrun1_a,0,0,0,1.5,-1\nrun1_b,1,1,1,2.0,0\n",
    "comments": "# from a colleague\nevent,x,y,z,value,label\n1,2,3,4,0.5,4\n# note\n1,0,0,0,1.5,-1\n3,1,1,1,2.0,0\n",
    "exact name first": "event,x,y,z,VALUE,value,label\n1,2,3,4,9,0.5,4\n1,0,0,0,9,1.5,-1\n3,1,1,1,9,2.0,0\n",
}


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_csv_as_people_write_it_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain.csv").write_bytes(AS_WRITTEN[name].encode())
    events = list(open_events(tmp_path / "plain.csv"))
    assert [event.coordinates.tolist() for event in events] == [[[2, 3, 4], [0, 0, 0]], [[1, 1, 1]]]
    assert [event.energy.tolist() for event in events] == [[0.5, 1.5], [2.0]]
    assert [event.labels.tolist() for event in events] == [[4, -1], [0]]


REWRITTEN = {
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "blank lines": lambda text: text.replace(b"\n", b"\n\n") + b"\n",
    "no last line end": lambda text: text.rstrip(),
    "all of these": lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n\r\n").rstrip(),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_csv_file_rewritten_by_an_editor_is_read(tmp_path: Path, name: str) -> None:
    with create_events(tmp_path / "events.csv") as writer:
        for event in EVENTS:
            writer.append(event)
    writer.path.write_bytes(REWRITTEN[name](writer.path.read_bytes()))
    with open_events(writer.path) as events:
        assert len(events) == len(EVENTS)
        for event, original in zip(events, EVENTS, strict=True):
            assert same_event(event, original, particles=False)


EDITED = {
    "first line": (b"# sscn events", b"# my events", "line 3: damaged: the first line of the file is not"),
    "header": (b"event,x,y,z", b"event,z,y,x", "line 2: damaged: the columns are 'event,z,y,x"),
    "a digit": (b",60 voxels", b",61 voxels", "event 0: damaged"),
    "a label": (b",-1\n", b",0\n", "event 0: damaged or edited"),
    "the end": (b"# end: 4", b"# end: 5", "truncated or damaged: its last line is not '# end: 4 events'"),
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_csv_file_is_refused_with_a_way_to_read_it(tmp_path: Path, name: str) -> None:
    with create_events(tmp_path / "events.csv") as writer:
        for event in EVENTS:
            writer.append(event)
    old, new, message = EDITED[name]
    text = writer.path.read_bytes().replace(b", 60 voxels", b",60 voxels") if name == "a digit" else None
    text = (text or writer.path.read_bytes()).replace(old, new, 1)
    writer.path.write_bytes(text)
    with pytest.raises(EventFileError, match=rf"events\.csv: {message}"):
        list(open_events(writer.path))
    plain = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
    writer.path.write_bytes(plain)
    assert len(open_events(writer.path)) == 3  # the empty event left no row


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


def test_only_supported_formats_are_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.root: the name must end with one of \.h5, \.hdf5, \.npz, \.csv"):
        create_events(tmp_path / "a.root")

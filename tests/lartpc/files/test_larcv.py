"""larcv files are read as written, and the error for a damaged one names file, entry and field."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import PARTICLE_DTYPE, Event, LarcvError, read_larcv, simulate

uproot = pytest.importorskip("uproot")
from tests.support.events.larcv import DATA, LABELS, PARTICLES, Trees, unfill, write_larcv  # noqa: E402


def small_event(seed: int, count: int = 40) -> Event:
    """An image with three different edges, and voxels in the file's order (x fastest)."""
    rng = np.random.default_rng(seed)
    shape = (7, 11, 5)
    ids = np.sort(rng.choice(np.prod(shape), count, replace=False))
    coordinates = np.column_stack(np.unravel_index(ids, shape, order="F"))
    particles = np.zeros(3, PARTICLE_DTYPE)
    particles["track_id"], particles["parent_track_id"] = [1, 2, 3], [1, 2, 2]
    particles["pdg"], particles["parent_pdg"] = [2212, 13, 11], [2212, 13, 13]
    particles["label"] = [0, 1, -1]
    for field in ("energy_init", "energy_deposit", "momentum", "start", "first_step", "last_step", "end"):
        particles[field] = rng.normal(size=particles[field].shape)
    labels = rng.integers(0, 5, count)
    return Event(coordinates, rng.random(count), labels, particles, 3.0, rng.normal(size=3), shape, f"e{seed}")


def assert_same(one: Event, other: Event) -> None:
    for field in ("coordinates", "energy", "labels"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for field in PARTICLE_DTYPE.names or ():
        if one.particles[field].dtype.kind == "f":
            np.testing.assert_allclose(one.particles[field], other.particles[field])
        else:
            np.testing.assert_array_equal(one.particles[field], other.particles[field])
    assert one.spatial_shape == other.spatial_shape
    assert one.voxel_size == pytest.approx(other.voxel_size)
    np.testing.assert_allclose(one.origin, other.origin)


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    events = [small_event(seed) for seed in range(4)] + [small_event(9, count=0)]
    read = read_larcv(write_larcv(tmp_path / "events.root", events))
    assert len(read) == 5
    for event, original in zip(read, events, strict=True):
        assert_same(event, original)
    assert [event.name for event in read] == [f"events.root:{entry}" for entry in range(5)]


def test_a_simulated_event_reads_back(tmp_path: Path) -> None:
    event = simulate(5, 0, 32)
    event.particles["process"] = ""
    event.particles["label"][np.abs(event.particles["pdg"]) == 11] = -1
    (read,) = read_larcv(write_larcv(tmp_path / "simulated.root", [event]))
    assert_same(read, event)


def test_entries_are_read_in_the_requested_order(tmp_path: Path) -> None:
    events = [small_event(seed) for seed in range(4)]
    read = read_larcv(write_larcv(tmp_path / "events.root", events), entries=[3, 0, 1])
    for event, original in zip(read, [events[3], events[0], events[1]], strict=True):
        assert_same(event, original)
    assert read_larcv(tmp_path / "events.root", entries=[]) == []
    with pytest.raises(IndexError, match=r"events\.root: there is no entry 4; the file has 4"):
        read_larcv(tmp_path / "events.root", entries=[4])


def test_labels_in_another_order_follow_their_voxels(tmp_path: Path) -> None:
    def reverse(trees: Trees) -> None:
        for field in ("_voxel_v._id", "_voxel_v._value"):
            trees[LABELS][field] = [values[::-1] for values in trees[LABELS][field]]

    event = small_event(0)
    (read,) = read_larcv(write_larcv(tmp_path / "events.root", [event], reverse))
    assert_same(read, event)


def test_labels_and_particles_are_optional(tmp_path: Path) -> None:
    def drop(trees: Trees) -> None:
        del trees[LABELS], trees[PARTICLES]

    path = write_larcv(tmp_path / "events.root", [small_event(0)], drop)
    (event,) = read_larcv(path, truth="none", particles="none")
    assert (event.labels == -1).all()
    assert len(event.particles) == 0


def test_the_events_of_pilarnet_are_read(pilarnet_file: Path) -> None:
    events = read_larcv(pilarnet_file)
    assert [len(event) for event in events] == [3827, 1671, 4061, 13672, 4151]
    assert {event.spatial_shape for event in events} == {(192, 192, 192)}
    assert {event.voxel_size for event in events} == {3.0}
    np.testing.assert_allclose(events[0].origin, [747.0, -252.0, 4785.0])
    assert events[0].energy.min() >= 0.010
    assert [len(event.particles) for event in events] == [15, 19, 30, 40, 18]
    shares = np.bincount(events[3].labels, minlength=5) / len(events[3])
    assert np.bincount(events[1].particles["label"] + 1).tolist() == [0, 1, 5, 11, 0, 2]
    np.testing.assert_allclose(shares, [0.2415, 0.1988, 0.5388, 0.0209, 0.0], atol=1e-4)


def test_voxels_of_a_proton_of_pilarnet_lie_on_its_path(pilarnet_file: Path) -> None:
    """This fails if a voxel's number has its axes in another order."""
    (event,) = read_larcv(pilarnet_file, entries=[0])
    proton = event.particles[0]
    assert (proton["pdg"], proton["process"], proton["label"]) == (2212, "primary", 0)
    inside = event.positions[event.labels == 0]
    low = np.minimum(proton["first_step"], proton["last_step"]) - 10
    high = np.maximum(proton["first_step"], proton["last_step"]) + 10
    assert ((inside > low) & (inside < high)).all()


def _set(tree: str, field: str, entry: int, place: int, value: float) -> object:
    def damage(trees: Trees) -> None:
        array = np.array(trees[tree][field][entry])
        array[place] = value
        trees[tree][field][entry] = array

    return damage


def _every(tree: str, field: str, value: object) -> object:
    def damage(trees: Trees) -> None:
        trees[tree][field] = [value] * len(trees[tree][field])

    return damage


def _drop_branch(tree: str, field: str) -> object:
    return lambda trees: trees[tree].pop(field)


def _drop_last(tree: str) -> object:
    def damage(trees: Trees) -> None:
        trees[tree] = {field: items[:-1] for field, items in trees[tree].items()}

    return damage


def _shorten(tree: str, fields: tuple[str, ...], entry: int) -> object:
    def damage(trees: Trees) -> None:
        for field in fields:
            trees[tree][field][entry] = trees[tree][field][entry][:-1]

    return damage


VOXELS = ("_voxel_v._id", "_voxel_v._value")
DAMAGE = {
    "no data tree": (lambda trees: trees.pop(DATA), r"no tree sparse3d_data_tree; the file contains \["),
    "no label tree": (lambda trees: trees.pop(LABELS), "no tree sparse3d_fivetypes_tree"),
    "no particle tree": (lambda trees: trees.pop(PARTICLES), "no tree particle_mcst_tree"),
    "no energies": (_drop_branch(DATA, "_voxel_v._value"), "sparse3d_data_tree: no branch _voxel_v._value"),
    "no meta": (_drop_branch(LABELS, "_meta._ynum"), "sparse3d_fivetypes_tree: no branch _meta._ynum"),
    "no pdg": (_drop_branch(PARTICLES, "_part_v._pdg"), "particle_mcst_tree: no branch _part_v._pdg"),
    "fewer labels": (_drop_last(LABELS), "sparse3d_fivetypes_tree has 2 entries, but sparse3d_data_tree has 3"),
    "NaN energy": (_set(DATA, VOXELS[1], 1, 4, np.nan), r"entry 1: sparse3d_data_tree/_voxel_v\._value: nan at voxel"),
    "infinite energy": (_set(DATA, VOXELS[1], 2, 0, np.inf), r"entry 2: sparse3d_data_tree/_voxel_v\._value: inf"),
    "voxel outside": (_set(DATA, VOXELS[0], 1, -1, 385), r"entry 1: .*_id: voxel 385 lies outside .* 385 voxels"),
    "huge voxel": (_set(DATA, VOXELS[0], 1, -1, 2**63), "entry 1: .*_id: voxel 9223372036854775808 lies outside"),
    "other voxels": (
        _shorten(LABELS, VOXELS, 2),
        r"entry 2: .*labels and data have different voxels \(1 occur in",
    ),
    "unknown label": (_set(LABELS, VOXELS[1], 0, 3, 5), r"entry 0: .*_value: label 5\.0; the allowed range is 0 to 4"),
    "half a label": (_set(LABELS, VOXELS[1], 0, 3, 1.5), "entry 0: .*_value: label 1.5"),
    "negative label": (_set(LABELS, VOXELS[1], 0, 3, -1), "entry 0: .*_value: label -1.0"),
    "fewer numbers": (_shorten(DATA, VOXELS[:1], 1), "entry 1: .*/_voxel_v: 39 voxel numbers but 40 values"),
    "fewer particles": (_shorten(PARTICLES, ("_part_v._px",), 1), "entry 1: .*2 particles in _part_v._px, but 3 in"),
    "no voxels an axis": (_every(DATA, "_meta._xnum", np.uint64(0)), r"entry 0: .*_meta._xnum.*\(0, 11, 5\)"),
    "no labels of an entry": (
        lambda trees: unfill(trees, 1, (LABELS,)),
        "entry 1: .*labels and data have different voxels .*40 occur in",
    ),
    "flat voxels": (_every(DATA, "_meta._zlen", 0.0), r"entry 0: .*_meta._xlen.* cubes"),
    "unequal edges": (_every(DATA, "_meta._zlen", 0.4), r"entry 0: .*_meta._xlen.* cubes"),
    "no origin": (_every(DATA, "_meta._p1.y", np.nan), r"entry 0: .*_meta._p1: .* not finite"),
    "other unit": (_every(DATA, "_meta._unit", np.int32(0)), r"entry 0: .*_meta._unit: 0, expected 1 \(cm\)"),
    "other image": (
        _every(LABELS, "_meta._xnum", np.uint64(8)),
        r"entry 0: .*\(8, 11, 5\) voxels, but the data's has",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    path = write_larcv(tmp_path / "damaged.root", [small_event(seed) for seed in range(3)], damage)
    with pytest.raises(LarcvError, match=message) as caught:
        read_larcv(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_duplicate_voxel_is_named(tmp_path: Path) -> None:
    def damage(trees: Trees) -> None:
        for tree in (DATA, LABELS):
            trees[tree][VOXELS[0]][0][1] = trees[tree][VOXELS[0]][0][0]

    path = write_larcv(tmp_path / "damaged.root", [small_event(0)], damage)
    with pytest.raises(LarcvError, match=r"entry 0: .*_id: voxel \d+ occurs twice"):
        read_larcv(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "none.root"))):
        read_larcv(tmp_path / "none.root")


@pytest.mark.parametrize("content", [b"", b"x", b"root", b"\x89HDF\r\n\x1a\n" + bytes(500), b"x,y,z\n1,2,3\n" * 99])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.root"
    path.write_bytes(content)
    with pytest.raises(LarcvError, match=r"foreign\.root: not a ROOT file, or a truncated one"):
        read_larcv(path)


def test_a_root_file_without_trees_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.root"
    with uproot.recreate(path) as file:
        file["histogram"] = np.histogram([1.0, 2.0])
    with pytest.raises(LarcvError, match=r"no tree sparse3d_data_tree; the file contains \['histogram'\]"):
        read_larcv(path)


@pytest.mark.parametrize("energies", [None, "sparse2d_data"], ids=["usual", "named"])
def test_a_file_of_planes_is_refused_with_that_reason(tmp_path: Path, energies: str | None) -> None:
    path = tmp_path / "planes.root"
    with uproot.recreate(path) as file:
        file.mktree("sparse2d_data_tree", {"_type": "int32"})
    message = r"planes\.root: .*sparse2d_data_tree.* two-dimensional images, but only three-dimensional ones, sparse3d"
    with pytest.raises(LarcvError, match=message):
        read_larcv(path, energies=energies)


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 17))
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = write_larcv(tmp_path / "whole.root", [small_event(seed) for seed in range(3)])
    content = whole.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LarcvError, match=r"cut\.root: "):
        read_larcv(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_of_pilarnet_cut_short_is_refused(pilarnet_file: Path, tmp_path: Path, share: float) -> None:
    content = pilarnet_file.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LarcvError, match=r"cut\.root: "):
        read_larcv(path)

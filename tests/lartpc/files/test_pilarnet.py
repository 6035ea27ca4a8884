"""The project's own files are complete or absent, follow the rules of other tools, and other tools' files are read."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import (
    CLASS_NAMES,
    Event,
    EventFileError,
    PilarnetEvents,
    PilarnetWriter,
    numbering,
    open_events,
    simulate,
)

h5py = pytest.importorskip("h5py")
from tests.support import forks  # noqa: E402
from tests.support.events.files import public_rows, random_event, same_event, write_pilarnet  # noqa: E402


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Random events, an empty one, one without particles and a simulated one."""
    events = [random_event(seed) for seed in range(4)] + [random_event(4, 0), simulate(3, 1, 32)]
    with PilarnetWriter(tmp_path / "events.h5", seed=3, configuration={"size": 32}) as writer:
        for event in events:
            writer.append(event)
    return writer.path


def test_events_read_back_but_for_the_order_of_voxels(written: Path) -> None:
    events = [random_event(seed) for seed in range(4)] + [random_event(4, 0), simulate(3, 1, 32)]
    with open_events(written) as read:
        assert isinstance(read, PilarnetEvents)
        assert len(read) == 6
        for event, original in zip(read, events, strict=True):
            assert same_event(event, original)
            assert event.name == original.name
        assert same_event(read[-1], events[-1])
        assert [event.name for event in read[1:3]] == ["1:0", "2:0"]
        with pytest.raises(IndexError, match=r"events\.h5: there is no event 6; the file has 6"):
            read[6]


def test_the_file_tells_seed_configuration_and_version(written: Path) -> None:
    read = PilarnetEvents(written)
    assert read.version == 3
    assert read.attributes["seed"] == 3
    assert json.loads(read.attributes["configuration"]) == {"size": 32}
    assert {"sscn_version", "revision", "format"} <= set(read.attributes)


def test_rows_have_the_layout_of_pilarnet(written: Path) -> None:
    """As public tools read them: points follow the clusters, the first of which belongs to no particle."""
    event = simulate(3, 1, 32)
    with h5py.File(written, "r", libver="latest", swmr=True) as file:
        points = file["point"][5].reshape(-1, 8)
        clusters = file["cluster"][5].reshape(-1, 6)
        extra = file["cluster_extra"][5].reshape(-1, 6)
        assert file["point"].dtype.metadata["vlen"] == np.float32
    size, fragment, _, interaction, shape, pid = clusters.T
    assert (fragment[0], shape[0], pid[0], extra[0].tolist()) == (-1, 4, -1, [-1.0] * 6)
    assert size.sum() == len(points) == len(event)
    assert points[:, 3].sum() == pytest.approx(event.energy.sum())
    for first, count, row, label in zip(np.cumsum(size) - size, size, fragment, shape, strict=True):
        inside = {tuple(site) for site in points[first : first + count, :3].astype(int).tolist()}
        mine = (event.clusters == row) & (numbering.shape_from_five_types(event.labels) == label)
        assert inside <= {tuple(site) for site in event.coordinates[mine].tolist()}
    assert interaction.min() == -1
    protons = pid == numbering.PROTON
    np.testing.assert_allclose(extra[protons, 0], 938.272, rtol=1e-3)
    rows = event.particles[fragment[1:]]
    np.testing.assert_allclose(extra[1:, 1], np.linalg.norm(rows["momentum"], axis=1) / 1000, rtol=1e-5)
    np.testing.assert_array_equal(extra[1:, 5], rows["process"] == "primary")


def test_particles_of_one_vertex_share_an_interaction(tmp_path: Path) -> None:
    event = simulate(2, 0, 64)
    with PilarnetWriter(tmp_path / "events.h5") as writer:
        writer.append(event)
    with h5py.File(writer.path) as file:
        clusters = file["cluster"][0].reshape(-1, 6)[1:]
    parents = {row["track_id"]: row["parent_track_id"] for row in event.particles}
    starts = {row["track_id"]: tuple(row["start"]) for row in event.particles}

    def origin(row: int) -> tuple[float, ...]:
        track = event.particles["track_id"][row]
        while parents[track] != track:
            track = parents[track]
        return starts[track]

    pairs = {(origin(row), number) for row, number in zip(clusters[:, 1], clusters[:, 3], strict=True)}
    assert len(pairs) == len({start for start, _ in pairs}) == len({number for _, number in pairs}) > 1


def test_an_interrupted_writer_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "events.h5"

    def interrupted() -> None:
        with PilarnetWriter(path) as writer:
            writer.append(random_event(0))
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_event_that_cannot_be_written_is_refused_and_the_old_file_kept(written: Path) -> None:
    old = written.read_bytes()
    for event, words in (
        (random_event(0, shape=(9, 8)), r"three-dimensional events, but '0:0' has 2"),
        (random_event(0, name="x" * 289), "288 bytes"),
    ):
        with pytest.raises(ValueError, match=words), PilarnetWriter(written, overwrite=True) as writer:
            writer.append(event)
    assert written.read_bytes() == old
    assert [path.name for path in written.parent.iterdir()] == ["events.h5"]


def test_the_same_events_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        with PilarnetWriter(tmp_path / name, seed=1) as writer:
            writer.append(random_event(0))
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_public_files_are_read(tmp_path: Path, version: int) -> None:
    nothing = tuple(np.zeros((0, rows.shape[1])) for rows in public_rows(version))
    with open_events(write_pilarnet(tmp_path / "public.h5", [nothing, public_rows(version)])) as events:
        assert isinstance(events, PilarnetEvents)
        assert events.version == version
        assert events.attributes == {}
        assert len(events[0]) == 0
        event = events[1]
    assert event.spatial_shape == (768, 768, 768)
    assert event.name == "public.h5:1"
    np.testing.assert_array_equal(event.coordinates[1], [767, 0, 0])
    np.testing.assert_allclose(event.energy, [0.1, 0.2, 1, 2, 3, 0.5, 0.7])
    known = version > 1
    assert event.labels.tolist() == [-1, -1, *[0 if known else -1] * 3, 2, 1 if known else -1]
    assert event.clusters.tolist() == [-1, -1, 0, 0, 0, 1, 2]
    assert event.particles["track_id"].tolist() == [3, 10, 9]
    assert event.particles["pdg"].tolist() == ([2212, 22, 321] if known else [0, 0, 0])
    assert event.particles["num_voxels"].tolist() == [3, 1, 1]
    np.testing.assert_allclose(event.particles["energy_deposit"], [6.0, 0.5, 0.7], rtol=1e-6)
    expected = [np.hypot(938.272, 500), 250, np.hypot(493.7, 100)]
    np.testing.assert_allclose(event.particles["energy_init"], expected if known else [np.nan] * 3, rtol=1e-6)
    assert np.isnan(event.particles["momentum"]).all()


# The parent of the proton is unknown, that of the shower a pi0, that of the kaon a proton; interaction 1 has no vertex.
EXTRA = (
    np.array([[-1.0] * 5, [0.3, 0.0, -1, -1, -1], [0.15, 0.2, 0, 111, 7], [-1, -1, -1, 2212, 3]]),
    np.array([[0.0, 10, 20, 30.5]]),
)


def test_momenta_parents_and_vertices_of_version_3_extra_are_read(tmp_path: Path) -> None:
    (event,) = open_events(write_pilarnet(tmp_path / "extra.h5", [(*public_rows(3), *EXTRA)]))
    particles, nan = event.particles, np.nan
    np.testing.assert_allclose(particles["momentum"], [[300, 0, -1000], [150, 200, 0], [nan] * 3], rtol=1e-6)
    assert particles["parent_pdg"].tolist() == [0, 111, 2212]
    assert particles["process"].tolist() == ["primary", "", "primary"]
    np.testing.assert_allclose(particles["start"], [[30, 60, 91.5], [nan] * 3, [nan] * 3])
    assert particles["track_id"].tolist() == particles["parent_track_id"].tolist() == [3, 10, 9]


def test_each_dataset_of_version_3_extra_is_read_without_the_other(tmp_path: Path) -> None:
    """Momenta and the parents' kinds come from one, starts from the other; both make a file of version 3 "extra"."""
    whole, plain = (
        open_events(write_pilarnet(tmp_path / f"{len(more)}.h5", [(*public_rows(3), *more)]))[0].particles
        for more in (EXTRA, ())
    )
    for given, fields in (((EXTRA[0], None), ["momentum", "parent_pdg"]), ((None, EXTRA[1]), ["start"])):
        events = open_events(write_pilarnet(tmp_path / f"{fields[-1]}.h5", [(*public_rows(3), *given)]))
        assert isinstance(events, PilarnetEvents)
        assert events.extra == (("cluster_extra_2",) if given[1] is None else ("interaction_extra",))
        particles = events[0].particles
        for name in particles.dtype.names:
            source = whole if name in [*fields, "process"] else plain
            np.testing.assert_array_equal(particles[name], source[name], err_msg=name)


@pytest.mark.parametrize("unknown", [{0: -1}, {1: -1, 2: -1, 3: -1}])
def test_unknown_interactions_and_vertices_give_no_start(tmp_path: Path, unknown: dict[int, float]) -> None:
    points, clusters, extra = public_rows(3)
    clusters[1, 3] = unknown.get(0, 0)  # an unknown interaction is not one whose number is -1
    interactions = np.array([[unknown.get(column, value) for column, value in enumerate(EXTRA[1][0])]])
    (event,) = open_events(write_pilarnet(tmp_path / "extra.h5", [(points, clusters, extra, EXTRA[0], interactions)]))
    assert np.isnan(event.particles["start"]).all()


DAMAGE_TO_EXTRA = {
    "less clusters": ("cluster_extra_2", slice(None, -5), None, "cluster_extra_2: 3 clusters, but 4 in cluster"),
    "half a row": ("interaction_extra", slice(None, -1), None, "3 numbers, expected a multiple of 4"),
    "momentum": ("cluster_extra_2", 5, np.inf, "cluster_extra_2: momentum: inf is not a finite number"),
    "NaN kind": ("cluster_extra_2", 8, np.nan, "cluster_extra_2: PDG number: nan is not a whole number of 32 bits"),
    "huge kind": ("cluster_extra_2", 8, 3e9, "cluster_extra_2: PDG number: 3000000000.0 is not a whole number"),
    "number": ("interaction_extra", 0, -np.inf, "interaction_extra: number: -inf is not a whole number of 32 bits"),
    "fraction": ("interaction_extra", 0, 0.5, "interaction_extra: number: 0.5 is not a whole number of 32 bits"),
    "vertex": ("interaction_extra", 3, np.nan, "interaction_extra: vertex: nan is not a finite number"),
    "twice": ("interaction_extra", [0, 1, 2, 3, 0, 1, 1, 1], None, "interaction 0 has several vertices"),
}


@pytest.mark.parametrize("name", DAMAGE_TO_EXTRA)
def test_damage_to_the_rows_of_version_3_extra_is_named(tmp_path: Path, name: str) -> None:
    field, place, value, message = DAMAGE_TO_EXTRA[name]
    fields = ("point", "cluster", "cluster_extra", "cluster_extra_2", "interaction_extra")
    rows = dict(zip(fields, (part.ravel().copy() for part in (*public_rows(3), *EXTRA)), strict=True))
    if value is None:
        rows[field] = rows[field][place]
    else:
        rows[field][place] = value
    with pytest.raises(EventFileError, match=f"event 0: .*{message}"):
        open_events(write_pilarnet(tmp_path / "extra.h5", [tuple(rows.values())]))[0]


@pytest.mark.parametrize(("version", "what"), [(1, "there is no cluster_extra"), (2, "cluster_extra is of version 2")])
def test_the_rows_of_version_3_extra_are_refused_in_other_versions(tmp_path: Path, version: int, what: str) -> None:
    path = write_pilarnet(tmp_path / "extra.h5", [(*public_rows(version), *EXTRA)])
    with pytest.raises(EventFileError, match=f"cluster_extra_2 and interaction_extra belong to version 3, but {what}"):
        open_events(path)
    with pytest.raises(EventFileError, match=f"one\\.h5: interaction_extra belongs to version 3, but {what}"):
        open_events(write_pilarnet(tmp_path / "one.h5", [(*public_rows(version), None, EXTRA[1])]))


def test_particles_of_our_own_file_are_labelled_by_shape_too(tmp_path: Path) -> None:
    with PilarnetWriter(tmp_path / "events.h5") as writer:
        writer.append(simulate(2, 0, 64))
    five, shapes = (open_events(writer.path, truth_means=means)[0].particles["label"] for means in (None, "shapes"))
    assert len(set(five.tolist())) > 1
    assert shapes.tolist() == numbering.shape_from_five_types(five).tolist()


def test_labels_of_a_public_file_are_shapes_on_request(tmp_path: Path) -> None:
    path = write_pilarnet(tmp_path / "public.h5", [public_rows(1)])
    (event,) = open_events(path, truth_means="shapes")
    assert event.label_names == numbering.SHAPE_NAMES
    assert event.labels.tolist() == [4, 4, 1, 1, 1, 0, 1], "also tracks whose particle version 1 does not know"
    assert event.particles["label"].tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"public\.h5: truth_means must be five-types or shapes for PIL"):
        open_events(path, truth_means="numbers")


def test_vertices_are_written_in_voxels(tmp_path: Path) -> None:
    event = simulate(2, 0, 64)
    with PilarnetWriter(tmp_path / "events.h5") as writer:
        writer.append(event)
    with h5py.File(writer.path) as file:
        clusters, extra = file["cluster"][0].reshape(-1, 6)[1:], file["cluster_extra"][0].reshape(-1, 6)[1:]
    primary = extra[:, 5] == 1
    starts = event.particles["start"][clusters[primary, 1]]
    np.testing.assert_allclose(extra[primary, 2:5], (starts - event.origin) / event.voxel_size, rtol=1e-4, atol=1e-3)


def test_public_points_in_one_voxel_are_one(tmp_path: Path) -> None:
    points, clusters, extra = public_rows(3)
    points[5, :3] = points[3, :3]  # the shower's 0.5 MeV where the proton deposited 2
    (event,) = open_events(write_pilarnet(tmp_path / "public.h5", [(points, clusters, extra)]))
    assert len(event) == 6
    (place,) = np.flatnonzero((event.coordinates == [5, 5, 6]).all(1))
    assert event.energy[place] == pytest.approx(2.5)
    assert (event.labels[place], event.clusters[place]) == (0, 0)
    assert event.particles["num_voxels"].tolist() == [3, 0, 1]


DAMAGE = {
    "half a point": ("point", slice(None, -3), None, r"event 0: point: 53 numbers, expected a multiple of 8"),
    "NaN": ("point", 11, np.nan, r"event 0: point: value: nan is not a finite number"),
    "no voxel": ("point", 8, np.inf, r"event 0: point: x, y, z: inf is not"),
    "huge": ("point", 9, 1e30, r"event 0: point: voxel \[767.0, 1.00.*e\+30, 0.0\]; expected integers inside"),
    "outside": ("point", 10, 768, r"event 0: point: voxel .*inside the image of \(768, 768, 768\)"),
    "negative": ("point", 10, -1, r"event 0: point: voxel "),
    "between": ("point", 10, 1.5, r"event 0: point: voxel "),
    "too many": ("cluster", 0, 3, r"event 0: cluster: sizes \[3, 3, 1, 1\] do not add up to the 7 points"),
    "too few": ("cluster", 0, 1, r"event 0: cluster: sizes"),
    "negative size": ("cluster", 0, -2, r"event 0: cluster: sizes"),
    "unknown shape": ("cluster", 10, 6, r"event 0: cluster: shape must be -1 \(unknown\) to 5, got 6"),
    "unknown pid": ("cluster", 11, -2, r"event 0: cluster: pid must be -1 \(unknown\) to 5, got -2"),
    "less extra": (
        "cluster_extra",
        slice(None, -6),
        None,
        r"event 0: cluster_extra: 18 numbers, expected a multiple of 5",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    field, place, value, message = DAMAGE[name]
    rows = dict(zip(("point", "cluster", "cluster_extra"), (part.ravel() for part in public_rows(3)), strict=True))
    if value is None:
        rows[field] = rows[field][place]
    else:
        rows[field][place] = value
    with pytest.raises(EventFileError, match=message) as caught:
        open_events(write_pilarnet(tmp_path / "public.h5", [tuple(rows.values())]))[0]
    assert str(caught.value).startswith(str(tmp_path / "public.h5"))


def test_another_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["points"] = [1, 2]
    with pytest.raises(EventFileError, match=r"other\.h5: no dataset point; the file contains points \(int64 \[2\]\)"):
        open_events(tmp_path / "other.h5")


def test_rows_changed_by_another_program_are_detected(written: Path) -> None:
    with h5py.File(written, "r+") as file:
        row = file["point"][2]
        row[3] *= 1.0000001
        file["point"][2] = row
    read = open_events(written)
    assert len(read[1]) == 60
    with pytest.raises(EventFileError, match=r"event 2: point: damaged: its checksum does not match"):
        read[2]


def _energies(events: PilarnetEvents) -> list[float]:
    return [float(event.energy.sum()) for event in events]


@pytest.mark.parametrize("inherited", [True, False])
def test_many_processes_read_one_file(written: Path, inherited: bool) -> None:
    """Processes forked from this one inherit the open file; others get a pickled path."""
    if inherited and "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("fork is not to be had here")
    context = multiprocessing.get_context("fork") if inherited else forks.context()
    events = open_events(written)
    expected = _energies(events)
    with context.Pool(2) as pool:
        assert pool.map(_energies, [events] * 4) == [expected] * 4
    assert _energies(pickle.loads(pickle.dumps(events))) == expected


def _name(event: Event) -> str:
    """For workers that are not forked, which is the default from Python 3.14 on: they cannot get a lambda."""
    return event.name


def test_a_data_loader_may_have_workers(written: Path) -> None:
    from torch.utils.data import DataLoader

    events = open_events(written)
    expected = [event.name for event in events]
    loader = DataLoader(events, batch_size=None, num_workers=2, collate_fn=_name)
    assert list(loader) == expected


def test_labels_go_to_shapes_and_pids_and_back() -> None:
    labels = np.arange(-1, len(CLASS_NAMES))
    for pdg in (0, 11, -11, 13, 22, 211, -211, 2212, 321, 2112, 1000180400):
        shapes = numbering.shape_from_five_types(labels)
        pids = numbering.pid_from_five_types(labels, np.full(6, pdg))
        np.testing.assert_array_equal(numbering.five_types_from_shape(shapes, pids), labels)
    pion = numbering.pid_from_five_types(np.array([1, 1, 0]), np.array([-211, 13, 211]))
    assert pion.tolist() == [numbering.PION, numbering.MUON, numbering.PROTON]


def test_tracks_of_unknown_particles_have_no_label() -> None:
    pids = np.array([-1, numbering.PHOTON, numbering.ELECTRON])
    assert numbering.five_types_from_shape(np.full(3, numbering.TRACK), pids).tolist() == [-1, -1, -1]
    shapes = np.array([numbering.LOW_ENERGY, numbering.GHOST, -1])
    assert numbering.five_types_from_shape(shapes, pids).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(("shape", "pid"), [(6, 0), (-2, 0), (0, 6), (0, -2), (0.5, 0), (np.nan, 0)])
def test_numbers_outside_the_map_are_refused(shape: float, pid: float) -> None:
    with pytest.raises(ValueError, match="must be -1"):
        numbering.five_types_from_shape(np.array([shape]), np.array([pid]))

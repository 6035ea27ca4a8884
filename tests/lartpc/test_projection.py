"""Wire planes see every deposit, at the wire above it, with the label of the larger part; the second definition of
labels; both as options where events are read."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import (
    PLANES,
    Event,
    create_events,
    detached_to_shower,
    open_events,
    project,
    relabel,
    simulate,
)
from tests.support.events.files import random_event, same_event

HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


def wire(event: Event, plane: str, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wire and drift sample, as fractional numbers, of places [N, 3] in voxels; from the geometry alone."""
    angle = math.radians(PLANES[plane])
    across = [places[:, 2] * math.cos(angle) - places[:, 1] * math.sin(angle)]
    _, height, depth = event.spatial_shape
    corners = [z * math.cos(angle) - y * math.sin(angle) for y in (0, height) for z in (0, depth)]
    return across[0] - min(corners), places[:, 0]


@pytest.mark.parametrize("plane", PLANES)
def test_energy_is_spread_over_the_projection_of_the_voxel(plane: str) -> None:
    """Compared with 2000 random points in every voxel."""
    event = random_event(0, 20)
    image = project(event, plane, threshold=0.0)
    rng = np.random.default_rng(0)
    expected = np.zeros(image.spatial_shape)
    for site, energy in zip(event.coordinates, event.energy, strict=True):
        across, drift = wire(event, plane, site + rng.random((2000, 3)))
        np.add.at(expected, (np.floor(across).astype(int), np.floor(drift).astype(int)), energy / 2000)
    found = np.zeros(image.spatial_shape)
    found[tuple(image.coordinates.T)] = image.energy
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert image.energy.sum() == pytest.approx(event.energy.sum(), rel=1e-6)
    assert image.name == f"0:0:{plane}"


def test_vertical_wires_sum_along_the_vertical() -> None:
    event = random_event(1)
    image = project(event, "y", threshold=0.0)
    assert image.spatial_shape == (event.spatial_shape[2], event.spatial_shape[0])
    expected = np.zeros(event.spatial_shape)
    expected[tuple(event.coordinates.T)] = event.energy
    found = np.zeros(image.spatial_shape)
    found[tuple(image.coordinates.T)] = image.energy
    np.testing.assert_allclose(found, expected.sum(1).T, rtol=1e-6)
    np.testing.assert_allclose(image.origin, event.origin[[2, 0]])


def test_plane_u_equals_plane_v_of_the_upside_down_event() -> None:
    event = random_event(2)
    height = event.spatial_shape[1]
    upside_down = event.replace(coordinates=event.coordinates * [1, -1, 1] + [0, height - 1, 0])
    one, other = project(event, "u"), project(upside_down, "v")
    np.testing.assert_array_equal(one.coordinates, other.coordinates)
    np.testing.assert_allclose(one.energy, other.energy, rtol=1e-6)
    assert one.spatial_shape == (math.ceil(11 * math.sin(math.pi / 3) + 5 / 2), 7)


@pytest.mark.parametrize("plane", PLANES)
def test_the_larger_part_decides_label_and_cluster(plane: str) -> None:
    event = random_event(3, 200)
    image = project(event, plane, threshold=0.0)
    for field, kinds in (("labels", 5), ("clusters", 3)):
        parts = []
        for kind in range(-1, kinds):
            rows = getattr(event, field) == kind
            only = event.replace(energy=np.where(rows, event.energy, 0.0))
            one = project(only, plane, threshold=0.0)
            np.testing.assert_array_equal(one.coordinates, image.coordinates)
            parts.append(one.energy)
        ranked = np.array([*parts[1:], parts[0]])  # unknown last
        winner = ranked.argmax(0)
        clear = np.sort(ranked, 0)[-1] > 1.001 * np.sort(ranked, 0)[-2]
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(getattr(image, field)[clear], np.where(winner == kinds, -1, winner)[clear])


def test_pixels_below_the_threshold_are_removed() -> None:
    event = random_event(4)
    whole, cut = project(event, "u", threshold=0.0), project(event, "u", threshold=0.3)
    keep = whole.energy >= np.float32(0.3)
    assert 0 < keep.sum() < len(whole)
    np.testing.assert_array_equal(cut.coordinates, whole.coordinates[keep])
    assert project(event, "u").energy.min() >= np.float32(0.010)


@pytest.mark.parametrize("plane", PLANES)
def test_particles_start_where_their_pixels_are(plane: str) -> None:
    event = simulate(1, 3, 64)
    image = project(event, plane)
    muons = np.flatnonzero((event.particles["num_voxels"] > 20) & (event.particles["label"] <= 1))
    assert len(muons)
    for row in muons:
        mine = image.coordinates[image.clusters == row]
        for field in ("first_step", "last_step"):
            place = (image.particles[row][field][:2] - image.origin) / image.voxel_size
            assert np.abs(mine + 0.5 - place).max(1).min() < 4
    lengths = [np.linalg.norm(one.particles["last_step"] - one.particles["start"], axis=1) for one in (event, image)]
    np.testing.assert_allclose(*lengths, rtol=1e-9)


def test_projection_of_no_voxels_gives_no_pixels_and_of_a_plane_is_refused() -> None:
    empty = project(random_event(0, 0), "u")
    assert (len(empty), empty.ndim) == (0, 2)
    with pytest.raises(ValueError, match="only three-dimensional events can be projected, got 2"):
        project(empty, "u")
    with pytest.raises(ValueError, match="plane must be one of y, u, v, got 'w'"):
        project(random_event(0), "w")


def test_clusters_of_deltas_and_michels_away_from_tracks_become_shower() -> None:
    # a track; a Michel that touches it and leads away; a delta 2 sqrt(2) away, too far; a Michel far away
    sites = np.array([[0, 0, 0], [0, 1, 1], [0, 3, 3], [0, 5, 5], [2, 0, 2], [9, 9, 9], [9, 9, 10], [12, 0, 0]])
    labels = np.array([MIP, MICHEL, MICHEL, MICHEL, DELTA, MICHEL, MICHEL, -1], dtype=np.int8)
    assert detached_to_shower(sites, labels).tolist() == [MIP, *[MICHEL] * 3, *[SHOWER] * 3, -1]
    labels[0] = HIP
    assert detached_to_shower(sites, labels).tolist()[1:4] == [MICHEL] * 3
    labels[0] = SHOWER
    assert detached_to_shower(sites, labels).tolist() == [*[SHOWER] * 7, -1]
    assert labels[4] == DELTA
    assert detached_to_shower(sites[:0], labels[:0]).tolist() == []


def test_files_are_read_by_either_definition_and_plane(tmp_path: Path) -> None:
    with create_events(tmp_path / "events.h5") as writer:
        for seed in range(3):
            writer.append(random_event(seed, 30, (20, 21, 22)))
    with open_events(writer.path) as plain, open_events(writer.path, labels="attached", plane="v") as seen:
        assert (len(seen), seen.path) == (3, writer.path)
        for one, other in zip(plain, seen, strict=True):
            assert same_event(project(relabel(one, "attached"), "v"), other)
            assert not same_event(project(one, "v"), other)
        assert same_event(pickle.loads(pickle.dumps(seen))[-1], other)
        assert [len(event) for event in seen[1:]] == [len(event) for event in list(seen)[1:]]
    with pytest.raises(ValueError, match="labels must be one of slides, attached, got 'other'"):
        open_events(writer.path, labels="other")
    with pytest.raises(ValueError, match="plane must be one of y, u, v, got 'x'"):
        open_events(writer.path, plane="x")

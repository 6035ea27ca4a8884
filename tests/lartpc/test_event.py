"""An Event refuses invalid fields, crops keep their content, batches keep order, statistics are as documented."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_COLORS, CLASS_NAMES, PARTICLE_DTYPE, Event, collate, crop, read_larcv, simulate
from sscn_triton.lartpc.event import no_particles, particle_label
from sscn_triton.lartpc.numbers.statistics import statistics


def event_at(sites_given: object, shape: tuple[int, ...] = (16, 12, 10), **changes: object) -> Event:
    sites = np.asarray(sites_given, dtype=np.int64).reshape(-1, len(shape))
    count = len(sites)
    fields = {
        "coordinates": sites,
        "energy": np.linspace(0.01, 1.0, count),
        "labels": np.arange(count) % 5,
        "particles": no_particles(),
        "voxel_size": 3.0,
        "origin": np.zeros(len(shape)),
        "spatial_shape": shape,
        "name": "made:0",
    }
    return Event(**{**fields, **changes})  # type: ignore[arg-type]


def cloud(seed: int, count: int = 60, shape: tuple[int, ...] = (16, 12, 10)) -> Event:
    rng = np.random.default_rng(seed)
    sites = np.column_stack(np.unravel_index(rng.choice(np.prod(shape), count, replace=False), shape))
    return event_at(sites, shape, energy=rng.random(count), labels=rng.integers(-1, 5, count))


def test_an_event_has_the_documented_types() -> None:
    event = event_at([[1, 2, 3], [4, 5, 6]])
    assert (event.coordinates.dtype, event.energy.dtype, event.labels.dtype) == (np.int32, np.float32, np.int8)
    assert event.clusters.tolist() == [-1, -1]
    assert (len(event), event.ndim) == (2, 3)
    np.testing.assert_allclose(event.positions, [[4.5, 7.5, 10.5], [13.5, 16.5, 19.5]])


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_an_event_may_have_any_dimension_and_no_voxels(ndim: int) -> None:
    event = event_at([], (4,) * ndim)
    assert event.coordinates.shape == (0, ndim)
    assert len(crop(event, 2)) == 0


WRONG = {
    "outside": ({"coordinates": np.array([[0, 0, 0], [16, 0, 0]])}, ValueError, r"row 1, \[16, 0, 0\], lie outside"),
    "negative": ({"coordinates": np.array([[0, 0, 0], [0, -1, 0]])}, ValueError, r"row 1, \[0, -1, 0\], lie outside"),
    "twice": ({"coordinates": np.array([[1, 1, 1], [1, 1, 1]])}, ValueError, "1 duplicate voxels in coordinates"),
    "floats": ({"coordinates": np.zeros((2, 3))}, TypeError, "coordinates must be integers"),
    "flat": ({"coordinates": np.zeros(2, int)}, ValueError, r"coordinates must be \[N, 3\]"),
    "NaN": ({"energy": np.array([1.0, np.nan])}, ValueError, "energy of row 1 is nan"),
    "few energies": ({"energy": np.ones(1)}, ValueError, r"energy must be \[2\]"),
    "complex": ({"energy": np.ones(2, complex)}, TypeError, "energy must be real"),
    "label": ({"labels": np.array([0, 5])}, ValueError, "labels of row 1 is 5; the allowed range is -1"),
    "float label": ({"labels": np.zeros(2)}, TypeError, "labels must be integers"),
    "cluster": ({"clusters": np.array([0, -1])}, ValueError, "clusters of row 0 is 0; the allowed range is -1"),
    "particles": ({"particles": np.zeros(3)}, TypeError, "PARTICLE_DTYPE"),
    "size": ({"voxel_size": 0.0}, ValueError, "voxel_size must be a positive"),
    "origin": ({"origin": np.zeros(2)}, ValueError, "origin must be 3 finite"),
    "shape": ({"spatial_shape": (16, 0, 10)}, ValueError, "spatial_shape must be positive"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_objects_than_events_are_refused(name: str) -> None:
    changes, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        event_at([[1, 2, 3], [4, 5, 6]], **changes)


def test_every_class_has_its_own_colour() -> None:
    assert len(CLASS_NAMES) == len(set(CLASS_COLORS)) == 5


@pytest.mark.parametrize(
    ("pdg", "parent", "process", "name"),
    [
        (2212, 2212, "primary", "HIP"),
        (1000020040, 2212, "protonInelastic", "HIP"),
        (13, 13, "primary", "MIP"),
        (-211, 2212, "protonInelastic", "MIP"),
        (-13, 211, "Decay", "MIP"),
        (11, 11, "primary", "shower"),
        (22, 111, "Decay", "shower"),
        (-11, 22, "conv", "shower"),
        (11, 13, "muIoni", "delta"),
        (11, 211, "hIoni", "delta"),
        (-11, -13, "Decay", "Michel"),
        (11, 13, "muMinusCaptureAtRest", "Michel"),
    ],
)
def test_particles_are_labelled_by_the_rule_of_the_field(pdg: int, parent: int, process: str, name: str) -> None:
    assert CLASS_NAMES[particle_label(pdg, parent, process)] == name


def test_an_electron_of_unknown_process_has_no_label() -> None:
    assert particle_label(11, 13, "") == -1


def test_a_crop_keeps_what_lies_inside() -> None:
    event = cloud(0)
    part = crop(event, (6, 5, 4), corner=(3, 2, 1))
    inside = ((event.coordinates >= (3, 2, 1)) & (event.coordinates < (9, 7, 5))).all(1)
    np.testing.assert_array_equal(part.coordinates, event.coordinates[inside] - (3, 2, 1))
    np.testing.assert_array_equal(part.energy, event.energy[inside])
    np.testing.assert_array_equal(part.labels, event.labels[inside])
    np.testing.assert_allclose(part.positions, event.positions[inside])
    assert part.spatial_shape == (6, 5, 4)


def test_a_random_crop_is_never_empty_and_the_same_for_the_same_seed() -> None:
    event = event_at([[15, 11, 9], [0, 0, 0]])
    corners = set()
    for seed in range(40):
        part = crop(event, 4, seed=seed)
        assert len(part) >= 1
        np.testing.assert_array_equal(part.origin, crop(event, 4, seed=seed).origin)
        corners.add(tuple(part.origin))
    assert len(corners) > 1


def test_the_default_crop_is_the_fullest() -> None:
    filled = np.array(list(product(range(8, 12), range(4, 8), range(4, 8))))
    event = event_at(np.vstack([filled, [[0, 0, 0], [1, 1, 1]]]))
    part = crop(event, 4)
    assert len(part) == 64
    np.testing.assert_allclose(part.origin, [24.0, 12.0, 12.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 11}, r"size must be 1 to \(16, 12, 10\) voxels per axis, got \(11, 11, 11\)"),
        ({"size": 0}, "size must be 1 to"),
        ({"size": (4, 4)}, "size must be one integer or 3"),
        ({"size": 4, "corner": (13, 0, 0)}, r"corner must be 0 to \[12, 8, 6\]"),
        ({"size": 4, "corner": (0, 0, -1)}, "corner must be 0 to"),
        ({"size": 4, "corner": (0, 0, 0), "seed": 1}, "corner or seed, not both"),
    ],
)
def test_an_impossible_crop_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crop(cloud(0), **arguments)


def test_a_batch_keeps_events_in_order() -> None:
    events = [cloud(0, 5), cloud(1, 0), cloud(2, 7)]
    coordinates, features, labels = collate(events)
    assert (coordinates.dtype, features.dtype, labels.dtype) == (np.int32, np.float32, np.int64)
    assert coordinates[:, 0].tolist() == [0] * 5 + [2] * 7
    np.testing.assert_array_equal(coordinates[5:, 1:], events[2].coordinates)
    np.testing.assert_array_equal(features[:5, 0], events[0].energy)
    np.testing.assert_array_equal(labels, np.concatenate([events[0].labels, events[2].labels]))


def test_a_batch_of_nothing_or_of_mixed_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch needs at least one event, got none"):
        collate([])
    with pytest.raises(ValueError, match=r"got 2 events of dimensions \[2, 3\]"):
        collate([cloud(0), cloud(0, shape=(9, 9))])


def test_statistics_are_as_documented() -> None:
    event = cloud(3, 80, (9, 7, 8))
    rows = {name: values[0] for name, values in statistics([event]).items()}
    sites = {tuple(site) for site in event.coordinates.tolist()}
    block = list(product((-1, 0, 1), repeat=3))
    near = sum((x + a, y + b, z + c) in sites for x, y, z in sites for a, b, c in block)
    assert rows["neighbours"] == pytest.approx(near / 80)
    assert rows["occupancy"] == pytest.approx(80 / (9 * 7 * 8))
    assert rows["median_voxel"] == pytest.approx(np.median(event.energy))
    grown = sites
    for step in (1, 2, 3):
        grown = {(x + a, y + b, z + c) for x, y, z in grown for a, b, c in block}
        assert rows[f"growth_{step}"] == pytest.approx(len(grown) / 80)
    before = sites
    for level in range(1, 6):
        after = {(x // 2, y // 2, z // 2) for x, y, z in before}
        assert rows[f"halving_{level}"] == pytest.approx(len(after) / len(before))
        before = after
    known = event.labels[event.labels >= 0]
    for label, name in enumerate(CLASS_NAMES):
        assert rows[f"share_{name}"] == pytest.approx((known == label).mean())


def test_statistics_of_empty_and_of_no_events() -> None:
    rows = statistics([event_at([])])
    assert rows["voxels"][0] == 0
    assert np.isnan(rows["neighbours"][0])
    with pytest.raises(ValueError, match="at least one event"):
        statistics([])


def within(values: np.ndarray, low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def test_events_of_pilarnet_fall_into_the_published_ranges(pilarnet_file: Path) -> None:
    rows = statistics(read_larcv(pilarnet_file))
    assert within(rows["voxels"], 1671, 13672)
    assert within(rows["occupancy"], 0.00023, 0.00194)
    assert within(rows["minimum_voxel"], 0.010, 0.0101)
    assert within(rows["median_voxel"], 0.0425, 0.0525)
    assert within(rows["neighbours"], 14.95, 16.45)
    for step, (low, high) in enumerate([(3.65, 4.7), (8.0, 12.2), (14.6, 24.5)], start=1):
        assert within(rows[f"growth_{step}"], low, high)
    sites = rows["voxels"]
    for level, share in enumerate([0.28, 0.36, 0.46, 0.52, 0.43], start=1):
        left = sites * rows[f"halving_{level}"]
        assert left.sum() / sites.sum() == pytest.approx(share, abs=0.01)
        sites = left


def test_our_simulated_events_fall_into_the_ranges_of_pilarnet() -> None:
    rows = statistics([simulate(1, index) for index in range(150)])
    assert 15.0 <= np.median(rows["neighbours"]) <= 16.4
    assert 0.010 <= rows["minimum_voxel"].min() <= rows["minimum_voxel"].max() < 0.011
    assert 0.0003 <= rows["occupancy"].mean() <= 0.001
    for step, (low, high) in enumerate([(3.67, 4.65), (8.1, 12.2), (14.7, 24.5)], start=1):
        assert low <= np.median(rows[f"growth_{step}"]) <= high
    sites = rows["voxels"]
    for level, share in enumerate([0.28, 0.36, 0.46, 0.50, 0.45], start=1):
        left = sites * rows[f"halving_{level}"]
        assert left.sum() / sites.sum() == pytest.approx(share, rel=0.1)
        sites = left
    for name, share in zip(CLASS_NAMES[:3], (0.12, 0.43, 0.42), strict=True):
        assert rows[f"share_{name}"].mean() == pytest.approx(share, abs=0.08)
    assert rows["share_delta"].mean() > 0.004
    assert rows["share_Michel"].mean() > 0.002


def test_particle_rows_have_the_documented_fields() -> None:
    assert no_particles().dtype == PARTICLE_DTYPE
    assert (PARTICLE_DTYPE["momentum"].shape, PARTICLE_DTYPE["pdg"]) == ((3,), np.int32)

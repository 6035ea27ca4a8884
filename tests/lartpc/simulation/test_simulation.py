"""Simulated particles have the right range and energy loss; an event depends only on its seed and index."""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import CLASS_NAMES, Event, Recipe, read_larcv, simulate
from sscn_triton.lartpc.event import particle_label
from sscn_triton.lartpc.simulation import argon, showers, tracks, world
from sscn_triton.lartpc.simulation.cascade import follow
from sscn_triton.lartpc.simulation.imaging import SMEARING, THRESHOLD, make_image
from sscn_triton.lartpc.simulation.random_stream import new_rng, normal, uniform
from sscn_triton.lartpc.simulation.world import DEPOSIT
from tests.support import forks

KINETIC = np.array([50.0, 100.0, 200.0, 500.0, 1000.0])
MUON_RANGES, MUON_LOSSES = [10.8, 30.4, 76.1, 217, 442], [2.94, 2.33, 2.12, 2.16, 2.30]
PROTON_RANGES, PROTON_LOSSES = [2.30, 7.82, 26.0, 116, 319], [12.3, 7.28, 4.53, 2.80, 2.27]


def single(pdg: int, kinetic: float) -> Recipe:
    """One particle in the image and nothing else."""
    energy = (kinetic, kinetic)
    return Recipe(vertex_particles=(1, 1), vertex_species=(pdg,), rain=0, energy=energy, hadron_energy=energy)


def digest(event: Event) -> str:
    arrays = (event.coordinates, event.energy, event.labels, event.clusters, event.particles)
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def digest_of(index: int) -> str:
    return digest(simulate(7, index, 48))


@pytest.mark.parametrize(
    ("mass", "ranges", "losses"),
    [(argon.MUON_MASS, MUON_RANGES, MUON_LOSSES), (argon.PROTON_MASS, PROTON_RANGES, PROTON_LOSSES)],
)
def test_ranges_and_losses_are_those_of_the_tables(mass: float, ranges: list, losses: list) -> None:
    found = argon.ranges(KINETIC, mass)
    print("\nMeV:", KINETIC, "\nrange, cm:", found.round(2), "\ntable:", ranges)
    np.testing.assert_allclose(found, ranges, rtol=0.02)
    np.testing.assert_allclose([argon.stopping_power(value, mass) for value in KINETIC], losses, rtol=0.01)


@pytest.mark.parametrize(("pdg", "mass", "kinetic"), [(-13, argon.MUON_MASS, 120.0), (2212, argon.PROTON_MASS, 120.0)])
def test_followed_particles_stop_after_their_range(pdg: int, mass: float, kinetic: float) -> None:
    """Steps, straggling and delta rays together; because of scattering, the end is nearer than the path is long."""
    events = [simulate(3, index, 192, recipe=single(pdg, kinetic)) for index in range(40)]
    primaries = [event.particles[0] for event in events]
    reached = [np.linalg.norm(row["end"] - row["start"]) / 10 for row in primaries]
    expected = argon.ranges(np.array([kinetic]), mass)[0]
    assert 0.93 * expected < np.median(reached) < 1.01 * expected


def test_a_stopped_proton_leaves_its_energy() -> None:
    """Except for the energy that the threshold removes."""
    shares = []
    for index in range(40):
        event = simulate(4, index, 96, recipe=single(2212, 100.0))
        shares.append(event.energy.sum() / 100.0)
    assert 0.97 < np.median(shares) <= 1.0005


def shower(kind: int, kinetic: float, index: int) -> np.ndarray:
    """Deposits of a particle that starts 50 cm into a volume of 4 m and flies along z."""
    edge = 400.0
    made = world.new_world(new_rng(13, index), edge, np.array([0.0, 0.0, 0.0, edge]), 1 << 17)
    label = world.LABELS[kind]
    world.add_particle(made, kind, -1, world.PRIMARY, label, edge / 2, edge / 2, 50.0, 0.0, 0.0, 1.0, kinetic)
    follow(made)
    assert made.counts[3] == 0
    return made.deposits[: made.counts[2]]


@pytest.mark.parametrize(("kind", "offset"), [(world.ELECTRON, -0.5), (world.PHOTON, 0.5)])
def test_showers_keep_their_energy_and_are_as_long_as_a_gamma_distribution(kind: int, offset: float) -> None:
    """The maximum is at ln(E / Ec) -+ 1/2 radiation lengths, b = 1/2, so the mean depth is 2 more, within a fifth.

    The profile is that of the gamma distribution with its own mean and variance, within 2 % of the energy in every
    radiation length.
    """
    deposits = np.concatenate([shower(kind, 1000.0, index) for index in range(60)])
    assert deposits["energy"].sum() / 60 == pytest.approx(1000.0, rel=0.005)
    depths, weights = (deposits["z"] - 50.0) / argon.RADIATION_LENGTH, deposits["energy"] / deposits["energy"].sum()
    mean = np.average(depths, weights=weights)
    assert mean == pytest.approx(np.log(1000.0 / 32.84) + offset + 2.0, rel=0.2)
    b = mean / np.average((depths - mean) ** 2, weights=weights)
    assert b == pytest.approx(0.5, abs=0.1)
    fine = (np.arange(1600) + 0.5) / 100
    density = b * (b * fine) ** (b * mean - 1) * np.exp(-b * fine) / math.gamma(b * mean)
    profile = np.histogram(depths, np.arange(17), weights=weights)[0]
    np.testing.assert_allclose(profile, density.reshape(16, 100).mean(1), atol=0.02)


@pytest.mark.parametrize("kind", [world.ELECTRON, world.PHOTON])
def test_showers_are_contained_in_cylinders_of_the_moliere_radius(kind: int) -> None:
    """One radius contains nine tenths of the energy and two contain 95 %, within 5 and 2 % of the energy."""
    deposits = np.concatenate([shower(kind, 1000.0, index) for index in range(60)])
    radius = np.hypot(deposits["x"] - 200.0, deposits["y"] - 200.0) / 9.04
    inside = [deposits["energy"][radius < most].sum() / deposits["energy"].sum() for most in (1, 2)]
    assert inside == [pytest.approx(0.9, abs=0.05), pytest.approx(0.95, abs=0.02)]


def test_photons_convert_after_nine_sevenths_of_a_radiation_length() -> None:
    expected = 9 / 7 * argon.RADIATION_LENGTH
    assert 1 / argon.pair_production(1000.0) == pytest.approx(expected, rel=0.05)


def test_radiation_equals_ionisation_at_the_critical_energy() -> None:
    """32.84 MeV in argon, within a tenth."""
    photon = np.linspace(1e-3, 1 - 1e-6, 4000) * 32.84
    radiated = np.mean([argon.bremsstrahlung(32.84, value) for value in photon]) * 32.84 / argon.RADIATION_LENGTH
    assert radiated == pytest.approx(argon.stopping_power(32.84, argon.ELECTRON_MASS), rel=0.15)


def test_stopped_antimuons_give_michel_electrons_and_captured_muons_none() -> None:
    found = {}
    for pdg in (13, -13):
        events = [simulate(6, index, 192, recipe=single(pdg, 100.0)) for index in range(150)]
        rows = np.concatenate([event.particles[event.particles["label"] == 4] for event in events])
        found[pdg] = rows
    assert len(found[-13]) > 120
    assert 0.12 < len(found[13]) / len(found[-13]) < 0.40
    energies = found[-13]["energy_init"]
    assert energies.max() < 52.84
    assert energies.mean() == pytest.approx(0.7 * 52.83, abs=2.5)
    assert set(found[-13]["pdg"]) == {-11}
    assert set(found[13]["process"]) == {"muMinusCaptureAtRest"}


def test_michel_energies_follow_their_spectrum() -> None:
    """Moments of x2 (3 - 2x), whose mean is at 0.7 of the maximum energy."""
    rng = new_rng(14, 0)
    shares = np.array([tracks._michel(rng) for _ in range(20_000)])
    assert shares.mean() == pytest.approx(0.7, abs=0.005)
    assert (shares**2).mean() == pytest.approx(8 / 15, abs=0.006)


def test_a_fast_neutron_knocks_out_protons_and_a_slow_one_is_captured() -> None:
    """The capturing nucleus emits 6.1 MeV; the energy does not grow."""
    knocked, captures = 0, 0
    for kinetic, index in itertools.product((5.0, 200.0), range(60)):
        made = world.new_world(new_rng(15, index), 57.6, np.array([-500.0, -500.0, -500.0, 1000.0]), 1 << 15)
        world.add_particle(made, world.NEUTRON, -1, world.PRIMARY, 1, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, kinetic)
        follow(made)
        rows = made.particles[1 : made.counts[1]]
        own = rows[rows["parent"] == 0]
        knocked += np.count_nonzero(own["kind"] == world.PROTON)
        assert own["kinetic"][own["kind"] >= world.PROTON].sum() < kinetic
        emitted = rows[rows["process"] == world.CAPTURED_NEUTRON]
        for parent in np.unique(emitted["parent"]):
            captures += 1
            assert emitted["kinetic"][emitted["parent"] == parent].sum() == pytest.approx(6.1)
    assert 30 < knocked < 90
    assert captures > 60


def test_hadrons_have_an_interaction_length_of_85_cm() -> None:
    """The number of pions with a range of 4 m that interact inelastically follows from the interaction length."""
    ended, path = 0, 0.0
    for index in range(150):
        made = world.new_world(new_rng(16, index), 400.0, np.array([0.0, 0.0, 0.0, 400.0]), 1 << 17)
        world.add_particle(made, world.PION_PLUS, -1, world.PRIMARY, 1, 200.0, 200.0, 1.0, 0.0, 0.0, 1.0, 900.0)
        follow(made)
        ended += bool((made.particles["process"][1 : made.counts[1]] == world.PION_INELASTIC).any())
        path += made.particles["end_z"][0] - 1.0
    assert ended / path == pytest.approx(0.8 / 85.0, rel=0.2)


def test_delta_rays_follow_their_spectrum() -> None:
    """Above 10 MeV, along at least 57 cm of 1 GeV muons, the number follows from the formula."""
    count, _ = argon.delta_rays(900.0, argon.MUON_MASS, 10.0)
    seen, path = 0, 0.0
    for index in range(150):
        event = simulate(8, index, 192, recipe=single(13, 1000.0))
        rows = event.particles
        inside = ((rows["start"] > 0) & (rows["start"] < 576)).all(1)
        seen += int(((rows["process"] == "muIoni") & (rows["energy_init"] > 10.511) & inside).sum())
        path += event.energy[event.labels == 1].sum() / 2.2
    assert seen / path == pytest.approx(count, rel=0.25)


@pytest.mark.parametrize("kinetic", [1.0, 10.0, 174.0])
def test_electrons_lose_what_icru_37_gives_in_collisions_below_a_cut(kinetic: float) -> None:
    """The mean loss without the energy carried away above the cut is the restricted loss of Berger and Seltzer, because
    the knocked-out electrons have Moller's spectrum."""
    mass, cut = argon.ELECTRON_MASS, 0.05
    tau, least, beta2 = kinetic / mass, cut / mass, argon.beta_squared(kinetic, mass)
    shape = -1 - beta2 + math.log((tau - least) * least) + tau / (tau - least)
    shape += (least**2 / 2 + (2 * tau + 1) * math.log(1 - least / tau)) / (tau + 1) ** 2
    logarithm = math.log(2 * (tau + 2) * (mass / argon.MEAN_EXCITATION) ** 2)
    delta = argon.density_effect(argon.momentum(kinetic, mass) / mass)
    expected = 0.5 * 0.307075 * argon.Z_OVER_A * argon.DENSITY / beta2 * (logarithm + shape - delta)
    count, carried = argon.delta_rays(kinetic, mass, cut)
    assert argon.stopping_power(kinetic, mass) - carried == pytest.approx(expected, rel=1e-9)
    edges = np.geomspace(cut, kinetic / 2, 20_001)
    transfers = np.sqrt(edges[1:] * edges[:-1])
    shapes = np.array([argon.delta_ray_shape(value, kinetic, mass) for value in transfers])
    knocked = shapes * (1 / edges[:-1] - 1 / edges[1:])  # shape / T2, over each bin
    assert (knocked * transfers).sum() / knocked.sum() == pytest.approx(carried / count, rel=1e-4)


@pytest.mark.parametrize(("mass", "kinetic"), [(argon.ELECTRON_MASS, 10.0), (argon.MUON_MASS, 500.0)])
def test_knocked_out_electrons_are_drawn_from_their_spectrum(mass: float, kinetic: float) -> None:
    """Their mean energy, within 4 % (five times its error), and the share above ten times the cut."""
    rng, cut = new_rng(18, 0), 0.05
    drawn = np.array([showers.knock_on(rng, kinetic, mass, cut)[0] for _ in range(40_000)])
    count, carried = argon.delta_rays(kinetic, mass, cut)
    assert drawn.mean() == pytest.approx(carried / count, rel=max(0.02, 5 * drawn.std() / 200 / drawn.mean()))
    assert (drawn > 10 * cut).mean() == pytest.approx(argon.delta_rays(kinetic, mass, 10 * cut)[0] / count, abs=0.008)


@pytest.mark.parametrize("size", [8, 64, 192])
def test_the_same_seed_and_index_give_the_same_event(size: int) -> None:
    least = 10 if size == 8 else 100
    first = simulate(7, 3, size, minimum_voxels=least)
    simulate(7, 4, size, minimum_voxels=least)
    assert digest(first) == digest(simulate(7, 3, size, minimum_voxels=least))
    assert digest(first) != digest(simulate(7, 4, size, minimum_voxels=least))
    assert digest(first) != digest(simulate(8, 3, size, minimum_voxels=least))
    assert first.name == "7:3"


def test_workers_and_order_do_not_change_events() -> None:
    alone = [digest_of(index) for index in range(6)]
    with forks.context().Pool(2) as pool:  # they share no memory with this process
        assert pool.map(digest_of, [5, 4, 3, 2, 1, 0], chunksize=1) == alone[::-1]


def test_the_random_stream_is_splitmix64() -> None:
    """The numbers of the authors' code from state 1234567, and the same moments for any state."""
    rng = np.array([1234567], dtype=np.uint64)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [uniform(rng) for _ in range(3)] == [(value >> 11) * 2.0**-53 for value in expected]
    rng = new_rng(0, 0)
    values = np.array([normal(rng) for _ in range(20000)])
    assert abs(values.mean()) < 0.03
    assert values.std() == pytest.approx(1.0, abs=0.03)


def test_an_event_of_this_version_is_pinned() -> None:
    """A different number means that the same seeds give other events than before; the changelog must say so."""
    event = simulate(1, 0, 64)
    assert (len(event), np.bincount(event.labels, minlength=5).tolist()) == PINNED[:2]
    assert event.energy.sum() == pytest.approx(PINNED[2], abs=1e-3)


PINNED = (1744, [422, 193, 1122, 7, 0], 186.730)


def test_truth_is_consistent() -> None:
    for index in range(20):
        event = simulate(9, index, 96)
        particles = event.particles
        assert event.clusters.min() >= 0
        dominant = particles["label"][event.clusters]
        assert (dominant == event.labels).mean() > 0.98
        for row in particles:
            assert row["label"] == particle_label(row["pdg"], row["parent_pdg"], row["process"])
        assert particles["energy_deposit"].sum() == pytest.approx(event.energy.sum(), rel=1e-4)
        assert set(particles["parent_track_id"]) <= set(particles["track_id"])
        numbers = event.coordinates @ np.array([1, 96, 96 * 96])
        assert (np.diff(numbers) > 0).all()


def deposits_of(rows: list[tuple[float, float, float, float, int]]) -> np.ndarray:
    return np.array(rows, dtype=DEPOSIT)


def test_a_deposit_is_smeared_by_its_gaussian() -> None:
    """Wherever the deposit lies in its voxel: exp(-3/2 d2) of the distance in voxels, with no loss."""
    rng = np.random.default_rng(0)
    places = rng.uniform(3.0, 6.0, (400, 3))
    image = make_image(deposits_of([(*place, 100.0, 0) for place in places]), np.array([1]), 32, 0.3)
    assert image.energy.sum() == pytest.approx(40_000.0, rel=1e-4)
    one = make_image(deposits_of([(4.59, 4.51, 4.79, 1e9, 0)]), np.array([1]), 32, 0.3)
    z, y, x = np.unravel_index(one.voxels, (32, 32, 32))
    d2 = (x - 15.0) ** 2 + (y - 15.0) ** 2 + (z - 15.0) ** 2
    np.testing.assert_allclose(one.energy, one.energy.max() * np.exp(-1.5 * d2), rtol=1e-9)
    assert d2.max() == 12
    assert pytest.approx(0.5 / 1.5) == SMEARING**2


def test_the_smearing_is_that_of_isolated_deposits_in_events_of_pilarnet(pilarnet_file: Path) -> None:
    """Seven and nineteen voxels around one deposit: the centre, the faces, the edges."""
    event = read_larcv(pilarnet_file)[0]
    image = np.zeros(np.add(event.spatial_shape, 4))
    image[tuple(event.coordinates.T + 2)] = event.energy
    ratios = []
    for place in event.coordinates:
        block = image[tuple(slice(low, low + 5) for low in place)]
        inner = block[1:4, 1:4, 1:4]
        if (inner > 0).sum() == (block > 0).sum() and (inner > 0).sum() in (7, 19) and inner[1, 1, 1] == block.max():
            ratios.append(np.append(inner[1, 1, [0, 2]], inner[[0, 2], 1, 1]) / inner[1, 1, 1])
    assert len(ratios) > 20
    assert np.median(ratios) == pytest.approx(np.exp(-0.5 / SMEARING**2), rel=1e-3)


def test_a_step_deposits_energy_in_proportion_to_its_path_in_each_voxel() -> None:
    made = world.new_world(new_rng(0, 0), 3.0, np.array([0.0, 0.0, 0.0, 3.0]), 1 << 12)
    start, end = np.array([0.35, 1.55, 2.2]), np.array([1.9, 1.01, 2.2])
    step = float(np.linalg.norm(end - start))
    world.add_particle(made, world.MUON, -1, world.PRIMARY, 1, *start, 1.0, 0.0, 0.0, 100.0)
    world.deposit_along(made, 0, *start, *((end - start) / step), step, 5.0)
    left = made.deposits[: made.counts[2]]
    fine = start + (np.arange(200_000)[:, None] + 0.5) / 200_000 * (end - start)
    voxels, counts = np.unique(np.floor(fine / 0.3).astype(int), axis=0, return_counts=True)
    found = np.floor(np.column_stack([left[axis] for axis in "xyz"]) / 0.3).astype(int)
    order = np.lexsort(found.T[::-1])
    np.testing.assert_array_equal(found[order], voxels)
    np.testing.assert_allclose(left["energy"][order], 5.0 * counts / 200_000, atol=2e-4)


def test_voxels_below_the_threshold_are_not_active() -> None:
    for energy in np.geomspace(0.005, 0.2, 20):
        image = make_image(deposits_of([(4.65, 4.65, 4.65, energy, 0)]), np.array([1]), 32, 0.3)
        assert (image.energy >= THRESHOLD).all()
    tiny = make_image(deposits_of([(4.65, 4.65, 4.65, 0.01, 0)]), np.array([1]), 32, 0.3)
    assert len(tiny.voxels) == 0


def test_the_larger_deposit_decides_a_shared_voxel() -> None:
    """Energies are summed by class, so two particles of one class outvote a third; the cluster is the largest."""
    rows = [(4.65, 4.65, 4.65, energy, row) for row, energy in enumerate((3.0, 3.0, 4.0))]
    image = make_image(deposits_of(rows), np.array([1, 1, 0]), 32, 0.3)
    assert set(image.labels) == {CLASS_NAMES.index("MIP")}
    assert set(image.rows) == {2}
    assert image.touched.tolist() == [len(image.voxels)] * 3
    assert image.deposited == pytest.approx(image.energy.sum() * np.array([0.3, 0.3, 0.4]))


def test_deposits_outside_smear_into_the_image_only_at_the_border() -> None:
    corner = make_image(deposits_of([(-0.01, -0.01, -0.01, 50.0, 0)]), np.array([2]), 8, 0.3)
    assert len(corner.voxels) > 0
    assert corner.energy.sum() < 50.0 / 7
    far = make_image(deposits_of([(-0.61, 1.0, 1.0, 50.0, 0)]), np.array([2]), 8, 0.3)
    assert len(far.voxels) == 0


def test_every_event_has_enough_voxels() -> None:
    assert min(len(simulate(10, index, 16, minimum_voxels=150)) for index in range(20)) >= 150
    with pytest.raises(
        ValueError, match=r"event 0 of seed 1: none of 100 attempts has the required minimum_voxels=600"
    ):
        simulate(1, 0, 8, minimum_voxels=600)


def test_growing_arrays_do_not_change_a_simulated_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from sscn_triton.lartpc.simulation import simulate as simulation

    expected = digest(simulate(11, 0, 64))
    new_world = simulation.new_world
    capacities = []

    def small(rng: np.ndarray, size: float, cube: np.ndarray, capacity: int) -> simulation.World:
        capacities.append(capacity)
        return new_world(rng, size, cube, capacity // 256)

    monkeypatch.setattr(simulation, "new_world", small)
    assert digest(simulate(11, 0, 64)) == expected
    assert len(capacities) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1, "index": 0}, "seed and index must be 0 or more, got seed=-1"),
        ({"seed": 0, "index": -2}, "seed and index must be 0 or more"),
        ({"seed": 0, "index": 0, "size": 7}, "size must be 8 to 4096 voxels, got 7"),
        ({"seed": 0, "index": 0, "size": 5000}, "size must be 8 to 4096"),
    ],
)
def test_impossible_events_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vertex_particles": (3, 2)}, r"vertex_particles must be \(least, most\)"),
        ({"rain": -1}, "rain must be 0 or more"),
        ({"vertex_species": (11, 2112)}, r"species must be PDG numbers .* got \[2112\]"),
        ({"rain_species": ()}, "species must be PDG numbers .* got none"),
        ({"energy": (100.0, 50.0)}, r"energy must be \(low, high\) in MeV"),
        ({"hadron_energy": (0.0, 50.0)}, "hadron_energy must be"),
    ],
)
def test_impossible_recipes_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**arguments)


def test_every_species_can_be_simulated() -> None:
    for pdg in (11, -11, 22, 13, -13, 211, -211, 111, 2212):
        event = simulate(12, 0, 96, recipe=single(pdg, 300.0))
        assert event.particles[0]["pdg"] == pdg
        assert len(event) >= 100

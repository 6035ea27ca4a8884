"""The study's open questions, each checked with a case that was worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from sscn_triton.lartpc import PARTICLE_DTYPE, Event
from sscn_triton.models import DenseUResNet
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data import tiling
from sscn_triton.study.questions import equal_memory, particles, trials
from sscn_triton.study.questions.figures import spread, values
from sscn_triton.study.questions.receptive_field import counting_network, joined_share, reached, receptive_field
from sscn_triton.study.questions.report import _free_gain
from sscn_triton.study.training.loop import Limit
from sscn_triton.study.training.metrics import Tally

HIP, MIP, SHOWER, DELTA, MICHEL = range(5)


def event(sites: list[tuple[int, int, int]], labels: list[int], edge: int = 32) -> Event:
    energy = np.full(len(sites), 0.05, dtype=np.float32)
    no_particles = np.zeros(0, PARTICLE_DTYPE)
    return Event(np.array(sites), energy, np.array(labels), no_particles, 3.0, np.zeros(3), (edge,) * 3, "by hand")


# ---- receptive field --------------------------------------------------------------------------------------------


def test_receptive_fields_equal_those_counted_by_hand() -> None:
    # depth 1: a stem and four convolutions of 3 reach 5 voxels in each direction
    # depth 2: -5..5 is -3..2 in pairs, four more convolutions -7..6, that is -14..13, and four more: -18..17
    assert receptive_field(1) == 11
    assert receptive_field(2) == 36
    # one block per level: 3 voxels in each direction; -3..3 is -2..1 in pairs, then -4..3, that is -8..7, and -10..9
    assert receptive_field(1, 1) == 7
    assert receptive_field(2, 1) == 20


def test_a_site_is_reached_only_through_active_sites() -> None:
    network = counting_network(1)
    line = np.array([(i, 0, 0) for i in range(8)])
    source = line[:, 0] == 0
    assert reached(network, line, source).tolist() == [True] * 6 + [False] * 2
    gap = line[[0, 1, 3, 4]]  # nothing active between
    assert reached(network, gap, gap[:, 0] == 0).tolist() == [True, True, False, False]
    assert reached(counting_network(2), gap, gap[:, 0] == 0).all()  # their pairs are neighbours


def test_the_joined_share_counts_michel_voxels_that_depend_on_a_mip_voxel() -> None:
    sites = [(i, 0, 0) for i in range(10)]
    made = event(sites, [MIP, MIP] + [MICHEL] * 8)
    assert joined_share([made], 1) == 5 / 8  # voxel 1 reaches 2 to 6
    assert joined_share([made], 2) == 1.0
    assert math.isnan(joined_share([event(sites, [MIP] * 10)], 1))


# ---- trials -----------------------------------------------------------------------------------------------------


def test_shares_are_means_over_events_of_known_voxels() -> None:
    sites = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)]
    one, other = event(sites, [MIP, MIP, MIP, MICHEL]), event(sites, [HIP, HIP, -1, -1])
    np.testing.assert_allclose(trials.mean_shares([one, other]), [0.5, 0.375, 0, 0, 0.125])


class Fixed(torch.nn.Module):
    """The same logits for every voxel."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, x: Any) -> Any:
        return SimpleNamespace(features=self.logits.expand(len(x.features), -1))


def test_shifts_divide_probabilities_by_powers_of_the_shares() -> None:
    sites = [(i, 0, 0) for i in range(10)]
    made = event(sites, [MIP] * 9 + [MICHEL])  # shares 0.9 and 0.1
    # MIP leads by a factor of 5, Michel gains 9 ** power: it wins between powers 0.5 (3) and 0.75 (5.2)
    network = Fixed([-9.0, math.log(5.0), -9.0, -9.0, 0.0])
    found = trials.judge_shifted(network, [made], [made])
    assert [row["shift"] for row in found] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [row["michel"] for row in found[:4]] == [0.0, 0.0, 0.0, 1.0]
    assert [row["elsewhere"] for row in found[:4]] == [1.0, 1.0, 1.0, 0.0]
    assert found[0]["nonzero_accuracy"] == pytest.approx(0.9)
    assert found[3]["michel_purity"] == pytest.approx(0.1)


def test_a_summary_counts_voxels_of_all_events_together() -> None:
    tally = Tally(5)
    logits = torch.nn.functional.one_hot(torch.tensor([MIP, MIP, MICHEL, MICHEL, SHOWER]), 5).float()
    tally.add(logits, torch.tensor([MIP, MICHEL, MICHEL, MIP, SHOWER]))
    found = trials.summary(tally)
    assert (found["michel"], found["elsewhere"], found["michel_purity"]) == (0.5, pytest.approx(2 / 3), 0.5)


def test_a_trial_depends_only_on_its_seed_and_class_weights() -> None:
    generator = np.random.default_rng(0)
    images = []
    for _ in range(9):
        sites = np.unique(generator.integers(0, 8, (60, 3)), axis=0)[:30]
        images.append(event([tuple(site) for site in sites.tolist()], [MIP] * 24 + [MICHEL] * 6))
    trial = trials.Trial("one", images, images[:2], 2, 2, 0, Limit(0, 3))
    first = trial.run()
    assert (first["steps"], first["seed"], len(first["shifted"])) == (3, 0, len(trials.SHIFTS))
    seeded, weighted = replace(trial, seed=1), replace(trial, class_weights="balanced")
    losses = [one.run()["training_loss"] for one in (trial, seeded, weighted)]
    assert losses[0] == first["training_loss"]
    assert len(set(losses)) == 3


def trial_of(michel: float, elsewhere: float, shifted: tuple[float, float]) -> list[dict[str, Any]]:
    plain = {"shift": 0.0, "michel": michel, "elsewhere": elsewhere}
    return [{"shifted": [plain, {"shift": 0.5, "michel": shifted[0], "elsewhere": shifted[1]}]}]


def test_a_gain_that_costs_more_than_half_a_point_elsewhere_is_not_free() -> None:
    plain = {"class_weights": "none", "trials": trial_of(0.2, 0.9, (0.8, 0.894))}
    weighted = {"class_weights": "sqrt", "trials": trial_of(0.4, 0.896, (0.9, 0.5))}
    name, numbers = _free_gain({"weights": [plain, weighted]})
    assert name == "class weights sqrt and power 0"
    assert "40.0 %" in numbers
    assert _free_gain({"weights": [plain]}) == ("", "")


def test_bars_extend_from_the_smallest_to_the_largest_value() -> None:
    found = values([{"shifted": [{"x": 0.25}]}, {"shifted": [{"x": 0.75}]}], "x")
    assert found.tolist() == [25.0, 75.0]
    assert spread(found).tolist() == [[25.0], [25.0]]


# ---- equal memory -----------------------------------------------------------------------------------------------


def outcome(parameters: int, memory: float) -> Any:
    return SimpleNamespace(parameters=parameters, training_memory=memory)


@pytest.mark.parametrize(
    ("sparse", "expected"),
    [
        (16e6 + 128e6, (64, 2)),  # as much as the dense one needs
        (16e6 + 127e6, (48, 4)),  # 54 MB for two crops of 48 px: 27 each
        (16e6 + 20e6, (32, 2)),  # 8 MB each
        (16e6 + 9e6, (16, 9)),  # 1 MB each
        (1e6, (16, 2)),  # nothing fits: the smallest possible crops
    ],
)
def test_the_dense_network_gets_the_largest_crops_that_fit(sparse: float, expected: tuple[int, int]) -> None:
    # the dense step: 16 MB of weights and Adam, and 128 MB for two crops of 64 px
    found = equal_memory.crops_that_fit(StudyConfig(), outcome(10**6, sparse), outcome(10**6, 16e6 + 128e6))
    assert found == expected


def test_pieces_cover_an_image_once_and_hold_a_voxel() -> None:
    sites = [(0, 0, 0), (11, 0, 0), (12, 0, 0), (19, 19, 19)]
    found = tiling.sharing(event(sites, [MIP, HIP, SHOWER, MICHEL], edge=20), 12)
    assert [piece.spatial_shape for piece in found] == [(12, 12, 12)] * 3
    known = [label for piece in found for label in piece.labels[piece.labels >= 0]]
    assert sorted(known) == [HIP, MIP, SHOWER, MICHEL]


def test_reading_in_pieces_scores_the_whole_image() -> None:
    class Threshold(DenseUResNet):
        """MIP below 0.1 MeV, HIP above."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            blank = torch.full_like(x, -9.0)
            return torch.cat([x - 2.0, torch.zeros_like(x), blank, blank, blank], 1)

    made = event([(0, 0, 0), (9, 0, 0), (18, 0, 0), (31, 31, 31)], [MIP, MIP, HIP, MIP])
    made = made.replace(energy=np.array([0.05, 0.05, 0.5, 0.5], np.float32))
    assert equal_memory.judge_in_pieces(Threshold(filters=1, depth=1), [made], 16) == 3 / 4


# ---- single particles -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def singles() -> list[particles.Single]:
    return particles.single_particles(0, 4, 32)


def test_single_particles_have_the_named_species_and_energy(singles: list[particles.Single]) -> None:
    pdg = list(particles.SPECIES.values())
    assert [single.species for single in singles] == [0, 1, 2, 3, 4] * 4
    masses = {11: 0.511, 22: 0.0, 13: 105.658, 211: 139.57, 2212: 938.272}
    for single in singles:
        first = single.image.particles[0]
        assert first["pdg"] == pdg[single.species]
        assert single.energy == pytest.approx(float(first["energy_init"]) - masses[int(first["pdg"])], abs=0.2)
        assert 50 <= single.energy <= 300
        assert single.visible == pytest.approx(float(single.image.energy.sum()), rel=1e-5)
        primaries = single.image.particles["track_id"] == single.image.particles["parent_track_id"]
        assert primaries.sum() == 1


def test_a_flavour_network_learns_its_particles_and_repeats_exactly(singles: list[particles.Single]) -> None:
    torch.manual_seed(0)
    answers = particles.Flavour(2)(particles._tensor(singles))
    before = float(particles.loss(*answers, singles).detach())
    trial = particles.FlavourTrial("one", singles, singles, 2, 1e-2, 0, Limit(0, 25))
    found = trial.run()
    assert found["steps"] == 25
    assert np.sum(found["confusion"]) == len(singles)
    assert found["accuracy"] == np.trace(found["confusion"]) / len(singles)
    assert before > math.log(5) - 0.7
    assert found["accuracy"] > 0.35  # a random guess: 0.2
    few = replace(trial, limit=Limit(0, 2))
    assert few.run()["found_energy"] == few.run()["found_energy"]


def test_the_summed_energy_is_scaled_by_the_median_ratio() -> None:
    def single(energy: float, visible: float) -> particles.Single:
        return particles.Single(cast(Event, None), 0, energy, visible)

    train = [single(100.0, 50.0), single(70.0, 10.0), single(90.0, 30.0)]  # ratios 2, 7, 3
    assert particles.summed_energies(train, [single(1.0, 10.0)]) == [30.0]
    assert particles.typical_error([90.0, 150.0, 100.0], [100.0, 100.0, 100.0]) == pytest.approx(0.1)

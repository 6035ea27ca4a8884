"""The study's numbers mean what they say, and its runs are fair."""

from __future__ import annotations

import math
import os
import re
import signal
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sscn_triton.common.errors import RunError
from sscn_triton.common.memory import PeakMemory
from sscn_triton.common.processes import run_all, run_apart
from sscn_triton.lartpc import Event, simulate
from sscn_triton.models import DenseUResNet
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data import batches as data
from sscn_triton.study.runs import run
from sscn_triton.study.runs.run import Job, Outcome
from sscn_triton.study.training import loop, networks, segmentation
from sscn_triton.study.training.loop import Limit
from sscn_triton.study.training.metrics import Tally, event_accuracies, segmentation_loss

TINY = {"size": 16, "image": 32, "events": 5, "filters": 2, "depth": 2, "steps": 3}


def logits_for(classes: list[int], number: int = 3) -> torch.Tensor:
    return 4.0 * F.one_hot(torch.tensor(classes), number).float()


# ---- metrics ----------------------------------------------------------------------------------------------------


def test_nonzero_accuracy_is_the_mean_over_events_not_over_voxels() -> None:
    # event 0: 3 of 4 right; event 2: 0 of 1; event 1 has no voxel at all; unknown voxels count nowhere
    labels, events = torch.tensor([0, 1, 2, 0, 1, -1]), torch.tensor([0, 0, 0, 0, 2, 2])
    logits = logits_for([0, 1, 2, 2, 0, 0])
    accuracy, by_class = event_accuracies(logits, labels, events, 3)
    assert float(accuracy.nanmean()) == pytest.approx((3 / 4 + 0) / 2)
    expected = torch.tensor([[0.5, 1, 1], [math.nan] * 3, [math.nan, 0, math.nan]]).double()
    torch.testing.assert_close(by_class, expected, equal_nan=True)


def test_loss_is_the_mean_over_events_of_their_mean_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, -1])
    events = torch.tensor([0, 0, 0, 0, 2, 2])
    expected = (F.cross_entropy(logits[:4], labels[:4]) + F.cross_entropy(logits[4:5], labels[4:5])) / 2
    torch.testing.assert_close(segmentation_loss(logits, labels, events, 3), expected)


def test_loss_of_voxels_of_unknown_label_is_zero_and_has_a_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = segmentation_loss(logits, torch.tensor([-1, -1]), torch.tensor([0, 0]), 1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_class_accuracy_and_shares_are_means_over_events() -> None:
    tally = Tally(3)
    tally.add(logits_for([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1]))  # class 0: 2 of 3, class 1: 1 of 1
    tally.add(logits_for([1, 1]), torch.tensor([0, 1]))  # class 0: 0 of 1, class 1: 1 of 1
    tally.add(logits_for([1]), torch.tensor([-1]))  # nothing known
    scores = tally.scores()
    assert scores.nonzero_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert scores.class_accuracy[:2] == pytest.approx([(2 / 3 + 0) / 2, 1.0])
    assert math.isnan(scores.class_accuracy[2])
    assert scores.class_share == pytest.approx([(3 / 4 + 1 / 2) / 2, (1 / 4 + 1 / 2) / 2, 0])
    assert scores.confusion == [[2, 2, 0], [0, 2, 0], [0, 0, 0]]
    assert (scores.events, scores.voxels) == (2, 6)


def test_scores_without_events_are_refused() -> None:
    with pytest.raises(ValueError, match="no event with a voxel of known label"):
        Tally(3).scores()


# ---- data -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [simulate(0, index, size=32) for index in range(4)]


def test_crops_depend_only_on_seed_and_step(events: list[Event]) -> None:
    def first(seed: int) -> list[data.Batch]:
        return [batch for batch, _ in zip(data.training_crops(events, 16, 2, seed), range(3), strict=False)]

    for one, other in zip(first(5), first(5), strict=True):
        assert torch.equal(one.coordinates, other.coordinates)
        assert torch.equal(one.features, other.features)
    assert not all(torch.equal(a.coordinates, b.coordinates) for a, b in zip(first(5), first(6), strict=True))
    for batch in first(5):
        assert batch.images == 2
        assert set(batch.events.tolist()) == {0, 1}
        assert int(batch.coordinates[:, 1:].min()) >= 0
        assert int(batch.coordinates[:, 1:].max()) < 16


def test_held_out_crops_tile_the_event_without_overlap(events: list[Event]) -> None:
    tiles = data.held_out_crops(events[:1], 16, seed=0)
    origins = {tuple(tile.origin) for tile in tiles}
    assert len(origins) == len(tiles)
    steps = (np.array(sorted(origins)) - events[0].origin) / (16 * events[0].voxel_size)
    assert np.allclose(steps, steps.round())
    assert all((tile.labels >= 0).sum() >= data.LEAST_VOXELS for tile in tiles)


def test_no_held_out_event_is_learnt_from() -> None:
    split = data.load(StudyConfig(**TINY))
    train, held_out = ({event.name for event in part} for part in (split.train, split.held_out))
    assert len(train) == 4
    assert len(held_out) == 1
    assert not train & held_out


def test_features_are_energies_in_their_unit(events: list[Event]) -> None:
    batch = data.as_batch(events[:2])
    expected = np.concatenate([event.energy for event in events[:2]]) / data.ENERGY_UNIT
    np.testing.assert_allclose(batch.features[:, 0], expected, rtol=1e-6)


# ---- training ---------------------------------------------------------------------------------------------------


def test_one_cycle_is_that_of_pytorch() -> None:
    steps = 1001
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for step in range(steps):
        ours = segmentation.one_cycle(step / (steps - 1), 0.01)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=4e-5)
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_a_limit_is_in_steps_if_given_otherwise_in_seconds_with_at_least_one_step() -> None:
    assert Limit(10.0).progress(2.5, 99) == 0.25
    assert Limit(10.0).progress(30.0, 1) == 1.0
    assert Limit(10.0, steps=4).progress(99.0, 1) == 0.25
    assert Limit(0.0).progress(0.0, 0) == 0.0
    assert Limit(0.0).progress(0.0, 1) == 1.0


def test_dense_logits_are_those_of_the_active_voxels(events: list[Event]) -> None:
    class Identity(DenseUResNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, 2 * x], 1)

    batch = data.as_batch(events[:2])
    expected = torch.cat([batch.features, 2 * batch.features], 1)
    assert torch.equal(networks.voxel_logits(Identity(filters=1, depth=1), batch), expected)


def test_both_kinds_start_from_the_same_weights() -> None:
    config = StudyConfig(**TINY)
    sparse, dense = (run.make_network(kind, config, 3) for kind in ("sparse", "matched"))
    for mine, theirs in zip(sparse.parameters(), dense.parameters(), strict=True):
        assert float(mine.detach().norm()) == pytest.approx(float(theirs.detach().norm()), rel=1e-5)


def test_training_lowers_the_loss_records_every_step_and_repeats_exactly(events: list[Event]) -> None:
    def losses() -> list[float]:
        network = run.make_network("sparse", replace(StudyConfig(**TINY), filters=4), 3)
        steps = loop.train(network, data.training_events(events[:1], 0), "test", Limit(0, 15), 2e-2)
        assert [step.iteration for step in steps] == list(range(1, 16))
        assert all(a.wall < b.wall for a, b in pairwise(steps))
        assert all(step.voxels == len(events[0]) and step.seconds > 0 for step in steps)
        return [step.loss for step in steps]

    first = losses()
    assert sum(first[-3:]) < 0.7 * sum(first[:3])
    assert losses() == first


def test_a_loss_that_is_not_a_number_stops_the_training_and_names_step_and_event(events: list[Event]) -> None:
    network = run.make_network("sparse", StudyConfig(**TINY), 3)
    broken = replace(data.as_batch(events[:1]), features=torch.full((len(events[0]), 1), math.nan))
    with pytest.raises(FloatingPointError, match=f"loss of step 1 is nan .*{re.escape(events[0].name)}"):
        loop.train(network, iter([broken]), "test", Limit(0, 2), 1e-3)


def test_statistics_are_plain_means_over_the_batches(events: list[Event]) -> None:
    norm = torch.nn.BatchNorm3d(1, momentum=0.01)
    network = DenseUResNet(filters=1, depth=1)
    network.network = norm
    batches = [data.as_batch([event]) for event in events[:2]]
    networks.voxel_logits(network.train(), data.as_batch(events[2:3]))  # leaves a trace that must be forgotten
    loop.estimate_statistics(network, batches)
    dense = [data_as_image(batch) for batch in batches]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean[0], (dense[0].mean() + dense[1].mean()) / 2)
    torch.testing.assert_close(norm.running_var[0], (dense[0].var() + dense[1].var()) / 2)
    assert norm.momentum == 0.01
    assert not network.training


def data_as_image(batch: data.Batch) -> torch.Tensor:
    image = torch.zeros(batch.images, *batch.spatial_shape)
    image[batch.coordinates.long().unbind(1)] = batch.features[:, 0]
    return image


# ---- memory and processes ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark is reset through /proc")
def test_peak_memory_counts_only_memory_allocated_after_the_start() -> None:
    earlier = np.ones(40_000_000)  # 320 MB
    del earlier
    memory = PeakMemory()
    later = np.ones(10_000_000)  # 80 MB
    del later
    assert 75e6 < memory.bytes() < 160e6


def refuse(job: Job) -> Outcome:
    raise FloatingPointError(f"{len(job.train)} events")


def die(job: Job) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_run_that_fails_or_dies_in_its_process_is_reported(events: list[Event]) -> None:
    job = Job("sparse", "sparse", StudyConfig(**TINY), events * 50, events, False, Limit(0, 1), 2)
    with pytest.raises(RunError, match="'sparse' failed: FloatingPointError: 200 events"):
        run_apart(job, refuse)
    with pytest.raises(RunError, match="'sparse' ended with exit code -9; if it was killed, memory may have run out"):
        run_apart(job, die)


@dataclass(frozen=True)
class Doubling:
    name: str
    number: int


def double(job: Doubling) -> tuple[int, int]:
    return 2 * job.number, os.getpid()


def test_jobs_are_shared_out_among_processes_and_answered_in_order() -> None:
    told: list[int] = []
    answers = run_all([Doubling(f"job {n}", n) for n in range(6)], double, 2, told.append)
    assert [number for number, _ in answers] == [0, 2, 4, 6, 8, 10]
    processes = {process for _, process in answers}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes
    assert told == [1, 2, 3, 4, 5, 6]

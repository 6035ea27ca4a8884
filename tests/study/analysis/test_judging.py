"""Networks are judged with the statistics of the norms that the caller asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sscn_triton.lartpc import Event, simulate
from sscn_triton.study.analysis.judging import judge_batches
from sscn_triton.study.data.batches import as_batch, random_crop
from sscn_triton.study.data.tiling import sharing
from sscn_triton.study.questions.equal_memory import judge_in_pieces
from sscn_triton.study.training.metrics import Tally
from sscn_triton.study.training.networks import NetworkSettings, make_network, voxel_logits


def network() -> torch.nn.Module:
    """A dense network whose running statistics are far from those of any image."""
    made = make_network(NetworkSettings("matched", filters=2, depth=2, repetitions=1), 0)
    for name, buffer in made.named_buffers():
        if name.endswith("running_mean"):
            buffer += 3.0
    return made


def scores(batches: list[list[Event]], images: list[list[Event]]) -> Tally:
    """Of each of the images, which consist of pieces: read in these batches, with the statistics of the batch."""
    found = {}
    for some in batches:
        batch = as_batch(some)
        logits = voxel_logits(network().train(), batch).detach()
        found |= {
            id(one): (logits[batch.events == n], torch.from_numpy(one.labels).long()) for n, one in enumerate(some)
        }
    tally = Tally(5)
    for pieces in images:
        tally.add(*(torch.cat([found[id(one)][part] for one in pieces]) for part in (0, 1)))
    return tally


@pytest.fixture(scope="module")
def crops() -> list[Event]:
    events, generator = [simulate(0, index, size=32) for index in range(3)], np.random.default_rng(0)
    return [random_crop([event], 16, generator) for event in events]


def test_batches_are_judged_by_the_statistics_of_their_own_images(crops: list[Event]) -> None:
    found = judge_batches(network(), crops, 2)
    expected = scores([crops[:2], crops[2:]], [[crop] for crop in crops]).scores()
    assert found.confusion == expected.confusion
    assert found.loss == pytest.approx(expected.loss)
    assert found.events == 3
    assert found.loss != pytest.approx(judge_batches(network(), crops, 3).loss)


def test_pieces_are_judged_by_the_statistics_of_pieces_read_together(crops: list[Event]) -> None:
    pieces = [sharing(crop, 8) for crop in crops]
    flat = [piece for some in pieces for piece in some]
    batches = [flat[first : first + 4] for first in range(0, len(flat), 4)]
    assert len(batches) > 1
    expected = scores(batches, pieces).scores().nonzero_accuracy
    assert judge_in_pieces(network(), crops, 8, 4) == expected
    assert judge_in_pieces(network(), crops, 8) != expected

"""Accuracy at equal time and equal memory: the dense network's crops are so small that it needs no more memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from sscn_triton.common.memory import PeakMemory
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study.analysis.judging import batch_logits
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import Batch, as_batch, training_crops
from sscn_triton.study.data.tiling import sharing
from sscn_triton.study.runs.curves import curve
from sscn_triton.study.runs.run import STATISTICS_BATCHES, Outcome, make_network, warm_up
from sscn_triton.study.training.loop import Limit, estimate_statistics, train
from sscn_triton.study.training.metrics import Tally
from sscn_triton.study.training.networks import Kind, NetworkSettings, voxel_logits

STATE_BYTES = 16
"""Bytes per parameter trained by Adam: the parameter, its gradient and two moments, four bytes each."""


def crops_that_fit(config: StudyConfig, sparse: Outcome, dense: Outcome) -> tuple[int, int]:
    """Edge and number of the largest crops with which a step of the matched dense network should need no more memory
    than one of the sparse network: the memory beyond that of the weights grows with the number of grid points.

    Batch norm needs at least two images, which may use more memory than that.
    """
    state = STATE_BYTES * dense.parameters
    room = sparse.training_memory - state
    place = max(1.0, dense.training_memory - state) / (config.batch * config.size**3)
    divisor = NetworkSettings("matched", depth=config.depth).divisor
    for edge in range(config.size, 0, -divisor):
        number = int(room / (place * edge**3))
        if number >= 2:
            return edge, min(number, 64)
    return divisor, 2


@dataclass(frozen=True)
class Contender:
    """One network with its limits: the edge of crops and their number per step. held_out: crops of the study's size."""

    name: str
    kind: Kind
    config: StudyConfig
    train: list[Event]
    held_out: list[Event]
    edge: int
    images: int
    limit: Limit

    def run(self) -> dict[str, Any]:
        """Train and judge. Returns the steps, the peak memory, and the accuracy on the held-out crops, which the
        network reads in pieces of its own edge; that of the dense network also by statistics of the batch."""
        config = self.config
        warm_up(self.kind, config, next(self._batches()))
        memory = PeakMemory()
        network = make_network(self.kind, config, self.train[0].ndim)
        steps = train(network, self._batches(), None, self.limit, config.learning_rate)
        peak = memory.bytes()
        estimate_statistics(network, list(islice(self._batches(), min(STATISTICS_BATCHES, len(steps)))))
        return {
            "name": self.name,
            "kind": self.kind,
            "edge": self.edge,
            "images": self.images,
            "steps": len(steps),
            "seconds": steps[-1].wall,
            "curve": curve([s.accuracy for s in steps], [s.wall for s in steps], [s.loss for s in steps]),
            "memory": peak,
            "held_out": judge_in_pieces(network, self.held_out, self.edge),
            "held_out_batch": judge_in_pieces(network, self.held_out, self.edge, self.images)
            if self.kind == "matched"
            else None,
        }

    def _batches(self) -> Iterator[Batch]:
        return training_crops(self.train, self.edge, self.images, self.config.seed)


def judge_in_pieces(network: torch.nn.Module, images: list[Event], edge: int, together: int | None = None) -> float:
    """Nonzero accuracy on whole images of a network that reads them in adjacent pieces of this edge.

    together: number of pieces whose own statistics the norms use, as in training; None for the running statistics
    """
    pieces = [(number, piece) for number, image in enumerate(images) for piece in sharing(image, edge)]
    found: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in images]
    network.eval()
    for first in range(0, len(pieces), together or 1):
        some = pieces[first : first + (together or 1)]
        if together is None:
            with torch.no_grad():
                answers = [(voxel_logits(network, as_batch([one])), torch.from_numpy(one.labels)) for _, one in some]
        else:
            answers = batch_logits(network, [piece for _, piece in some])
        for (number, _), answer in zip(some, answers, strict=True):
            found[number].append(answer)
    tally = Tally(len(CLASS_NAMES))
    for answers in found:
        tally.add(torch.cat([logits for logits, _ in answers]), torch.cat([labels.long() for _, labels in answers]))
    return tally.scores().nonzero_accuracy

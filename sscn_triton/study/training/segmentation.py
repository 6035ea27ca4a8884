"""A voxel-labelling network as a Lightning module: its loss, its optimiser, and the results of each batch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import lightning
import torch
from torch import Tensor, nn

from sscn_triton.study.data.batches import Batch
from sscn_triton.study.training.config import Schedule
from sscn_triton.study.training.metrics import UNKNOWN, ClassWeights, event_accuracies, event_losses
from sscn_triton.study.training.networks import voxel_logits
from sscn_triton.study.training.optimizer import adam


def one_cycle(progress: float, peak: float) -> float:
    """Learning rate of the one-cycle schedule (Smith, arXiv:1708.07120): up for 30 %, then down, along cosines.

    It begins at a 25th of the peak and ends at a 10,000th of that, as in `torch.optim.lr_scheduler.OneCycleLR`. That
    class needs the number of steps beforehand; the progress here, from 0 to 1, may also measure time.
    """
    start, end, up = peak / 25, peak / 25e4, 0.3
    if progress < up:
        return peak + (start - peak) * (1 + math.cos(math.pi * progress / up)) / 2
    return end + (peak - end) * (1 + math.cos(math.pi * (progress - up) / (1 - up))) / 2


WARM_UP = 500
"""Steps over which the constant schedule rises to its learning rate."""


def scheduled(schedule: Schedule, step: int, progress: float, peak: float) -> float:
    """Learning rate of a step, counted from 0; progress: of the training before this step, from 0 to 1."""
    if schedule == "constant":
        return peak * min(1.0, (step + 1) / WARM_UP)
    if schedule == "decay":
        return peak * max(1e-3, 1 - progress)
    return one_cycle(progress, peak)


@dataclass(frozen=True)
class Objective:
    """The loss of a batch. reduction: how the events' losses are combined, by mean or, as in the 2018 study, by sum;
    class_weights: see `metrics.event_losses`."""

    reduction: Literal["mean", "sum"] = "mean"
    class_weights: ClassWeights = "none"


@dataclass(frozen=True)
class Seen:
    """The results of one batch over all processes, before the weights changed. `a + b` combines two batches."""

    loss: float  # sum over events with a voxel of known label
    accuracy: float  # sum over the same events
    events: float
    voxels: float
    class_accuracy: tuple[float, ...]  # per class, sum over the events that have it
    class_events: tuple[float, ...]
    forward: float  # seconds of the forward pass, including the loss

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            loss=self.loss + other.loss,
            accuracy=self.accuracy + other.accuracy,
            events=self.events + other.events,
            voxels=self.voxels + other.voxels,
            class_accuracy=_sums(self.class_accuracy, other.class_accuracy),
            class_events=_sums(self.class_events, other.class_events),
            forward=self.forward + other.forward,
        )

    @property
    def mean_loss(self) -> float:
        return self.loss / self.events if self.events else math.nan

    @property
    def nonzero_accuracy(self) -> float:
        return self.accuracy / self.events if self.events else math.nan

    @property
    def class_accuracies(self) -> list[float]:
        """The accuracy of each class; nan if no event has it."""
        return [a / n if n else math.nan for a, n in zip(self.class_accuracy, self.class_events, strict=True)]


def _sums(ones: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(one + other for one, other in zip(ones, others, strict=True))


class Segmentation(lightning.LightningModule):
    """A network that labels voxels, its loss and its optimiser.

    first_step: the number of the first step in this process, from 1. optimizer_state: the state of an optimiser to
    continue with. Several processes compute the same loss as one process on the combined batch; for this, the module
    undoes DDP's averaging of gradients. After every batch, `seen` contains its results.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        objective: Objective | None = None,
        first_step: int = 1,
        optimizer_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.learning_rate = network, learning_rate
        self.objective = Objective() if objective is None else objective
        self.first_step, self.optimizer_state = first_step, optimizer_state
        self.seen: Seen | None = None

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        start = time.perf_counter()
        logits, losses = self.logits_and_losses(batch)
        numbers = self._count(logits.detach(), losses.detach(), batch)
        loss = losses.sum() * (self._processes / max(1.0, numbers[2]))
        if self.objective.reduction == "sum":  # because Lightning divides by the number of batches in a step
            loss = losses.sum() * (self._processes * self.trainer.accumulate_grad_batches)
        self._stop_if_not_finite(numbers[0], batch, batch_index)
        summed, accuracy, events, voxels, *by_class = numbers
        half = len(by_class) // 2
        classes = tuple(by_class[:half]), tuple(by_class[half:])
        seconds = time.perf_counter() - start  # reading the numbers has synchronised with a GPU
        self.seen = Seen(summed, accuracy, events, voxels, *classes, seconds)
        return loss

    def logits_and_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [N, classes] of the active voxels, and the loss of each event with a voxel of known label."""
        logits = voxel_logits(self.network, batch)
        return logits, event_losses(logits, batch.labels, batch.events, batch.images, self.objective.class_weights)

    def voxels_of(self, batch: Batch) -> int:
        """Active voxels of a batch."""
        return len(batch.labels)

    @property
    def _processes(self) -> int:
        return self.trainer.world_size

    def _count(self, logits: Tensor, losses: Tensor, batch: Batch) -> list[float]:
        """Loss, accuracy, events and voxels, then accuracy and events of each class: sums over all processes."""
        accuracy, by_class = event_accuracies(logits, batch.labels, batch.events, batch.images)
        voxels = (batch.labels != UNKNOWN).sum()
        totals = [losses.double().sum(), accuracy.nansum(), (~accuracy.isnan()).sum(), voxels]
        counts = torch.cat([torch.stack([t.double() for t in totals]), by_class.nansum(0), (~by_class.isnan()).sum(0)])
        if self._processes > 1:
            torch.distributed.all_reduce(counts)
        return counts.tolist()

    def _stop_if_not_finite(self, loss: float, batch: Batch, batch_index: int) -> None:
        if not math.isfinite(loss):
            step = self.first_step + batch_index // self.trainer.accumulate_grad_batches
            raise FloatingPointError(f"the loss of step {step} is {loss} ({', '.join(batch.names)})")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = adam(self.network, self.learning_rate)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        return optimizer


def set_learning_rate(trainer: Any, rate: float) -> None:
    """Set the learning rate of the next steps."""
    for group in trainer.optimizers[0].param_groups:
        group["lr"] = rate

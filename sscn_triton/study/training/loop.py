"""The only training loop: trains a Lightning module for a time or a number of steps and records every step."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from sscn_triton.common.progress import Progress
from sscn_triton.study.data.batches import Batch
from sscn_triton.study.training.config import Schedule
from sscn_triton.study.training.networks import voxel_logits
from sscn_triton.study.training.recorder import Measured, Recorder
from sscn_triton.study.training.segmentation import Objective, Segmentation, scheduled, set_learning_rate

RECENT = 20
"""Number of steps over which the accuracy in the progress display is averaged."""


@dataclass(frozen=True)
class Step:
    """One training step. Accuracy and loss are those of its batch, before the weights changed."""

    iteration: int  # from 1
    wall: float  # seconds since training began, everything included
    accuracy: float
    loss: float
    seconds: float  # for forward, loss, backward and Adam, without making the batch
    voxels: int


@dataclass(frozen=True)
class Limit:
    """The duration of a training: a number of steps if given, else of seconds; at least one step."""

    seconds: float
    steps: int | None = None

    def progress(self, seconds: float, steps: int) -> float:
        """The progress, from 0 at the start to 1 at the end."""
        if self.steps is not None:
            return steps / self.steps
        return min(1.0, seconds / self.seconds) if self.seconds > 0 else float(steps > 0)


class Steps(Recorder):
    """Keeps every step in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def keep(self, trainer: Any, module: Any, step: Measured) -> None:
        seconds = step.seconds_forward + step.seconds_backward
        accuracy, loss = step.seen.nonzero_accuracy, step.seen.mean_loss
        self.steps.append(Step(step.step, step.wall, accuracy, loss, seconds, step.voxels))


class Pace(lightning.Callback):
    """Sets the learning rate of every step, shows progress, and stops at the limit.

    name: shown with the progress, if not empty
    last_step: the number of the last step before continuing
    """

    def __init__(
        self, limit: Limit, rate: float, name: str | None, schedule: Schedule = "one-cycle", last_step: int = 0
    ) -> None:
        self.limit, self.rate, self.name, self.schedule = limit, rate, name, schedule
        self.last_step = self.step = last_step
        self._show: Progress | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._began = math.nan

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if self.name is not None and trainer.is_global_zero:
            total = self.limit.seconds if self.limit.steps is None else self.limit.steps
            self._show = Progress(self.name, total)
        self._began = time.perf_counter()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        progress = self.limit.progress(time.perf_counter() - self._began, self.step)
        set_learning_rate(trainer, scheduled(self.schedule, self.step, progress, self.rate))

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        if (batch_index + 1) % trainer.accumulate_grad_batches:
            return
        self.step = self.last_step + trainer.global_step
        wall = time.perf_counter() - self._began
        self._recent.append(module.seen.nonzero_accuracy)
        if self._show is not None:
            mean = sum(self._recent) / len(self._recent)
            remark = f"step {self.step}, loss {module.seen.mean_loss:.3f}, accuracy {mean:.3f}"
            self._show.to(wall if self.limit.steps is None else self.step, remark)
        if self.limit.progress(wall, self.step) >= 1:
            trainer.should_stop = True

    def teardown(self, trainer: Any, module: Any, stage: str) -> None:
        if self._show is not None:
            self._show.__exit__()


class _Stream(IterableDataset):
    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return self.batches


def quiet_trainer(**options: Any) -> lightning.Trainer:
    """Lightning's trainer without logging, saving and progress display; callbacks do these instead."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return lightning.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, callbacks: list[Any], **data: Any) -> None:
    """Train the module. data: the arguments of `Trainer.fit` that name the data. Callbacks run in the given order."""
    trainer.callbacks += callbacks  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and progress bars
        trainer.fit(module, **data)


def train(
    network: nn.Module,
    batches: Iterator[Batch],
    name: str | None,
    limit: Limit,
    learning_rate: float,
    objective: Objective | None = None,
) -> list[Step]:
    """Train `network` in place with Adam until the limit; returns its steps. name: shown with the progress."""
    return train_module(Segmentation(network, learning_rate, objective), batches, name, limit, learning_rate)


def train_module(
    module: lightning.LightningModule, batches: Iterator[Any], name: str | None, limit: Limit, learning_rate: float
) -> list[Step]:
    """Train a module on the CPU. It must have `seen` and `voxels_of`, as `Segmentation` does."""
    steps = Steps()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = quiet_trainer(accelerator="cpu")
    loader = DataLoader(_Stream(batches), batch_size=None)
    fit(trainer, module, [steps, Pace(limit, learning_rate, name)], train_dataloaders=loader)
    return steps.steps


def estimate_statistics(network: nn.Module, batches: list[Batch]) -> None:
    """Replace the running statistics of every batch norm by plain means over `batches`.

    Running averages with momentum 0.01 need some hundreds of steps to forget their initial values, and a training with
    a time limit may have fewer. All networks get statistics of their final weights, so that the weights alone decide
    the scores. The dense network of 2018 has no running statistics and stays unchanged.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for batch in batches if norms else []:
            voxel_logits(network, batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()

"""Training by Lightning: one network, for a time or for a number of steps, with a record of every step."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from sscn_triton.common.progress import Progress
from sscn_triton.study.data.batches import Batch
from sscn_triton.study.training.segmentation import Objective, Segmentation, one_cycle, set_learning_rate, voxel_logits


@dataclass(frozen=True)
class Step:
    """One training step. Accuracy and loss are of the batch it learnt from, before the weights moved."""

    iteration: int  # from 1
    wall: float  # seconds since training began, everything in it
    accuracy: float
    loss: float
    seconds: float  # forward, loss, backward and Adam; without making the batch
    voxels: int


@dataclass(frozen=True)
class Limit:
    """How long a training lasts: a number of steps if given, else of seconds; one step at least."""

    seconds: float
    steps: int | None = None

    def progress(self, seconds: float, steps: int) -> float:
        """From 0 at the start to 1 at the end."""
        if self.steps is not None:
            return steps / self.steps
        return min(1.0, seconds / self.seconds) if self.seconds > 0 else float(steps > 0)


class Recorder(lightning.Callback):
    """Sets the learning rate, writes down every step, shows progress and stops at the limit."""

    def __init__(self, name: str | None, limit: Limit) -> None:
        self.limit = limit
        self.steps: list[Step] = []
        total = limit.steps if limit.steps is not None else limit.seconds
        self._show = None if name is None else Progress(name, total)
        self._start = self._step_start = math.nan

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self._start = time.perf_counter()

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Batch, batch_index: int) -> None:
        self._step_start = time.perf_counter()
        progress = self.limit.progress(self._step_start - self._start, len(self.steps))
        set_learning_rate(trainer, one_cycle(progress, module.learning_rate))

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_index: int) -> None:
        now = time.perf_counter()
        step = Step(
            iteration=len(self.steps) + 1,
            wall=now - self._start,
            accuracy=module.seen.nonzero_accuracy,
            loss=module.seen.mean_loss,
            seconds=now - self._step_start,
            voxels=len(batch.labels),
        )
        self.steps.append(step)
        if self._show is not None:
            done = step.iteration if self.limit.steps is not None else step.wall
            recent = self.steps[-20:]
            mean = sum(s.accuracy for s in recent) / len(recent)
            self._show.to(done, f"step {step.iteration}, accuracy {mean:.3f}, {step.seconds:.2f} s a step")
        if self.limit.progress(step.wall, step.iteration) >= 1:
            trainer.should_stop = True

    def on_train_end(self, trainer: Any, module: Any) -> None:
        if self._show is not None:
            self._show.__exit__()


class _Stream(IterableDataset):
    def __init__(self, batches: Iterator[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self.batches


def train(
    network: nn.Module,
    batches: Iterator[Batch],
    name: str | None,
    limit: Limit,
    learning_rate: float,
    objective: Objective | None = None,
) -> list[Step]:
    """Train `network` in place by Adam, until the limit; returns its steps. name: shown with the progress, if any."""
    recorder = Recorder(name, limit)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and progress bars
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[recorder],
        )
        trainer.fit(Segmentation(network, learning_rate, objective), DataLoader(_Stream(batches), batch_size=None))
    return recorder.steps


def estimate_statistics(network: nn.Module, batches: list[Batch]) -> None:
    """Replace the running statistics of every batch norm by plain means over `batches`.

    Running averages of momentum 0.01 need some hundreds of steps to forget their start; a training by the clock may
    have fewer. So that each network is judged by its weights, all get statistics of their final weights. The dense
    network of 2018 keeps none and stays as it is.
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

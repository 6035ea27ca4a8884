"""The metrics and times of every optimiser step; all trainings measure them here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import lightning
import torch

from sscn_triton.study.training.segmentation import Seen


@dataclass(frozen=True)
class Measured:
    """An optimiser step on one batch, or on several whose gradients are added.

    step: its number, from 1
    seen: the results of its batches before the weights changed
    voxels: active voxels of its batches in this process, including those of unknown label
    seconds_data, seconds_forward, seconds_backward: for waiting for the batches; for forward pass and loss; for
    backward pass and optimiser
    wall: seconds since the training began, without pauses
    """

    step: int
    seen: Seen
    voxels: int
    seconds_data: float
    seconds_forward: float
    seconds_backward: float
    wall: float


class Recorder(lightning.Callback):
    """Measures every step and passes it to `keep`. last_step: the number of the last step before continuing."""

    def __init__(self, last_step: int = 0) -> None:
        self.last_step = last_step
        self._began = self._mark = 0.0
        self._forget()

    def _forget(self) -> None:
        self._seen: Seen | None = None
        self._voxels = 0
        self._data = self._forward = self._backward = 0.0

    def begin(self, trainer: Any) -> float:
        """Called before the first step; returns the seconds that earlier calls spent on this training."""
        return 0.0

    def keep(self, trainer: Any, module: Any, step: Measured) -> None:
        """Called after every step, in every process."""
        raise NotImplementedError

    def on_train_start(self, trainer: Any, module: Any) -> None:
        before = self.begin(trainer)
        self._mark = time.perf_counter()
        self._began = self._mark - before

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_index: int) -> None:
        now = time.perf_counter()
        self._data += now - self._mark
        self._mark = now

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        now = time.perf_counter()
        seen: Seen = module.seen
        self._forward += seen.forward
        self._backward += now - self._mark - seen.forward
        self._mark = now
        self._seen = seen if self._seen is None else self._seen + seen
        self._voxels += module.voxels_of(batch)
        if (batch_index + 1) % trainer.accumulate_grad_batches == 0:
            step, wall = self.last_step + trainer.global_step, now - self._began
            times = self._data, self._forward, self._backward
            measured = Measured(step, self._seen, self._voxels, *times, wall)
            self._forget()
            self.keep(trainer, module, measured)

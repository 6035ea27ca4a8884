"""A step's metrics are sums over its batches, and its times are those of its parts, without pauses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sscn_triton.study.training import recorder
from sscn_triton.study.training.recorder import Measured, Recorder
from sscn_triton.study.training.segmentation import Seen


class Kept(Recorder):
    """Keeps all steps; earlier calls spent 100 seconds."""

    def __init__(self, last_step: int = 0) -> None:
        super().__init__(last_step)
        self.steps: list[Measured] = []

    def begin(self, trainer: Any) -> float:
        return 100.0

    def keep(self, trainer: Any, module: Any, step: Measured) -> None:
        self.steps.append(step)


def seen(loss: float, forward: float) -> Seen:
    return Seen(loss, 0.5, 1, 10, (0.5, 0.0), (1, 0), forward)


def test_a_step_adds_up_its_batches_and_the_times_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=7.0)
    monkeypatch.setattr(recorder, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    trainer = SimpleNamespace(accumulate_grad_batches=3, global_step=0)
    module = SimpleNamespace(device=torch.device("cpu"), voxels_of=lambda batch: batch, seen=None)
    kept = Kept(last_step=5)
    kept.on_train_start(trainer, module)
    for index, voxels in enumerate((30, 12, 4, 5, 6, 7)):
        clock.now += 1.0  # waiting for the batch
        kept.on_train_batch_start(trainer, module, voxels, index)
        module.seen = seen(float(index), forward=0.25)
        clock.now += 4.0
        trainer.global_step = (index + 1) // 3
        kept.on_train_batch_end(trainer, module, None, voxels, index)
    first, second = kept.steps
    assert (first.step, second.step) == (6, 7)
    assert (first.voxels, second.voxels) == (46, 18)
    assert (first.seen.loss, second.seen.loss) == (3.0, 12.0)
    assert (first.seen.events, first.seen.voxels, first.seen.class_accuracy) == (3, 30, (1.5, 0.0))
    for step in (first, second):
        assert (step.seconds_data, step.seconds_forward, step.seconds_backward) == (3.0, 0.75, 11.25)
    assert (first.wall, second.wall) == (115.0, 130.0)


def test_a_new_training_begins_before_its_first_step_and_at_no_time() -> None:
    assert Recorder().last_step == 0
    assert Recorder().begin(None) == 0.0
    with pytest.raises(NotImplementedError):
        Recorder().keep(None, None, None)  # type: ignore[arg-type]

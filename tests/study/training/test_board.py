"""TensorBoard reads the log of a training, and that of a continued one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sscn_triton.study.training.board import Board

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_tensorboard_reads_the_values_and_drops_repeated_steps(tmp_path: Path) -> None:
    first = Board(tmp_path, 1)
    for step in (1, 2, 3):
        first.add(step, {"loss": step / 10, "accuracy": math.nan})
    first.close()
    again = Board(tmp_path, 3)  # continues after step 2
    again.add(3, {"loss": 0.5, "accuracy": 0.25})
    again.close()
    log = event_accumulator.EventAccumulator(str(tmp_path))
    log.Reload()
    assert log.Tags()["scalars"] == ["loss", "accuracy"]
    assert [(one.step, round(one.value, 6)) for one in log.Scalars("loss")] == [(1, 0.1), (2, 0.2), (3, 0.5)]
    assert [(one.step, one.value) for one in log.Scalars("accuracy")] == [(3, 0.25)]

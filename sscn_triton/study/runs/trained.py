"""Reads the files of `sscn train` back from its folder, for a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.study.runs.curves import curve, last_tenth
from sscn_triton.study.training.checkpoint import load_checkpoint, training_options
from sscn_triton.study.training.config import FINAL, LAST, SCORES, STEPS, TrainConfig
from sscn_triton.study.training.steplog import columns, read_rows


@dataclass(frozen=True)
class Trained:
    """A finished training.

    scores: the contents of scores.json
    steps: the columns of steps.csv, one value per step
    """

    config: TrainConfig
    scores: dict[str, Any]
    steps: dict[str, list[float]]

    @property
    def training_accuracy(self) -> float:
        """Mean nonzero accuracy of the last tenth of the steps."""
        return last_tenth(self.steps["nonzero_accuracy"])

    @property
    def training_seconds(self) -> float:
        return self.steps["wall"][-1]

    @property
    def peak_memory(self) -> float:
        """The peak memory in bytes."""
        return max(self.steps["memory"])

    def median(self, *names: str) -> float:
        """The median over the steps of a column, or of the sum of several columns."""
        return float(np.median(np.sum([self.steps[name] for name in names], axis=0)))

    @cached_property
    def curve(self) -> dict[str, list[float]]:
        return curve(self.steps["nonzero_accuracy"], self.steps["wall"], self.steps["loss"])


def read_trained(folder: Path) -> Trained:
    """The training in a folder of `sscn train`.

    Raises FileNotFoundError if the folder contains no training. Raises ValueError naming the file if the training is
    not finished, or if files are damaged or do not belong together.
    """
    if not (folder / FINAL).exists() or not (folder / SCORES).exists():
        if (folder / LAST).exists():
            raise ValueError(f"{folder}: the training is not finished; the same `sscn train` continues it")
        raise FileNotFoundError(f"{folder}: not a folder that `sscn train` has written")
    checkpoint = load_checkpoint(folder / FINAL)
    config = training_options(checkpoint, folder / FINAL)
    scores = _scores(folder / SCORES, checkpoint.classes)
    return Trained(config, scores, _steps(folder / STEPS, checkpoint.classes, checkpoint.step))


def _scores(path: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
        lengths = {len(scores[name]) for name in ("classes", "class_accuracy", "class_share", "confusion")}
        numbers = [scores[name] for name in ("nonzero_accuracy", "loss", "events")] + scores["class_share"]
        is_whole = lengths == {len(classes)} and all(len(row) == len(classes) for row in scores["confusion"])
        is_whole = is_whole and all(isinstance(number, (int, float)) for number in numbers)
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole or tuple(scores["classes"]) != classes:
        raise ValueError(f"{path}: does not contain the scores of the network in {FINAL}")
    return scores


def _steps(path: Path, classes: tuple[str, ...], number: int) -> dict[str, list[float]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        rows = read_rows(path)
        steps = {name: [float(row[name]) for row in rows] for name in columns(classes)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the steps of a training ({type(error).__name__}: {error})") from error
    if steps["step"] != list(range(1, number + 1)):
        raise ValueError(f"{path}: has {len(rows)} rows, expected one per step of {FINAL}, {number}")
    return steps

"""Analysis of a network's predictions: its mistakes, and the Michel electrons found in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sscn_triton.lartpc import CLASS_NAMES, Event, detached_to_shower
from sscn_triton.study.analysis.michel import MichelAnalysis
from sscn_triton.study.analysis.mistakes import Mistakes
from sscn_triton.study.training.metrics import Tally


class Closer:
    """`Mistakes` and, for the five classes in three dimensions, `MichelAnalysis`, by both definitions of the labels.

    Truth and prediction are compared unchanged, and again after `lartpc.detached_to_shower` is applied to both.
    """

    def __init__(self, classes: tuple[str, ...], ndim: int) -> None:
        self.mistakes = Mistakes(len(classes))
        self.michel: MichelAnalysis | None = None
        self.attached: MichelAnalysis | None = None
        if classes == CLASS_NAMES and ndim == 3:
            self.michel, self.attached = MichelAnalysis(), MichelAnalysis()
        self._tally = Tally(len(classes))

    def add(self, event: Event, scores: np.ndarray) -> None:
        """Add one event and the probabilities for its voxels, [N, classes]."""
        self.mistakes.add(event, scores)
        if self.michel is None or self.attached is None:
            return
        predicted = scores.argmax(1)
        self.michel.add(event, predicted)
        true, predicted = (detached_to_shower(event.coordinates, labels) for labels in (event.labels, predicted))
        self.attached.add(event.replace(labels=true), predicted)
        sure = torch.nn.functional.one_hot(torch.from_numpy(predicted), len(CLASS_NAMES)).float()
        self._tally.add(sure, torch.from_numpy(true.astype(np.int64)))

    def record(self) -> dict[str, Any]:
        """A JSON record with the entries mistakes, michel and attached; attached contains michel, nonzero_accuracy,
        class_accuracy and class_share by the other definition. michel and attached are null if they do not apply."""
        record: dict[str, Any] = {"mistakes": self.mistakes.record(), "michel": None, "attached": None}
        if self.michel is not None and self.attached is not None:
            scores = self._tally.scores()
            record["michel"] = self.michel.record()
            record["attached"] = {
                "michel": self.attached.record(),
                "nonzero_accuracy": scores.nonzero_accuracy,
                "class_accuracy": scores.class_accuracy,
                "class_share": scores.class_share,
            }
        return record

"""Loss and accuracies, as the 2018 study defines them.

All quantities are computed per event from active ("nonzero") voxels of known label and then averaged over events, so an
event of two thousand voxels weighs as much as one of ten thousand. Voxels with label -1 (unknown) are always excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

UNKNOWN = -1

ClassWeights = Literal["none", "balanced", "sqrt"]


def event_means(values: Tensor, events: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Means of values [N] over the rows of each event (events [N] in 0..number-1).

    Returns the means [M] of the M events that have a row, and a mask of these events, [number] bool.
    """
    count = torch.zeros(number, dtype=values.dtype, device=values.device).index_add_(0, events, torch.ones_like(values))
    total = torch.zeros(number, dtype=values.dtype, device=values.device).index_add_(0, events, values)
    present = count > 0
    return total[present] / count[present], present


def event_losses(
    logits: Tensor, labels: Tensor, events: Tensor, number: int, class_weights: ClassWeights = "none"
) -> Tensor:
    """Mean cross-entropy of each event that has a voxel of known label, [M]; logits [N, classes], labels, events [N].

    With class weights a voxel's entropy is weighted as `voxel_weights` says, by the counts of its own event.
    """
    known = labels != UNKNOWN
    entropy = F.cross_entropy(logits[known], labels[known], reduction="none")
    if class_weights != "none":
        entropy = entropy * voxel_weights(labels[known], events[known], number, logits.shape[1], class_weights)
    return event_means(entropy, events[known], number)[0]


def voxel_weights(labels: Tensor, events: Tensor, number: int, classes: int, kind: ClassWeights) -> Tensor:
    """A weight per voxel [N] that emphasises the rare classes of its event; the weights of an event average to 1.

    balanced: proportional to 1 / count of the voxel's class in its event, so that each class in the event has the same
    total weight. The 2018 study uses N / (classes * count); here classes that the event lacks get no share.
    sqrt: proportional to 1 / sqrt(count), half way to balanced.
    """
    counts = torch.bincount(events * classes + labels, minlength=number * classes).reshape(number, classes)
    power = {"balanced": 1.0, "sqrt": 0.5}[kind]
    weights = torch.where(counts > 0, counts.clamp(min=1).double() ** -power, 0.0)
    scale = counts.sum(1) / (counts * weights).sum(1).clamp(min=1e-300)
    return (weights * scale[:, None])[events, labels].float()


def segmentation_loss(logits: Tensor, labels: Tensor, events: Tensor, number: int) -> Tensor:
    """Mean of `event_losses`; 0 where no voxel has a known label.

    The study sums over the events of the batch instead of averaging: the same gradient times their number.
    """
    losses = event_losses(logits, labels, events, number)
    return losses.sum() / max(1, len(losses))


def event_accuracies(logits: Tensor, labels: Tensor, events: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Nonzero accuracy of each event, [number] float64, and accuracy of each of its classes, [number, classes].

    Correct voxels of known label over voxels of known label; nan where an event has none.
    """
    classes, known = logits.shape[1], labels != UNKNOWN
    labels, cells = labels[known], events[known] * classes + labels[known]
    true = torch.bincount(cells, minlength=number * classes).reshape(number, classes).double()
    right = logits[known].argmax(1) == labels
    correct = torch.bincount(cells[right], minlength=number * classes).reshape(number, classes).double()
    return correct.sum(1) / true.sum(1), correct / true


@dataclass(frozen=True)
class Scores:
    """The scores of a network on some events. Accuracies and shares are fractions; nan if no event has the class."""

    nonzero_accuracy: float
    loss: float
    class_accuracy: list[float]  # correct voxels of the class / its voxels, averaged over the events that have it
    class_share: list[float]  # the class's share of the nonzero voxels, averaged over events
    confusion: list[list[int]]  # [true class][predicted class], voxels of all events together
    events: int
    voxels: int


def constant_answer(classes: Sequence[str], shares: Sequence[float]) -> tuple[str, float]:
    """The best answer that is the same for every voxel, the most frequent class, and its nonzero accuracy.

    shares: as `Scores.class_share` has them.
    """
    share, name = max(zip(shares, classes, strict=True))
    return name, share


@dataclass(frozen=True)
class VoxelMetrics:
    """The measures that other works on these images report, over the voxels of all events together.

    Scores, as the 2018 study does, average over events instead, so that a small event counts as much as a large one.
    Fractions; nan where nothing is divided by nothing: recall of a class without voxels, precision of a class that is
    never predicted.
    """

    precision: list[float]  # of the voxels predicted as the class, the share that belongs to it
    recall: list[float]  # of the voxels of the class, the share predicted as it: its accuracy by voxel
    f1: list[float]  # harmonic mean of both: 2 both / (true + predicted)
    iou: list[float]  # intersection over union: both / (true + predicted - both)
    mean_f1: float  # over the classes that occur among true or predicted labels
    mean_iou: float  # over the classes that occur among true or predicted labels
    voxel_accuracy: float  # correct voxels over all voxels


def voxel_metrics(confusion: Sequence[Sequence[int]]) -> VoxelMetrics:
    """The measures of a confusion matrix [true class][predicted class] of voxel counts.

    Definitions: https://scikit-learn.org/stable/modules/model_evaluation.html (f1, jaccard), classes separately.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    both, true, predicted = np.diagonal(counts), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):
        f1, iou = 2 * both / (true + predicted), both / (true + predicted - both)
        return VoxelMetrics(
            precision=(both / predicted).tolist(),
            recall=(both / true).tolist(),
            f1=f1.tolist(),
            iou=iou.tolist(),
            mean_f1=_mean(f1[~np.isnan(f1)]),
            mean_iou=_mean(iou[~np.isnan(iou)]),
            voxel_accuracy=float(both.sum() / counts.sum()),
        )


class Tally:
    """Collects events one by one; `scores()` sums them up."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusions: list[np.ndarray] = []
        self.losses: list[float] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add one event: logits [N, classes], labels [N]. An event without a voxel of known label adds nothing."""
        known = labels != UNKNOWN
        if not known.any():
            return
        logits, labels = logits[known], labels[known]
        pairs = labels * self.classes + logits.argmax(1)
        counts = torch.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)
        self.confusions.append(counts.cpu().numpy())
        self.losses.append(float(F.cross_entropy(logits, labels)))

    def scores(self) -> Scores:
        if not self.confusions:
            raise ValueError("no event with a voxel of known label was given: there is nothing to score")
        confusion = np.stack(self.confusions).astype(np.float64)  # [events, true, predicted]
        true, right = confusion.sum(2), np.diagonal(confusion, axis1=1, axis2=2)
        voxels = true.sum(1)
        return Scores(
            nonzero_accuracy=float((right.sum(1) / voxels).mean()),
            loss=float(np.mean(self.losses)),
            class_accuracy=[_mean(right[true[:, c] > 0, c] / true[true[:, c] > 0, c]) for c in range(self.classes)],
            class_share=[float(share) for share in (true / voxels[:, None]).mean(0)],
            confusion=confusion.sum(0).astype(int).tolist(),
            events=len(confusion),
            voxels=int(voxels.sum()),
        )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")

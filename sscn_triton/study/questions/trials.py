"""One trial of the study's open questions: a small sparse network, trained for some steps and judged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study.analysis.judging import judge
from sscn_triton.study.data.batches import training_events
from sscn_triton.study.runs.curves import last_tenth
from sscn_triton.study.runs.run import STATISTICS_BATCHES
from sscn_triton.study.training.loop import Limit, estimate_statistics, train
from sscn_triton.study.training.metrics import ClassWeights, Tally
from sscn_triton.study.training.networks import NetworkSettings, make_network
from sscn_triton.study.training.segmentation import Objective

IMAGES, REPETITIONS, LEARNING_RATE = 4, 1, 1e-2
"""Whole images per step, residual blocks per level, and Adam's largest learning rate, chosen by
short trials on held-out images among rates 3e-3, 1e-2 and 3e-2 and among one and two blocks."""

SHIFTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Exponents of the classes' shares, by which probabilities are divided after training: logit adjustment, Menon et al.,
arXiv:2007.07314. With exponent 1 all classes count the same, however rare; this needs no further training."""

_MICHEL = CLASS_NAMES.index("Michel")


@dataclass(frozen=True)
class Trial:
    """One trial. train, held_out: whole images for training and for judging. seed: of the weights and of the order."""

    name: str
    train: list[Event]
    held_out: list[Event]
    filters: int
    depth: int
    seed: int
    limit: Limit
    class_weights: ClassWeights = "none"

    def run(self) -> dict[str, Any]:
        """Train and judge. Returns accuracy and loss of the last tenth of the training, and for each of SHIFTS the
        scores on the held-out images."""
        settings = NetworkSettings("sparse", 1, len(CLASS_NAMES), self.filters, self.depth, REPETITIONS)
        network = make_network(settings, self.seed)
        objective = Objective(class_weights=self.class_weights)
        batches = training_events(self.train, self.seed, IMAGES)
        steps = train(network, batches, None, self.limit, LEARNING_RATE, objective)
        again = training_events(self.train, self.seed, IMAGES)
        estimate_statistics(network, list(islice(again, min(STATISTICS_BATCHES, len(steps)))))
        return {
            "seed": self.seed,
            "steps": len(steps),
            "seconds": steps[-1].wall,
            "training_accuracy": last_tenth([step.accuracy for step in steps]),
            "training_loss": last_tenth([step.loss for step in steps]),
            "shifted": judge_shifted(network, self.train, self.held_out),
        }


def judge_shifted(network: torch.nn.Module, train: list[Event], held_out: list[Event]) -> list[dict[str, Any]]:
    """Scores on the held-out images, with probabilities divided by powers of the classes' shares in `train`."""
    shares = torch.from_numpy(mean_shares(train)).clamp(min=1e-6)
    tallies = [Tally(len(CLASS_NAMES)) for _ in SHIFTS]

    def visit(image: Event, scores: np.ndarray) -> None:
        logits, labels = torch.from_numpy(scores).double().clamp(min=1e-30).log(), torch.from_numpy(image.labels).long()
        for tally, shift in zip(tallies, SHIFTS, strict=True):
            tally.add(logits - shift * shares.log(), labels)

    judge(network, held_out, visit=visit)
    return [{"shift": shift, **summary(tally)} for shift, tally in zip(SHIFTS, tallies, strict=True)]


def mean_shares(events: list[Event]) -> np.ndarray:
    """Each class's share of the voxels of known label, averaged over events."""
    counts = [np.bincount(event.labels[event.labels >= 0], minlength=len(CLASS_NAMES)) for event in events]
    return np.mean([count / count.sum() for count in counts if count.sum()], axis=0)


def summary(tally: Tally) -> dict[str, Any]:
    """Scores as fractions. michel, elsewhere: accuracy of Michel voxels and of all others; purity: of voxels predicted
    as Michel."""
    scores = asdict(tally.scores())
    confusion = np.array(scores["confusion"])
    others = np.arange(len(CLASS_NAMES)) != _MICHEL
    right = np.diagonal(confusion)
    return {
        "nonzero_accuracy": scores["nonzero_accuracy"],
        "class_accuracy": scores["class_accuracy"],
        "michel": _share(right[_MICHEL], confusion[_MICHEL].sum()),
        "elsewhere": _share(right[others].sum(), confusion[others].sum()),
        "michel_purity": _share(right[_MICHEL], confusion[:, _MICHEL].sum()),
    }


def _share(some: int, whole: int) -> float:
    return float(some / whole) if whole else float("nan")

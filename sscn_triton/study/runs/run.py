"""One run of the study: a separate process makes, trains, measures and judges a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from sscn_triton.common.memory import PeakMemory
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study.analysis.judging import judge, judge_batches
from sscn_triton.study.analysis.predictions import Closer
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import Batch, as_batch, training_crops, training_events
from sscn_triton.study.runs.curves import curve, last_tenth
from sscn_triton.study.training import networks
from sscn_triton.study.training.loop import Limit, Step, estimate_statistics, train
from sscn_triton.study.training.metrics import ClassWeights, Scores, segmentation_loss
from sscn_triton.study.training.networks import Kind, voxel_logits
from sscn_triton.study.training.segmentation import Objective

STATISTICS_BATCHES = 16
"""Number of training batches from which batch norm's statistics are computed before judging."""


@dataclass(frozen=True)
class Job:
    """The task of one process."""

    name: str
    kind: Kind
    config: StudyConfig
    train: list[Event]
    held_out: list[Event]  # the images to judge on, crops or whole events
    whole: bool  # learn from whole events instead of crops
    limit: Limit
    images: int  # per step
    class_weights: ClassWeights = "none"
    judging: float | None = None  # seconds after which no more images are judged; None for all


@dataclass(frozen=True)
class Outcome:
    """The result of a job. Times are in seconds, memory in bytes."""

    name: str
    kind: Kind
    class_weights: ClassWeights
    whole: bool
    spatial_shape: tuple[int, ...]
    parameters: int
    steps: list[Step]
    training_seconds: float
    held_out: Scores
    held_out_batch: Scores | None  # the same with statistics of batches of images, for the network whose norms differ
    forward_seconds: list[float]  # per held-out image: forward, loss and predictions
    training_memory: int  # peak above the memory of the process before the network was made
    forward_memory: int  # the same for one forward pass without gradients, before training
    memory_method: str
    predictions: list[np.ndarray]  # class of each voxel, per judged held-out image (these are the first ones)
    closer: dict[str, Any]  # see `predictions.Closer.record`

    @property
    def training_accuracy(self) -> float:
        """Mean nonzero accuracy of the last tenth of the steps."""
        return last_tenth([step.accuracy for step in self.steps])

    @property
    def step_seconds(self) -> float:
        """Median time of a step."""
        return float(np.median([step.seconds for step in self.steps]))

    def as_record(self) -> dict[str, Any]:
        """The outcome as report.json stores it: everything except the predictions."""
        accuracy, wall, loss = ([getattr(s, name) for s in self.steps] for name in ("accuracy", "wall", "loss"))
        record = asdict(replace(self, predictions=[])) | {
            "step_count": len(self.steps),
            "curve": curve(accuracy, wall, loss),
            "training_accuracy": self.training_accuracy,
            "step_seconds": self.step_seconds,
            "forward_seconds_median": float(np.median(self.forward_seconds)),
        }
        del record["predictions"]
        record["steps"] = {name: [getattr(step, name) for step in self.steps] for name in Step.__dataclass_fields__}
        return record


class Run(NamedTuple):
    """A finished job; its held-out images are those for which there was time to judge."""

    job: Job
    outcome: Outcome


def make_network(kind: Kind, config: StudyConfig, ndim: int) -> networks.Network:
    """A new network. The sparse one and its matched twin start from the same weights."""
    settings = networks.NetworkSettings(
        kind=kind,
        num_classes=len(CLASS_NAMES),
        filters=config.filters,
        depth=config.depth,
        ndim=ndim,
    )
    return networks.make_network(settings, config.seed)


def run(job: Job) -> Outcome:
    """Run the job in this process."""
    ndim, config = job.train[0].ndim, job.config
    largest = as_batch([max(job.held_out, key=len)])
    warm_up(job.kind, config, largest)
    memory = PeakMemory()
    network = make_network(job.kind, config, ndim)
    with torch.no_grad():
        voxel_logits(network.eval(), largest)
    forward_memory = memory.bytes()
    network.train()
    began = time.perf_counter()
    objective = Objective(class_weights=job.class_weights)
    steps = train(network, _batches(job), job.name, job.limit, config.learning_rate, objective)
    training_seconds, training_memory = time.perf_counter() - began, memory.bytes()
    estimate_statistics(network, list(islice(_batches(job), min(STATISTICS_BATCHES, len(steps)))))
    closer = Closer(CLASS_NAMES, ndim)
    scores, predictions, forward_seconds = judge(network, job.held_out, visit=closer.add, seconds=job.judging)
    of_batches = judge_batches(network, job.held_out, job.images) if job.kind == "matched" else None
    return Outcome(
        name=job.name,
        kind=job.kind,
        class_weights=job.class_weights,
        whole=job.whole,
        spatial_shape=largest.spatial_shape,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=steps,
        training_seconds=training_seconds,
        held_out=scores,
        held_out_batch=of_batches,
        forward_seconds=forward_seconds,
        training_memory=training_memory,
        forward_memory=forward_memory,
        memory_method=memory.method,
        predictions=predictions,
        closer=closer.record(),
    )


def _batches(job: Job) -> Iterator[Batch]:
    if job.whole:
        return training_events(job.train, job.config.seed, job.images)
    return training_crops(job.train, job.config.size, job.images, job.config.seed)


def warm_up(kind: Kind, config: StudyConfig, batch: Batch) -> None:
    """Compile and load what the first step needs, so that the network's time and memory do not include it."""
    small = replace(config, filters=1, depth=min(2, config.depth))
    network = make_network(kind, small, len(batch.spatial_shape))
    segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images).backward()

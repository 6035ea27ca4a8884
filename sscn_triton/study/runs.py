"""One run of the study: a network is made, trained, measured and judged, in a process of its own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from multiprocessing import get_context
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch

from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study import networks
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data import Batch, as_batch, training_crops, training_events
from sscn_triton.study.errors import RunError
from sscn_triton.study.memory import PeakMemory
from sscn_triton.study.metrics import Scores, Tally, segmentation_loss
from sscn_triton.study.segmentation import voxel_logits
from sscn_triton.study.training import Limit, Step, estimate_statistics, train

STATISTICS_BATCHES = 16
"""Training batches from which batch norm's statistics are taken before judging."""


@dataclass(frozen=True)
class Job:
    """What one process is to do."""

    name: str
    kind: Literal["sparse", "dense"]
    config: StudyConfig
    train: list[Event]
    held_out: list[Event]  # the images to be judged by, crops or whole events
    whole: bool  # learn from whole events, one at a time, instead of crops
    limit: Limit


@dataclass(frozen=True)
class Outcome:
    """What came of it. Times in seconds, memory in bytes."""

    name: str
    kind: str
    whole: bool
    spatial_shape: tuple[int, ...]
    parameters: int
    steps: list[Step]
    training_seconds: float
    held_out: Scores
    forward_seconds: list[float]  # per held-out image: forward, loss and predictions
    training_memory: int  # above what the process held before the network was made
    forward_memory: int  # the same for one forward pass without gradients, before training
    memory_method: str
    predictions: list[np.ndarray]  # per held-out image: the class of each voxel

    @property
    def training_accuracy(self) -> float:
        """Mean nonzero accuracy of the last tenth of the steps."""
        last = self.steps[-max(1, len(self.steps) // 10) :]
        return sum(step.accuracy for step in last) / len(last)

    @property
    def step_seconds(self) -> float:
        """Median time of a step."""
        return float(np.median([step.seconds for step in self.steps]))

    def as_record(self) -> dict[str, Any]:
        """As it goes into report.json: everything but the predictions."""
        record = asdict(replace(self, predictions=[])) | {
            "training_accuracy": self.training_accuracy,
            "step_seconds": self.step_seconds,
            "forward_seconds_median": float(np.median(self.forward_seconds)),
        }
        del record["predictions"]
        record["steps"] = {name: [getattr(step, name) for step in self.steps] for name in Step.__dataclass_fields__}
        return record


def make_network(kind: Literal["sparse", "dense"], config: StudyConfig, ndim: int) -> networks.Network:
    """A fresh network. Both kinds start from the same weights."""
    settings = networks.NetworkSettings(
        kind="sparse" if kind == "sparse" else "matched",
        num_classes=len(CLASS_NAMES),
        filters=config.filters,
        depth=config.depth,
        ndim=ndim,
    )
    return networks.make_network(settings, config.seed)


def run(job: Job) -> Outcome:
    """Do the job in this process."""
    ndim, config = job.train[0].ndim, job.config
    largest = as_batch([max(job.held_out, key=len)])
    _warm_up(job, largest)
    memory = PeakMemory()
    network = make_network(job.kind, config, ndim)
    with torch.no_grad():
        voxel_logits(network.eval(), largest)
    forward_memory = memory.bytes()
    network.train()
    began = time.perf_counter()
    steps = train(network, _batches(job), job.name, job.limit, config.learning_rate)
    training_seconds, training_memory = time.perf_counter() - began, memory.bytes()
    estimate_statistics(network, list(islice(_batches(job), min(STATISTICS_BATCHES, len(steps)))))
    scores, predictions, forward_seconds = judge(network, job.held_out)
    return Outcome(
        name=job.name,
        kind=job.kind,
        whole=job.whole,
        spatial_shape=largest.spatial_shape,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        steps=steps,
        training_seconds=training_seconds,
        held_out=scores,
        forward_seconds=forward_seconds,
        training_memory=training_memory,
        forward_memory=forward_memory,
        memory_method=memory.method,
        predictions=predictions,
    )


def _batches(job: Job) -> Iterator[Batch]:
    if job.whole:
        return training_events(job.train, job.config.seed)
    return training_crops(job.train, job.config.size, job.config.batch, job.config.seed)


def _warm_up(job: Job, batch: Batch) -> None:
    """Compile and load what a first step needs, so that neither time nor memory of the network counts it."""
    network = make_network(job.kind, replace(job.config, filters=1, depth=min(2, job.config.depth)), job.train[0].ndim)
    segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images).backward()


def judge(
    network: torch.nn.Module,
    images: Iterable[Event],
    classes: int = len(CLASS_NAMES),
    visit: Callable[[Event, np.ndarray], None] | None = None,
) -> tuple[Scores, list[np.ndarray], list[float]]:
    """Scores on `images` one at a time, the class predicted for each voxel, seconds for each (loss included).

    Images go to the network's own device. visit: called with every image and its probabilities [N, classes].
    """
    network.eval()
    device = next(network.parameters()).device
    tally, predictions, seconds = Tally(classes), [], []
    with torch.no_grad():
        for image in images:
            batch = as_batch([image]).to(device)
            start = time.perf_counter()
            logits = voxel_logits(network, batch)
            tally.add(logits, batch.labels)
            predictions.append(logits.argmax(1).cpu().numpy().astype(np.int8))
            seconds.append(time.perf_counter() - start)
            if visit is not None:
                visit(image, torch.softmax(logits.float(), 1).cpu().numpy())
    return tally.scores(), predictions, seconds


class Named(Protocol):
    """What a process is to do; its name is for messages."""

    @property
    def name(self) -> str: ...


Task = TypeVar("Task", bound=Named)
Result = TypeVar("Result")


def run_apart(job: Task, task: Callable[[Task], Result]) -> Result:
    """`task(job)` in a new process, so that its memory is its own. Ctrl-C ends that process at once.

    Raises RunError with the other process's words if it fails, or its exit code if it dies.
    """
    context = get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs,), daemon=True)
    with _ctrl_c_ignored():  # inherited: the parent alone answers it, by ending the process
        process.start()
    theirs.close()
    try:
        mine.send((task, job))
        done, answer = mine.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise RunError(
            f"the process of '{job.name}' ended with exit code {process.exitcode}; if it was killed, memory may have "
            "run out: try a smaller size, batch or number of filters"
        ) from None
    finally:
        process.terminate()
        process.join()
    if done:
        return answer
    raise RunError(f"'{job.name}' failed: {answer}")


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # which no signal reaches
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _answer(parent: Any) -> None:
    task, job = parent.recv()
    try:
        parent.send((True, task(job)))
    except Exception as error:
        parent.send((False, f"{type(error).__name__}: {error}"))

"""Measures how time and memory grow with the image, its voxels and the batch, per network, in two and three dimensions.

All points use the same events: crops of ascending size, until a network's next size would exceed its share of the time
or of the memory; where only a step would, a forward pass alone is measured. `extrapolate` fits the laws and uses them
to compute points that were not measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from sscn_triton.common.memory import DeviceMemory, PeakMemory
from sscn_triton.common.processes import run_apart
from sscn_triton.common.progress import Progress
from sscn_triton.lartpc import CLASS_NAMES, Event, crop
from sscn_triton.study.data.batches import Batch, as_batch
from sscn_triton.study.data.labels import project
from sscn_triton.study.scaling.extrapolate import record
from sscn_triton.study.training.metrics import segmentation_loss
from sscn_triton.study.training.networks import Kind, NetworkSettings, make_network, voxel_logits
from sscn_triton.study.training.optimizer import adam

SIZES = (32, 64, 96, 128, 160, 192, 256, 384, 512, 768)
BATCHES = (1, 2, 4, 8)
SERIES: tuple[tuple[Kind, int], ...] = (
    ("sparse", 3), ("sparse", 2), ("matched", 2), ("study", 2), ("matched", 3), ("study", 3),
)  # fmt: skip
"""The cheap networks come first, so that the others get the time they leave."""
REPEATS, MOST_REPEATS, ENOUGH = 3, 15, 1.0
"""Minimum and maximum number of timed runs, and seconds after which no more start; two if a run takes SLOW seconds."""
SLOW = 5.0
RUNS = REPEATS + 2
"""Expected number of steps and forward passes per measured point."""
MEMORY_SHARE = 0.5
"""Share of the machine's memory that the expected memory of a forward pass or of a step may reach."""


@dataclass(frozen=True)
class Point:
    """One network on one batch. A step that would not fit into time or memory was not measured; its values are None.

    Seconds are medians of a forward pass without gradients (including the loss) and of a training step, with the
    fastest and the slowest run. They are wall time, or processor time if one thread computes (`clock`). Memory is the
    increase of the process's peak (on a GPU: of the memory allocated there) over its memory before the network was
    made.
    """

    kind: Kind
    ndim: int
    size: int
    images: int
    voxels: int
    forward_seconds: float
    step_seconds: float | None
    forward_memory: int
    step_memory: int | None
    forward_range: tuple[float, float] = (0.0, 0.0)
    step_range: tuple[float, float] | None = (0.0, 0.0)


@dataclass(frozen=True)
class Plan:
    """The plan of one scaling study. seconds: for the whole study; events: three-dimensional events, from which crops
    are made; apart: measure each point in a separate process, which exact memory on the CPU requires."""

    name: str
    events: list[Event]
    filters: int
    depth: int
    seconds: float
    memory: float  # bytes of the machine or of the GPU
    device: str = "cpu"
    apart: bool = False
    threads: int | None = None
    known: Mapping[Kind, float] = field(default_factory=dict)  # dense kinds: seconds of step and pass per grid point


@dataclass(frozen=True)
class Job:
    """One point to measure."""

    name: str
    settings: NetworkSettings
    images: list[Event]
    size: int
    device: str
    threads: int | None = None
    step: bool = True  # measure a training step as well as a forward pass


def run(plan: Plan) -> dict[str, Any]:
    """Run the measurements and return the record for the report."""
    points: list[Point] = []
    if not plan.apart:
        for ndim in (3, 2):
            _warm_up(plan.events[0], _sparse(plan.filters, plan.depth, ndim), plan.device)
    end = time.monotonic() + plan.seconds
    with Progress(plan.name, len(SERIES)) as progress:
        for i, (kind, ndim) in enumerate(SERIES):
            share = (end - time.monotonic()) / (len(SERIES) - i)
            points += _series(plan, kind, ndim, share)
            progress.to(i + 1, f"{len(points)} points")
    return record([asdict(point) for point in points])


def _sparse(filters: int, depth: int, ndim: int) -> NetworkSettings:
    return NetworkSettings("sparse", 1, len(CLASS_NAMES), filters, depth, ndim=ndim)


def _warm_up(event: Event, settings: NetworkSettings, device: str) -> None:
    """Compile and import what a step needs, before times and memory are measured."""
    network = make_network(settings).to(device)
    batch = as_batch(_images([event], settings.ndim, min(SIZES[0], *event.spatial_shape))).to(torch.device(device))
    _forward(network, batch)
    _step(network, batch, adam(network))


def _images(events: list[Event], ndim: int, size: int) -> list[Event]:
    return [crop(project(event, 2) if ndim == 2 and event.ndim == 3 else event, size) for event in events]


def _series(plan: Plan, kind: Kind, ndim: int, seconds: float) -> list[Point]:
    """Measure ascending sizes and then, for the sparse network, batches, as far as time and memory allow."""
    settings = NetworkSettings(kind, 1, len(CLASS_NAMES), plan.filters, plan.depth, ndim=ndim)
    largest = min(min(event.spatial_shape) for event in plan.events)
    sizes = [size for size in SIZES if size <= largest and settings.takes(size)]
    shapes = [(size, 1) for size in sizes]
    if kind == "sparse":
        shapes += [(sizes[-1], images) for images in BATCHES[1:] if images <= len(plan.events)] if sizes else []
    end, points = time.monotonic() + seconds, list[Point]()
    if ndim == 3 and kind in plan.known and sizes and RUNS * plan.known[kind] * sizes[0] ** 3 > seconds:
        return []
    for size, number in shapes:
        images = _images(plan.events[:number], ndim, size)
        name = f"{kind}, {size} px, {ndim}D, {number} image{'s' if number > 1 else ''}"
        fits = _Room(True, True)
        if points:
            fits = _room(points, sum(map(len, images)), number, size, end - time.monotonic(), plan.memory)
        if not fits.forward:
            break
        job = Job(name, settings, images, size, plan.device, plan.threads, fits.step)
        try:
            points.append(run_apart(job, measure_apart) if plan.apart else measure(job))
        except torch.OutOfMemoryError:  # a GPU's cache may be fragmented; the smaller sizes are kept
            break
    return points


@dataclass(frozen=True)
class _Room:
    """Whether there is time and memory for a forward pass, and for a step as well."""

    forward: bool
    step: bool


def _room(points: list[Point], voxels: int, images: int, size: int, seconds: float, memory: float) -> _Room:
    """Whether the next point will probably fit, given that the sparse network's costs grow with the voxels and a dense
    network's with the grid points of the image. If a step has not fitted once, it is not tried again."""
    last = points[-1]
    if last.kind == "sparse":
        grown = voxels / max(last.voxels, 1)
    else:
        grown = (size / last.size) ** last.ndim * images / last.images
    forward = RUNS * last.forward_seconds * grown
    fits = forward < seconds and last.forward_memory * grown < MEMORY_SHARE * memory
    if last.step_seconds is None or last.step_memory is None:
        return _Room(fits, False)
    step = forward + RUNS * last.step_seconds * grown < seconds and last.step_memory * grown < MEMORY_SHARE * memory
    return _Room(fits, step and fits)


def measure_apart(job: Job) -> Point:
    """Run `measure` in a new process."""
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    settings = job.settings
    _warm_up(job.images[0], _sparse(settings.filters, settings.depth, settings.ndim), job.device)
    return measure(job)


def measure(job: Job) -> Point:
    """Measure one point in this process."""
    device = torch.device(job.device)
    batch = as_batch(job.images).to(device)
    memory = DeviceMemory(device) if device.type == "cuda" else PeakMemory()
    network = make_network(job.settings).to(device)
    forward = _timed(lambda: _forward(network, batch), device, clock(job.device, job.threads))
    forward_memory = memory.bytes()
    point = Point(
        kind=job.settings.kind,
        ndim=job.settings.ndim,
        size=job.size,
        images=batch.images,
        voxels=len(batch.labels),
        forward_seconds=statistics.median(forward),
        step_seconds=None,
        forward_memory=forward_memory,
        step_memory=None,
        forward_range=(min(forward), max(forward)),
        step_range=None,
    )
    if not job.step:
        return point
    optimizer = adam(network)
    step = _timed(lambda: _step(network, batch, optimizer), device, clock(job.device, job.threads))
    return replace(
        point,
        step_seconds=statistics.median(step),
        step_memory=memory.bytes(),
        step_range=(min(step), max(step)),
    )


def clock(device: str, threads: int | None) -> Callable[[], float]:
    """The function that returns the time in seconds. For one thread it is the processor time, which equals wall time on
    an idle machine and does not include other processes on a busy one."""
    return time.process_time if device == "cpu" and threads == 1 else time.perf_counter


def _timed(work: Callable[[], None], device: torch.device, now: Callable[[], float]) -> list[float]:
    """Seconds of several runs, after one warm-up run."""
    seconds: list[float] = []
    while not _enough(seconds[1:]):
        start = now()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(now() - start)
    return seconds[1:]


def _enough(seconds: list[float]) -> bool:
    least = 2 if seconds and min(seconds) > SLOW else REPEATS
    return len(seconds) >= least and (len(seconds) >= MOST_REPEATS or sum(seconds) > ENOUGH)


def _forward(network: torch.nn.Module, batch: Batch) -> None:
    network.eval()
    with torch.no_grad():
        float(segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images))


def _step(network: torch.nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    network.train()
    optimizer.zero_grad()
    segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images).backward()
    optimizer.step()

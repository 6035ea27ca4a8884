"""How time and memory grow with the image, its voxels and the batch, for each network, in two and three dimensions.

Every point is measured in one process on the same events: crops of ascending size, until a network's next size would
not fit into its share of the time or of the memory. What was not measured is computed from the fitted power law.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from sscn_triton.lartpc import CLASS_NAMES, Event, crop
from sscn_triton.study.data import Batch, as_batch
from sscn_triton.study.labels import project
from sscn_triton.study.memory import PeakMemory
from sscn_triton.study.metrics import segmentation_loss
from sscn_triton.study.networks import Kind, NetworkSettings, make_network
from sscn_triton.study.progress import Progress
from sscn_triton.study.segmentation import voxel_logits

SIZES = (32, 64, 96, 128, 160, 192, 256, 384, 512, 768)
WANTED = (192, 512, 768)
"""Sizes of the 2018 study, computed where they were not measured."""
BATCHES = (1, 2, 4, 8)
KINDS: tuple[Kind, ...] = ("sparse", "matched", "study")
SERIES: tuple[tuple[Kind, int], ...] = (
    ("sparse", 3), ("sparse", 2), ("matched", 2), ("study", 2), ("matched", 3), ("study", 3),
)  # fmt: skip
"""The cheap ones first: what they leave of their time is for the others."""
REPEATS = 3
MEMORY_SHARE = 0.4
"""Of the machine's memory, that a step may be expected to need."""

Measure = Literal["forward_seconds", "step_seconds", "forward_memory", "step_memory"]
MEASURES: tuple[Measure, ...] = ("forward_seconds", "step_seconds", "forward_memory", "step_memory")


@dataclass(frozen=True)
class Point:
    """One network on one batch. Seconds are medians of a forward pass without gradients, loss included, and of a
    training step; memory is the rise of the process's peak above what it held before the network was made."""

    kind: Kind
    ndim: int
    size: int
    images: int
    voxels: int
    forward_seconds: float
    step_seconds: float
    forward_memory: int
    step_memory: int


@dataclass(frozen=True)
class Fit:
    """y = factor * x ** exponent by least squares in logarithms.

    error: standard error of the exponent, nan for two points. power, exponential: rms residuals of log y for the power
    law and for y = a * exp(b x): the smaller describes the points better.
    """

    exponent: float
    error: float
    factor: float
    power: float
    exponential: float
    points: int

    def at(self, x: float) -> float:
        return self.factor * x**self.exponent


def fit(x: list[float], y: list[float]) -> Fit:
    """Raises ValueError for fewer than two different x, or values that are not positive."""
    if len(set(x)) < 2 or min(*x, *y) <= 0:
        raise ValueError(f"a power law needs positive values at two places or more, got {x} and {y}")
    places, values = np.log(x), np.log(y)
    slope, offset = np.polyfit(places, values, 1)
    residuals = values - (slope * places + offset)
    freedom = len(x) - 2
    spread = ((places - places.mean()) ** 2).sum()
    error = math.sqrt((residuals**2).sum() / freedom / spread) if freedom > 0 else math.nan
    straight = values - np.polyval(np.polyfit(x, values, 1), x)
    power, exponential = (float(np.sqrt((r**2).mean())) for r in (residuals, straight))
    return Fit(float(slope), error, math.exp(offset), power, exponential, len(x))


@dataclass(frozen=True)
class Plan:
    """What one scaling study is to do. seconds: for all of it; events: three-dimensional, the crops are theirs."""

    name: str
    events: list[Event]
    filters: int
    depth: int
    seconds: float
    memory: float  # bytes that the machine has


def run(plan: Plan) -> dict[str, Any]:
    """Measure in this process; the record for the report."""
    points: list[Point] = []
    for ndim in (3, 2):
        _warm_up(plan, ndim)
    end = time.monotonic() + plan.seconds
    with Progress(plan.name, len(SERIES)) as progress:
        for i, (kind, ndim) in enumerate(SERIES):
            share = (end - time.monotonic()) / (len(SERIES) - i)
            points += _series(plan, kind, ndim, share)
            progress.to(i + 1, f"{len(points)} points")
    return record(points)


def _warm_up(plan: Plan, ndim: int) -> None:
    """Compile what the sparse network needs, before any clock runs."""
    settings = NetworkSettings("sparse", 1, len(CLASS_NAMES), plan.filters, plan.depth, ndim=ndim)
    network = make_network(settings)
    batch = _batch(plan, ndim, min(SIZES[0], *plan.events[0].spatial_shape), 1)
    _step(network, batch, torch.optim.Adam(network.parameters()))


def _batch(plan: Plan, ndim: int, size: int, images: int) -> Batch:
    events = plan.events[:images]
    return as_batch([crop(project(event, 2) if ndim == 2 else event, size) for event in events])


def _series(plan: Plan, kind: Kind, ndim: int, seconds: float) -> list[Point]:
    """Ascending sizes, then (the sparse network) batches, as far as time and memory go."""
    settings = NetworkSettings(kind, 1, len(CLASS_NAMES), plan.filters, plan.depth, ndim=ndim)
    largest = min(min(event.spatial_shape) for event in plan.events)
    sizes = [size for size in SIZES if size <= largest and settings.takes(size)]
    shapes = [(size, 1) for size in sizes]
    if kind == "sparse":
        shapes += [(sizes[-1], images) for images in BATCHES[1:] if images <= len(plan.events)] if sizes else []
    end, points = time.monotonic() + seconds, list[Point]()
    for size, images in shapes:
        batch = _batch(plan, ndim, size, images)
        if points and not _fits(points[-1], batch, size, end - time.monotonic(), plan.memory):
            break
        points.append(measure(settings, batch, size))
    return points


def _fits(last: Point, batch: Batch, size: int, seconds: float, memory: float) -> bool:
    """Whether the next point will probably fit: the sparse network's costs grow as the voxels, a dense one's as the
    places in the image."""
    if last.kind == "sparse":
        grown = len(batch.labels) / max(last.voxels, 1)
    else:
        grown = (size / last.size) ** last.ndim * batch.images / last.images
    cost = (REPEATS + 2) * (last.step_seconds + last.forward_seconds)
    return cost * grown < seconds and last.step_memory * grown < MEMORY_SHARE * memory


def measure(settings: NetworkSettings, batch: Batch, size: int) -> Point:
    """One point, in this process."""
    memory = PeakMemory()
    network = make_network(settings)
    forward = [_timed(lambda: _forward(network, batch)) for _ in range(REPEATS + 1)][1:]
    forward_memory = memory.bytes()
    optimizer = torch.optim.Adam(network.parameters())
    step = [_timed(lambda: _step(network, batch, optimizer)) for _ in range(REPEATS + 1)][1:]
    return Point(
        kind=settings.kind,
        ndim=settings.ndim,
        size=size,
        images=batch.images,
        voxels=len(batch.labels),
        forward_seconds=statistics.median(forward),
        step_seconds=statistics.median(step),
        forward_memory=forward_memory,
        step_memory=memory.bytes(),
    )


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _forward(network: torch.nn.Module, batch: Batch) -> None:
    network.eval()
    with torch.no_grad():
        float(segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images))


def _step(network: torch.nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    network.train()
    optimizer.zero_grad()
    segmentation_loss(voxel_logits(network, batch), batch.labels, batch.events, batch.images).backward()
    optimizer.step()


def record(points: list[Point]) -> dict[str, Any]:
    """Points, fits and what was computed from these, as it goes into report.json."""
    fits, computed = [], []
    for kind in KINDS:
        for ndim in (3, 2):
            mine = [p for p in points if (p.kind, p.ndim) == (kind, ndim)]
            singles = [p for p in mine if p.images == 1]
            for what in MEASURES:
                chosen = {"size": singles, "voxels": mine} if kind == "sparse" else {"size": singles}
                for against, some in chosen.items():
                    found = _fit(some, against, what)
                    if found is not None:
                        fits.append({"kind": kind, "ndim": ndim, "measure": what, "against": against, **asdict(found)})
            computed += _computed(kind, ndim, singles)
    return {"points": [asdict(point) for point in points], "fits": fits, "computed": computed}


def _fit(points: list[Point], against: str, what: Measure) -> Fit | None:
    x, y = [float(getattr(p, against)) for p in points], [float(getattr(p, what)) for p in points]
    return fit(x, y) if len(set(x)) > 1 and min(*x, *y) > 0 else None


def _computed(kind: Kind, ndim: int, points: list[Point]) -> list[dict[str, Any]]:
    """The study's sizes beyond those measured: of dense networks in proportion to the places of the image, as all their
    work and memory is, from the largest image measured; of the sparse one by its power laws."""
    rows = []
    for size in WANTED:
        if not points or size <= max(p.size for p in points):
            continue
        if kind == "sparse":
            laws = {what: _fit(points, "size", what) for what in MEASURES}
            values: dict[str, float] = {what: law.at(size) for what, law in laws.items() if law is not None}
        else:
            last = max(points, key=lambda p: p.size)
            values = {what: getattr(last, what) * (size / last.size) ** ndim for what in MEASURES}
        rows.append({"kind": kind, "ndim": ndim, "size": size, **values})
    return rows

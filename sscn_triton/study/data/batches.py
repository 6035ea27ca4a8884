"""Functions that turn events into crops and crops into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.progress import Progress
from sscn_triton.lartpc import CLASS_NAMES, Event, Recipe, collate, crop
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.sampling import split
from sscn_triton.study.data.tiling import fitting

ENERGY_UNIT = 0.05
"""MeV. The networks read a voxel's energy in this unit, which is about the median energy. Empty voxels lower the dense
network's variances; in this unit they stay above batch norm's eps."""

LEAST_VOXELS = 10
"""Crops and events with fewer active voxels are skipped, as in the study."""

HELD_OUT_CROPS = 24
"""Maximum number of crops on which a network is judged."""


@dataclass(frozen=True)
class Batch:
    """Some images, with their active voxels stacked in rows, as `SparseTensor` expects."""

    coordinates: Tensor  # [N, 1 + D] int32, image first
    features: Tensor  # [N, 1] float32, energy in ENERGY_UNIT
    labels: Tensor  # [N] int64, -1 unknown
    spatial_shape: tuple[int, ...]
    images: int
    names: tuple[str, ...]

    @property
    def events(self) -> Tensor:
        """[N] int64: the image of each voxel."""
        return self.coordinates[:, 0].long()

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return replace(
            self,
            coordinates=self.coordinates.to(device),
            features=self.features.to(device),
            labels=self.labels.to(device),
        )


def as_batch(images: list[Event]) -> Batch:
    """The images as a batch; its shape along each axis is the largest of theirs."""
    coordinates, energy, labels = (torch.from_numpy(array) for array in collate(images))
    names = tuple(image.name for image in images)
    shape = tuple(int(n) for n in np.max([image.spatial_shape for image in images], axis=0))
    return Batch(coordinates, energy / ENERGY_UNIT, labels, shape, len(images), names)


@dataclass(frozen=True)
class Split:
    """Events to learn from, and held-out events for judging."""

    train: list[Event]
    held_out: list[Event]
    source: str


def load(config: StudyConfig) -> Split:
    """The events of the study, from the file if given, else simulated. One in five, at least one, is held out.

    Raises FileNotFoundError, or ValueError naming the file, if the study cannot use the file.
    """
    if config.data is None:
        assert config.events is not None
        assert config.image is not None
        events = simulated(config.seed, config.events, config.image)
        source = f"{config.events} simulated events of {config.image} px, seed {config.seed}"
    else:
        from sscn_triton.lartpc import open_events

        with open_events(config.data, **config.reading()) as file:
            number = len(file) if config.events is None else config.events
            if number > len(file):
                raise ValueError(f"{config.data}: has {len(file)} events, but {number} were requested")
            taken = (file[i] for i in range(number))
            events = [event for event in taken if (event.labels >= 0).sum() >= LEAST_VOXELS]
        source = f"{len(events)} events of {Path(config.data).name}"
        _check(events, config)
    return split_events(events, config.seed, source)


def split_events(events: list[Event], seed: int, source: str) -> Split:
    """Hold out one in five of the events, at least one; the seed decides which."""
    train, held_out = split(len(events), seed)
    return Split([events[i] for i in train], [events[i] for i in held_out], source)


def _check(events: list[Event], config: StudyConfig) -> None:
    if len(events) < 2:
        raise ValueError(
            f"{config.data}: a study needs at least 2 events with {LEAST_VOXELS} labelled voxels, found {len(events)}"
        )
    for event in events:
        if event.label_names != CLASS_NAMES:
            names = ", ".join(CLASS_NAMES)
            raise ValueError(f"{config.data}: a study needs the labels {names}, but {event.name} has others")
        if event.ndim != 3:
            raise ValueError(
                f"{config.data}: a study needs three-dimensional events, but {event.name} has {event.ndim} dimensions"
            )
        if min(event.spatial_shape) < config.size:
            raise ValueError(f"size must fit into the images of {event.name}, {event.spatial_shape}, got {config.size}")


def simulated(seed: int, number: int, size: int, recipe: Recipe | None = None) -> list[Event]:
    """Events 0, 1, 2, ... of the seed, without those with too few voxels."""
    from sscn_triton.lartpc import simulate

    events: list[Event] = []
    with Progress("simulating events", number) as progress:
        for index in range(10 * number):
            event = simulate(seed, index, size=size, recipe=recipe)
            if len(event) >= LEAST_VOXELS:
                events.append(event)
                progress.to(len(events))
            if len(events) == number:
                return events
    raise ValueError(f"image must be large enough that most events have {LEAST_VOXELS} voxels in it, got {size}")


@dataclass(frozen=True)
class Streamed(Sequence[Event]):
    """Events 0 to `number` - 1 of the seed, simulated at every access, including those with few voxels."""

    seed: int
    number: int
    size: int

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: Any) -> Any:
        from sscn_triton.lartpc import simulate

        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.number))]
        if not -self.number <= index < self.number:
            raise IndexError(f"no event {index} of {self.number}")
        return simulate(self.seed, index % self.number, size=self.size)


def training_crops(events: list[Event], size: int, images: int, seed: int) -> Iterator[Batch]:
    """Endless batches of random crops, each around a voxel of an event. Batch i depends on (seed, i) alone."""
    for step in count():
        generator = np.random.default_rng((seed, step))
        yield as_batch([random_crop(events, size, generator) for _ in range(images)])


def random_crop(events: list[Event], size: int, generator: np.random.Generator) -> Event:
    """A crop around a voxel of one of the events; the best of 100 trials if none has enough voxels."""
    best = None
    for _ in range(100):
        event = events[generator.integers(len(events))]
        image = crop(event, size, seed=int(generator.integers(2**63)))
        if (image.labels >= 0).sum() >= LEAST_VOXELS:
            return image
        best = image if best is None or len(image) > len(best) else best
    assert best is not None
    return best


def training_events(events: list[Event], seed: int, images: int = 1) -> Iterator[Batch]:
    """Endless batches of `images` whole events, in an order that is shuffled for each pass."""
    order = (i for turn in count() for i in np.random.default_rng((seed, turn)).permutation(len(events)))
    while True:
        yield as_batch([events[i] for i in islice(order, images)])


def held_out_crops(events: list[Event], size: int, seed: int) -> list[Event]:
    """At most HELD_OUT_CROPS crops that tile the events, selected by the seed from those with enough voxels."""
    crops = [tile for event in events for tile in fitting(event, size)]
    usable = [tile for tile in crops if (tile.labels >= 0).sum() >= LEAST_VOXELS]
    if not usable:
        usable = [max(crops, key=lambda tile: int((tile.labels >= 0).sum()))]
    chosen = np.random.default_rng(seed).permutation(len(usable))[:HELD_OUT_CROPS]
    return [usable[i] for i in sorted(chosen)]

"""The images of a training, from a file or simulated, cropped and augmented; its number determines a batch.

Events of files and events simulated on demand stay in memory after the first read, as far as a third of the free memory
allows. Without worker processes, a thread prepares the next batches during a step. Neither changes a bit of a batch.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sscn_triton.lartpc import Event, open_events
from sscn_triton.study.data import identity as data_identity
from sscn_triton.study.data.augmentation import random_shift, random_transform
from sscn_triton.study.data.batches import (
    LEAST_VOXELS,
    Batch,
    Streamed,
    as_batch,
    held_out_crops,
    random_crop,
    simulated,
)
from sscn_triton.study.data.event_memory import EventMemory, MadeAhead, event_bytes, memory_for_events
from sscn_triton.study.data.labels import class_names, project, relabel
from sscn_triton.study.data.sampling import Batches, split
from sscn_triton.study.data.tiling import fitting
from sscn_triton.study.training.config import TrainConfig


def prepared(event: Event, config: TrainConfig) -> Event:
    """The event with the labels, classes and dimensions of the options."""
    return project(relabel(event, config.classes, config.labels), config.ndim)


CHECKED = 32
"""Number of training events, evenly spread, that are checked before the first step, plus as many as are needed to find
one with labels."""


@dataclass(frozen=True)
class Source:
    """Some events of a sequence. They are prepared when they are read, and kept if there is an `EventMemory`."""

    events: Sequence[Event]
    numbers: Sequence[int]
    config: TrainConfig
    memory: EventMemory | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Event:
        number = self.numbers[number]
        kept = None if self.memory is None else self.memory.get(number)
        if kept is not None:
            return kept
        event = prepared(self.events[number], self.config)
        if self.memory is not None:
            self.memory.keep(number, event)
        return event

    def __iter__(self) -> Iterator[Event]:
        return (self[number] for number in range(len(self)))


class TrainingImages(Dataset[Event]):
    """Images by (event, number); crop and symmetry depend on (seed, number) alone, not on the process.

    An event or a crop without any voxel of known label is replaced by the next event of the source.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.config = source, source.config

    def __getitem__(self, key: tuple[int, int]) -> Event:
        event, number = key
        generator = np.random.default_rng((self.config.seed, number, 1))
        for other in range(len(self.source)):
            image = self.source[(event + other) % len(self.source)]
            if self.config.crop is not None and _has_labels(image):
                image = random_crop([image], self.config.crop, generator)
            if _has_labels(image):
                image = random_transform(image, generator) if self.config.augment else image
                return random_shift(image, self.config.shift, generator) if self.config.shift else image
        raise ValueError(f"{self.config.data}: found no image with a voxel of known label to train on")


def _has_labels(event: Event) -> bool:
    return bool((event.labels >= 0).any())


class EventImages(lightning.LightningDataModule):
    """The training events and the held-out events of a training; call `load` first.

    first_step: the number of steps already done, whose images are skipped.
    """

    def __init__(self, config: TrainConfig, first_step: int = 0) -> None:
        super().__init__()
        self.config, self.first_step = config, first_step
        self.train: Source
        self.held_out: Source
        self.voxels: list[int] = []

    def load(self) -> None:
        """Open or simulate the events.

        Raises FileNotFoundError, or ValueError naming the file, if the training cannot use a file.
        """
        self.train, self.held_out = load_sources(self.config)

    def identity(self) -> dict[str, Any]:
        """The identity of the training data, as a checkpoint stores it: `identity.identify`."""
        return data_identity.identify(self.train.events)

    def check(self) -> str:
        """Check some of the training events (`CHECKED`) and all held-out events. Returns a line that describes the data
        and says how much of it fits into memory.

        Raises ValueError naming file and event if an event is not usable.
        """
        described = check_training(self.train)
        check_judged(self.held_out)
        return described

    def setup(self, stage: str | None = None) -> None:
        """With several processes, count the voxels of all events, so that they get batches of similar size."""
        if self.config.processes > 1 and not self.voxels:
            self.voxels = self._count_voxels()

    def _count_voxels(self) -> list[int]:
        """The number of voxels of every event; each process reads its share of the events."""
        import torch.distributed as dist

        rank, processes = self.trainer.global_rank, self.trainer.world_size  # type: ignore[union-attr]
        mine = [len(self.train.events[i]) for i in self.train.numbers[rank::processes]]
        shares: list[Any] = [None] * processes
        dist.all_gather_object(shares, mine)
        counts = [0] * len(self.train)
        for share in range(processes):
            counts[share::processes] = shares[share]
        return counts

    def batches(self, first: int, last: int, process: int = 0, processes: int = 1) -> Batches:
        """The batches with numbers `first` to `last` - 1."""
        config = self.config
        return Batches(config.seed, len(self.train), config.batch, first, last, process, processes, self.voxels)

    def train_dataloader(self) -> Any:
        trainer, each = self.trainer, self.config.accumulate
        assert trainer is not None
        first, last = self.first_step * each, self.config.steps * each
        batches = self.batches(first, last, trainer.global_rank, trainer.world_size)
        loader = self._loader(batches, self.config.workers)
        return loader if self.config.workers else MadeAhead(loader)

    def statistics_batches(self, number: int, first: int = 0) -> list[Batch]:
        """`number` batches of the training from number `first` on, complete even if several processes shared them."""
        return list(self._loader(self.batches(first, first + number), 0))

    def _loader(self, batches: Batches, workers: int) -> Any:
        images = TrainingImages(self.train)
        fork = workers and "fork" in multiprocessing.get_all_start_methods()  # forked workers share events in memory
        return DataLoader(
            images,
            batch_sampler=batches,
            collate_fn=as_batch,
            num_workers=workers,
            generator=torch.Generator(),  # the loader seeds its workers from this; they draw nothing
            multiprocessing_context="fork" if fork else None,
        )

    def judged_images(self) -> Iterator[Event]:
        """The held-out events on which the network is judged, or tiles of them, up to the number in the options."""
        events = (self.held_out[i] for i in range(min(len(self.held_out), self.config.held_out_events)))
        if self.config.crop is None:
            return (event for event in events if (event.labels >= 0).sum() >= LEAST_VOXELS)
        return iter(held_out_crops(list(events), self.config.crop, self.config.seed))

    def judged_by(self) -> str:
        """The name of the file with the held-out events, or a description of these events."""
        held_out = self.config.held_out
        return "one in five events of the data, not used for training" if held_out is None else Path(held_out).name


def load_sources(config: TrainConfig) -> tuple[Source, Source]:
    """Training events and held-out events. If no held-out file is given, one in five, at least one, is held out.

    Raises FileNotFoundError, or ValueError naming the file, if a file cannot be used.
    """
    if config.data is None:
        assert config.events is not None
        assert config.image is not None
        make = Streamed if config.stream else simulated
        events: Sequence[Event] = make(config.seed, config.events, config.image)
    else:
        events = open_events(config.data, **config.reading())
    _at_least(events, 1 if config.held_out else 2, config.data)
    memory = (
        None if isinstance(events, list) else EventMemory(memory_for_events(config.devices * max(1, config.workers)))
    )
    if config.held_out is not None:
        other = open_events(config.held_out, **config.reading())
        _at_least(other, 1, config.held_out)
        return Source(events, range(len(events)), config, memory), Source(other, range(len(other)), config)
    mine, theirs = split(len(events), config.seed)
    return Source(events, mine, config, memory), Source(events, theirs, config)


def _at_least(events: Sequence[Event], least: int, path: str | None) -> None:
    if len(events) < least:
        raise ValueError(f"{path}: a training needs at least {least} event{'s' * (least > 1)}, found {len(events)}")


def check_image(event: Event, config: TrainConfig) -> None:
    """Check that the image is large enough for a crop, or fits the network. Raises ValueError naming the image."""
    if config.crop is not None and min(event.spatial_shape) < config.crop:
        raise ValueError(f"crop must fit into the images of {event.name}, {event.spatial_shape}, got {config.crop}")
    if config.crop is None:
        for size in event.spatial_shape:
            config.check_size(f"{event.name}: image without crop", size)


def check_training(source: Source) -> str:
    """Read `CHECKED` of the training events, or all if there are fewer. If none of them has a voxel of known label,
    read the others until one has. Returns a line that describes them.

    Raises ValueError if an event cannot be read or does not fit the training, or if no event has a label.
    """
    config, total = source.config, len(source)
    number = min(total, 1 if isinstance(source.events, Streamed) else CHECKED)
    places = [i * (total - 1) // max(1, number - 1) for i in range(number)]
    found, size = set[int](), 0
    for place in places:
        event = source[place]
        check_image(event, config)
        found.update(np.unique(event.labels[event.labels >= 0]).tolist())
        size += event_bytes(event)
    if not found:
        found.update(next((event.labels[event.labels >= 0].tolist() for event in source if _has_labels(event)), []))
    what = config.data or "the simulation"
    if not found:
        raise ValueError(f"{what}: none of the {total} training events has a voxel of known label")
    if len(found) == 1:
        name = class_names(config.classes)[found.pop()]
        print(f"warning: {what}: all labels in the {number} checked events are {name}", file=sys.stderr)
    described = f"training on {total} events"
    if source.memory is None:
        return described
    whole, limit = size / number * total, source.memory.limit
    share = f"{limit / 1e9:.1f} GB for each of {config.workers} workers" if config.workers else f"{limit / 1e9:.1f} GB"
    return f"{described}; they stay in memory after the first read: about {whole / 1e9:.2g} GB, at most {share}"


def check_judged(source: Source) -> None:
    """Read all held-out events; of events simulated on demand, only up to the first usable one.

    Raises ValueError if an event cannot be read or does not fit the network, or if there is no event to judge on.
    """
    config, usable = source.config, False
    events = min(len(source), config.held_out_events)
    for number in range(events):
        event = source[number]
        check_image(event, config)
        images = fitting(event, config.crop) if config.crop is not None and not usable else [event]
        usable = usable or any((image.labels >= 0).sum() >= (1 if config.crop else LEAST_VOXELS) for image in images)
        if usable and isinstance(source.events, Streamed):
            return
    if not usable:
        what = config.held_out or f"{config.data or 'the simulation'}: held-out events"
        raise ValueError(
            f"{what}: none of {events} events has {LEAST_VOXELS} voxels of known label, so the network cannot be "
            "evaluated; give another file as held_out"
        )

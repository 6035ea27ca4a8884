"""The images of a training: from a file or simulated, cropped and turned, in batches that a number decides."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sscn_triton.lartpc import Event, EventFile, open_events
from sscn_triton.study.augmentation import random_transform
from sscn_triton.study.data import LEAST_VOXELS, Batch, Streamed, as_batch, held_out_crops, random_crop, simulated
from sscn_triton.study.labels import project, relabel
from sscn_triton.study.sampling import Batches
from sscn_triton.study.train_config import TrainConfig


def prepared(event: Event, config: TrainConfig) -> Event:
    """The event with the labels, classes and dimensions that are asked for."""
    return project(relabel(event, config.classes, config.labels), config.ndim)


@dataclass(frozen=True)
class Source:
    """Some events of a sequence, prepared when they are read."""

    events: Sequence[Event]
    numbers: Sequence[int]
    config: TrainConfig

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int) -> Event:
        return prepared(self.events[self.numbers[number]], self.config)

    def __iter__(self) -> Iterator[Event]:
        return (self[number] for number in range(len(self)))


class TrainingImages(Dataset[Event]):
    """Images by (event, number): crop and symmetry are drawn from (seed, number) alone, in whatever process."""

    def __init__(self, source: Source) -> None:
        self.source, self.config = source, source.config

    def __getitem__(self, key: tuple[int, int]) -> Event:
        event, number = key
        generator = np.random.default_rng((self.config.seed, number, 1))
        image = self.source[event]
        if self.config.crop is not None:
            image = random_crop([image], self.config.crop, generator)
        return random_transform(image, generator) if self.config.augment else image


class EventImages(lightning.LightningDataModule):
    """What a training learns from and is judged by; `load` first.

    first_step: steps that were made before, whose images are passed over.
    """

    def __init__(self, config: TrainConfig, first_step: int = 0) -> None:
        super().__init__()
        self.config, self.first_step = config, first_step
        self.train: Source
        self.held_out: Source
        self.voxels: list[int] = []

    def load(self) -> None:
        """Opens or makes the events.

        Raises FileNotFoundError, and ValueError naming the file, for one that the training cannot use.
        """
        self.train, self.held_out = load_sources(self.config)
        check_images(self.train, self.config)

    def setup(self, stage: str | None = None) -> None:
        """With several processes, counts the voxels of all events, for batches of even size."""
        if self.config.processes > 1 and not self.voxels:
            self.voxels = self._count_voxels()

    def _count_voxels(self) -> list[int]:
        """Of every event; each process reads its share."""
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
        """Batches of numbers `first` to `last` - 1."""
        config = self.config
        return Batches(config.seed, len(self.train), config.batch, first, last, process, processes, self.voxels)

    def train_dataloader(self) -> DataLoader[Batch]:
        trainer, each = self.trainer, self.config.accumulate
        assert trainer is not None
        first, last = self.first_step * each, self.config.steps * each
        batches = self.batches(first, last, trainer.global_rank, trainer.world_size)
        return self._loader(batches, self.config.workers)

    def statistics_batches(self, number: int) -> list[Batch]:
        """The first batches of the training, whole, also where several processes shared them."""
        return list(self._loader(self.batches(0, number), 0))

    def _loader(self, batches: Batches, workers: int) -> Any:
        images = TrainingImages(self.train)
        fork = workers and "fork" in multiprocessing.get_all_start_methods()  # shares the events that are in memory
        return DataLoader(
            images,
            batch_sampler=batches,
            collate_fn=as_batch,
            num_workers=workers,
            generator=torch.Generator(),  # the loader seeds its workers, which draw nothing, by this one
            multiprocessing_context="fork" if fork else None,
        )

    def judged_images(self) -> Iterator[Event]:
        """What the network is judged by: at most so many events, or of these at most so many tiles."""
        events = (self.held_out[i] for i in range(min(len(self.held_out), self.config.held_out_events)))
        if self.config.crop is None:
            return (event for event in events if (event.labels >= 0).sum() >= LEAST_VOXELS)
        return iter(held_out_crops(list(events), self.config.crop, self.config.seed))


def load_sources(config: TrainConfig) -> tuple[Source, Source]:
    """Events to learn from and held-out events. One in five of a file, at least one, is held out if no other is given.

    Raises FileNotFoundError, and ValueError naming the file, for what cannot be used.
    """
    if config.data is None:
        assert config.events is not None
        assert config.image is not None
        make = Streamed if config.stream else simulated
        events: Sequence[Event] = make(config.seed, config.events, config.image)
    else:
        events = open_events(config.data, **config.reading())
    _at_least(events, 1 if config.held_out else 2, config.data)
    everything = Source(events, range(len(events)), config)
    if config.held_out is not None:
        other: EventFile = open_events(config.held_out, **config.reading())
        _at_least(other, 1, config.held_out)
        return everything, Source(other, range(len(other)), config)
    order = np.random.default_rng(config.seed).permutation(len(events))
    held = max(1, len(events) // 5)
    mine, theirs = sorted(order[held:].tolist()), sorted(order[:held].tolist())
    return Source(events, mine, config), Source(events, theirs, config)


def _at_least(events: Sequence[Event], least: int, path: str | None) -> None:
    if len(events) < least:
        raise ValueError(f"{path}: a training needs {least} events or more, found {len(events)}")


def check_images(source: Source, config: TrainConfig) -> None:
    """The first event stands for all: its image must hold a crop, and suit the network."""
    event = source[0]
    if config.crop is not None and min(event.spatial_shape) < config.crop:
        raise ValueError(f"crop must fit into the images of {event.name}, {event.spatial_shape}, got {config.crop}")
    if config.crop is None:
        for size in event.spatial_shape:
            config.check_size(f"{event.name}: image without crop", size)

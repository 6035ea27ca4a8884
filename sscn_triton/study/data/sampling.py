"""The images of each training step, as a function of (seed, number), so that no state must be stored.

Images are numbered from 0 without limit. Every pass over the events has its own shuffled order, drawn from (seed,
turn). A batch is a number of consecutive images. It is the same for any number of processes, which share it evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, events: int) -> np.ndarray:
    return np.random.default_rng((seed, turn)).permutation(events)


def event_of(seed: int, sample: int, events: int) -> int:
    """The event from which image number `sample` is made."""
    return int(_order(seed, sample // events, events)[sample % events])


def split(events: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the training events and of the held-out events: one in five, at least one, selected by the seed."""
    order = np.random.default_rng(seed).permutation(events)
    held = max(1, events // 5)
    return sorted(order[held:].tolist()), sorted(order[:held].tolist())


def deal(voxels: Sequence[int], processes: int) -> list[list[int]]:
    """The images of a batch for each process: equally many, with voxels balanced by a greedy largest-first assignment.

    voxels: the voxels of each image; the number of images is a multiple of `processes`. The largest image goes first,
    to the process with the fewest voxels that still has a place; every process keeps its images in batch order.
    """
    places = len(voxels) // processes
    hands: list[list[int]] = [[] for _ in range(processes)]
    sums = [0] * processes
    for image in sorted(range(len(voxels)), key=lambda i: (-voxels[i], i)):
        taker = min((p for p in range(processes) if len(hands[p]) < places), key=lambda p: (sums[p], p))
        hands[taker].append(image)
        sums[taker] += voxels[image]
    return [sorted(hand) for hand in hands]


@dataclass(frozen=True)
class Batches:
    """The batches of one process, each a list of (event, image number).

    voxels: the voxels of each event; needed for several processes only
    first, last: the number of the first batch and of the one after the last
    batch: images per batch, over all processes
    """

    seed: int
    events: int
    batch: int
    first: int
    last: int
    process: int = 0
    processes: int = 1
    voxels: Sequence[int] = ()

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.first, self.last):
            samples = range(number * self.batch, (number + 1) * self.batch)
            images = [(event_of(self.seed, sample, self.events), sample) for sample in samples]
            if self.processes > 1:
                hands = deal([self.voxels[event] for event, _ in images], self.processes)
                images = [images[i] for i in hands[self.process]]
            yield images

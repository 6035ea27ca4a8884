"""Which images a step learns from: a function of (seed, number), so that nothing needs to be remembered.

Images are numbered from 0 without end. Each time round the events come in an order shuffled anew, from (seed, turn).
A batch is a number of these images in a row, the same for any number of processes; these share it evenly.
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
    """The event that image number `sample` is made of."""
    return int(_order(seed, sample // events, events)[sample % events])


def split(events: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the events to learn from and of those held out: one in five, at least one, drawn by the seed."""
    order = np.random.default_rng(seed).permutation(events)
    held = max(1, events // 5)
    return sorted(order[held:].tolist()), sorted(order[:held].tolist())


def deal(voxels: Sequence[int], processes: int) -> list[list[int]]:
    """Which images of a batch each process takes: as many each, their voxels as even as a greedy hand makes them.

    voxels: of each image, a multiple of `processes` many. The largest image goes first, to the process with the fewest
    voxels that still has a place; every process then has its images in the order of the batch.
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

    voxels: of each event; needed for several processes only
    first, last: numbers of the first batch and of the one after the last
    batch: images of a batch, over all processes
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

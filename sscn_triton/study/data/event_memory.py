"""Events kept in memory once they were read, and batches made ahead by a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np

from sscn_triton.common import machine
from sscn_triton.lartpc import Event
from sscn_triton.lartpc.event import no_particles

SHARE = 1 / 3
"""Of the memory that is free when a training starts: what its events may take."""
OVERHEAD = 1000
"""Bytes that an event takes beside its voxels, for Python's objects."""

Item = TypeVar("Item")
_Kept = tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray, tuple[int, ...], str, tuple[str, ...]]


def memory_for_events(processes: int = 1) -> int:
    """Bytes that each of `processes` processes on this machine may keep: together a third of the free memory."""
    return int(machine.free_memory() * SHARE / processes)


class EventMemory:
    """Voxels, energies and labels of events by number, as long as they fit into `limit` bytes; nothing is dropped.

    A voxel takes 2 bytes for each axis (4 where an axis is longer than 32,767), 4 for its energy and 1 for its label.
    An event comes back with its voxels in the same order and without particles, clusters and prediction, which a
    training does not read.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: dict[int, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: int) -> Event | None:
        """The event, if it is kept."""
        kept = self._kept.get(number)
        if kept is None:
            return None
        coordinates, energy, labels, voxel_size, origin, shape, name, label_names = kept
        fields = coordinates, energy, labels, no_particles(), voxel_size, origin, shape, name
        return Event(*fields, label_names=label_names)

    def keep(self, number: int, event: Event) -> None:
        """Keep the event, if it fits."""
        size = event_bytes(event)
        if self.bytes + size > self.limit or number in self._kept:
            return
        coordinates: np.ndarray = event.coordinates.astype(_coordinate_type(event), copy=True)
        kept = coordinates, event.energy.copy(), event.labels.copy(), event.voxel_size, event.origin
        self._kept[number] = (*kept, event.spatial_shape, event.name, event.label_names)
        self.bytes += size


def _coordinate_type(event: Event) -> type:
    return np.int16 if max(event.spatial_shape) <= np.iinfo(np.int16).max else np.int32


def event_bytes(event: Event) -> int:
    """What `EventMemory` takes for an event."""
    voxel = event.ndim * np.dtype(_coordinate_type(event)).itemsize + 5
    return OVERHEAD + len(event) * voxel


class MadeAhead(Generic[Item]):
    """The items of an iterable, in order, made by a thread while those before are used.

    ahead: how many may wait. An exception of the iterable comes where its item would have come. The thread ends when
    the iteration does, also when the iteration is given up.
    """

    def __init__(self, items: Iterable[Item], ahead: int = 2) -> None:
        self.items, self.ahead = items, ahead

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]  # TypeError where the items have no length

    def __iter__(self) -> Iterator[Item]:
        made: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        room, given_up = threading.Semaphore(self.ahead), threading.Event()
        maker = threading.Thread(target=self._make, args=(made, room, given_up), name="batches", daemon=True)
        maker.start()
        try:
            while True:
                what, value = made.get()
                if what == "end":
                    return
                if what == "error":
                    raise value
                room.release()
                yield value
        finally:
            given_up.set()
            room.release()
            maker.join()

    def _make(self, made: SimpleQueue[tuple[str, Any]], room: threading.Semaphore, given_up: threading.Event) -> None:
        try:
            for item in self.items:
                room.acquire()
                if given_up.is_set():
                    return
                made.put(("item", item))
            made.put(("end", None))
        except BaseException as error:  # it is raised where the item is asked for
            made.put(("error", error))

"""A store that keeps events in memory after the first read, and a thread that makes batches ahead of time."""

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
"""The fraction of the memory free at the start of a training that its events may use."""
OVERHEAD = 1000
"""Bytes per event for Python's objects, in addition to its voxels."""

Item = TypeVar("Item")
_Kept = tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray, tuple[int, ...], str, tuple[str, ...]]


def memory_for_events(processes: int = 1) -> int:
    """Bytes per process, for `processes` processes on this machine, which share a third of the free memory."""
    return int(machine.free_memory() * SHARE / processes)


class EventMemory:
    """Stores voxels, energies and labels of events by number until `limit` bytes are used; nothing is evicted.

    A voxel takes 2 bytes per axis (4 if an axis is longer than 32,767), 4 for its energy and 1 for its label. `get`
    returns an event with its voxels in the same order but without particles, clusters and prediction, which a training
    does not read.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: dict[int, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: int) -> Event | None:
        """The event if it is stored, else None."""
        kept = self._kept.get(number)
        if kept is None:
            return None
        coordinates, energy, labels, voxel_size, origin, shape, name, label_names = kept
        fields = coordinates, energy, labels, no_particles(), voxel_size, origin, shape, name
        return Event(*fields, label_names=label_names)

    def keep(self, number: int, event: Event) -> None:
        """Store the event if it fits."""
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
    """The number of bytes that `EventMemory` uses for an event."""
    voxel = event.ndim * np.dtype(_coordinate_type(event)).itemsize + 5
    return OVERHEAD + len(event) * voxel


class MadeAhead(Generic[Item]):
    """The items of an iterable, in order; a thread makes the next ones while the caller uses the current one.

    ahead: maximum number of finished items that wait. An exception of the iterable is raised in place of its item. The
    thread ends with the iteration, even if the caller abandons it.
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
        except BaseException as error:  # re-raised in the consumer in place of the item
            made.put(("error", error))

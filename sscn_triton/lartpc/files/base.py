"""The common base of all event files: events are read one by one, and files are written completely or not at all."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, overload

import numpy as np

from sscn_triton.common.errors import first_line
from sscn_triton.common.files import WholeFile
from sscn_triton.lartpc.event import CLASS_NAMES, Event

LARGEST_AXIS = 2**20
"""The most voxels along an axis that an image in a file may have."""
VOXEL_SIZE = 3.0
"""Edge of a voxel in mm if the file does not state it."""

_NEVER_SET = (0, 2**64 - 1)  # larcv's voxel counts for an image whose description was never set


class EventFileError(ValueError):
    """An event file that cannot be read; the message names file, event and field."""


class EventFile(Sequence[Event], ABC):
    """The events of a file as a sequence: `len(events)`, `events[i]` (also from the end), slices, iteration.

    Only the requested event is read. Every process that reads opens the file once, also a process forked from one that
    has it open, so that a data loader may have any number of workers; pickling transfers only the path.

    Opening and reading raise FileNotFoundError, IndexError for an event that the file does not have, and EventFileError
    (a ValueError) for a file that has another format, is truncated or inconsistent, or contains impossible values.
    """

    attributes: Mapping[str, Any] = MappingProxyType({})
    """The file's own description (seed, configuration, ...); empty for files that this package did not write."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._handle: Any = None
        self._process = -1
        first_bytes(self.path)
        try:
            self._length = self._count()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _open(self) -> Any:
        """Open the file in this process."""

    @abstractmethod
    def _count(self) -> int:
        """Check the file's structure and return the number of its events."""

    @abstractmethod
    def _read(self, number: int) -> Event: ...

    @property
    def handle(self) -> Any:
        """The file, opened by this process."""
        if self._handle is None or self._process != os.getpid():
            self._handle, self._process = self._open(), os.getpid()
        return self._handle

    def points(self, number: int) -> int:
        """Number of points that the file has for the event `number`, from 0; several may be in one voxel."""
        return len(self._read(number))

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._handle is not None and self._process == os.getpid():
            self._handle.close()
        self._handle = None

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, number: int) -> Event: ...
    @overload
    def __getitem__(self, number: slice) -> list[Event]: ...
    def __getitem__(self, number: int | slice) -> Event | list[Event]:
        if isinstance(number, slice):
            return [self._read(one) for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.path}: there is no event {number}; the file has {len(self)}, numbered from 0")
        return self._read(number % len(self))

    def __iter__(self) -> Iterator[Event]:
        return (self._read(number) for number in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}): {len(self)} events"


class ChangedEvents(EventFile):
    """The events of a file, to each of which functions are applied in turn when it is read."""

    def __init__(self, events: EventFile, *changes: Callable[[Event], Event]) -> None:
        self.events, self.changes, self.path = events, changes, events.path
        self._handle, self._process = None, -1
        self._length = self._count()

    @property
    def attributes(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self.events.attributes

    def _open(self) -> Any:
        return self.events

    def _count(self) -> int:
        return len(self.events)

    def _read(self, number: int) -> Event:
        event = self.events[number]
        for change in self.changes:
            event = change(event)
        return event

    def points(self, number: int) -> int:
        return self.events.points(number)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        self.events.close()


def _in_words(predicted: tuple[str, ...] | None) -> str:
    return "no prediction" if predicted is None else f"a prediction of {', '.join(predicted)}"


class EventWriter(ABC):
    """Writes events one by one, in a `with` block: the file gets its name only when it is complete.

    Until then it is a hidden file beside `path`, which is removed if the block ends with an exception (`WholeFile`).
    overwrite: replace an existing file at `path`, at the end. Without it, FileExistsError is raised if a file exists or
    appears meanwhile, and BusyError while another writer writes the file. WriteError, an OSError, means that no space
    is left.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._whole = WholeFile(path, overwrite=overwrite)
        self._file = self._whole.file
        self.count = 0
        self._predicted: tuple[str, ...] | None = None

    def append(self, event: Event) -> None:
        """Write one more event. Raises ValueError unless all events have a prediction of the same classes, or none."""
        names = None if event.prediction is None else event.prediction.names
        if self.count == 0:
            self._predicted = names
        if names != self._predicted:
            raise ValueError(
                "either all events of a file have predictions of the same classes, or none has: got "
                f"{_in_words(names)} after {_in_words(self._predicted)}"
            )
        self._append(event)
        self.count += 1

    @abstractmethod
    def _append(self, event: Event) -> None: ...

    @abstractmethod
    def _finish(self) -> None:
        """Write the end of a complete file."""

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as failed:
            self._whole.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._whole.__exit__(kind, error, trace)


def first_bytes(path: Path, count: int = 8) -> bytes:
    """The first bytes of a file. Raises FileNotFoundError if there is none, EventFileError if it cannot be
    read."""
    try:
        if not path.is_file():
            what = "not a readable file" if path.exists() else "no such file"
            raise FileNotFoundError(f"{path}: {what}")
        with path.open("rb") as file:
            return file.read(count)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EventFileError(f"{path}: cannot be opened ({error.strerror or first_line(error)})") from error


def voxel_labels(
    ids: np.ndarray,
    label_ids: np.ndarray,
    values: np.ndarray,
    names: Sequence[str],
    where: tuple[str, str],
    error: type[EventFileError],
) -> np.ndarray:
    """Labels, int8, of the voxels `ids`, stored as `values` of the voxels `label_ids`, both ascending.

    Raises `error` if the voxels differ, or if a value is not an index into `names`; `where` gives the places of the
    voxel numbers and of the values.
    """
    if not np.array_equal(label_ids, ids):
        other = len(np.setxor1d(label_ids, ids))
        raise error(f"{where[0]}: labels and data have different voxels ({other} occur in only one of the two)")
    wrong = (values != np.round(values)) | (values < 0) | (values >= len(names))
    if wrong.any():
        hint = "" if len(names) > len(CLASS_NAMES) else "; truth_means (--truth_means) says what others mean"
        raise error(f"{where[1]}: label {values[wrong][0]}; the allowed range is 0 to {len(names) - 1}{hint}")
    return values.astype(np.int8)


def never_filled(voxels: int, shape: Sequence[int]) -> bool:
    """Whether larcv wrote an entry that was never filled: no voxels, and an image whose description was never set."""
    return voxels == 0 and all(int(n) in _NEVER_SET for n in shape)

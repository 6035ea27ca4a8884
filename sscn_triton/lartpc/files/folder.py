"""Many event files as one: public data sets and large simulations are stored this way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from sscn_triton.common.errors import first_line
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.base import EventFile, EventFileError

OPEN = 32
"""Most files open at once: systems allow a process a thousand or fewer, and an open HDF5 file takes memory."""


class FolderEvents(EventFile):
    """The events of all event files in a folder, file by file in the order of their names; see `EventFile`.

    Files are those whose names end with one of the suffixes, .root, .h5, .hdf5, .parquet, .npz or .csv for
    `open_events`; hidden files and subfolders are skipped. Raises EventFileError if the folder contains no event files.
    """

    def __init__(self, path: Path, open_file: Callable[[Path], EventFile], suffixes: Sequence[str]) -> None:
        self.path = path
        try:
            found = sorted(path.iterdir())
        except OSError as error:
            raise EventFileError(f"{path}: cannot be listed ({first_line(error)})") from error
        names = [p for p in found if p.suffix.lower() in suffixes and p.name[0] != "." and p.is_file()]
        if not names:
            raise EventFileError(f"{path}: the folder contains no event files ({', '.join(suffixes)})")
        self.files: list[EventFile] = []
        self._used = dict[int, None]()  # the open files, the most recently used last
        for number, name in enumerate(names):
            self.files.append(open_file(name))
            self._note_use(number)
        self._ends = list(accumulate(len(file) for file in self.files))
        self._length = self._count()

    def _open(self) -> Any:
        return self.files

    def _count(self) -> int:
        return self._ends[-1]

    def _read(self, number: int) -> Event:
        file, place = self._place(number)
        return file[place]

    def points(self, number: int) -> int:
        file, place = self._place(number)
        return file.points(place)

    def _place(self, number: int) -> tuple[EventFile, int]:
        """The file that contains an event, and the number of the event in it."""
        file = bisect_right(self._ends, number)
        self._note_use(file)
        return self.files[file], number - self._ends[file] + len(self.files[file])

    def _note_use(self, number: int) -> None:
        """Record that this file is used, and close the least recently used file if too many are open."""
        self._used.pop(number, None)
        self._used[number] = None
        if len(self._used) > OPEN:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self.files[oldest].close()

    def close(self) -> None:
        """Close the files; reading opens them again."""
        self._used.clear()
        for file in self.files:
            file.close()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

"""Many event files as one: how public data sets come, and large simulations are kept."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from sscn_triton.common.messages import first_line
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.base import EventFile, EventFileError

OPEN = 32
"""Files that are open at once: systems allow a process a thousand or fewer, and an open HDF5 file takes memory."""


class FolderEvents(EventFile):
    """The events of all event files in a folder, one file after the other in the order of their names; see `EventFile`.

    Files are those whose names end with one of the suffixes, .root, .h5, .hdf5, .npz or .csv for `open_events`; hidden
    ones, and folders in it, are passed over. Raises EventFileError for a folder without any.
    """

    def __init__(self, path: Path, open_file: Callable[[Path], EventFile], suffixes: Sequence[str]) -> None:
        self.path = path
        try:
            found = sorted(path.iterdir())
        except OSError as error:
            raise EventFileError(f"{path}: cannot be listed ({first_line(error)})") from error
        names = [p for p in found if p.suffix.lower() in suffixes and p.name[0] != "." and p.is_file()]
        if not names:
            raise EventFileError(f"{path}: a folder without event files ({', '.join(suffixes)})")
        self.files: list[EventFile] = []
        self._used = dict[int, None]()  # the open files, the one used last at the end
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
        file = bisect_right(self._ends, number)
        self._note_use(file)
        return self.files[file][number - self._ends[file] + len(self.files[file])]

    def _note_use(self, number: int) -> None:
        """This file is being used; one too many is closed, the one that was used least recently."""
        self._used.pop(number, None)
        self._used[number] = None
        if len(self._used) > OPEN:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self.files[oldest].close()

    def close(self) -> None:
        """Closes the files; reading on opens them again."""
        self._used.clear()
        for file in self.files:
            file.close()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

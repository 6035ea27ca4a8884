"""Requests to an HDF5 file, and a process that only answers them. Imports only `heap` from the package,
so that the process starts quickly."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

from .heap import check_row  # relative: the process knows this folder by another name


class Calls:
    """An open file, with every call that a reader of events needs."""

    def __init__(self, path: str) -> None:
        import h5py

        self._file = h5py.File(path, "r")
        self._datasets: dict[str, Any] = {}

    def _dataset(self, name: str) -> Any:
        """A dataset by name; opened once, because h5py takes a quarter of a millisecond to determine its type."""
        if name not in self._datasets:
            self._datasets[name] = self._file[name]
        return self._datasets[name]

    def names(self, group: str = "/") -> list[str]:
        """Names in a group, sorted."""
        return sorted(self._file[group].keys())

    def attributes(self) -> dict[str, Any]:
        """The file's attributes."""
        return dict(self._file.attrs)

    def kind(self, name: str) -> str:
        """What a name refers to: a group, a dataset of a type and shape, or a dataset of rows of variable length."""
        import h5py

        found = self._file[name]
        if not isinstance(found, h5py.Dataset):
            return "a group"
        row = h5py.check_vlen_dtype(found.dtype)
        return f"rows of {row} {list(found.shape)}" if row is not None else f"{found.dtype} {list(found.shape)}"

    def length(self, dataset: str) -> int:
        return len(self._dataset(dataset))

    def fields(self, dataset: str) -> tuple[str, ...]:
        """Names of the columns; empty if the rows are not structured."""
        return self._dataset(dataset).dtype.names or ()

    def row(self, dataset: str, number: int) -> Any:
        """One row of variable length, after a check of its place in the file."""
        found = self._dataset(dataset)
        check_row(found, number)
        return found[number]

    def rows(self, dataset: str, start: int = 0, stop: int | None = None) -> Any:
        return self._dataset(dataset)[start:stop]

    def item(self, dataset: str, number: int) -> Any:
        return self._dataset(dataset)[number]

    def close(self) -> None:
        self._datasets.clear()  # otherwise h5py searches for every open dataset when it closes a file
        self._file.close()


def serve() -> None:
    """Answer each (path, call, arguments) on standard input with (value, None) or (None, `packed` error), until the
    input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")  # stdout is reserved for answers
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # output that a library prints goes to stderr
    files: dict[str, tuple[Any, Calls]] = {}
    while True:
        try:
            path, call, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: tuple[Any, Any] = _answer(files, path, call, arguments), None
        except Exception as error:
            answer = None, packed(error)
        pickle.dump(answer, answers)
        answers.flush()


def packed(error: Exception) -> tuple[bytes, str]:
    """Pack an exception for another process: the pickled exception with its class and attributes, and its text, in case
    the class is not available there."""
    words = f"{type(error).__name__}: {error}"
    try:
        whole = pickle.dumps(error)
        pickle.loads(whole)
    except Exception:  # not every exception can be constructed from its arguments
        whole = b""
    return whole, words


def unpacked(packet: tuple[bytes, str]) -> Exception:
    """The exception that another process packed, or an OSError with its text."""
    whole, words = packet
    try:
        error = pickle.loads(whole)
    except Exception:
        return OSError(words)
    return error if isinstance(error, Exception) else OSError(words)


def _answer(files: dict[str, tuple[Any, Calls]], path: str, call: str, arguments: tuple[Any, ...]) -> Any:
    if call == "close":
        return files.pop(path)[1].close() if path in files else None
    found = Path(path).stat()
    state = (found.st_ino, found.st_mtime_ns, found.st_size)
    if path in files and files[path][0] != state:  # another file with this name
        files.pop(path)[1].close()
    if path not in files:
        files[path] = state, Calls(path)
    return getattr(files[path][1], call)(*arguments)

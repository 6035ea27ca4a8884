"""HDF5 files, read in a way that a damaged file cannot end the program.

The HDF5 library crashes on some damage to files of its old format, whose structure carries no checksums; public
PILArNet-M and larcv3 files have this format. A child process, which may die, reads them. The library itself checks the
format of superblock 3 and later, which our files have, so those are read in this process.
"""

from __future__ import annotations

import atexit
import errno
import os
import pickle
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

from sscn_triton.common.child import Child
from sscn_triton.common.errors import first_line
from sscn_triton.common.optional import require
from sscn_triton.lartpc.files.base import EventFileError
from sscn_triton.lartpc.files.hdf5_calls import Calls, unpacked

PATIENCE = 60.0
"""Seconds that the child process may take for one answer."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHECKED = 3  # the first superblock version whose files carry checksums throughout
_PROGRAM = (
    "import sys, types; package = types.ModuleType('hdf5_reading'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['hdf5_reading'] = package; from hdf5_reading.hdf5_calls import serve; serve()"
)


class Reading(Protocol):
    """An open HDF5 file, in this process or in the child process: see `Calls`."""

    def names(self, group: str = "/") -> list[str]: ...
    def attributes(self) -> dict[str, Any]: ...
    def kind(self, name: str) -> str: ...
    def length(self, dataset: str) -> int: ...
    def fields(self, dataset: str) -> tuple[str, ...]: ...
    def row(self, dataset: str, number: int) -> Any: ...
    def rows(self, dataset: str, start: int = 0, stop: int | None = None) -> Any: ...
    def item(self, dataset: str, number: int) -> Any: ...
    def close(self) -> None: ...


def _open(path: Path) -> Reading:
    with path.open("rb") as file:
        start = file.read(len(_SIGNATURE) + 1)
    if start.startswith(_SIGNATURE) and start[-1] >= _CHECKED:
        return Calls(str(path))
    reading = _ReadInChild(str(path.absolute()))
    reading.names()
    return reading


def open_hdf5(path: Path) -> Reading:
    """Open a file. Raises EventFileError if it is not HDF5, or if another program is writing it."""
    require("h5py")  # before errors about the file
    try:
        return _open(path)
    except Exception as error:
        raise EventFileError(f"{path}: {_why(error)} ({first_line(error)})") from error


def _why(error: Exception) -> str:
    """Explain why a file could not be opened."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):
        return "another program has it open for writing; wait for that program, or close the file in it"
    if "already open for" in str(error):
        return (
            "another program has it open for writing, or was killed while writing; wait for it, or, if none is "
            "running, "
            "`h5clear -s` makes the part that was written readable"
        )
    if number is not None:
        return "cannot be opened"
    return "not an HDF5 file, or a truncated one"


class _ReadInChild:
    """A file that the child process opens."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, call: str) -> Any:
        if call.startswith("_"):
            raise AttributeError(call)
        return lambda *arguments: _child().ask(self._path, call, arguments)


class _Reader:
    """The reading process. It ends with this process, or when it crashes; then it is started again."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._process: Child | None = None

    def ask(self, path: str, call: str, arguments: tuple[Any, ...]) -> Any:
        with self._lock:
            value, failure = self._answer((path, call, arguments))
        if failure is None:
            return value
        raise unpacked(failure)

    def _answer(self, question: tuple[str, str, tuple[Any, ...]]) -> Any:
        if self._process is None:
            paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            self._process = Child(_PROGRAM, str(Path(__file__).parent), environment=paths, quiet=True)
        late = threading.Timer(PATIENCE, self._process.kill)
        late.start()
        try:
            return self._process.ask(question)
        except (EOFError, OSError, pickle.UnpicklingError):
            words = "crashed on it" if late.is_alive() else f"did not answer within {PATIENCE:g} s"
            self.stop()
            raise OSError(f"the HDF5 library {words}") from None
        except BaseException:  # Ctrl-C: otherwise the next request would get this answer
            self.stop()
            raise
        finally:
            late.cancel()

    def stop(self) -> None:
        """Kill the child if this process started it and it is running."""
        process, self._process = self._process, None
        if process is not None and self.owner == os.getpid():
            process.end()


_the_child: list[_Reader] = []


def _child() -> _Reader:
    """The child of this process; a forked process does not share its parent's."""
    if not _the_child or _the_child[-1].owner != os.getpid():
        _the_child[:] = [_Reader()]
        atexit.register(_the_child[0].stop)
    return _the_child[0]

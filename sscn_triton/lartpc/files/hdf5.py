"""HDF5 files, read so that a damaged one cannot end the program.

The HDF5 library crashes on some damage to files of its old format, whose structure carries no checksums: public
PILArNet-M and larcv3 files are such. They are read by a child process, which may die. The format of superblock 3 and
later, which ours have, is checked by the library itself, and read here.
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
from sscn_triton.common.messages import first_line
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
    """An open HDF5 file, here or in the child process: see `Calls`."""

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
    reading = _Apart(str(path.absolute()))
    reading.names()
    return reading


def open_hdf5(path: Path) -> Reading:
    """The file, opened. Raises EventFileError for one that is none, or that another program writes."""
    require("h5py")  # before the errors of the file
    try:
        return _open(path)
    except Exception as error:
        raise EventFileError(f"{path}: {_why(error)} ({first_line(error)})") from error


def _why(error: Exception) -> str:
    """Why a file could not be opened, in words."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.EWOULDBLOCK):
        return "another program has it open for writing; wait for it, or close the file there"
    if "already open for" in str(error):
        return (
            "another program has it open for writing, or was killed while it had; wait for it, or, if none runs, "
            "`h5clear -s` makes the file readable as far as it was written"
        )
    if number is not None:
        return "cannot be opened"
    return "not an HDF5 file, or one cut short"


class _Apart:
    """A file opened by the child process."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, call: str) -> Any:
        if call.startswith("_"):
            raise AttributeError(call)
        return lambda *arguments: _child().ask(self._path, call, arguments)


class _Reader:
    """The process that reads. It ends with this one, or when it crashes, and is then started anew."""

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
            words = "crashed on it" if late.is_alive() else f"did not come back from it in {PATIENCE:g} s"
            self.stop()
            raise OSError(f"the HDF5 library {words}") from None
        except BaseException:  # Ctrl-C: what comes next would be the answer to this
            self.stop()
            raise
        finally:
            late.cancel()

    def stop(self) -> None:
        """Ends the process, if it runs and is this one's."""
        process, self._process = self._process, None
        if process is not None and self.owner == os.getpid():
            process.end()


_the_child: list[_Reader] = []


def _child() -> _Reader:
    """This process's own: one that was forked off does not share its parent's."""
    if not _the_child or _the_child[-1].owner != os.getpid():
        _the_child[:] = [_Reader()]
        atexit.register(_the_child[0].stop)
    return _the_child[0]

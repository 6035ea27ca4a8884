"""A report folder that is replaced completely or not at all."""

from __future__ import annotations

import json
import operator
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sscn_triton.common.files import BusyError, Lock, write_whole

RECORD = "report.json"
"""The file that identifies a folder as a report's; its entry "files" lists the other files in it."""


class OutputFolder:
    """Files are written to a folder beside `path`, which `finish` puts in its place.

    An existing folder at `path` is replaced only if it is empty, or if it contains only an earlier report and
    `overwrite` is True: otherwise ValueError is raised at once, as it is for a place that cannot be written. While
    another process makes a report there, BusyError is raised. After Ctrl-C or an error the folder at `path` is
    unchanged; the files of `keep` stay in the folder beside it, and `kept` lists them.
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        self.path, self.overwrite = Path(path).resolve(), overwrite
        _check_replaceable(self.path, path, overwrite)
        self.kept: list[Path] = []
        self._finished = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path.with_name(f".{self.path.name}.lock"), path)
        except BusyError:
            raise
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            self.work = Path(tempfile.mkdtemp(prefix=f"{self.path.name}-unfinished-", dir=self.path.parent))
        except OSError as error:
            self._lock.release()
            raise _unwritable(path, error) from error

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._finished and not self.kept:
            shutil.rmtree(self.work, ignore_errors=True)
        self._lock.release()

    def keep(self, name: str, record: Any) -> None:
        """Write a record that is worth keeping even if the report is never finished."""
        write_whole(self.work / name, as_json(record))
        self.kept.append(self.work / name)

    def finish(self) -> None:
        """Put the new folder in the place of the old one, without the records kept in case of failure.

        Raises ValueError, and keeps both folders, if files have appeared at `path` meanwhile.
        """
        _check_replaceable(self.path, self.path, self.overwrite)
        for file in self.kept:
            file.unlink()
        umask = os.umask(0)
        os.umask(umask)
        self.work.chmod(0o777 & ~umask)
        old = None
        if self.path.exists():
            old = Path(tempfile.mkdtemp(prefix=f"{self.path.name}-replaced-", dir=self.path.parent))
            self.path.rename(old / self.path.name)
        self.work.rename(self.path)
        self._finished = True
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _unwritable(given: str | os.PathLike[str], error: OSError) -> ValueError:
    return ValueError(f"out must be a writable folder, got {given} ({error.strerror})")


def as_json(record: Any) -> str:
    """JSON that any reader accepts: nan and infinities become null."""
    return json.dumps(_without_nan(record), indent=1, allow_nan=False)


def plain(name: str, values: Any) -> dict[str, Any]:
    """A dictionary as a JSON file gives it back: tuples as lists, integers of other libraries as Python's.

    Raises TypeError unless `values` is a dictionary, and ValueError for a value or a key that JSON would lose or
    change; both begin with `name`.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{name} must be a dictionary, got {type(values).__name__}")
    try:
        _check_keys(values)
        found = json.loads(json.dumps(dict(values), allow_nan=False, default=operator.index))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} must contain plain values that JSON can hold ({error})") from error
    return dict(found)


def _check_keys(value: Any) -> None:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):  # JSON would make text of it
                raise TypeError(f"the key {key!r} is not text")
    if isinstance(value, (Mapping, list, tuple)):
        for one in value.values() if isinstance(value, Mapping) else value:
            _check_keys(one)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _check_replaceable(path: Path, given: str | os.PathLike[str], overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"out must be a folder, but {given} is a file")
    names = {entry.name for entry in path.iterdir()}
    try:
        known = set(json.loads((path / RECORD).read_text())["files"]) if names else set()
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    if names - known:
        some = ", ".join(sorted(names - known)[:3])
        raise ValueError(
            f"out must be new, empty or an earlier report's folder, but {given} contains other files: {some}"
        )
    if names and not overwrite:
        raise ValueError(
            f"out must be a new folder, but {given} already contains a report: choose another name, or --overwrite true"
        )

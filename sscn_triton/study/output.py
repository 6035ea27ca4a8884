"""A report folder that is replaced as a whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

RECORD = "report.json"
"""The file that makes a folder known as a report's; its entry "files" lists what else is in it."""


class OutputFolder:
    """Files are written into a folder beside `path`, which `finish` puts in its place.

    A folder already at `path` is only ever replaced if it is empty or holds nothing but an earlier report: anything
    else raises ValueError at once, and so does a place that cannot be written to. On Ctrl-C or an error the folder
    at `path` is as it was; the files of `keep` stay where they are, beside it, listed in `kept`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        _check_replaceable(self.path, path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.work = Path(tempfile.mkdtemp(prefix=f"{self.path.name}-unfinished-", dir=self.path.parent))
        except OSError as error:
            raise ValueError(f"out must be a folder that can be written, got {path} ({error.strerror})") from error
        self.kept: list[Path] = []
        self._finished = False

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._finished and not self.kept:
            shutil.rmtree(self.work, ignore_errors=True)

    def keep(self, name: str, record: Any) -> None:
        """Write a record that is worth keeping even if the rest is never finished."""
        (self.work / name).write_text(as_json(record))
        self.kept.append(self.work / name)

    def finish(self) -> None:
        """Put the new folder in the place of the old one, without what was kept in case it would not come to this."""
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


def as_json(record: Any) -> str:
    """JSON that any reader takes: nan and infinities become null."""
    return json.dumps(_without_nan(record), indent=1, allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _check_replaceable(path: Path, given: str | os.PathLike[str]) -> None:
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
        raise ValueError(f"out must be new, empty or an earlier report's folder, but {given} holds other files: {some}")

"""The result files of `book/results`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def newest(results: Path, pattern: str) -> tuple[str, dict[str, Any]] | None:
    """The name and the record of the newest file of a kind; None if there is none. Names begin with the date. A record
    of a training whose network was not judged, with an empty list of scores, does not count."""
    for path in sorted(results.glob(pattern), reverse=True):
        record = read(path)
        if record.get("scores") != []:
            return path.name, record
    return None


def read(path: Path) -> dict[str, Any]:
    """The record in a file. JSON's null in lists of numbers, which means undefined, becomes NaN."""
    record: dict[str, Any] = _with_nan(json.loads(path.read_text(encoding="utf-8")))
    return record


def _with_nan(record: Any) -> Any:
    if isinstance(record, dict):
        return {key: _with_nan(value) for key, value in record.items()}
    if isinstance(record, list):
        return [float("nan") if value is None else _with_nan(value) for value in record]
    return record

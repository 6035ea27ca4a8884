"""The running time of the chapters, from `tutorial/times.json`, which `tutorial/execute.py` writes."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

from sscn_book.tables import shown
from sscn_triton.common.table import Table


def text(tutorial: Path) -> str:
    """A table with the CPU seconds of every chapter and their sum, and the processors that took them."""
    times = json.loads((tutorial / "times.json").read_text(encoding="utf-8"))
    rows = [[title(tutorial / f"{name}.ipynb"), f"{one['cpu_seconds']:.0f}"] for name, one in sorted(times.items())]
    rows.append(["all chapters", f"{sum(one['cpu_seconds'] for one in times.values()):.0f}"])
    processors = " and ".join(sorted({one["processor"] for one in times.values()}))
    return f"{shown(Table(['chapter', 'CPU seconds'], rows))}\n\nMeasured on one core of this kind: {processors}."


def title(path: Path) -> str:
    """The first heading of a notebook, without its mark."""
    first = nbformat.read(path, as_version=4).cells[0].source
    return str(first.partition("\n")[0].removeprefix("# "))

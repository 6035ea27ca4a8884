"""The slides' table: a forward pass at 192, 512 and 768 px on this machine, next to the 2018 study's."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table
from sscn_triton.common.units import memory, percent, seconds
from sscn_triton.study.scaling.extrapolate import WANTED
from sscn_triton.study.scaling.report import NAMES, cost

THEIRS = {"sparse": "sparse", "study": "dense"}
"""Kinds of networks as the slides call them."""


def size_rows(record: dict[str, Any]) -> Table:
    """The rows of the table: measured if the scaling study reached the size, else computed and marked as such; empty if
    neither was possible."""
    header = ["network", "image", "forward", "memory, forward", "2018: forward", "2018: memory", "2018: accuracy"]
    rows = []
    for kind, name in NAMES.items():
        for size in WANTED:
            theirs = [n for n in record["published"]["networks"] if (n["name"], n["size"]) == (THEIRS.get(kind), size)]
            rows.append([name, f"{size} px", *_ours(record["scaling"], kind, size), *_theirs(theirs)])
    return Table(header, rows)


def _ours(scaling: dict[str, Any], kind: str, size: int) -> list[str]:
    return [_cost(scaling, kind, size, what) for what in ("forward_seconds", "forward_memory")]


def _cost(scaling: dict[str, Any], kind: str, size: int, what: str) -> str:
    for rows, mark in ((scaling["points"], ""), (scaling["computed"], ", computed")):
        for row in rows:
            same = (row["kind"], row["ndim"], row["size"], row.get("images", 1)) == (kind, 3, size, 1)
            if same and row.get(what) is not None:
                return cost(row, what) + mark
    return ""


def _theirs(published: list[dict[str, Any]]) -> list[str]:
    for n in published:
        accuracy = percent(n["nonzero_accuracy"]) + (" (training)" if n["remark"] else "")
        return [seconds(n["forward_seconds"]), memory(1e9 * n["memory_gb"]), accuracy]
    return ["", "", ""]

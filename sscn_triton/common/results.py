"""Measurements stored cell by cell: a file that is always complete, and continues where it stopped."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from sscn_triton.common.files import write_whole
from sscn_triton.common.output import as_json

OUT_OF_MEMORY = "out of memory"
"""What `failed` of a cell says that will fail again on the same device, so that it is not tried again."""
ROOT = Path(__file__).parents[2]


class Results:
    """A JSON file of cells by name; every change is written to a temporary name and renamed.

    With ``go_on`` the cells of an existing file are kept; a file of another device or other versions is refused,
    because its numbers are not comparable with new ones. Failed cells are not kept, so they are retried.
    """

    def __init__(self, path: Path, about: dict[str, Any], go_on: bool = True) -> None:
        self.path, self.record = path, {**about, "cells": {}}
        self.commit = about.get("commit")
        if go_on and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            for key in ("device", "versions"):
                if found.get(key) != about[key]:
                    raise ValueError(f"{path} was measured with {key} {found.get(key)}, but this is {about[key]}")
            self.record = found

    def __contains__(self, name: str) -> bool:
        cell = self.record["cells"].get(name, {"failed": ""})
        return cell.get("failed", OUT_OF_MEMORY) == OUT_OF_MEMORY and "wrong" not in cell

    def __len__(self) -> int:
        return len(self.record["cells"])

    def add(self, name: str, cell: dict[str, Any]) -> None:
        """Store a cell."""
        self.record["cells"][name] = {**cell, "commit": self.commit}
        self.write()

    def note(self, **about: Any) -> None:
        """Store information about the whole run."""
        self.record.update(about)
        self.write()

    def write(self) -> None:
        write_whole(self.path, as_json(self.record) + "\n", overwrite=True)


def about(device: str) -> dict[str, Any]:
    """Date, commit, device and versions."""
    import torch

    from sscn_triton.common import machine

    try:
        import triton
    except ImportError:  # a CPU build of PyTorch
        triton = None

    cuda = torch.version.cuda or torch.version.hip
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": device_record(device),
        "versions": {"torch": torch.__version__, "triton": triton and triton.__version__, "cuda": cuda},
        "machine": machine.describe(),
    }


def device_record(device: str) -> dict[str, Any]:
    """Name and properties of a GPU; "this CPU" for the CPU, which `machine.describe` describes."""
    import torch

    if device != "cuda":
        return {"name": "this CPU"}
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory GB": round(found.total_memory / 1e9),
        "cache MB": round(getattr(found, "L2_cache_size", 0) / 1e6),
    }


def commit() -> str | None:
    """The clone's commit, with a star if files differ from it; SSCN_COMMIT gives it for a copy without git, such as an
    installed package, which may lie inside the clone of another project."""
    if not (ROOT / ".git").exists():
        return os.environ.get("SSCN_COMMIT")
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return os.environ.get("SSCN_COMMIT") if head is None else head + ("*" if changed else "")


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

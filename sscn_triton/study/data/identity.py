"""The identity of the training data in a few numbers, by which a training that continues recognises its data.

For event files, the identity is the number of events and, for each file, its name within the folder, its size and a
checksum of some of its blocks. Files of up to 64 MiB in total are read whole. From larger ones a fixed number of evenly
spread blocks of 4 KiB is read, 64 MiB in all, including the first and the last block of every file. This detects

- a file that was replaced, rewritten, renamed, truncated or extended,
- a folder that gained or lost a file,
- files or events in another order, because the names or the contents of the files then differ.

It does not detect bytes that changed in place between the blocks of files of more than 64 MiB while the size stayed the
same. The location of the files and the time of their writing do not matter.

For simulated events, the identity is their number and a checksum of the voxels of the first one, which detects that the
simulation changed with a version.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sscn_triton.lartpc import Event
from sscn_triton.lartpc.files.base import ChangedEvents, EventFile
from sscn_triton.lartpc.files.folder import FolderEvents

BLOCK = 4096
"""Bytes per block."""
BLOCKS = 16_384
"""Total number of blocks to read, 64 MiB; at least four per file."""


def identify(events: Sequence[Event]) -> dict[str, Any]:
    """The identity of the events of an `EventFile` or of simulated events.

    The result contains plain values, as a checkpoint does: ``{"events": int, "checksum": str, "files": [[name, bytes,
    checksum], ...]}``.
    """
    files = [[name, *_file_state(path, blocks)] for name, path, blocks in _files(events)]
    content = hashlib.sha256(repr((len(events), files)).encode())
    if not files:
        first = events[0]
        for array in (first.coordinates, first.energy, first.labels):
            content.update(array.tobytes())
    return {"events": len(events), "checksum": content.hexdigest()[:32], "files": files}


def simulations(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Seed, size and recipe of each file that `sscn simulate` wrote, as the file says; nothing for other files."""
    while isinstance(events, ChangedEvents):
        events = events.events
    files = events.files if isinstance(events, FolderEvents) else [events]
    found = [json.loads(getattr(file, "attributes", {}).get("configuration", "{}")) for file in files]
    return [one for one in found if "seed" in one]


def difference(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """A description of the difference between two results of `identify`; None if they are equal."""
    if then.get("checksum") == now["checksum"]:
        return None
    if then.get("events") != now["events"]:
        return f"it has {now['events']} events now and had {then.get('events')} before{_files_differ(then, now)}"
    return f"its contents differ{_files_differ(then, now)}"


def _files_differ(then: dict[str, Any], now: dict[str, Any]) -> str:
    """The names of the first few files of a folder that are new, gone or changed."""
    before, after = ({name: rest for name, *rest in state.get("files", [])} for state in (then, now))
    if len(before) < 2 and len(after) < 2:
        return ""
    for word, names in (
        ("new", after.keys() - before.keys()),
        ("gone", before.keys() - after.keys()),
        ("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
    ):
        if names:
            return f" ({word}: {', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''})"
    return ""


def _files(events: Sequence[Event]) -> list[tuple[str, Path, int]]:
    """Name, path and number of blocks of every file. A single file's name is ignored, because it may have moved."""
    while isinstance(events, ChangedEvents):
        events = events.events
    if isinstance(events, FolderEvents):
        paths = [file.path for file in events.files]
        return [(path.name, path, max(4, BLOCKS // len(paths))) for path in paths]
    return [("", events.path, BLOCKS)] if isinstance(events, EventFile) else []


def _file_state(path: Path, blocks: int) -> tuple[int, str]:
    """Size and checksum of a file."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= blocks * BLOCK:
            content.update(file.read())
        else:
            for block in range(blocks):
                file.seek((size - BLOCK) * block // (blocks - 1))
                content.update(file.read(BLOCK))
    return size, content.hexdigest()[:16]

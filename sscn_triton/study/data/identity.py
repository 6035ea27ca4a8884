"""What a training learns from, in a few numbers, so that a training that continues knows its data again.

Of event files: the number of events, and for each file its name within the folder, its size and a checksum of blocks
of it. Files of up to 64 MiB together are read whole; of larger ones a fixed number of evenly spread blocks of 4 KiB is
read, 64 MiB in all, the first and the last block of every file among them. That finds

- a file that was replaced, rewritten, renamed, cut short or appended to,
- a folder that gained or lost a file,
- files or events in another order, as the names or the contents of the files differ then,

and it does not find bytes changed in place, with the size of the file unchanged, between the blocks of files of more
than 64 MiB. Where the files lie and when they were written does not matter.

Of simulated events: their number, and a checksum of the voxels of the first one, so that a simulation that changed with
a version is found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sscn_triton.lartpc import Event
from sscn_triton.lartpc.files.base import ChangedEvents, EventFile
from sscn_triton.lartpc.files.folder import FolderEvents

BLOCK = 4096
"""Bytes that are read at once."""
BLOCKS = 16_384
"""Blocks that are read in all, 64 MiB; four of every file at least."""


def identify(events: Sequence[Event]) -> dict[str, Any]:
    """Number, checksum and, of files, names of the events, which are an `EventFile` or simulated ones.

    The result holds plain values, as a checkpoint does: ``{"events": int, "checksum": str, "files": [[name, bytes,
    checksum], ...]}``.
    """
    files = [[name, *_file_state(path, blocks)] for name, path, blocks in _files(events)]
    content = hashlib.sha256(repr((len(events), files)).encode())
    if not files:
        first = events[0]
        for array in (first.coordinates, first.energy, first.labels):
            content.update(array.tobytes())
    return {"events": len(events), "checksum": content.hexdigest()[:32], "files": files}


def difference(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """In words what differs between two results of `identify`; None if nothing does."""
    if then.get("checksum") == now["checksum"]:
        return None
    if then.get("events") != now["events"]:
        return f"it has {now['events']} events and had {then.get('events')}{_files_differ(then, now)}"
    return f"its contents differ{_files_differ(then, now)}"


def _files_differ(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Which files of a folder are new, gone or changed: the first of them."""
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
    """Name, path and number of blocks of every file. The name of a single file does not count: it may be moved."""
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

"""Processes that run `sscn` on a disk with little space, and report how it ended and which files are left."""

from __future__ import annotations

import ctypes
import io
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

NEW_NAMESPACE, PRIVATE, RECURSIVE = 0x20000, 1 << 18, 1 << 14
FILLER = "filler"
DISK = 2**21  # bytes


class Ended(NamedTuple):
    """A run of `sscn`: exit code (negative for a signal), output, names of the files afterwards."""

    code: int | None
    out: str
    err: str
    left: dict[str, int]


def sscn_on_a_full_disk(context: Any, disk: Path, room: int, *words: object) -> Ended:
    """`sscn WORDS` in the folder `disk` with `room` free bytes: a separate disk if the system can mount one, otherwise
    a limit on the length of files."""
    return begin_sscn(context, disk, *words, room=room)()


def begin_sscn(context: Any, folder: Path, *words: object, room: int | None = None) -> Callable[[], Ended]:
    """Starts `sscn WORDS` in a folder; the returned function waits for its end."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, folder, room, [str(word) for word in words]))
    process.start()
    there.close()

    def end() -> Ended:
        try:
            code, out, err, left = here.recv()
        except EOFError:  # it crashed
            code, out, err, left = None, "", "", {}
        process.join()
        return Ended(code if process.exitcode == 0 else process.exitcode, out, err, left)

    return end


def _run(pipe: Any, disk: Path, room: int | None, words: list[str]) -> None:
    from sscn_triton import cli

    mounted = room is not None and _mount(disk)
    os.chdir(disk)
    if mounted and room is not None:
        _fill(room)
    elif room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    code: Any = None
    try:
        cli.main(words)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    left = {str(path.relative_to(disk)): path.stat().st_size for path in sorted(disk.rglob("*"))}
    left.pop(FILLER, None)
    pipe.send((code, sys.stdout.getvalue(), sys.stderr.getvalue(), left))


def _mount(disk: Path) -> bool:
    """Mount a file system in memory for this process only; returns whether this worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(NEW_NAMESPACE):
        return False
    libc.mount(None, b"/", None, ctypes.c_ulong(PRIVATE | RECURSIVE), None)
    return not libc.mount(b"none", os.fsencode(disk), b"tmpfs", ctypes.c_ulong(0), f"size={DISK}".encode())


def _fill(room: int) -> None:
    system = os.statvfs(".")
    with open(FILLER, "wb") as file:  # noqa: PTH123
        file.write(bytes(system.f_bavail * system.f_frsize - room))

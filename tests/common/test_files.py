"""A file gets its name only when complete, two writers never share a file, and failed writes leave nothing behind."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sscn_triton.common import files
from sscn_triton.common.files import BusyError, Lock, WholeFile, WriteError, check_new, only_writer, write_whole
from sscn_triton.lartpc import create_events, open_events

pytest.importorskip("h5py")
from tests.support import forks
from tests.support.events.files import random_event, same_event

SUFFIXES = [".h5", ".npz", ".csv"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    with WholeFile(path) as file:
        file.write(b"one")
        assert not path.exists()
        file.write(b" two")
    assert path.read_bytes() == b"one two"
    assert names(path.parent) == ["file"]


def test_a_failed_writer_leaves_neither_file_nor_folders(tmp_path: Path) -> None:
    def interrupted() -> None:
        with WholeFile(tmp_path / "new" / "folder" / "file") as file:
            file.write(b"one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_a_deleted_writer_leaves_no_file(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "file")
    assert len(names(tmp_path)) == 2
    del file
    assert names(tmp_path) == []


def test_an_existing_file_is_kept_unless_overwrite_is_set(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileExistsError, match="file already exists and is kept"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    write_whole(path, "new", overwrite=True)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can neither rename without replacing nor link."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files, "_rename_without_replacing", lambda *paths: False)
    monkeypatch.setattr(files.os, "link", refuse)


def only_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_rename_without_replacing", lambda *paths: False)


def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_flock", lambda *arguments: None)


SYSTEMS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "all": lambda monkeypatch: None,
    "no rename without replacing": only_links,
    "no links": no_links,
    "no locks": no_locks,
}


@pytest.fixture(params=SYSTEMS.values(), ids=SYSTEMS)
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can do everything, or that lacks one operation."""
    request.param(monkeypatch)


@pytest.mark.usefixtures("file_system")
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    ours = WholeFile(path)
    ours.file.write(b"ours")
    path.write_text("theirs")
    with pytest.raises(FileExistsError, match="file appeared while it was being written and is kept"):
        ours.commit()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["file"]


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_two_writers_never_share_a_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"events{suffix}"
    one, other = random_event(0), random_event(1)
    with create_events(path) as first:
        with pytest.raises(BusyError, match="another sscn is writing it"):
            create_events(path)
        first.append(one)
        replacing = create_events(path, overwrite=True)
        with replacing:
            replacing.append(other)
        with open_events(path) as events:
            assert same_event(events[0], other, particles=suffix == ".h5")
        path.unlink()
    with open_events(path) as events:
        assert len(events) == 1
        assert same_event(events[0], one, particles=suffix == ".h5")
    assert names(tmp_path) == [path.name]


@pytest.mark.usefixtures("file_system")
def test_one_process_at_a_time_writes_a_folder(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        with pytest.raises(BusyError, match=f"{tmp_path}: another sscn is writing it"), only_writer(tmp_path):
            pass
        with pytest.raises(BusyError), only_writer(tmp_path):
            pass
    with only_writer(tmp_path):
        pass
    assert names(tmp_path) == []


PROGRAM = """
import os, signal, sys
from pathlib import Path
from sscn_triton.common import files
if sys.argv[2] == "without locks":
    files._flock = lambda *arguments: None
file = files.WholeFile(Path(sys.argv[1]))
file.file.write(b"half of it")
file.file.flush()
if sys.argv[3] == "fork":  # a child that lives on has no part in the locks, once it runs
    runs, tells = os.pipe()
    if os.fork() == 0:
        os.close(1)
        os.write(tells, b"x")
        signal.pause()
        os._exit(0)
    os.read(runs, 1)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("locks", ["with locks", "without locks"])
@pytest.mark.parametrize("child", ["fork", "alone"])
def test_the_next_writer_removes_the_files_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str, child: str
) -> None:
    if locks == "without locks":
        no_locks(monkeypatch)
    path = tmp_path / "file"
    program = [sys.executable, "-c", PROGRAM, str(path), locks, child]
    writer = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(BusyError, match="another sscn is writing it"):
            WholeFile(path)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        assert len(names(tmp_path)) == 2
        write_whole(path, "whole")
    finally:
        os.killpg(writer.pid, signal.SIGKILL) if child == "fork" else writer.kill()
        writer.communicate()
    assert path.read_text() == "whole"
    left = [name for name in names(tmp_path) if name != "file"]
    assert len(left) == (locks == "without locks")  # it could belong to a writer on another machine


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_new_removes_files_of_a_writer_killed_at_its_end(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "file"
    for name in ("file", ".file.lock", ".file.0123abcd.part"):
        (tmp_path / name).write_text("whole")
    with contextlib.nullcontext() if overwrite else pytest.raises(ValueError, match="already exists"):
        check_new("out", path, overwrite)
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(files.fcntl is None, reason="there are no locks to tell whether a writer is alive")
def test_a_part_removed_by_another_process_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = files._flock, []

    def flock(descriptor: int, wait: bool = False) -> bool | None:
        for part in tmp_path.glob(".*.part"):
            if not removed:
                removed.append(part.name)
                part.unlink()
        return lock(descriptor, wait)

    monkeypatch.setattr(files, "_flock", flock)
    files.write_whole(tmp_path / "a.txt", "whole")
    assert removed
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_the_unfinished_file_of_a_living_writer_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = WholeFile(path, overwrite=True)
    first.file.write(b"first")
    write_whole(path, "second", overwrite=True)
    first.commit()
    assert path.read_text() == "first"
    assert names(tmp_path) == ["file"]


def add_a_letter(path: Path, log: Path) -> None:
    with Lock(path, "it", wait=True):
        log.write_text(log.read_text() + "x")


def test_waiting_processes_get_a_lock_in_turn(tmp_path: Path) -> None:
    path, log = tmp_path / "lock", tmp_path / "log"
    log.write_text("")
    others = [forks.context().Process(target=add_a_letter, args=(path, log)) for _ in range(3)]
    with Lock(path, "it"):
        for other in others:
            other.start()
        log.write_text("x")
    for other in others:
        other.join()
        assert other.exitcode == 0
    assert log.read_text() == "xxxx"


class Full:
    """A file on a disk that becomes full after a given byte."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("room", [0, 100, 3000, 40_000])
def test_a_full_disk_is_one_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, room: int
) -> None:
    create = files._create

    def on_a_small_disk(path: Path) -> object:
        unfinished, file, alive = create(path)
        return unfinished, Full(file, room), alive

    monkeypatch.setattr(files, "_create", on_a_small_disk)
    path = tmp_path / f"events{suffix}"
    with pytest.raises(WriteError, match=rf"events{suffix}: cannot be written: No space left on device") as error:
        fill(path)
    assert error.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def fill(path: Path) -> None:
    with create_events(path) as writer:
        for seed in range(60):
            writer.append(random_event(seed))


def test_an_error_about_an_unwritable_place_names_the_requested_file(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)  # fits, but not with the extra letters of the files beside it
    for overwrite in (False, True):
        with pytest.raises(OSError, match="File name too long") as refused:
            write_whole(path, "x", overwrite=overwrite)
        assert refused.value.filename == str(path)
    assert not list(tmp_path.iterdir())

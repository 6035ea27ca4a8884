"""A child process reads HDF5 files of the old format; its end, whatever the cause, does not end the program."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import EventFileError, create_events, open_events
from sscn_triton.lartpc.files import hdf5, hdf5_calls

h5py = pytest.importorskip("h5py")
from tests.support.events.files import public_rows, random_event, same_event, write_pilarnet  # noqa: E402


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """A separate child process for this test."""
    yield
    for child in hdf5._the_child:
        child.stop()


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return write_pilarnet(tmp_path / "public.h5", [public_rows(3)] * 2)


def child() -> int:
    """The process id of the reader."""
    process = hdf5._child()._process
    assert process is not None
    return process.process.pid


def test_old_hdf5_files_are_read_in_a_child_process_and_ours_in_this_one(public: Path, tmp_path: Path) -> None:
    with create_events(tmp_path / "ours.h5") as writer:
        writer.append(random_event(0))
    assert isinstance(open_events(writer.path).handle, hdf5.Calls)
    assert not isinstance(open_events(public).handle, hdf5.Calls)


def test_the_process_that_reads_imports_nothing_of_the_library() -> None:
    """This makes it start quickly."""
    command = [sys.executable, "-X", "importtime", "-c", hdf5._PROGRAM, str(Path(hdf5.__file__).parent)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "hdf5_reading.heap" in done.stderr
    assert not {"sscn_triton", "torch", "numpy"} & {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines()
    }


def test_one_process_reads_all_files(public: Path, tmp_path: Path) -> None:
    other = write_pilarnet(tmp_path / "other.h5", [public_rows(2)])
    first, second = open_events(public), open_events(other)
    number = child()
    assert (len(first[1]), len(second[0]), len(first[0])) == (7, 7, 7)
    assert child() == number


def test_a_crash_is_an_error_and_later_reads_work(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = open_events(public)
    before = events[0]
    os.kill(child(), signal.SIGSEGV)
    with pytest.raises(EventFileError, match=r"public\.h5: event 1: point: cannot be read \(OSError: .* crashed on it"):
        events[1]
    assert same_event(events[0], before)
    monkeypatch.setattr(hdf5, "_PROGRAM", "import os; os.abort()")
    os.kill(child(), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(EventFileError, match="crashed on it"):
            events[0]
    with pytest.raises(
        EventFileError, match=r"public\.h5: not an HDF5 file, or a truncated one \(OSError: the HDF5 lib"
    ):
        open_events(public)


def test_a_read_that_hangs_ends_with_an_error(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "PATIENCE", 0.2)
    monkeypatch.setattr(hdf5, "_PROGRAM", "import time; time.sleep(600)")
    with pytest.raises(EventFileError, match=r"did not answer within 0\.2 s"):
        open_events(public)


def test_a_file_that_replaces_another_is_read_again(public: Path) -> None:
    events = open_events(public)
    assert len(events[0]) == 7
    points, clusters, extra = public_rows(3)
    replacement = write_pilarnet(public.with_name("new.h5"), [(points[:2], clusters[:1], extra[:1])] * 2)
    replacement.replace(public)
    assert len(events[0]) == 2


def _read_in_a_fork(events: object, answers: multiprocessing.Queue) -> None:
    answers.put((len(events[1]), child()))  # type: ignore[index]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_has_its_own_reader(public: Path) -> None:
    events, context = open_events(public), multiprocessing.get_context("fork")
    answers = context.Queue()
    worker = context.Process(target=_read_in_a_fork, args=(events, answers))
    worker.start()
    length, number = answers.get()
    worker.join()
    assert length == len(events[1]) == 7
    assert number != child()


def test_a_missing_library_is_not_reported_as_a_damaged_file(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the package h5py, .*: pip install 'sscn\[study\]'"):
        open_events(public)


def test_errors_of_the_hdf5_library_are_reported(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(EventFileError, match=r"empty\.h5: no dataset point; the file contains nothing; expected"):
        open_events(tmp_path / "empty.h5")
    (tmp_path / "text.h5").write_text("nothing\n" * 100)
    with pytest.raises(EventFileError, match=r"text\.h5: not an HDF5 file, or a truncated one \(OSError: Unable to"):
        open_events(tmp_path / "text.h5")
    with h5py.File(tmp_path / "numbers.h5", "w") as file:
        for name in ("point", "cluster"):
            file[name] = np.zeros((2, 8), np.float32)
    with pytest.raises(EventFileError, match=r"numbers\.h5: point is float32 \[2, 8\]; expected one row of numbers"):
        open_events(tmp_path / "numbers.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["images/first"], file["labels"] = np.zeros((3, 4)), np.zeros(3, np.int8)
    with pytest.raises(
        EventFileError, match=r"no dataset point; the file contains images \(a group\), labels \(int8 \[3\]\)"
    ):
        open_events(tmp_path / "foreign.h5")


WRITER = (
    "import h5py, sys; file = h5py.File(sys.argv[1], 'r+', libver=('v110', 'v110')); print('open', flush=True); "
    "sys.stdin.read()"
)


@pytest.mark.parametrize("which", ["ours", "public"])
def test_a_file_that_another_program_writes_is_not_called_damaged(public: Path, which: str) -> None:
    if which == "ours":
        with create_events(public.with_name("ours.h5")) as writer:
            writer.append(random_event(0))
    path = public.with_name(f"{which}.h5")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(
            EventFileError, match=rf"{which}\.h5: another program has it open for writing; .*errno = 11"
        ) as caught:
            open_events(path)
        assert isinstance(caught.value.__cause__, BlockingIOError)
        other.kill()
    if which == "ours":  # the format of superblock 3 records its writer
        with pytest.raises(EventFileError, match=r"ours\.h5: .* or was killed while writing; .*h5clear -s"):
            open_events(path)
    else:
        assert len(open_events(path)) == 2


ERRORS = [
    *(kind("words", 5) for kind in (ValueError, RuntimeError, KeyError, IndexError, TypeError, MemoryError, EOFError)),
    OSError("words alone"),
    OSError(errno.EIO, "Input/output error", "a.h5"),
    *(
        OSError(number, os.strerror(number), "a.h5")
        for number in (errno.EACCES, errno.ENOENT, errno.EAGAIN, errno.EISDIR)
    ),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    struct.error("unpack requires a buffer"),
    zlib.error("incorrect data check"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_survives_the_transfer_between_processes(error: Exception) -> None:
    found = hdf5_calls.unpacked(hdf5_calls.packed(error))
    assert (type(found), found.args, str(found)) == (type(error), error.args, str(error))
    if isinstance(error, OSError):
        assert isinstance(found, OSError)
        assert (found.errno, found.strerror, found.filename) == (error.errno, error.strerror, error.filename)


class Awkward(Exception):
    """An exception that cannot be constructed from its arguments."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def test_an_unpicklable_exception_leaves_its_text() -> None:
    found = hdf5_calls.unpacked(hdf5_calls.packed(Awkward(1, 2)))
    assert isinstance(found, OSError)
    assert str(found) == "Awkward: 1 and 2"


def test_the_reading_process_hands_over_number_text_and_name(public: Path) -> None:
    events = open_events(public)
    public.unlink()
    with pytest.raises(
        EventFileError, match=r"event 0: point: cannot be read \(FileNotFoundError: .*public\.h5"
    ) as caught:
        events[0]
    cause = caught.value.__cause__
    assert isinstance(cause, FileNotFoundError)
    assert (cause.errno, cause.strerror, cause.filename) == (errno.ENOENT, os.strerror(errno.ENOENT), str(public))

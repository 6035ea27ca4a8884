"""A command ends without a message when nobody reads its output any more, as in `sscn inspect events.h5 | head -1`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sscn_triton.lartpc import create_events

pytest.importorskip("jsonargparse")
from tests.support.events.files import random_event

BUFFERS = {"by blocks": "", "by lines": "1"}


def run(folder: Path, words: list[str], stdout: int, unbuffered: str = "") -> tuple[int, str]:
    """Exit code and stderr of `sscn WORDS`, whose output goes to `stdout`."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "sscn_triton", *words]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)
    return done.returncode, without_progress(done.stderr)


def without_progress(text: str) -> str:
    return re.sub(r"(\r?reading events: +\d+ %)+\n", "", text)


@pytest.fixture
def gone() -> Iterator[int]:
    """The writing end of a pipe whose other end is closed."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    with create_events(tmp_path / "events.npz") as writer:
        writer.append(random_event(0))
    return tmp_path


@pytest.mark.parametrize("unbuffered", BUFFERS.values(), ids=BUFFERS)
@pytest.mark.parametrize(
    "words",
    [["inspect", "events.npz"], ["--help"], pytest.param(["inspect", "--help"], marks=pytest.mark.deep)],
    ids=str,
)
def test_a_command_whose_reader_has_ended_prints_nothing(
    events: Path, gone: int, words: list[str], unbuffered: str
) -> None:
    helped = unbuffered and words != ["inspect", "events.npz"]  # argparse ignores write errors
    assert run(events, words, gone, unbuffered) == (0 if helped else 1, "")


def test_a_reader_may_close_the_pipe_after_the_first_line(events: Path) -> None:
    command = f"{sys.executable} -m sscn_triton inspect events.npz | head -1"
    done = subprocess.run(command, shell=True, cwd=events, capture_output=True, text=True)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.deep)], ids=BUFFERS)
def test_bad_input_is_still_reported(events: Path, gone: int, unbuffered: str) -> None:
    assert run(events, ["inspect", "absent.npz"], gone, unbuffered) == (2, "sscn inspect: absent.npz: no such file\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", BUFFERS.values(), ids=BUFFERS)
def test_output_that_cannot_be_written_gives_one_line(events: Path, unbuffered: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, reported = run(events, ["inspect", "events.npz"], full, unbuffered)
    finally:
        os.close(full)
    assert (code, reported.count("\n")) == (1, 1)
    assert "No space left on device" in reported

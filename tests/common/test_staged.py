"""A staged file reads like any file; if its process dies, the disk contains it as of the last commit."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sscn_triton.common import staged
from sscn_triton.common.staged import StagedFile

ROOM = 20
PLACES = st.integers(0, 40)
STEPS = st.one_of(
    st.tuples(st.just("write"), PLACES, st.binary(min_size=1, max_size=25)),
    st.tuples(st.just("read"), PLACES, st.integers(0, 30)),
    st.tuples(st.just("truncate"), PLACES),
    st.tuples(st.just("commit")),
    st.tuples(st.just("die")),
)


class Died(Exception):
    """Stands for the death of the process."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "_PAGE", 8)
    monkeypatch.setattr(staged, "_BLOCK", 16)


@given(st.lists(STEPS, max_size=30))
def test_a_staged_file_is_a_file_and_falls_back_to_its_last_commit(steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, journal = Path(folder) / "file", Path(folder) / "journal"
        with path.open("x+b") as below:
            ours, theirs, committed = StagedFile(below, journal), io.BytesIO(), b""
            for step in steps:
                if step[0] == "write":
                    for file in (ours, theirs):
                        file.seek(step[1])
                        file.write(step[2])
                elif step[0] == "read":
                    for file in (ours, theirs):
                        file.seek(step[1])
                    assert ours.read(step[2]) == theirs.read(step[2])
                elif step[0] == "truncate":
                    ours.truncate(step[1])
                    theirs.truncate(step[1])
                    if len(theirs.getvalue()) < step[1]:  # BytesIO does not grow
                        theirs.seek(step[1] - 1)
                        theirs.write(b"\0")
                elif step[0] == "commit":
                    ours.commit()
                    committed = theirs.getvalue()
                    assert path.read_bytes() == committed
                else:
                    ours, theirs = StagedFile(below, journal), io.BytesIO(committed)
                ours.seek(0)
                assert ours.read() == theirs.getvalue()


class Dying(io.FileIO):
    """A file whose process dies at a write, when `left` has counted down to it; only a part of this write reaches the
    disk."""

    left = 10**9

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.left -= 1
        if self.left == 0:
            super().write(bytes(data)[: len(data) // 2])
            raise Died
        return super().write(data)


CONTENTS = st.lists(st.tuples(PLACES, st.binary(min_size=1, max_size=25)), min_size=1, max_size=6)


@given(CONTENTS, CONTENTS, st.integers(1, 12), st.booleans())
def test_a_commit_is_complete_or_has_no_effect(one: list, other: list, count: int, before_journal: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, journal = Path(folder) / "file", Path(folder) / "journal"
        below = Dying(path, "x+")
        ours = StagedFile(below, journal)  # type: ignore[arg-type]
        states = []
        for writes in (one, other):
            for place, data in writes:
                ours.seek(place)
                ours.write(data)
            ours.seek(0)
            states.append(ours.read())
            if len(states) == 1:
                ours.commit()
        below.left = count
        try:
            ours.commit()
            expected = states[1:]
        except Died:
            expected = states
        below.left = 10**9
        again = StagedFile(below, journal)  # type: ignore[arg-type]
        found = again.read()
        assert found in expected
        assert path.read_bytes() == found
        again.commit()
        assert path.read_bytes() == found
        below.close()


class Small(io.FileIO):
    """A file on a disk with room for ROOM bytes, which takes what fits and refuses the rest."""

    def write(self, data: Any) -> int:
        fits = memoryview(data).cast("B")[: max(0, ROOM - self.tell())]
        if not fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fits)


@pytest.mark.parametrize("first", [5, 40])
def test_a_full_disk_leaves_the_last_commit_and_a_file_that_can_be_closed(tmp_path: Path, first: int) -> None:
    path = tmp_path / "file"
    with io.BufferedRandom(Small(path, "x+")) as below:
        ours = StagedFile(below)
        if first <= ROOM:
            ours.write(b"a" * first)
            ours.commit()
        ours.write(b"b" * 40)
        with pytest.raises(OSError, match="No space left"):
            ours.commit()
        ours.rollback()
        assert path.read_bytes() == (b"a" * first if first <= ROOM else b"")
    assert path.read_bytes() == (b"a" * first if first <= ROOM else b"")  # nor does closing write the rest


def test_content_that_the_file_takes_in_parts_is_written_whole(tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data).cast("B")[:3])

    with io.BufferedRandom(Slow(tmp_path / "file", "x+")) as below:
        ours = StagedFile(below, tmp_path / "journal")
        ours.write(bytes(range(40)))
        ours.commit()
        ours.seek(4)
        ours.write(b"changed in the middle")
        ours.commit()
    assert (tmp_path / "file").read_bytes() == bytes(range(4)) + b"changed in the middle" + bytes(range(25, 40))

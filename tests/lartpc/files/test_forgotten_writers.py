"""A writer that is dropped without its `with` block prints nothing and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sscn_triton.lartpc import EventWriter

pytest.importorskip("h5py")

SUFFIXES = {"NpzWriter": ".npz", "CsvWriter": ".csv", "PilarnetWriter": ".h5"}
ENDS = {
    "deleted": "del writer",
    "in a cycle": "writer.itself = writer; del writer",
    "left to the end": "",
    "left to an exit": "sys.exit()",
}
CODE = """
import sys
from tests.support.event_files import random_event
from sscn_triton.lartpc import create_events

writer = create_events(sys.argv[1])
assert type(writer).__name__ == sys.argv[2]
writer.append(random_event(0))
"""


def test_every_writer_has_a_case() -> None:
    assert {one.__name__ for one in EventWriter.__subclasses__()} == {*SUFFIXES}


@pytest.mark.parametrize("writer", SUFFIXES)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_forgotten_writer_leaves_nothing(tmp_path: Path, writer: str, end: str) -> None:
    path = tmp_path / f"events{SUFFIXES[writer]}"
    command = [sys.executable, "-c", CODE + end, str(path), writer]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not [*tmp_path.iterdir()]

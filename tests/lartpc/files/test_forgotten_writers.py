"""A writer that is dropped without its `with` block prints nothing and leaves nothing behind."""

from __future__ import annotations

import json
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
CASES = [(writer, end) for writer in SUFFIXES for end in ENDS]
CODE = """
import json, os, sys
from tests.support.events.files import random_event
from sscn_triton.lartpc import create_events

codes = []
for path, name, end, output in json.load(sys.stdin):
    child = os.fork()
    if child:
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    for stream, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(output + suffix, os.O_WRONLY | os.O_CREAT), stream)
    writer = create_events(path)
    assert type(writer).__name__ == name
    writer.append(random_event(0))
    exec(end)
    break  # the interpreter of the child ends as any other does
else:
    print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str, str, list[Path]]]:
    """Exit code, output and the files left by a process of each case; one interpreter imports for all of them."""
    folder = tmp_path_factory.mktemp("writers")
    questions = []
    for number, (writer, end) in enumerate(CASES):
        (folder / f"{number}").mkdir()
        path = folder / f"{number}" / f"events{SUFFIXES[writer]}"
        questions.append([str(path), writer, ENDS[end], str(folder / f"{number}")])
    done = subprocess.run(
        [sys.executable, "-c", CODE], input=json.dumps(questions), cwd=Path(__file__).parents[3], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    found = {}
    for number, (case, code) in enumerate(zip(CASES, json.loads(done.stdout), strict=True)):
        texts = [(folder / f"{number}{suffix}").read_text() for suffix in (".out", ".err")]
        found[case] = (code, *texts, [*(folder / f"{number}").iterdir()])
    return found


def test_every_writer_has_a_case() -> None:
    assert {one.__name__ for one in EventWriter.__subclasses__()} == {*SUFFIXES}


@pytest.mark.parametrize("writer", SUFFIXES)
@pytest.mark.parametrize("end", ENDS)
def test_a_forgotten_writer_leaves_nothing(ended: dict[tuple[str, str], object], writer: str, end: str) -> None:
    assert ended[writer, end] == (0, "", "", [])

"""The counts of tiles that chapter 17 reads are those that the program makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
RECORD = Path(__file__).parents[3] / "tutorial" / "tiles.json"


@pytest.mark.deep
def test_the_program_counts_the_tiles_of_the_record():
    """The numbers may differ, since the record has a date; tiles and names may not."""
    command = [sys.executable, "-m", "tests.ops.triton.count_tiles"]
    compiled = {**os.environ, "TRITON_INTERPRET": "0"}
    made = json.loads(subprocess.run(command, env=compiled, capture_output=True, text=True, check=True).stdout)
    kept = json.loads(RECORD.read_text(encoding="utf-8"))
    assert made.keys() == kept.keys()
    for kind in ("tiles", "norms"):
        shapes = [[(one["layer"], one["rows"], one["warps"]) for one in record[kind]] for record in (made, kept)]
        assert shapes[0] == shapes[1]
        assert [one.keys() for one in made[kind]] == [one.keys() for one in kept[kind]]

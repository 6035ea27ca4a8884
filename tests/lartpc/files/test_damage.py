"""A damaged event file gives an error that names it, or the original events: no crash, no hang, no other data.

Undetectable damage: flipped bits in files without checksums. These are public PILArNet-M files (HDF5 and Parquet), CSV
files of other programs, the parts of larcv2 files that ROOT stored uncompressed (short lists of particle numbers that
do not shrink), and the structure of larcv3 files (one case in a thousand, none of those tried by default).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

for needed in ("h5py", "pyarrow", "uproot"):
    pytest.importorskip(needed)

from tests.support.events.formats import FORMATS, name_of  # noqa: E402

WITHOUT_CHECKSUMS = ("public.h5", "PILArNet-M.parquet", "plain.csv")
FILES = tuple(dict.fromkeys((*map(name_of, FORMATS), *WITHOUT_CHECKSUMS)))
CASES = 30  # per file

Cases = list[dict[str, str]]


def run(folder: Path, seed: int, cases: int, files: tuple[str, ...] = ()) -> Cases:
    """Outcomes of all cases, from a process that may crash: it exits if a case takes too long."""
    program = [
        sys.executable,
        "-m",
        "tests.support.mutations",
        str(folder),
        str(seed),
        str(cases),
        *files,
    ]
    done = subprocess.run(program, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} at {lines[-1:]}\n{done.stderr[-3000:]}"
    return [line for line in lines if "outcome" in line]


def check(cases: Cases, many: bool = False) -> None:
    for case in cases:
        allowed = {"error", "equal"}
        if case["file"] == "larcv2.root":
            allowed.add("other particles")
        if case["file"] in WITHOUT_CHECKSUMS:
            allowed |= {"other", "other particles"}
        if case["file"] == "larcv3.h5" and many:
            allowed.add("other")
        if case["file"] not in FILES:  # wrong content, not damaged bytes
            allowed = {"error"}
        assert case["outcome"] in allowed, case


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run(tmp_path_factory.mktemp("damage"), 1, CASES)


def test_no_mutation_crashes_hangs_or_gives_other_data(cases: Cases) -> None:
    check(cases)


def test_the_command_refuses_damage_with_one_line_that_names_the_file(cases: Cases) -> None:
    told = [case for case in cases if "line" in case]
    for case in told:
        assert case["line"] == ("refused" if case["outcome"] == "error" else "fine"), case
    assert {case["file"] for case in told} > set(FILES)


def test_there_are_enough_mutations_of_every_kind(cases: Cases) -> None:
    damaged = Counter((case["file"], case["damage"].split()[0]) for case in cases if case["file"] in FILES)
    for file in FILES:
        assert sum(damaged[file, kind] for kind in ("cut", "bits", "lost", "blank")) == CASES
        assert all(damaged[file, kind] for kind in ("cut", "bits", "lost", "blank"))
    assert len(cases) - sum(damaged.values()) >= 45
    assert len(cases) >= 200


def test_most_damage_is_detected(cases: Cases) -> None:
    """Without this, the cases would prove little."""
    found = Counter(case["file"] for case in cases if case["outcome"] == "error")
    assert all(found[file] > CASES / 3 for file in FILES), found


@pytest.mark.deep
@pytest.mark.parametrize("seed", [2, 3])
def test_many_more_mutations(tmp_path: Path, seed: int) -> None:
    check(run(tmp_path, seed, 1000), many=True)

"""Executing a chapter also measures it, for the page for teachers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "tutorial"
sys.path.append(str(ROOT / "book"))
from sscn_book import running  # noqa: E402


@pytest.fixture(scope="module")
def execute() -> Iterator[Any]:
    sys.path.insert(0, str(TUTORIAL))
    import execute

    yield execute
    sys.path.remove(str(TUTORIAL))


def test_the_time_of_every_chapter_is_that_of_its_present_code(execute):
    times = json.loads((TUTORIAL / "times.json").read_text(encoding="utf-8"))
    codes = {path.stem: execute.digest(nbformat.read(path, as_version=4)) for path in TUTORIAL.glob("*.ipynb")}
    later = "run tutorial/execute.py on the chapters that differ"
    assert {name: one["code"] for name, one in times.items()} == codes, later


def test_the_page_for_teachers_lists_the_time_of_every_chapter(execute):
    times = json.loads((TUTORIAL / "times.json").read_text(encoding="utf-8"))
    rows = [line for line in running.text(TUTORIAL).splitlines() if line.startswith("| ")][2:]
    assert [row.split("|")[2].strip() for row in rows[:-1]] == [f"{times[n]['cpu_seconds']:.0f}" for n in sorted(times)]
    assert rows[0].startswith("| 1. Particle images |")
    assert rows[-1] == f"| all chapters | {sum(one['cpu_seconds'] for one in times.values()):.0f} |"


def test_the_digest_of_a_chapter_changes_with_its_code_alone(execute):
    new = nbformat.v4
    chapter = new.new_notebook(cells=[new.new_markdown_cell("# A title"), new.new_code_cell("1 + 1")])
    before = execute.digest(chapter)
    chapter.cells[0].source = "# Another title"
    assert execute.digest(chapter) == before
    chapter.cells[1].source = "1 + 2"
    assert execute.digest(chapter) != before


def test_an_executed_chapter_has_its_outputs_and_its_time(execute, tmp_path, monkeypatch):
    for name in execute.ONE_THREAD:
        monkeypatch.setenv(name, "1")
    new = nbformat.v4
    work = "import time\nwhile time.process_time() < 0.5:\n    pass\nprint('done')"
    notebook = new.new_notebook(cells=[new.new_code_cell(work)])
    path, times = tmp_path / "18_last.ipynb", tmp_path / "times.json"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    times.write_text(json.dumps({"01_first": {"cpu_seconds": 2}}), encoding="utf-8")
    execute.execute(path, times)
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].text == "done\n"
    kept = json.loads(times.read_text(encoding="utf-8"))
    assert list(kept) == ["01_first", "18_last"]
    assert kept["18_last"]["cpu_seconds"] >= 0.5

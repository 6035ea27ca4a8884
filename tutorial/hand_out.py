"""Make the students' notebooks: `python tutorial/hand_out.py` writes student/*.ipynb.

A student's notebook is the chapter without its solutions. It keeps the text outputs, so
that `pytest --nbval tutorial/student` can compare them whether the exercises are solved
or not. It has no pictures; the student's own run draws them.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import nbformat

from sscn_triton.common.files import write_whole

HERE = Path(__file__).parent
TWINS = HERE / "student"

SOLUTION = re.compile(r"### BEGIN SOLUTION\n.*### END SOLUTION", re.DOTALL)
VERDICT = re.compile(r"\[ok\] (\w+)[^\n]*\n(\[ok\] \1,[^\n]*\n|     score:[^\n]*\n)*")
TODO = r"[todo] \1 is not written yet\n"
START = """\
# The helpers and the events are one folder up, and your other answers in this one.
import os
from pathlib import Path

os.environ["SSCN_ANSWERS"] = "student"
if not Path("chalk.py").exists():
    os.chdir("..")"""


def twin(notebook: Any) -> Any:
    """Return the notebook as students get it."""
    student = copy.deepcopy(notebook)
    first = nbformat.v4.new_code_cell(START, id="where-things-are")
    place = next(i for i, cell in enumerate(student.cells) if cell.cell_type == "code")
    student.cells.insert(place, first)
    for cell in student.cells:  # the book is two folders up from the students'
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../book/", "](../../book/")
    code = [cell for cell in student.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
        cell.source = SOLUTION.sub("raise NotImplementedError", cell.source)
        tags = cell.metadata.pop("tags", [])
        if "uses-solution" in tags:
            cell.metadata["tags"] = ["nbval-skip"]
            cell.outputs = []
        for output in cell.outputs:
            if "text" in output:
                output.text = VERDICT.sub(TODO, output.text)
            output.get("data", {}).pop("image/png", None)
            if "execution_count" in output:
                output.execution_count = count
    return student


def text(path: Path) -> str:
    """Return the text of a chapter's student notebook."""
    return nbformat.writes(twin(nbformat.read(path, as_version=4))) + "\n"


def write_twins() -> None:
    """Write the student notebooks of all chapters; delete those of removed chapters."""
    chapters = sorted(HERE.glob("*.ipynb"))
    for path in chapters:
        write_whole(TWINS / path.name, text(path), overwrite=True)
    for path in {*TWINS.glob("*.ipynb")} - {
        TWINS / chapter.name for chapter in chapters
    }:
        path.unlink()


if __name__ == "__main__":
    write_twins()

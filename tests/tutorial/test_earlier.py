"""A chapter uses what its reader wrote in earlier ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

TUTORIAL = Path(__file__).parents[2] / "tutorial"


@pytest.fixture(scope="module")
def earlier() -> Iterator[Any]:
    sys.path.insert(0, str(TUTORIAL))
    import earlier

    yield earlier
    sys.path.remove(str(TUTORIAL))


def test_in_the_book_an_earlier_answer_is_the_solution(earlier, monkeypatch):
    monkeypatch.delenv("SSCN_ANSWERS", raising=False)
    sites, sums = earlier.own("04_coordinates", "merged")([(0, 1), (0, 1)], np.array([[1.0], [2.0]]))
    assert (sites.tolist(), sums.tolist()) == ([[0, 1]], [[3.0]])


def test_in_a_students_notebook_it_is_the_students(earlier, monkeypatch, tmp_path):
    cells = ["def mine(x):\n    return np.sqrt(x)", "def later(x):\n    raise NotImplementedError"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "03.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")
    monkeypatch.setattr(earlier, "HERE", tmp_path)
    import hand_out

    start = hand_out.START.splitlines()
    monkeypatch.setenv("SSCN_ANSWERS", "")
    exec(next(line for line in start if "SSCN_ANSWERS" in line), {"os": os})
    assert earlier.own("03", "mine")(9.0) == 3
    with pytest.raises(NotImplementedError, match=r"write later in 03\.ipynb, and save it"):
        earlier.own("03", "later")
    with pytest.raises(ValueError, match=r"no cell of 03\.ipynb defines other"):
        earlier.own("03", "other")


def test_an_answer_takes_the_functions_and_imports_that_it_uses(earlier, monkeypatch, tmp_path):
    """Those of other cells, as in the notebook; a cell that Python cannot read, or that fails, does not matter."""
    sources = [
        "%matplotlib inline\nx = 1", "from math import isqrt\nimport no_such_module", "raise ValueError",
        "def mine(x):\n    raise NotImplementedError", "def root(x):\n    return isqrt(x)",
        "def mine(x):\n    return half(root(x))", "def half(x):\n    return x / 2",
    ]  # fmt: skip
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "03.ipynb")
    monkeypatch.setattr(earlier, "HERE", tmp_path)
    monkeypatch.delenv("SSCN_ANSWERS", raising=False)
    assert earlier.own("03", "mine")(16) == 2

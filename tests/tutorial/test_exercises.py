"""The exercises of the notebooks accept their solutions and reject known wrong answers."""

from __future__ import annotations

import importlib
import itertools
import linecache
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest

import sscn_ref

TUTORIAL = Path(__file__).parents[2] / "tutorial"
ELSEWHERE = {("03_dilation", "reached")}  # in test_tutorial
NUMBERS = itertools.count()

Answer = Callable[..., Any]


class Exercise(NamedTuple):
    """An exercise of a notebook: the name of its function and, by name, wrong answers (right words, wrong words)."""

    notebook: str
    function: str
    wrong: dict[str, tuple[str, str]]


def exercises() -> Iterator[Exercise]:
    for path in sorted(TUTORIAL.glob("*.ipynb")):
        name = path.stem.partition("_")[2]
        if (Path(__file__).parent / "wrong_answers" / f"{name}.py").exists():
            for function, wrong in importlib.import_module(f"tests.tutorial.wrong_answers.{name}").WRONG.items():
                yield Exercise(path.stem, function, wrong)


EXERCISES = list(exercises())


@pytest.fixture(scope="module", autouse=True)
def the_notebooks_folder() -> Iterator[None]:
    sys.path.insert(0, str(TUTORIAL))
    yield
    sys.path.remove(str(TUTORIAL))


def solutions(notebook: Path) -> Iterator[str]:
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "### BEGIN SOLUTION" in cell.source:
            yield cell.source


def source(exercise: Exercise) -> str:
    """The solution as it appears in the notebook."""
    start = f"def {exercise.function}("
    return next(text for text in solutions(TUTORIAL / f"{exercise.notebook}.ipynb") if start in text)


def written(exercise: Exercise, text: str) -> Answer:
    """The function that a student would have after running a cell with this text."""
    scope: dict[str, Any] = {"np": np} | {name: getattr(sscn_ref, name) for name in sscn_ref.__all__}
    if "@triton.jit" in text:
        triton = pytest.importorskip("triton")
        scope |= {"triton": triton, "tl": triton.language}
    place = f"<{exercise.function} {next(NUMBERS)}>"
    linecache.cache[place] = len(text), None, text.splitlines(keepends=True), place  # Triton looks for the source here
    exec(compile(text, place, "exec"), scope)
    return scope[exercise.function]


def check(exercise: Exercise, answer: Answer) -> None:
    module = importlib.import_module(f"exercises.{exercise.notebook.partition('_')[2]}")
    getattr(module, f"check_{exercise.function}")(answer)


NAMES = [f"{exercise.notebook}-{exercise.function}" for exercise in EXERCISES]
ONE_BY_ONE = pytest.mark.parametrize("exercise", EXERCISES, ids=NAMES)


def test_every_exercise_of_every_notebook_has_its_wrong_answers():
    known = {(exercise.notebook, exercise.function) for exercise in EXERCISES}
    there = {
        (path.stem, re.search(r"def (\w+)\(", text)[1]) for path in TUTORIAL.glob("*.ipynb") for text in solutions(path)
    }
    assert there == known | ELSEWHERE


@ONE_BY_ONE
def test_the_solution_is_accepted(exercise, capsys):
    check(exercise, written(exercise, source(exercise)))
    shown = capsys.readouterr().out
    assert shown.startswith("[ok] ")
    assert "[wrong]" not in shown


@ONE_BY_ONE
def test_an_answer_that_is_not_written_yet_is_reported(exercise, capsys):
    text = re.sub(r"### BEGIN SOLUTION.*### END SOLUTION", "raise NotImplementedError", source(exercise), flags=re.S)
    check(exercise, written(exercise, text))
    assert capsys.readouterr().out == f"[todo] {exercise.function} is not written yet\n"


@pytest.mark.parametrize(
    ("exercise", "name"),
    [(exercise, name) for exercise in EXERCISES for name in exercise.wrong],
    ids=[f"{exercise.function}-{name}" for exercise in EXERCISES for name in exercise.wrong],
)
def test_a_known_wrong_answer_is_rejected(exercise, name, capsys):
    right, wrong = exercise.wrong[name]
    text = source(exercise)
    assert text.count(right) == 1, "the wrong answer no longer fits the solution"
    check(exercise, written(exercise, text.replace(right, wrong)))
    assert "[wrong] " in capsys.readouterr().out


def test_a_failing_case_is_printed_on_one_readable_line(capsys):
    from checker import check as check_all
    from checker import explain_array

    case = {"rows": np.arange(6).reshape(3, 2), "function": explain_array, "large": np.zeros(100)}
    check_all(lambda rows, function, large: rows, lambda rows, function, large: rows + 1, [case], explain_array)
    first = capsys.readouterr().out.splitlines()[0]
    given = "rows=array([[0, 1], [2, 3], [4, 5]]), function=explain_array, large=<float64 (100,)>"
    assert first == f"[wrong] <lambda>({given})"


def test_an_answer_that_had_to_be_stopped_names_its_case(capsys):
    from checker import check as check_all

    def endless(slot):
        raise KeyboardInterrupt

    check_all(endless, lambda slot: slot, [{"slot": 3}], lambda wanted, got: "")
    assert capsys.readouterr().out == "[wrong] endless(slot=3) was interrupted: does it come to an end?\n"

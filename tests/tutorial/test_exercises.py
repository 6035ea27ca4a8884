"""The exercises of the notebooks accept their solutions and reject known wrong answers."""

from __future__ import annotations

import functools
import importlib
import itertools
import linecache
import re
import sys
import textwrap
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
SOLUTION = re.compile(r"### BEGIN SOLUTION.*### END SOLUTION", re.DOTALL)

Answer = Callable[..., Any]


class Exercise(NamedTuple):
    """An exercise of a notebook: the name of its function and answers by name.

    An answer is (words of the solution, words in their place), or the text in place of the solution, or of the cell.
    """

    notebook: str
    function: str
    answers: dict[str, tuple[str, str] | str]


def exercises(kind: str) -> Iterator[Exercise]:
    """The exercises with their answers of one kind, "wrong" or "right"."""
    for path in sorted(TUTORIAL.glob("*.ipynb")):
        name = path.stem.partition("_")[2]
        if (Path(__file__).parent / f"{kind}_answers" / f"{name}.py").exists():
            module = importlib.import_module(f"tests.tutorial.{kind}_answers.{name}")
            for function, answers in getattr(module, kind.upper()).items():
                yield Exercise(path.stem, function, answers)


def one_by_one(kind: str) -> pytest.MarkDecorator:
    cases = [(exercise, name) for exercise in exercises(kind) for name in exercise.answers]
    names = [f"{exercise.function}-{name}" for exercise, name in cases]
    return pytest.mark.parametrize(("exercise", "name"), cases, ids=names)


EXERCISES = list(exercises("wrong"))


@pytest.fixture(scope="module", autouse=True)
def the_notebooks_folder() -> Iterator[None]:
    sys.path.insert(0, str(TUTORIAL))
    yield
    sys.path.remove(str(TUTORIAL))


@functools.cache
def solutions(notebook: Path) -> list[str]:
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell.source for cell in cells if "### BEGIN SOLUTION" in cell.source]


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
    check(exercise, written(exercise, SOLUTION.sub("raise NotImplementedError", source(exercise))))
    assert capsys.readouterr().out == f"[todo] {exercise.function} is not written yet\n"


def answered(exercise: Exercise, name: str) -> Answer:
    """The function that a student would have after giving this answer."""
    answer = exercise.answers[name]
    text = source(exercise)
    if isinstance(answer, tuple):
        assert text.count(answer[0]) == 1, "the answer no longer fits the solution"
        return written(exercise, text.replace(*answer))
    if answer.startswith(("@", "def ", "from ", "import ")):
        return written(exercise, answer)
    body = textwrap.indent(textwrap.dedent(answer), "    ").strip()
    return written(exercise, SOLUTION.sub(lambda _: body, text))


@one_by_one("wrong")
def test_a_known_wrong_answer_is_rejected(exercise, name, capsys):
    check(exercise, answered(exercise, name))
    assert "[wrong] " in capsys.readouterr().out


@one_by_one("right")
def test_a_right_answer_other_than_the_solution_is_accepted(exercise, name, capsys):
    check(exercise, answered(exercise, name))
    shown = capsys.readouterr().out
    assert shown.startswith("[ok] ")
    assert "[wrong]" not in shown


def test_every_exercise_has_enough_answers_of_both_kinds():
    right = {(exercise.notebook, exercise.function): exercise.answers for exercise in exercises("right")}
    for exercise in EXERCISES:
        key = exercise.notebook, exercise.function
        assert len(exercise.answers) >= 4, key
        assert key in by_hand() or len(right[key]) >= 3, key


def test_every_chapter_asks_for_a_prediction_before_it_computes():
    guesses = {exercise.notebook for exercise in EXERCISES if exercise.function == "guessed"}
    assert guesses == {path.stem for path in TUTORIAL.glob("*.ipynb")}


def by_hand() -> set[tuple[str, str]]:
    """The exercises without arguments, whose numbers are reckoned by hand."""
    names = {(exercise.notebook, exercise.function): source(exercise) for exercise in EXERCISES}
    return {key for key, text in names.items() if f"def {key[1]}():" in text}


def to_three_digits(number: float) -> float:
    if float(number).is_integer():
        return number
    return 1 - float(f"{1 - number:.3g}") if 0.9 < number < 1 else float(f"{number:.3g}")


@ONE_BY_ONE
def test_numbers_reckoned_by_hand_may_be_rounded_and_stand_in_a_list(exercise, capsys):
    if (exercise.notebook, exercise.function) not in by_hand():
        return
    numbers = written(exercise, source(exercise))()
    rounded = [to_three_digits(number) for number in numbers]
    for given in (list(numbers), rounded, np.array(numbers, float), tuple(map(np.float32, rounded))):
        check(exercise, lambda given=given: given)
        assert capsys.readouterr().out.startswith("[ok] ")
    if any(isinstance(number, bool) for number in wanted_by(exercise)):
        return
    check(exercise, lambda: [1.01 * number + 0.01 for number in numbers])
    assert "too large" in capsys.readouterr().out
    broken = [number for number in numbers if not float(number).is_integer() and abs(number) < 0.9]
    check(exercise, lambda: [number + 0.01 * abs(number) * (number in broken) for number in numbers])
    assert ("by less than five percent: give three digits" in capsys.readouterr().out) is bool(broken)


def wanted_by(exercise: Exercise) -> list[float]:
    """The numbers that the checker of an exercise by hand wants."""
    module = importlib.import_module(f"exercises.{exercise.notebook.partition('_')[2]}")
    wanted: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "check_numbers", lambda answer, numbers: wanted.extend(numbers))
        getattr(module, f"check_{exercise.function}")(None)
    return wanted


@ONE_BY_ONE
def test_a_share_in_percent_and_points_in_hundredths_are_named(exercise, capsys):
    from checker import Points, Share

    for place, right in enumerate(wanted_by(exercise) if (exercise.notebook, exercise.function) in by_hand() else []):
        unit = Share if isinstance(right, Share) else Points if isinstance(right, Points) else None
        assert unit or not 0 < right < 1, f"number {place + 1}: is it a share or in percentage points?"
        if unit is None:
            continue
        for given in (100 * right, 60.0) if unit is Share else (right / 100,):
            numbers = [*wanted_by(exercise)[:place], given, *wanted_by(exercise)[place + 1 :]]
            check(exercise, lambda numbers=numbers: numbers)
            hint = (
                "a share between 0 and 1, not a percentage"
                if unit is Share
                else "percentage points, 1 for one hundredth"
            )
            assert f": give {hint}\n" in capsys.readouterr().out or given == right


def test_a_negative_share_is_not_called_a_percentage(capsys):
    from checker import Share, check_numbers

    check_numbers(lambda: (-0.25,), (Share(0.25),))
    assert "-0.25, is too small: give a share between 0 and 1\n" in capsys.readouterr().out


def test_truth_values_may_be_given_as_1_and_0(capsys):
    question = next(e for e in EXERCISES if (e.notebook, e.function) == ("14_uresnet", "guessed"))
    for given in ((True, False), (1, 0), [np.True_, np.False_], (1.0, 0.0), np.array([True, False])):
        check(question, lambda given=given: given)
        assert capsys.readouterr().out.startswith("[ok] ")
    for given, complaint in (((True, True), "2 should not be True"), ((2, 0), "1 should be True or False, not 2")):
        check(question, lambda given=given: given)
        assert complaint in capsys.readouterr().out


def in_numpy(value: Any) -> Any:
    """A result with NumPy's numbers in place of Python's."""
    if type(value) in (bool, int, float):
        return {bool: np.bool_, int: np.int64, float: np.float64}[type(value)](value)
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(in_numpy, value))
    return value


@ONE_BY_ONE
def test_numbers_of_numpy_are_taken_and_shown_like_those_of_python(exercise, capsys):
    if "@triton.jit" in source(exercise) or (exercise.notebook, exercise.function) == ("11_numba", "scattered"):
        return
    answers = [(written(exercise, source(exercise)), "[ok] ")]
    for kind, verdict in (("wrong", "[wrong] "), ("right", "[ok] ")):
        same = (e for e in exercises(kind) if e[:2] == exercise[:2])
        answers += [(answered(one, name), verdict) for one in same for name in one.answers]
    verdict = "[" if exercise.function == "failing" else "[wrong] "  # sites of -77 may well be an answer there
    for count in range(1, 7):
        answers += [(lambda value=value, **case: value, verdict) for value in odd_numbers(count)]
    for answer, verdict in answers:
        given = functools.wraps(answer)(lambda *args, answer=answer, **case: in_numpy(answer(*args, **case)))
        check(exercise, given)
        shown = capsys.readouterr().out
        assert shown.startswith(verdict)
        assert not re.search(r"\bnp\.\w+\(", shown), shown


def odd_numbers(count: int) -> Iterator[Any]:
    """Numbers of NumPy that hardly answer an exercise, alone and in containers of some length."""
    for number in (np.int64(-77), np.float32(0.1), np.True_, np.str_("a"), KeyError):
        many = tuple(number for _ in range(count))
        yield from (many, list(many), {number: number}, [many] * count, {(number, i) for i in range(count)})


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


ODD = (
    None,
    ...,
    "text",
    {1: 2},
    {(0, "a")},
    [[1.0], [2, 3]],
    np.array(["a"]),
    (),
    np.nan,
    (n for n in ()),
    Unprintable(),
)


@ONE_BY_ONE
def test_no_returned_value_crashes_a_checker(exercise, capsys):
    if "@triton.jit" in source(exercise):
        return
    for value in ODD:
        check(exercise, lambda *args, value=value, **case: value)
        shown = capsys.readouterr().out
        assert shown.startswith("[wrong] ") or value is None, shown


class Unspeakable(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no")


ERRORS = (
    (Unspeakable(), "Unspeakable"),
    (GeneratorExit(), "GeneratorExit"),
    (SystemExit(3), "SystemExit: 3"),
    (KeyError(np.int64(3)), "KeyError: 3"),
    (KeyError("a\nb"), r"KeyError: 'a\nb'"),
    (ValueError("x" * 3000), f"ValueError: {'x' * 1000} ..."),
)


@pytest.mark.parametrize(("error", "shown"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_any_error_of_an_answer_is_named_on_its_line(error, shown, capsys):
    def raising(points, edge):
        raise error

    check(next(e for e in EXERCISES if e.function == "boxes"), raising)
    assert capsys.readouterr().out == f"[wrong] raising(points=[(0, 0)], edge=1) raised {shown}\n"


@ONE_BY_ONE
def test_a_mask_does_not_hide_wrong_numbers(exercise, capsys):
    solve = written(exercise, source(exercise))
    if "@triton.jit" in source(exercise) or (exercise.notebook, exercise.function) == ("11_numba", "scattered"):
        return

    def hidden(*args, **case):
        right = solve(*args, **case)
        shape = right.shape if isinstance(right, np.ndarray) else (3,)
        return np.ma.array(np.full(shape, -77.0), mask=True)

    check(exercise, hidden)
    assert capsys.readouterr().out.startswith("[wrong] ")


@ONE_BY_ONE
def test_an_endless_generator_is_no_answer(exercise, capsys, monkeypatch):
    if "@triton.jit" in source(exercise):
        return
    monkeypatch.setattr("checker.STEPS", 1000)

    def endless():
        while True:
            yield 1

    for value in (endless(), [endless()] * 3, itertools.count()):
        check(exercise, lambda *args, value=value, **case: value)
        assert capsys.readouterr().out.startswith("[wrong] ")


@ONE_BY_ONE
def test_an_endless_answer_is_stopped_and_its_case_named(exercise, capsys, monkeypatch):
    if "@triton.jit" in source(exercise):
        return
    monkeypatch.setattr("checker.check.__defaults__", (1000,))

    def endless(*args, **case):
        while True:
            pass

    check(exercise, endless)
    assert re.match(r"\[wrong\] endless\(.*\) ran 1,000 lines: does it loop forever\?\n", capsys.readouterr().out)


def test_a_failing_case_is_printed_on_one_readable_line(capsys):
    from checker import check as check_all
    from checker import explain_array

    case = {"rows": np.arange(6).reshape(3, 2), "function": explain_array, "large": np.zeros(100)}
    check_all(lambda rows, function, large: rows, lambda rows, function, large: rows + 1, [case], explain_array)
    first = capsys.readouterr().out.splitlines()[0]
    given = "rows=array([[0, 1], [2, 3], [4, 5]]), function=explain_array, large=<float64 (100,)>"
    assert first == f"[wrong] <lambda>({given})"


def test_functions_are_shown_by_name_and_a_generator_is_named(capsys):
    from checker import check as check_all

    def yielding(curves):
        yield 1

    check_all(yielding, lambda curves: 1, [{"curves": {"muon": np.sum, "pion": [Unprintable]}}], lambda wanted, got: "")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[wrong] yielding(curves={'muon': sum, 'pion': [Unprintable]})"
    assert second == "    should return its result: replace yield by return"


def test_efficiencies_and_purities_are_named_in_a_tuple_or_an_array(capsys):
    matched = next(e for e in EXERCISES if e.function == "matched")
    for kind in (tuple, np.array):
        check(matched, lambda true, found, kind=kind: kind([1.0, 1.0, 1.0, 1.0]))
        wanted = "wanted efficiency 1, purity 1, clustering efficiency 0.25, clustering purity 1"
        assert f"    number 3, 1.0, is too large; {wanted}\n" in capsys.readouterr().out


def test_an_answer_that_had_to_be_stopped_names_its_case(capsys):
    from checker import check as check_all

    def endless(slot):
        raise KeyboardInterrupt

    check_all(endless, lambda slot: slot, [{"slot": 3}], lambda wanted, got: "")
    assert capsys.readouterr().out == "[wrong] endless(slot=3) was interrupted: does it loop forever?\n"


def test_a_kernel_without_its_decorator_is_no_kernel(capsys):
    puzzle = next(exercise for exercise in EXERCISES if exercise.function == "doubled")
    check(puzzle, written(puzzle, source(puzzle).replace("@triton.jit", "# @triton.jit")))
    assert capsys.readouterr().out == "[wrong] doubled is no kernel: is @triton.jit above it?\n"


def test_a_score_above_the_least_has_a_hint(capsys):
    summing = next(e for e in exercises("right") if "the sums in memory" in e.answers)
    check(summing, answered(summing, "the sums in memory"))
    assert "numbers moved, at least 10532: is a number loaded but not used, or stored and loaded again?" in (
        capsys.readouterr().out
    )

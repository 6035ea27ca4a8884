"""The tests on the device: every failure has a name, and a later run repeats only what has not passed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sscn_triton.bench.gpu import tests

FILE = """
import pytest
from pathlib import Path

def note(name):
    with (Path(__file__).parent / "ran").open("a") as file:
        file.write(name + " ")

def test_good(): note("good")
def test_bad(): note("bad"); assert not Path(__file__).with_name("broken").exists()
def test_last(): note("last")
def test_left(): pytest.skip("no")

@pytest.fixture
def fixture(): raise ValueError
def test_fixture(fixture): note("fixture")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")  # as in a parallel run of these tests themselves
    (tmp_path / "test_some.py").write_text(FILE)
    (tmp_path / "broken").touch()
    monkeypatch.setattr(tests, "TESTS", tmp_path)
    monkeypatch.setattr(tests, "ROOT", Path(tests.__file__).parents[3])
    monkeypatch.setattr(tests, "TOY", {"test_some.py": ""})
    return tmp_path


def names(found: list[str]) -> list[str]:
    return [name.rpartition("::")[2] for name in found]


def test_failures_are_named_stop_nothing_and_only_they_are_repeated(folder: Path) -> None:
    first = tests.run(toy=True, limit=600)
    assert names(first["failed"]) == ["test_bad", "test_fixture"]
    assert names(first["passed"]) == ["test_good", "test_last"]
    assert first["complete"]
    assert first["skipped"] == 1
    assert (folder / "ran").read_text() == "good bad last "
    (folder / "broken").unlink()
    (folder / "ran").unlink()
    second = tests.run(toy=True, limit=600, known=first)
    assert (folder / "ran").read_text() == "bad "
    assert names(second["passed"]) == ["test_bad", "test_good", "test_last"]
    assert names(second["failed"]) == ["test_fixture"]


def test_nothing_is_left_when_all_have_passed(folder: Path) -> None:
    (folder / "test_some.py").write_text("def test_good(): pass")
    known = {"passed": ["test_some.py::test_good"]}
    assert tests.run(toy=True, limit=600, known=known) == {**known, "complete": True, "failed": [], "skipped": 0}


def test_tests_that_cannot_be_collected_are_incomplete(folder: Path) -> None:
    (folder / "test_some.py").write_text("import no_such_module")
    found = tests.run(toy=True, limit=600)
    assert not found["complete"]
    assert found["reason"] == "pytest ended with exit code 2"


def test_tests_that_hang_are_ended(folder: Path) -> None:
    (folder / "test_some.py").write_text("import time\ndef test_hang(): time.sleep(3600)")
    found = tests.run(toy=True, limit=0.5)
    assert not found["complete"]
    assert found["reason"] == "not done after 0 s"


def test_outcomes_up_to_the_end_of_the_time_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(words: list[str], environment: dict[str, str], limit: float) -> None:
        lines = [["a::one", "passed"], ["a::two", "failed"], ["a::three", "passed"]]
        lines += [["a::four", "passed"], ["a::four", "failed"]]  # its fixture failed at the end
        Path(environment[tests.OUTCOMES]).write_text("".join(json.dumps(one) + "\n" for one in lines))

    monkeypatch.setattr(tests, "_pytest", late)
    found = tests.run(toy=True, limit=60)
    assert (found["passed"], found["failed"]) == (["a::one", "a::three"], ["a::four", "a::two"])
    assert found["reason"] == "not done after 60 s"


def test_the_first_failure_does_not_end_the_run_and_workers_take_no_notes(monkeypatch: Any, tmp_path: Path) -> None:
    assert "-x" not in tests._words(toy=False)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv(tests.OUTCOMES, str(tmp_path / "outcomes"))
    tests.pytest_runtest_logreport(type("Report", (), {"when": "call", "outcome": "passed", "nodeid": "a"}))
    assert not (tmp_path / "outcomes").exists()


def test_the_chosen_tests_exist() -> None:
    for file in (*tests.ON_A_GPU, *tests.TOY):
        assert (tests.TESTS / file).is_file()

"""A program in a separate process answers one question after another, until it ends."""

from __future__ import annotations

import pytest

from sscn_triton.common.child import Child

PROGRAM = """
import os, pickle, sys
pickle.dump([sys.argv[1:], os.environ.get("WORD")], sys.stdout.buffer)
sys.stdout.buffer.flush()
while True:
    question = pickle.load(sys.stdin.buffer)
    if question == "end":
        sys.exit("it ends")
    pickle.dump(question * 2, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def test_it_gets_arguments_and_environment_and_answers_in_order() -> None:
    child = Child(PROGRAM, "one", "two", environment={"WORD": "here"})
    try:
        assert child.answer() == [["one", "two"], "here"]
        assert [child.ask(question) for question in (1, "a", [2])] == [2, "aa", [2, 2]]
    finally:
        child.end()
    assert child.process.returncode is not None


def test_an_end_without_an_answer_is_an_eof_error(capfd: pytest.CaptureFixture[str]) -> None:
    for options in ({"quiet": True}, {}):
        child = Child(PROGRAM, **options)
        child.answer()
        with pytest.raises(EOFError):
            child.ask("end")
        with pytest.raises(EOFError):  # it has gone, so the question cannot even be written
            child.ask(1)
        child.end()
        assert ("it ends" in capfd.readouterr().err) == (not options)


def test_a_killed_program_gives_no_answer() -> None:
    child = Child(PROGRAM)
    child.answer()
    child.kill()
    with pytest.raises(EOFError):
        child.answer()
    child.end()
    assert child.process.returncode == -9

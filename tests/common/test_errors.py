"""Quoted text in a message is cut between words, and the message shows that it was cut."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sscn_triton.common.errors import first_line, shortened
from sscn_triton.compat.convert_checkpoint import ConvertCheckpoint, convert_checkpoint
from sscn_triton.study.training.checkpoint import load_checkpoint

WORDS = "the quick brown fox jumps over the lazy dog " * 3


@pytest.mark.parametrize(
    ("text", "width", "wanted"),
    [
        ("two words", 9, "two words"),
        ("two  words\n", 9, "two words"),
        ("three short words", 13, "three short …"),
        ("three short words", 12, "three …"),
        ("1,2,3,4,5,6", 6, "1,2,3…"),
        ("", 6, ""),
        ("…", 6, "…"),
    ],
)
def test_a_text_is_cut_between_words(text: str, width: int, wanted: str) -> None:
    assert shortened(text, width) == wanted
    assert len(wanted) <= width


def test_an_error_is_shortened_to_its_type_and_first_line() -> None:
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(KeyError("a b"), 80) == "KeyError: 'a b'"


def test_the_error_for_a_foreign_checkpoint_is_cut_between_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").write_text("no checkpoint")

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError(WORDS)

    monkeypatch.setattr(torch, "load", fail)
    quoted = r"\(RuntimeError: (the quick brown fox jumps over the lazy dog )the quick brown fox jumps over the …\)"
    with pytest.raises(ValueError, match=rf"text: not a checkpoint, or a damaged one {quoted}"):
        load_checkpoint(tmp_path / "text")
    with pytest.raises(ValueError, match=rf"text: not a readable checkpoint {quoted}"):
        convert_checkpoint(ConvertCheckpoint(str(tmp_path / "text"), str(tmp_path / "out"), "spconv"))

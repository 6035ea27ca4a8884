"""Measurements are stored cell by cell in a file that a later run continues."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sscn_triton.common import results
from sscn_triton.common.results import Results


def test_results_continue_where_they_stopped_and_refuse_another_device(tmp_path: Path) -> None:
    path, about = tmp_path / "some.json", {"device": {"name": "A"}, "versions": {"torch": "1"}}
    Results(path, about).add("one", {"ms": 1.0})
    again = Results(path, about)
    assert "one" in again
    again.add("two", {"failed": "ValueError: no"})
    again.add("three", {"failed": "out of memory"})
    assert "two" not in again
    assert "three" in again
    assert "one" not in Results(path, about, go_on=False)
    assert [file.name for file in tmp_path.iterdir()] == ["some.json"]
    with pytest.raises(ValueError, match="was measured with device"):
        Results(path, {**about, "device": {"name": "B"}})


def test_an_installed_copy_has_no_commit_of_the_clone_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "env" / "site-packages"
    inside.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    words = ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--allow-empty", "--message", "a"]
    subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.delenv("SSCN_COMMIT", raising=False)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert len(results.commit() or "") == 12
    monkeypatch.setattr(results, "ROOT", inside)
    assert results.commit() is None
    monkeypatch.setenv("SSCN_COMMIT", "abc")
    assert results.commit() == "abc"

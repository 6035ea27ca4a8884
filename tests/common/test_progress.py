"""Progress without a terminal is a line from time to time, and one at the end."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from sscn_triton.common import progress
from sscn_triton.common.progress import Progress


def test_a_line_comes_every_twenty_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    printed = []
    with Progress("making events", 50) as shown:
        for done, later in ((5, 19.9), (10, 0.1), (20, 19.0), (50, 0.0), (50, 1.0), (60, 1.0)):
            clock.now += later
            shown.to(done, "so far")
            printed.append(capsys.readouterr().err)
    assert printed == ["", "making events: 20 %  so far\n", "", "making events: 100 %  so far\n", "", ""]


def test_nothing_to_do_is_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with Progress("reading", 0) as shown:
        clock.now = 20.0
        shown.to(0)
    assert capsys.readouterr().err == "reading: 100 %\n"


def test_on_a_terminal_a_bar_goes_as_far_as_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("making events", 50) as shown:
        assert shown._bar is not None
        for done in (10, 25, 50, 60):
            shown.to(done, "so far")
            assert shown._bar.n == min(done, 50)
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith("making events")
    assert "100%" in last
    assert "so far" in last
    assert last.endswith("\n")

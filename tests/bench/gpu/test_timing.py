"""Times on a device are medians without warm-up, and means of runs that follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from sscn_triton.bench.gpu import timing
from sscn_triton.bench.gpu.timing import Stopwatch


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only work moves: `work` takes the next of `left` seconds."""
    clock = SimpleNamespace(now=3.0, left=iter(()))

    def work() -> None:
        clock.now += next(clock.left)

    clock.work = work
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def used(left: Iterator[float]) -> bool:
    return next(left, None) is None


def test_a_work_is_timed_thrice_after_two_runs_and_then_in_a_row(seconds: SimpleNamespace) -> None:
    seconds.left = iter([50.0, 60.0, 0.25, 0.125, 0.5, 0.75, 1.0, 0.5])
    found = Stopwatch("cpu", repeat=20, limit=0.5)(seconds.work)
    assert found == {"ms": 250.0, "least": 125.0, "in a row": 750.0, "runs": 3}
    assert used(seconds.left)


def test_short_work_is_repeated_as_often_as_asked(seconds: SimpleNamespace) -> None:
    seconds.left = iter([1.0, 1.0, *[0.0625] * 5, *[0.03125] * 5])
    found = Stopwatch("cpu", repeat=5, limit=1.0)(seconds.work)
    assert found == {"ms": 62.5, "least": 62.5, "in a row": 31.25, "runs": 5}
    assert used(seconds.left)


def test_a_single_run_has_no_other(seconds: SimpleNamespace) -> None:
    seconds.left = iter([2.0])
    assert Stopwatch("cpu", repeat=1)(seconds.work) == {"ms": 2e3, "least": 2e3, "in a row": 2e3, "runs": 1}

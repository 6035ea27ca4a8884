"""The error for an option out of range gives its name, its bound and its value."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sscn_triton.bench.cpu.command import Bench
from sscn_triton.common.options import check_least, check_positive
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.scaling.command import Scaling
from sscn_triton.study.training.config import EvaluateConfig, TrainConfig


@dataclass
class Some:
    events: int | None = 1
    rate: float | None = 0.5


def test_values_at_the_bound_and_none_are_allowed() -> None:
    check_least(Some(), events=1)
    check_least(Some(events=None), events=1)
    check_least({"events": 1}, events=1)
    check_positive(Some(rate=None), "rate")


@pytest.mark.parametrize("options", [Some(events=0), {"events": 0}])
def test_a_number_below_its_bound_is_refused(options: object) -> None:
    with pytest.raises(ValueError, match=r"^events must be at least 1, got 0$"):
        check_least(options, events=1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_value_that_is_not_positive_and_finite_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"^rate must be positive and finite, got"):
        check_positive(Some(rate=rate), "rate")


CASES = [
    *((StudyConfig, name) for name in ("events", "batch", "filters", "depth", "seed", "steps")),
    *((StudyConfig, name) for name in ("minutes", "learning_rate")),
    *((TrainConfig, name) for name in ("held_out_events", "events", "image", "crop", "seed", "shift", "workers")),
    *((TrainConfig, name) for name in ("devices", "nodes", "filters", "depth", "repetitions", "steps", "batch")),
    *((TrainConfig, name) for name in ("accumulate", "checkpoint_every", "learning_rate")),
    *((Scaling, name) for name in ("events", "seed", "filters", "depth", "threads", "minutes")),
    *((Bench, name) for name in ("copies", "repeat", "threads", "events")),
    *((EvaluateConfig, name) for name in ("events", "crop")),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_dataclasses_refuse_numbers_out_of_range(kind: type, name: str) -> None:
    needed = {"checkpoint": "a", "data": "b"} if kind is EvaluateConfig else {}
    with pytest.raises(ValueError, match=f"^{name} must be "):
        kind(**needed, **{name: -1})

"""The law of a training's error is recovered from networks that follow it, and says how far it is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sscn_triton.study.analysis.progress import FARTHEST, fit, judged_alike, needed, summary

PASSES = [100_000, 200_000, 250_000, 300_000, 400_000]


def wrong(scatter: float = 0.0) -> list[float]:
    signs = [1, -1, 1, -1, 1]
    return [4 * p**-0.35 * (1 + s * scatter) for p, s in zip(PASSES, signs, strict=True)]


def test_networks_that_follow_a_law_give_its_exponent_and_the_passes_it_needs() -> None:
    law = fit(PASSES, wrong())
    assert law is not None
    assert (law.exponent, law.factor) == pytest.approx((0.35, 4))
    assert law.low == pytest.approx(law.high)
    best, low, high = needed(law, 0.02)
    assert best == pytest.approx((4 / 0.02) ** (1 / 0.35))
    assert (low, high) == pytest.approx((best, best), rel=2e-3)


def test_scattered_networks_give_an_interval_around_the_best_value() -> None:
    law = fit(PASSES, wrong(0.02))
    assert law is not None
    assert law.low < 0.35 < law.high
    free, x, y = len(PASSES) - 2, np.log(PASSES), np.log(wrong(0.02))
    slope, covariance = np.polyfit(x, y, 1, cov=True)
    assert law.exponent == pytest.approx(-slope[0])
    student = 3.182446305  # of 3 degrees of freedom, two-sided 95 %
    assert (law.high - law.low) / 2 == pytest.approx(student * math.sqrt(covariance[0, 0]), rel=1e-6), free
    best, low, high = needed(law, 0.02)
    assert high is not None
    assert max(PASSES) < low < best < high < FARTHEST * max(PASSES)
    # at the ends of the interval, the confidence band of the line reaches the error
    for end, sign in ((low, -1), (high, 1)):
        band = math.sqrt(np.array([math.log(end), 1]) @ covariance @ np.array([math.log(end), 1]))
        line = math.log(law.factor) - law.exponent * math.log(end)
        assert line + sign * student * band == pytest.approx(math.log(0.02), abs=2e-3)


def test_an_exponent_that_may_be_zero_gives_no_upper_limit() -> None:
    law = fit(PASSES, wrong(0.2))
    assert law is not None
    assert law.low < 0
    assert needed(law, 0.001)[2] is None
    rising = fit(PASSES, wrong()[::-1])
    assert rising is not None
    assert needed(rising, 0.001) == (math.inf, math.inf, None)


def test_three_networks_are_too_few() -> None:
    assert fit(PASSES[:3], wrong()[:3]) is None
    assert fit(PASSES[:4], wrong()[:4]) is not None
    assert fit([*PASSES[:3], PASSES[2]], wrong()[:4]) is None


def test_a_network_without_mistakes_has_no_law() -> None:
    assert fit(PASSES, [*wrong()[:4], 0.0]) is None


def score(data: str, events: int, accuracy: float) -> dict[str, Any]:
    return {"data": data, "events": events, "nonzero_accuracy": accuracy, "class_accuracy": [accuracy], "loss": 1.0}


def test_only_networks_judged_on_the_same_events_are_compared() -> None:
    first = {"passes": 10, "commit": "a", "scores": [score("small", 4, 0.5), score("large", 9, 0.6)]}
    second = {"passes": 20, "commit": "b", "scores": [score("large", 8, 0.7)]}
    last = {"passes": 30, "commit": "c", "scores": [score("large", 9, 0.8), score("small", 4, 0.7)]}
    milestones = [summary(first, 5), summary(second, 6)]
    assert milestones[0]["training_events"] == 5
    assert "loss" not in milestones[0]["scores"][0]
    found = judged_alike({**last, "milestones": milestones})
    assert [(one["passes"], one["training_events"], one["nonzero_accuracy"]) for one in found] == [
        (10, 5, 0.6),
        (30, None, 0.8),
    ]
    assert judged_alike({**last, "scores": []}) == []


@pytest.mark.parametrize("other", [{"crop": 96}, {"conventions": "pilarnet-m"}, {"simulations": [{"seed": 7}]}])
def test_scores_of_crops_or_of_another_file_of_the_same_name_are_not_compared(other: dict[str, Any]) -> None:
    whole = {"crop": None, "conventions": None, "simulations": [{"seed": 900}]}
    first = {"passes": 10, "commit": "a", "scores": [score("large", 9, 0.6) | whole | other]}
    old = {"passes": 20, "commit": "b", "scores": [score("large", 9, 0.7)]}  # knows neither
    last = {"passes": 30, "commit": "c", "scores": [score("large", 9, 0.8) | whole]}
    found = judged_alike({**last, "milestones": [summary(first, 5), summary(old, 5)]})
    assert [one["passes"] for one in found] == [20, 30]

"""Exponents are those of the points, costs are measured where they fit and computed where not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sscn_triton.lartpc import simulate
from sscn_triton.study import scaling
from sscn_triton.study.scaling import Plan, Point, fit, record, run


def test_a_power_law_is_found_and_told_from_an_exponential() -> None:
    sizes = [16.0, 32.0, 64.0, 128.0]
    law = fit(sizes, [2 * size**3 for size in sizes])
    assert law.exponent == pytest.approx(3)
    assert law.error == pytest.approx(0, abs=1e-9)
    assert law.at(192) == pytest.approx(2 * 192**3)
    assert law.power < 1e-9 < law.exponential
    grown = fit(sizes, [math.exp(size / 20) for size in sizes])
    assert grown.exponential < 1e-9 < grown.power
    assert math.isnan(fit([1, 2], [1, 8]).error)
    with pytest.raises(ValueError, match="two places or more"):
        fit([1, 1], [1, 2])


def test_the_error_of_an_exponent_is_that_of_least_squares() -> None:
    generator = np.random.default_rng(0)
    sizes = np.linspace(10, 100, 12)
    found = [fit(sizes.tolist(), (sizes**2 * np.exp(generator.normal(0, 0.1, 12))).tolist()) for _ in range(300)]
    pulls = np.array([(law.exponent - 2) / law.error for law in found])
    assert abs(pulls.mean()) < 0.2
    assert 0.9 < pulls.std() < 1.35  # of Student's t with ten degrees of freedom: 1.12


def point(kind: str, size: int, images: int = 1) -> Point:
    cost = size**3 * images
    return Point(kind, 3, size, images, size**2 * images, cost * 1e-6, cost * 3e-6, cost * 8, cost * 24)  # type: ignore[arg-type]


def test_sizes_of_the_study_that_were_not_measured_are_computed() -> None:
    found = record([*(point("sparse", s) for s in (64, 128, 192)), *(point("matched", s) for s in (32, 48, 64))])
    laws = {(f["kind"], f["measure"], f["against"]): f["exponent"] for f in found["fits"]}
    assert laws["sparse", "step_seconds", "voxels"] == pytest.approx(1.5)
    assert laws["matched", "step_memory", "size"] == pytest.approx(3)
    assert [(c["kind"], c["size"]) for c in found["computed"]] == [
        ("sparse", 512), ("sparse", 768), ("matched", 192), ("matched", 512), ("matched", 768),
    ]  # fmt: skip
    assert found["computed"][2]["step_memory"] == pytest.approx(192**3 * 24)


def test_points_are_measured_as_far_as_time_and_memory_go(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def pretend(settings: object, batch: object, size: int) -> Point:
        measured.append((settings.kind, settings.ndim, size, batch.images))  # type: ignore[attr-defined]
        return Point(settings.kind, settings.ndim, size, batch.images, 10, 1e-5, 1e-5, size**3, size**3)  # type: ignore[attr-defined]

    monkeypatch.setattr(scaling, "measure", pretend)
    events = [simulate(0, index, size=96) for index in range(2)]
    run(Plan("scaling", events, 2, 2, seconds=1000, memory=1e12))
    assert [m[2:] for m in measured if m[:2] == ("sparse", 3)] == [(32, 1), (64, 1), (96, 1), (96, 2)]
    assert [m[2:] for m in measured if m[:2] == ("study", 2)] == [(32, 1), (64, 1), (96, 1)]
    measured.clear()
    run(Plan("scaling", events, 2, 2, seconds=1000, memory=2 * 64**3 / scaling.MEMORY_SHARE))
    assert max(m[2] for m in measured if m[1] == 3) == 64
    measured.clear()
    run(Plan("scaling", events, 2, 2, seconds=0, memory=1e12))
    assert {m[2:] for m in measured} == {(32, 1)}  # one point each, whatever the time


def test_a_real_point_has_times_and_memory() -> None:
    events = [simulate(0, 0, size=32)]
    found = run(Plan("scaling", events, 2, 2, seconds=0, memory=1e12))
    assert len(found["points"]) == 6
    for one in found["points"]:
        assert one["voxels"] > 0
        assert one["forward_seconds"] > 0
        assert one["step_seconds"] > 0
        assert one["step_memory"] >= one["forward_memory"] >= 0

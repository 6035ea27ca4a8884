"""Exponents are those of the points; costs are measured where they fit, and computed where not."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sscn_triton.common.output import as_json
from sscn_triton.lartpc import simulate
from sscn_triton.study.scaling import measure, report
from sscn_triton.study.scaling.extrapolate import extrapolate, line, record
from sscn_triton.study.scaling.laws import fit
from sscn_triton.study.scaling.measure import Job, Plan, Point, run


def test_a_power_law_is_found_and_distinguished_from_an_exponential() -> None:
    sizes = [16.0, 32.0, 64.0, 96.0, 128.0]
    law = fit(sizes, [2 * size**3 for size in sizes])
    assert law.exponent == pytest.approx(3)
    assert law.error == pytest.approx(0, abs=1e-6)
    assert law.at(192) == pytest.approx(2 * 192**3)
    assert law.power < 1e-6 < 1e-2 < law.exponential
    grown = fit(sizes, [math.exp(size / 20) for size in sizes])
    assert grown.exponential < 1e-6 < 1e-2 < grown.power
    assert law.odds > 6
    assert grown.odds < -6
    assert math.isnan(fit([1, 2], [1, 8]).error)
    with pytest.raises(ValueError, match="two or more points"):
        fit([1, 1], [1, 2])


def test_odds_are_the_ratio_of_the_likelihoods() -> None:
    x = [1.0, 2.0, 3.0, 4.0, 5.0]
    y = [1.0, 4.2, 8.8, 16.4, 24.7]
    law = fit(x, y)

    def log_likelihood(residual: float) -> float:  # of normal residuals whose variance is their mean square
        return -len(x) / 2 * (math.log(2 * math.pi * residual**2) + 1)

    assert law.odds == pytest.approx((log_likelihood(law.power) - log_likelihood(law.exponential)) / math.log(10))


@pytest.mark.parametrize("exponent", [1.0, 1.4, 3.0])
def test_a_fixed_cost_is_separated_from_the_growing_cost(exponent: float) -> None:
    sizes = [16.0, 32.0, 64.0, 128.0, 256.0]
    costs = [100**exponent + size**exponent for size in sizes]
    law = fit(sizes, costs)
    assert law.exponent == pytest.approx(exponent, rel=1e-4)
    assert law.fixed == pytest.approx(100**exponent, rel=1e-3)
    assert law.last < exponent
    assert law.at(512) == pytest.approx(100**exponent + 512**exponent, rel=1e-3)
    assert law.odds > 6
    found = line([size**exponent for size in sizes], costs)
    assert (found.fixed, found.slope) == (pytest.approx(100**exponent), pytest.approx(1))
    assert line([2.0], [6.0]).at(4) == 12


def test_an_exponential_above_a_fixed_cost_is_recognised() -> None:
    sizes = [16.0, 32.0, 64.0, 96.0, 128.0, 160.0]
    law = fit(sizes, [50 + math.exp(size / 20) for size in sizes])
    assert law.odds < -6


@pytest.mark.parametrize("costs", [[5.0] * 5, [5.0, 4.0, 3.0, 2.0, 1.0]])
def test_a_constant_cost_is_a_fixed_cost(costs: list[float]) -> None:
    law = fit([16.0, 32.0, 64.0, 96.0, 128.0], costs)
    assert law.factor * 128**law.exponent < 1e-6
    assert law.fixed > 0


def test_a_fit_of_few_points_has_no_fixed_cost() -> None:
    law = fit([16.0, 32.0, 64.0], [1e5 + size**3 for size in (16.0, 32.0, 64.0)])
    assert law.fixed == 0
    assert law.exponent < law.last < 2


def test_the_error_of_an_exponent_is_that_of_least_squares() -> None:
    generator = np.random.default_rng(0)
    sizes = np.linspace(10, 100, 12)
    costs = [(1000 + sizes**2) * (1 + generator.normal(0, 0.05, 12)) for _ in range(100)]
    found = [fit(sizes.tolist(), one.tolist()) for one in costs]
    pulls = np.array([(law.exponent - 2) / law.error for law in found])
    assert abs(pulls.mean()) < 0.25
    assert 0.9 < pulls.std() < 1.35  # of Student's t with nine degrees of freedom: 1.13


def point(kind: str, size: int, images: int = 1, step: bool = True) -> dict[str, Any]:
    """The sparse network has size**2 voxels and costs that are linear in them; the dense one's grow with size**3."""
    places = images * (size**2 if kind == "sparse" else size**3)
    fixed = 0.0 if kind == "sparse" else 0.02 * 128**3
    costs = [places * 1e-6, places * 3e-6, places * 8, places * 24 + fixed]
    if not step:
        costs[1] = costs[3] = None  # type: ignore[call-overload]
    return asdict(Point(kind, 3, size, images, size**2 * images, *costs))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    dense = [*(point("matched", size) for size in (96, 128, 160)), point("matched", 192, step=False)]
    return record([*(point("sparse", size) for size in (64, 128, 192)), *dense])


def test_sizes_of_the_study_that_were_not_measured_are_computed(found: dict[str, Any]) -> None:
    laws = {(f["kind"], f["measure"], f["against"]): f["exponent"] for f in found["fits"]}
    assert laws["sparse", "step_seconds", "voxels"] == pytest.approx(1)
    assert laws["matched", "forward_memory", "size"] == pytest.approx(3)
    assert [(c["kind"], c["size"]) for c in found["computed"]] == [
        ("sparse", 512), ("sparse", 768), ("matched", 192), ("matched", 512), ("matched", 768),
    ]  # fmt: skip
    beside = found["computed"][2]
    assert "forward_seconds" not in beside  # it was measured at 192 px
    assert beside["step_memory"] == pytest.approx(192**3 * 24 + 0.02 * 128**3)  # the fixed part does not grow
    low, high = beside["step_memory_range"]
    assert low == pytest.approx(beside["step_memory"])
    assert high == pytest.approx(192**3 * (24 + 0.02 * 128**3 / 160**3))  # if everything grew
    (check,) = [c for c in found["checks"] if c["kind"] == "matched"]
    assert check["size"] == 192
    assert check["forward_memory"] == pytest.approx(1)
    assert "step_memory" not in check


@pytest.mark.parametrize(
    ("places", "costs"),
    [([8], [1]), ([8, 27], [8, 27]), ([8, 8, 27], [8, 8, 27]), ([8, 27, 64], [8, 8, 64])],
    ids=["one point", "two points", "two sizes", "not levelled off"],
)  # fmt: skip
def test_nothing_is_extrapolated_from_few_sizes_or_from_costs_that_have_not_levelled_off(
    places: list[int], costs: list[int]
) -> None:
    assert extrapolate(places, costs, [1000.0]) is None


def test_the_range_of_an_extrapolation_contains_those_of_the_last_points() -> None:
    found = extrapolate([1.0, 2.0, 3.0, 4.0], [2.0, 2.6, 3.4, 4.5], [10.0, 12.0])
    assert found is not None
    assert found.value == pytest.approx(line([1.0, 2.0, 3.0, 4.0], [2.0, 2.6, 3.4, 4.5]).at(10))
    assert found.high == pytest.approx(1.125 * 12)  # the last cost per place, at the larger number of places
    assert found.low == pytest.approx(min(found.value, line([2.0, 3.0, 4.0], [2.6, 3.4, 4.5]).at(10)))


def test_costs_of_the_sparse_network_are_extrapolated_linearly_in_voxels() -> None:
    costs = {size: 5e-5 + 1e-6 * size**1.5 for size in (32, 64, 128, 512)}
    rows = [asdict(Point("sparse", 3, s, 1, s**1.5, costs[s], costs[s], 1, 1)) for s in (32, 64, 128)]  # type: ignore[arg-type]
    computed = {c["size"]: c for c in record(rows)["computed"]}
    assert computed[512]["step_seconds"] == pytest.approx(costs[512])


def test_ratios_say_whether_both_were_measured(found: dict[str, Any]) -> None:
    rows = {(r["kind"], r["size"]): r for r in found["ratios"]}
    assert rows["matched", 128]["measured"]
    assert not rows["matched", 192]["measured"]
    assert "forward_seconds_range" not in rows["matched", 192]
    assert not rows["matched", 512]["measured"]
    assert rows["matched", 128]["step_memory"] == pytest.approx((24 + 0.02) * 128**3 / (24 * 128**2))
    text = report.text(found)
    assert "364 x" in text
    assert (
        "| 192 x | 190 x | 192 x | 190 x | computed: training step; memory, training |" in text
    )  # a computed cost has two digits
    assert "matched, 3D: 3.00 ± 0.00 (power law, more likely by a factor of more than a million)" in text


def test_computed_costs_are_printed_to_two_digits_with_their_range() -> None:
    row = {"forward_seconds": 12.345, "forward_seconds_range": [11.9, 13.3], "step_memory": 4.56e9}
    row["step_memory_range"] = [4.56e9, 4.56e9]
    assert report.cost(row, "forward_seconds") == "12 s (12 s to 13 s)"
    assert report.cost(row, "step_memory") == "4.6 GB"
    assert report.cost(row | {"images": 1}, "forward_seconds") == "12 s"
    assert report.cost(row, "step_seconds") == ""


def test_points_are_measured_as_far_as_time_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def pretend(job: Job) -> Point:
        kind, ndim, size, images = job.settings.kind, job.settings.ndim, job.size, len(job.images)
        measured.append((kind, ndim, size, images))
        return Point(kind, ndim, size, images, 10, 1e-5, 1e-5, size**3, size**3)

    monkeypatch.setattr(measure, "measure", pretend)
    events = [simulate(0, index, size=96) for index in range(2)]
    run(Plan("scaling", events, 2, 2, seconds=1000, memory=1e12))
    assert [m[2:] for m in measured if m[:2] == ("sparse", 3)] == [(32, 1), (64, 1), (96, 1), (96, 2)]
    assert [m[2:] for m in measured if m[:2] == ("study", 2)] == [(32, 1), (64, 1), (96, 1)]
    measured.clear()
    run(Plan("scaling", events, 2, 2, seconds=1000, memory=2 * 64**3 / measure.MEMORY_SHARE))
    assert max(m[2] for m in measured if m[0] != "sparse" and m[1] == 3) == 64
    measured.clear()

    def with_a_large_step(job: Job) -> Point:
        return replace(pretend(job), step_memory=100 * job.size**3 if job.step else None, step_seconds=1e-5)

    monkeypatch.setattr(measure, "measure", with_a_large_step)
    points = run(Plan("scaling", events, 2, 2, seconds=1000, memory=100 * 70**3 / measure.MEMORY_SHARE))["points"]
    dense = [(p["size"], p["step_memory"] is not None) for p in points if (p["kind"], p["ndim"]) == ("matched", 3)]
    assert dense == [(32, True), (64, True), (96, False)]
    monkeypatch.setattr(measure, "measure", pretend)
    measured.clear()
    run(Plan("scaling", events, 2, 2, seconds=0, memory=1e12))
    assert {m[2:] for m in measured} == {(32, 1)}  # one point each, whatever the time limit


@pytest.mark.parametrize(("each", "runs"), [(0.01, 15), (0.15, 7), (0.4, 3), (5.0, 3), (6.0, 2)])
def test_a_point_is_timed_for_a_second_within_limits_and_not_by_its_first_run(each: float, runs: int) -> None:
    ends = itertools.accumulate(itertools.chain([50.0], itertools.repeat(each)))
    ticks = itertools.chain([0.0], *([end, end] for end in itertools.islice(ends, 20)))
    found = measure._timed(lambda: None, torch.device("cpu"), lambda: next(ticks))
    assert found == pytest.approx([each] * runs)


def test_a_real_point_has_times_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MOST_REPEATS", measure.REPEATS)
    events = [simulate(0, 0, size=32)]
    found = run(Plan("scaling", events, 2, 2, seconds=0, memory=1e12))
    assert len(found["points"]) == 6
    for one in found["points"]:
        assert one["step_range"][0] <= one["step_seconds"] <= one["step_range"][1]
        assert one["voxels"] > 0
        assert one["forward_seconds"] > 0
        assert one["step_seconds"] > 0
        assert one["step_memory"] >= one["forward_memory"] >= 0


def test_the_measurements_in_the_book_equal_what_the_code_computes() -> None:
    """Check that fits and ratios of the committed files follow from their points."""
    files = sorted((Path(__file__).parents[3] / "book" / "results").glob("*-scaling-*.json"))
    assert files
    for file in files:
        kept = json.loads(file.read_text())
        again = json.loads(as_json(record(kept["points"])))
        for part in ("fits", "computed", "checks", "ratios"):
            for mine, theirs in zip(again[part], kept[part], strict=True):
                assert mine.keys() == theirs.keys()
                for name, value in mine.items():
                    rounding = 1e-9 if name in ("power", "exponential") else None  # of a law through all points
                    computed = value if isinstance(value, list) else [value]
                    if all(isinstance(one, float) for one in computed):  # the last digits differ between processors
                        assert value == pytest.approx(theirs[name], rel=1e-4, abs=rounding)
                    else:
                        assert value == theirs[name]


def test_a_dense_series_is_skipped_if_its_first_point_would_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "measure", lambda job: Point(job.settings.kind, 3, job.size, 1, 1, 1.0, 1.0, 1, 1))
    plan = Plan("scaling", [simulate(0, 0, size=32)], 1, 2, 60.0, 1e9, known={"matched": 1.0, "study": 1e-9})
    assert measure._series(plan, "matched", 3, 60.0) == []
    assert len(measure._series(plan, "study", 3, 60.0)) == 1
    assert len(measure._series(plan, "matched", 2, 60.0)) == 1  # there is no known cost in two dimensions

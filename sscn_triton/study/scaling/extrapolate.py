"""Laws of growth from measured points, their predictions for other sizes, and ratios of dense to sparse costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from sscn_triton.study.scaling.laws import Fit, fit
from sscn_triton.study.training.networks import Kind

WANTED = (192, 512, 768)
"""Sizes of the 2018 study, computed if they were not measured."""
KINDS: tuple[Kind, ...] = ("sparse", "matched", "study")

Measure = Literal["forward_seconds", "step_seconds", "forward_memory", "step_memory"]
MEASURES: tuple[Measure, ...] = ("forward_seconds", "step_seconds", "forward_memory", "step_memory")
PointRow = Mapping[str, Any]
"""A `measure.Point` as a dictionary, as a JSON file contains it."""


LEAST = 3
"""Number of different sizes that an extrapolation needs."""
LEVEL = 1.25
"""The costs per place of the LEAST largest sizes may differ by this factor; if they differ by more, the costs that do
not grow still weigh too much for an extrapolation."""


@dataclass(frozen=True)
class Line:
    """y = fixed + slope * x, both at least 0: a network's cost on any image, and its cost per grid point or voxel."""

    fixed: float
    slope: float

    def at(self, x: float) -> float:
        return self.fixed + self.slope * x


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line by least squares of the relative residuals; without a fixed part where that would be negative."""
    places, values = np.asarray(x, float), np.asarray(y, float)
    if len(set(x)) > 1:
        fixed, slope = np.linalg.lstsq(np.column_stack([1 / values, places / values]), np.ones(len(x)), rcond=None)[0]
        if fixed >= 0 and slope >= 0:
            return Line(float(fixed), float(slope))
    return Line(0.0, float((places / values).sum() / ((places / values) ** 2).sum()))


@dataclass(frozen=True)
class Cost:
    """A cost that was measured, or computed with a range: the value of the line through all points, and the lowest and
    the highest of the lines through all points, the last three and the last two, and of the last cost per place."""

    value: float
    low: float
    high: float
    measured: bool = False


def extrapolate(x: Sequence[float], y: Sequence[float], at: Sequence[float]) -> Cost | None:
    """The cost at `at[0]` places, from the costs y at x places, in ascending order.

    Further places in `at` are other estimates of the same number of places, which widen the range. None if there are
    fewer than LEAST different x, or if the costs per place of the LEAST largest have not levelled off (LEVEL).
    """
    if len(set(x)) < LEAST:
        return None
    each = [cost / places for places, cost in zip(x, y, strict=True)][-LEAST:]
    if max(each) > LEVEL * min(each):
        return None
    lines = [line(x, y), line(x[-3:], y[-3:]), line(x[-2:], y[-2:]), Line(0.0, each[-1])]
    values = [one.at(places) for one in lines for places in at]
    return Cost(values[0], min(values), max(values))


def record(points: Sequence[PointRow]) -> dict[str, Any]:
    """Points, fits and the numbers computed from them, as a JSON record."""
    fits, computed, checks = [], [], []
    for kind in KINDS:
        for ndim in (3, 2):
            mine = [p for p in points if (p["kind"], p["ndim"]) == (kind, ndim)]
            singles = [p for p in mine if p["images"] == 1]
            for what in MEASURES:
                chosen = {"size": singles, "voxels": mine} if kind == "sparse" else {"size": singles}
                for against, some in chosen.items():
                    found = _fit(some, against, what)
                    if found is not None:
                        fits.append({"kind": kind, "ndim": ndim, "measure": what, "against": against, **asdict(found)})
            computed += [row for size in WANTED if (row := _computed(singles, size))]
            checks += _check(singles)
    rows = {"points": [dict(p) for p in points], "fits": fits, "computed": computed, "checks": checks}
    return rows | {"ratios": ratios(points, computed)}


def _measured(points: Sequence[PointRow], what: Measure) -> list[PointRow]:
    """The points at which a quantity was measured, by ascending size."""
    return sorted((p for p in points if p[what]), key=lambda p: p["size"])


def _fit(points: Sequence[PointRow], against: str, what: Measure) -> Fit | None:
    chosen = _measured(points, what)
    x, y = [float(p[against]) for p in chosen], [float(p[what]) for p in chosen]
    return fit(x, y) if len(set(x)) > 1 and min(x) > 0 else None


def _computed(points: Sequence[PointRow], size: int) -> dict[str, Any] | None:
    """The costs of a size beyond those at which they were measured, as far as `extrapolate` gives them, with ranges.

    A dense network's costs are linear in the number of grid points of the image, because all its work and memory
    except for a fixed part is. The sparse network's costs are linear in its voxels, whose number is a power of the
    size.
    """
    if not points:
        return None
    kind, ndim = points[0]["kind"], points[0]["ndim"]
    row: dict[str, Any] = {"kind": kind, "ndim": ndim, "size": size}
    for what in MEASURES:
        chosen = _measured(points, what)
        if len(chosen) < LEAST or size <= chosen[-1]["size"]:
            continue
        places, at = [float(p["size"] ** ndim) for p in chosen], [float(size**ndim)]
        if kind == "sparse":
            places = [float(p["voxels"]) for p in chosen]
            at = [_voxels(chosen, size), _voxels(chosen[-LEAST:], size), _voxels(chosen[-2:], size)]
        found = extrapolate(places, [p[what] for p in chosen], at)
        if found is not None:
            row |= {what: found.value, f"{what}_range": [found.low, found.high]}
    return row if set(MEASURES) & row.keys() else None


def _voxels(points: Sequence[PointRow], size: int) -> float:
    """The number of voxels in an image of this size, by a power law of the measured images without a constant part."""
    sizes, voxels = [p["size"] for p in points], [p["voxels"] for p in points]
    slope, offset = np.polyfit(np.log(sizes), np.log(voxels), 1)
    return float(np.exp(offset) * size**slope)


def _check(points: Sequence[PointRow]) -> list[dict[str, Any]]:
    """For the largest measured image, the ratio of the costs computed from the smaller images to the measured costs."""
    if not points:
        return []
    largest = max(points, key=lambda p: p["size"])
    row = _computed([p for p in points if p is not largest], largest["size"])
    found = {what: row[what] / largest[what] for what in MEASURES if row and what in row and largest[what]}
    return [{name: largest[name] for name in ("kind", "ndim", "size")} | found] if found else []


def ratios(points: Sequence[PointRow], computed: Sequence[PointRow]) -> list[dict[str, Any]]:
    """The ratio of a dense network's cost to the sparse one's on the same image, one row per network and size.

    A quantity of which one or both costs were computed also has a range. measured: whether no quantity has one.
    """
    rows = []
    images = {(p["kind"], p["ndim"], p["size"]) for p in (*points, *computed) if p["kind"] != "sparse"}
    for kind, ndim, size in sorted(images):
        row: dict[str, Any] = {"kind": kind, "ndim": ndim, "size": size, "measured": True}
        for what in MEASURES:
            dense = _cost(points, computed, (kind, ndim, size), what)
            sparse = _cost(points, computed, ("sparse", ndim, size), what)
            if dense is None or sparse is None:
                continue
            row[what] = dense.value / sparse.value
            if not (dense.measured and sparse.measured):
                row |= {"measured": False, f"{what}_range": [dense.low / sparse.high, dense.high / sparse.low]}
        if set(MEASURES) & row.keys():
            rows.append(row)
    return rows


def _cost(
    points: Sequence[PointRow], computed: Sequence[PointRow], image: tuple[Kind, int, int], what: Measure
) -> Cost | None:
    """The cost of one image: measured, or else computed."""
    for row in points:
        if (row["kind"], row["ndim"], row["size"]) == image and row["images"] == 1 and row[what]:
            return Cost(row[what], row[what], row[what], measured=True)
    for row in computed:
        if (row["kind"], row["ndim"], row["size"]) == image and what in row:
            return Cost(row[what], *row[f"{what}_range"])
    return None

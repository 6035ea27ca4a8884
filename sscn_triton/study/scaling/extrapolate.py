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


@dataclass(frozen=True)
class Line:
    """y = fixed + slope * x, both at least 0: a network's cost on any image, and its cost per grid point."""

    fixed: float
    slope: float

    def at(self, x: float) -> float:
        return self.fixed + self.slope * x


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line by least squares of the relative residuals; with a single point the fixed part is 0."""
    places, values = np.asarray(x, float), np.asarray(y, float)
    if len(set(x)) > 1:
        fixed, slope = np.linalg.lstsq(np.column_stack([1 / values, places / values]), np.ones(len(x)), rcond=None)[0]
        if fixed >= 0 and slope >= 0:
            return Line(float(fixed), float(slope))
    return Line(0.0, float((places / values).sum() / ((places / values) ** 2).sum()))


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


def _fit(points: Sequence[PointRow], against: str, what: Measure) -> Fit | None:
    x, y = [float(p[against]) for p in points], [float(p[what]) for p in points]
    return fit(x, y) if len(set(x)) > 1 and min(*x, *y) > 0 else None


def _computed(points: Sequence[PointRow], size: int) -> dict[str, Any] | None:
    """The predicted costs of a size beyond the measured ones.

    A dense network's costs are linear in the number of grid points of the image, because all its work and memory
    except for a fixed part is. The sparse network's costs are linear in its voxels, whose number is a power of the
    size.
    """
    if not points or size <= max(p["size"] for p in points):
        return None
    kind, ndim = points[0]["kind"], points[0]["ndim"]
    row: dict[str, Any] = {"kind": kind, "ndim": ndim, "size": size}
    places, wanted = [p["size"] ** ndim for p in points], float(size**ndim)
    if kind == "sparse":
        places, wanted = [p["voxels"] for p in points], _voxels(points, size)
    for what in MEASURES:
        if all(p[what] > 0 for p in points):
            row[what] = line(places, [p[what] for p in points]).at(wanted)
    return row if set(MEASURES) & row.keys() else None


def _voxels(points: Sequence[PointRow], size: int) -> float:
    """The number of voxels in an image of this size, by a power law of the measured images without a constant part."""
    sizes, voxels = [p["size"] for p in points], [p["voxels"] for p in points]
    if len(points) == 1:
        return float(voxels[0])
    slope, offset = np.polyfit(np.log(sizes), np.log(voxels), 1)
    return float(np.exp(offset) * size**slope)


def _check(points: Sequence[PointRow]) -> list[dict[str, Any]]:
    """For the largest measured image, the ratio of the costs computed from the smaller images to the measured costs."""
    if len(points) < 3:
        return []
    largest = max(points, key=lambda p: p["size"])
    row = _computed([p for p in points if p is not largest], largest["size"])
    if row is None:
        return []
    return [row | {what: row[what] / largest[what] for what in MEASURES if what in row and largest[what] > 0}]


def ratios(points: Sequence[PointRow], computed: Sequence[PointRow]) -> list[dict[str, Any]]:
    """The ratio of a dense network's cost to the sparse one's on the same image, one row per network and size.

    measured: per quantity, whether both networks' costs were measured; otherwise one or both were computed.
    """
    costs = {(p["kind"], p["ndim"], p["size"]): (p, False) for p in computed}
    costs |= {(p["kind"], p["ndim"], p["size"]): (p, True) for p in points if p["images"] == 1}
    rows = []
    for (kind, ndim, size), (dense, measured) in sorted(costs.items(), key=lambda item: item[0]):
        sparse, both = costs.get(("sparse", ndim, size), ({}, False))
        shared = [what for what in MEASURES if dense.get(what) and sparse.get(what)]
        if kind != "sparse" and shared:
            row = {"kind": kind, "ndim": ndim, "size": size, "measured": measured and both}
            rows.append(row | {what: dense[what] / sparse[what] for what in shared})
    return rows

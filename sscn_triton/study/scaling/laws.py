"""Laws of growth: a fixed cost, and what is added to it by a power of the size or by an exponential."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

EXPONENTS = 0.05, 8.0
RATES = 0.02, 40.0
"""Exponents of the power law, and rates of the exponential over the largest size, between which the best is sought."""
GRID, REFINEMENTS = 801, 3
TINY = 1e-18
"""Sum of squares below which a law meets its points."""
FREE = 5
"""Different sizes that a law with a fixed cost needs; fewer are given a law without one."""


@dataclass(frozen=True)
class Fit:
    """y = fixed + factor * x ** exponent, with fixed and factor at least 0: least squares of the relative residuals.

    error: standard error of the exponent from the scatter, the other two left free (Gauss and Newton's); nan where the
    points are no more than the law's numbers. Fewer than FREE different x have a law without a fixed cost.
    last: the exponent between the two largest x, fixed cost and all.
    power, exponential: rms relative residuals of this law, and of y = fixed + factor * exp(rate * x).
    odds: decimal logarithm of how many times likelier the best of these makes the points than the best of those, for
    normal residuals whose width is that of each law's best fit: n / 2 * log10 of the ratio of the sums of squares. Both
    laws have as many parameters. nan where both meet all points.
    """

    exponent: float
    error: float
    factor: float
    fixed: float
    last: float
    power: float
    exponential: float
    odds: float
    points: int

    def at(self, x: float) -> float:
        return self.fixed + self.factor * x**self.exponent


def fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Raises ValueError for fewer than two different x, or values that are not positive."""
    if len(set(x)) < 2 or min(*x, *y) <= 0:
        raise ValueError(f"a power law needs positive values at two places or more, got {x} and {y}")
    places, values = np.asarray(x, float), np.asarray(y, float)
    free = len(set(x)) >= FREE
    unit = places / places.max()  # so that no power of it overflows
    exponent, fixed, factor, squares = _search(lambda p: unit**p, EXPONENTS, values, free)
    *_, others = _search(lambda rate: np.exp(rate * (unit - 1)), RATES, values, free)
    freedom = len(x) - (3 if free else 2)
    odds = len(x) / 2 * math.log10(max(others, TINY) / max(squares, TINY)) if freedom > 0 else math.nan
    return Fit(
        exponent=exponent,
        error=_error(unit, values, fixed, factor, exponent, free) if freedom > 0 else math.nan,
        factor=factor / float(places.max()) ** exponent,
        fixed=fixed,
        last=_last(np.log(places), np.log(values)),
        power=math.sqrt(squares / len(x)),
        exponential=math.sqrt(others / len(x)),
        odds=odds,
        points=len(x),
    )


def _search(
    shape: Callable[[np.ndarray], np.ndarray], between: tuple[float, float], values: np.ndarray, free: bool
) -> tuple[float, float, float, float]:
    """The best parameter of a shape, its fixed cost and factor, and the sum of squares that is left."""
    low, high = between
    for _ in range(1 + REFINEMENTS):
        grid = np.linspace(low, high, GRID)
        fixed, factor, squares = _best(shape(grid[:, None]), values, free)
        best = int(squares.argmin())
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)])
    return float(grid[best]), float(fixed[best]), float(factor[best]), float(squares[best])


def _best(shapes: np.ndarray, values: np.ndarray, free: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each shape [n] the best fixed cost and factor, at least 0, and the sum of squares of relative residuals."""
    one, grown = 1 / values, shapes / values
    aa, ab, bb = (one**2).sum(), (grown * one).sum(1), (grown**2).sum(1)
    a, b = one.sum(), grown.sum(1)
    determinant = aa * bb - ab**2
    with np.errstate(divide="ignore", invalid="ignore"):
        fixed, factor = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
    bare = ~(fixed > 0) | (not free)  # also where the shape is flat and the two cannot be told apart
    fixed, factor = np.where(bare, 0.0, fixed), np.where(bare, b / bb, factor)
    flat = factor < 0
    fixed, factor = np.where(flat, a / aa, fixed), np.where(flat, 0.0, factor)
    residuals = fixed[:, None] * one + factor[:, None] * grown - 1
    return fixed, factor, (residuals**2).sum(1)


def _error(unit: np.ndarray, values: np.ndarray, fixed: float, factor: float, exponent: float, free: bool) -> float:
    grown = factor * unit**exponent
    slopes = [np.log(unit) * grown / values, unit**exponent / values]
    if free and fixed > 0:
        slopes.append(1 / values)
    residuals = (fixed + grown) / values - 1
    jacobian = np.column_stack(slopes)
    try:
        inverse = np.linalg.inv(jacobian.T @ jacobian)
    except np.linalg.LinAlgError:
        return math.nan
    return math.sqrt(max(inverse[0, 0], 0.0) * (residuals**2).sum() / (len(values) - len(slopes)))


def _last(places: np.ndarray, values: np.ndarray) -> float:
    """The slope between the two largest places, of the mean value where there are several."""
    two = np.unique(places)[-2:]
    low, high = (values[places == place].mean() for place in two)
    return float((high - low) / (two[1] - two[0]))

"""Laws of growth: a fixed cost plus a power of the size or an exponential in it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit, least_squares, nnls

Shape = Callable[[float], np.ndarray]
"""The growing term at each point, as a function of the fitted parameter."""

EXPONENTS = 0.05, 8.0
RATES = 0.02, 40.0
"""Search ranges for the exponent of the power law and for the exponential's rate, which is relative to the largest
size."""
STARTS = 81
"""Number of parameters that are tried before the search around the best one."""
TINY = 1e-18
"""Sum of squares below which a law passes through its points."""
ROUNDING = 1e-12
"""Share of the largest value below which the growing term counts as zero."""
FREE = 5
"""Number of different sizes that a law with a fixed cost needs; with fewer, the law has no fixed cost."""


@dataclass(frozen=True)
class Fit:
    """y = fixed + factor * x ** exponent, with fixed and factor at least 0: least squares of the relative residuals.

    error: standard error of the exponent from the scatter, with the other two parameters free (Gauss-Newton); nan if
    there are no more points than parameters, or if the points do not grow. With fewer than FREE different x, the law
    has no fixed cost.
    last: the exponent between the two largest x, including the fixed cost.
    power, exponential: rms relative residuals of this law, and of y = fixed + factor * exp(rate * x).
    odds: decimal logarithm of the likelihood ratio of the best power law to the best exponential, for normal residuals
    with the width of each law's best fit: n / 2 * log10 of the ratio of the sums of squares. Both laws have the same
    number of parameters. nan if both pass through all points.
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
    """Fit the power law. Raises ValueError if there are fewer than two different x or if values are not positive."""
    if len(set(x)) < 2 or min(*x, *y) <= 0:
        raise ValueError(f"a power law needs positive values at two or more points, got {x} and {y}")
    places, values = np.asarray(x, float), np.asarray(y, float)
    free = len(set(x)) >= FREE
    unit = places / places.max()  # so that no power overflows
    exponent, fixed, factor, squares = _search(lambda p: unit**p, EXPONENTS, values, free)
    *_, others = _search(lambda rate: np.exp(rate * (unit - 1)), RATES, values, free)
    grows = factor > ROUNDING * values.max()
    freedom = len(x) - (3 if free else 2)
    odds = len(x) / 2 * math.log10(max(others, TINY) / max(squares, TINY)) if freedom > 0 else math.nan
    return Fit(
        exponent=exponent,
        error=_error(unit, values, exponent, fixed, factor) if freedom > 0 and grows else math.nan,
        factor=factor / float(places.max()) ** exponent,
        fixed=fixed,
        last=_last(np.log(places), np.log(values)),
        power=math.sqrt(squares / len(x)),
        exponential=math.sqrt(others / len(x)),
        odds=odds,
        points=len(x),
    )


def _search(
    shape: Shape, between: tuple[float, float], values: np.ndarray, free: bool
) -> tuple[float, float, float, float]:
    """The best parameter of a shape, its fixed cost and factor, and the remaining sum of squares."""

    def residuals(parameter: float) -> np.ndarray:
        fixed, factor = _linear(shape(parameter), values, free)
        return (fixed + factor * shape(parameter)) / values - 1

    def squares(parameter: float) -> float:
        return float((residuals(parameter) ** 2).sum())

    start = min(np.linspace(*between, STARTS), key=squares)
    exact = dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15)
    found = least_squares(lambda parameters: residuals(parameters[0]), start, bounds=between, **exact)
    best = min((start, found.x[0]), key=squares)
    return float(best), *_linear(shape(best), values, free), squares(best)


def _linear(shape: np.ndarray, values: np.ndarray, free: bool) -> tuple[float, float]:
    """The best fixed cost and factor of a shape, at least 0."""
    columns = [shape / values, 1 / values] if free else [shape / values]
    factor, *fixed = nnls(np.column_stack(columns), np.ones_like(values))[0]
    return (float(fixed[0]) if free else 0.0), float(factor)


def _error(unit: np.ndarray, values: np.ndarray, exponent: float, fixed: float, factor: float) -> float:
    def law(x: np.ndarray, exponent: float, factor: float, fixed: float = 0.0) -> np.ndarray:
        return fixed + factor * x**exponent

    scale = values.max()
    best = [exponent, factor / scale, *([fixed / scale] if fixed > 0 else [])]
    bounds = (EXPONENTS[0], *[0.0] * (len(best) - 1)), (EXPONENTS[1], *[math.inf] * (len(best) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # scipy warns of an infinite variance
        variance = curve_fit(law, unit, values / scale, best, sigma=values / scale, bounds=bounds)[1][0, 0]
    return math.sqrt(variance) if math.isfinite(variance) else math.nan


def _last(places: np.ndarray, values: np.ndarray) -> float:
    """The logarithmic slope between the two largest x, from the mean of the values at each."""
    two = np.unique(places)[-2:]
    low, high = (values[places == place].mean() for place in two)
    return float((high - low) / (two[1] - two[0]))

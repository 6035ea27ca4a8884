"""Pooling over a rulebook: the rules of a convolution, with a reduction in place of the product with weights.

For a rulebook with rules R_v of tap v and features x [N_in, C], channel by channel,

    sum        y[j] = sum_v sum_{(i, j) in R_v} x[i]                         dL/dx[i] = sum_v sum_{(i, j) in R_v} g[j]
    average    y[j] = sum / n[j]                                             dL/dx[i] = the same of g[j] / n[j]
    max        y[j] = x[w[j]], w[j] the i of the largest x[i]                dL/dx[i] = sum of g[j] over w[j] = i
    unpool     x[i] = sum_v sum_{(i, j) in R_v} y[j]                         the sum's transpose, and its derivative

with g = dL/dy. Only active sites take part: n[j] is the number of rules that end in j (count="active"), or the number
of taps, V (count="volume"), as in a dense image padded with zeros. If several inputs are equal, the maximum is the one
of the first tap. Pooling over a whole event (global) is the same, with the event as the window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.relation import per_axis
from sscn_ref.rulebook import Rulebook
from sscn_ref.sites import Rows, as_features, as_sites

COUNTS = ("active", "volume")
REDUCTIONS = ("max", "mean", "sum")


def sum_pool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """The sum of the inputs under each output: features [N_in, C] to [N_out, C]. Its derivative is `unpool`."""
    x = pooling_features(features, rulebook)
    y = np.zeros((len(rulebook.output_coordinates), x.shape[1]), x.dtype)
    for rows_in, rows_out in rulebook.rules:
        y[rows_out] += x[rows_in]  # no output row occurs twice within a tap
    return y


def unpool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """Give each fine site the value of its pool, or the sum where pools overlap: [N_out, C] to [N_in, C] of the
    pooling's rulebook. The derivative is `sum_pool`."""
    y = as_features(features, len(rulebook.output_coordinates), "the rulebook's output sites")
    return sum_pool(y, rulebook.transposed())


def average_pool(features: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """The mean of the inputs under each output, [N_out, C]; count is "active" (inputs) or "volume" (of the kernel)."""
    n, y = pool_sizes(rulebook, count), sum_pool(features, rulebook)
    return (y / n).astype(np.result_type(y, np.float32))


def average_pool_backward(grad_output: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """The gradient of a loss with respect to the features [N_in, C] of `average_pool`, from grad_output [N_out, C]."""
    g = as_features(grad_output, len(rulebook.output_coordinates), "the rulebook's output sites")
    return unpool((g / pool_sizes(rulebook, count)).astype(np.result_type(g, np.float32)), rulebook)


def max_pool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """The largest input under each output, per channel: [N_out, C]; zeros where no rule ends.

    Inactive sites take no part, so an output may be negative where a dense image would give 0.
    """
    return largest(pooling_features(features, rulebook), rulebook)[0]


def max_pool_backward(grad_output: ArrayLike, features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """The gradient of a loss with respect to the features [N_in, C] of `max_pool`: each largest input gets its
    output's gradient."""
    x = pooling_features(features, rulebook)
    g = as_pooling_gradient(grad_output, (len(rulebook.output_coordinates), x.shape[1]))
    _, winners = largest(x, rulebook)
    grad_features = np.zeros(x.shape, g.dtype)
    for rows_in, rows_out in rulebook.rules:
        grad_features[rows_in] += np.where(winners[rows_out] == rows_in[:, np.newaxis], g[rows_out], 0)
    return grad_features


def largest(x: NDArray, rulebook: Rulebook) -> tuple[NDArray, Rows]:
    """The largest value under each output and the input row that contains it (-1 where there is none): [N_out, C] each.

    NaN counts as larger than any number.
    """
    shape = len(rulebook.output_coordinates), x.shape[1]
    y, winners = np.zeros(shape, x.dtype), np.full(shape, -1, np.int64)
    for rows_in, rows_out in rulebook.rules:
        value, best, winner = x[rows_in], y[rows_out], winners[rows_out]
        larger = (winner < 0) | (value > best) | np.isnan(value)
        y[rows_out] = np.where(larger, value, best)
        winners[rows_out] = np.where(larger, rows_in[:, np.newaxis], winner)
    return y, winners


def global_pool(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None = None, how: str = "mean"
) -> NDArray:
    """The "max", "mean" or "sum" of each event's rows, [batch_size, C]; zeros for an empty event.

    features [N, C], coordinates [N, 1 + D]; batch_size defaults to one more than the largest batch index. Sums are
    computed in float64; if several rows are equal, the maximum is the first.
    """
    x, event, size = global_arguments(features, coordinates, batch_size, how)
    y = np.zeros((size, x.shape[1]), x.dtype if how == "max" else np.float64)
    if how == "max":
        winners = largest_of_events(x, event, size)
        some, channel = np.nonzero(winners >= 0)
        y[some, channel] = x[winners[some, channel], channel]
        return y
    np.add.at(y, event, x)
    return as_reduced(y / event_sizes(event, size) if how == "mean" else y, x, how)


def global_pool_backward(
    grad_output: ArrayLike, features: ArrayLike, coordinates: ArrayLike, how: str = "mean"
) -> NDArray:
    """The gradient of a loss with respect to the features [N, C] of `global_pool`, from grad_output [batch_size, C]."""
    x, event, size = global_arguments(features, coordinates, len(np.asarray(grad_output)), how)
    g = as_pooling_gradient(grad_output, (size, x.shape[1]))
    if how == "max":
        grad_features, winners = np.zeros(x.shape, g.dtype), largest_of_events(x, event, size)
        some, channel = np.nonzero(winners >= 0)
        grad_features[winners[some, channel], channel] = g[some, channel]
        return grad_features
    return as_reduced(g / event_sizes(event, size) if how == "mean" else g, g, how)[event]


def largest_of_events(x: NDArray, event: Rows, size: int) -> Rows:
    """The row with each event's largest value, -1 if the event is empty: [size, C]."""
    winners = np.full((size, x.shape[1]), -1, np.int64)
    for one in np.unique(event):
        rows = np.flatnonzero(event == one)
        winners[one] = rows[x[rows].argmax(axis=0)]
    return winners


def event_sizes(event: Rows, size: int) -> Rows:
    """The number of rows of each event, with 1 for an empty event: [size, 1]."""
    return np.maximum(np.bincount(event, minlength=size), 1)[:, np.newaxis]


def pool_sizes(rulebook: Rulebook, count: str) -> NDArray:
    """The divisors of the sums, [N_out, 1]: the number of rules that end in a row (at least 1), or of all taps."""
    if count not in COUNTS:
        raise ValueError(f"count must be one of {', '.join(COUNTS)}, not {count!r}")
    outputs = len(rulebook.output_coordinates)
    if count == "volume":
        return np.full((outputs, 1), len(rulebook.rules))
    ends = np.concatenate([rows_out for _, rows_out in rulebook.rules])
    return np.maximum(np.bincount(ends, minlength=outputs), 1)[:, np.newaxis]


def pooling_features(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """Checked features [N_in, C]."""
    return as_features(features, len(rulebook.input_coordinates), "the rulebook's input sites")


def as_pooling_gradient(grad_output: ArrayLike, shape: tuple[int, int]) -> NDArray:
    """Checked grad_output, which has the output's shape."""
    g = np.asarray(grad_output)
    if g.shape != shape:
        raise ValueError(f"grad_output must have the output's shape {list(shape)}, not {list(g.shape)}")
    return g


def as_reduced(y: NDArray, x: NDArray, how: str) -> NDArray:
    """Sums in the type of x; means in that type too, but at least float32."""
    return y.astype(np.result_type(x, np.float32) if how == "mean" else x.dtype)


def global_arguments(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None, how: str
) -> tuple[NDArray, Rows, int]:
    """Checked features [N, C], the event of each row [N], and the number of events."""
    if how not in REDUCTIONS:
        raise ValueError(f"how must be one of {', '.join(REDUCTIONS)}, not {how!r}")
    event = as_sites(coordinates)[:, 0].astype(np.int64)
    x = as_features(features, len(event), "coordinates")
    needed = int(event.max()) + 1 if len(event) else 0
    (size,) = per_axis(needed if batch_size is None else batch_size, 1, "batch_size", minimum=0)
    if size < needed:
        raise ValueError(f"batch_size {batch_size} is too small for batch index {needed - 1}")
    return x, event, size

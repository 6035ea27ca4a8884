"""Pooling over a rulebook: the rules of a convolution, with a reduction in place of the product with weights.

For a rulebook with rules R_t of tap t and features f [N_in, C], channel by channel,

    sum        h[j] = sum_t sum_{(i, j) in R_t} f[i]                         dL/df[i] = sum_t sum_{(i, j) in R_t} g[j]
    average    h[j] = sum / n[j]                                             dL/df[i] = the same of g[j] / n[j]
    max        h[j] = f[w[j]], w[j] the i of the largest f[i]                dL/df[i] = sum of g[j] over w[j] = i
    unpool     f[i] = sum_t sum_{(i, j) in R_t} h[j]                         the sum's transpose, and its derivative

with g = dL/dh. Only active sites take part: n[j] is the number of rules that end in j (count="active"), or the number
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
    f = pooling_features(features, rulebook)
    h = np.zeros((len(rulebook.output_coordinates), f.shape[1]), f.dtype)
    for rows_in, rows_out in rulebook.rules:
        h[rows_out] += f[rows_in]  # no output row occurs twice within a tap
    return h


def unpool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """Give each fine site the value of its pool, or the sum where pools overlap: [N_out, C] to [N_in, C] of the
    pooling's rulebook. The derivative is `sum_pool`."""
    h = as_features(features, len(rulebook.output_coordinates), "the rulebook's output sites")
    return sum_pool(h, rulebook.transposed())


def average_pool(features: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """The mean of the inputs under each output, [N_out, C]; count is "active" (inputs) or "volume" (of the kernel)."""
    n, h = pool_sizes(rulebook, count), sum_pool(features, rulebook)
    return (h / n).astype(np.result_type(h, np.float32))


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
    f = pooling_features(features, rulebook)
    g = as_pooling_gradient(grad_output, (len(rulebook.output_coordinates), f.shape[1]))
    _, winners = largest(f, rulebook)
    grad_features = np.zeros(f.shape, g.dtype)
    for rows_in, rows_out in rulebook.rules:
        grad_features[rows_in] += np.where(winners[rows_out] == rows_in[:, np.newaxis], g[rows_out], 0)
    return grad_features


def largest(f: NDArray, rulebook: Rulebook) -> tuple[NDArray, Rows]:
    """The largest value under each output and the input row that contains it (-1 where there is none): [N_out, C] each.

    NaN counts as larger than any number.
    """
    shape = len(rulebook.output_coordinates), f.shape[1]
    h, winners = np.zeros(shape, f.dtype), np.full(shape, -1, np.int64)
    for rows_in, rows_out in rulebook.rules:
        value, best, winner = f[rows_in], h[rows_out], winners[rows_out]
        larger = (winner < 0) | (value > best) | np.isnan(value)
        h[rows_out] = np.where(larger, value, best)
        winners[rows_out] = np.where(larger, rows_in[:, np.newaxis], winner)
    return h, winners


def global_pool(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None = None, how: str = "mean"
) -> NDArray:
    """The "max", "mean" or "sum" of each event's rows, [batch_size, C]; zeros for an empty event.

    features [N, C], coordinates [N, 1 + D]; batch_size defaults to one more than the largest batch index. Sums are
    computed in float64; if several rows are equal, the maximum is the first.
    """
    f, event, size = global_arguments(features, coordinates, batch_size, how)
    h = np.zeros((size, f.shape[1]), f.dtype if how == "max" else np.float64)
    if how == "max":
        winners = largest_of_events(f, event, size)
        some, channel = np.nonzero(winners >= 0)
        h[some, channel] = f[winners[some, channel], channel]
        return h
    np.add.at(h, event, f)
    return as_reduced(h / event_sizes(event, size) if how == "mean" else h, f, how)


def global_pool_backward(
    grad_output: ArrayLike, features: ArrayLike, coordinates: ArrayLike, how: str = "mean"
) -> NDArray:
    """The gradient of a loss with respect to the features [N, C] of `global_pool`, from grad_output [batch_size, C]."""
    f, event, size = global_arguments(features, coordinates, len(np.asarray(grad_output)), how)
    g = as_pooling_gradient(grad_output, (size, f.shape[1]))
    if how == "max":
        grad_features, winners = np.zeros(f.shape, g.dtype), largest_of_events(f, event, size)
        some, channel = np.nonzero(winners >= 0)
        grad_features[winners[some, channel], channel] = g[some, channel]
        return grad_features
    return as_reduced(g / event_sizes(event, size) if how == "mean" else g, g, how)[event]


def largest_of_events(f: NDArray, event: Rows, size: int) -> Rows:
    """The row with each event's largest value, -1 if the event is empty: [size, C]."""
    winners = np.full((size, f.shape[1]), -1, np.int64)
    for one in np.unique(event):
        rows = np.flatnonzero(event == one)
        winners[one] = rows[f[rows].argmax(axis=0)]
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


def as_reduced(h: NDArray, f: NDArray, how: str) -> NDArray:
    """Sums in the type of f; means in that type too, but at least float32."""
    return h.astype(np.result_type(f, np.float32) if how == "mean" else f.dtype)


def global_arguments(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None, how: str
) -> tuple[NDArray, Rows, int]:
    """Checked features [N, C], the event of each row [N], and the number of events."""
    if how not in REDUCTIONS:
        raise ValueError(f"how must be one of {', '.join(REDUCTIONS)}, not {how!r}")
    event = as_sites(coordinates)[:, 0].astype(np.int64)
    f = as_features(features, len(event), "coordinates")
    needed = int(event.max()) + 1 if len(event) else 0
    (size,) = per_axis(needed if batch_size is None else batch_size, 1, "batch_size", minimum=0)
    if size < needed:
        raise ValueError(f"batch_size {batch_size} is too small for batch index {needed - 1}")
    return f, event, size

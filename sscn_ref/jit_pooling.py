"""Pooling compiled by Numba, a part of `sscn_ref.jit`; the NumPy functions are in `sscn_ref.pooling`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref import loops
from sscn_ref.pooling import (
    as_pooling_gradient,
    as_reduced,
    event_sizes,
    global_arguments,
    pool_sizes,
    pooling_features,
)
from sscn_ref.rulebook import Rulebook, Rules
from sscn_ref.sites import Rows, as_features


def sum_pool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.sum_pool`."""
    x = np.ascontiguousarray(pooling_features(features, rulebook))
    y = np.zeros((len(rulebook.output_coordinates), x.shape[1]), x.dtype)
    for rows_in, rows_out in rulebook.rules:
        loops.add_rows(x, rows_in, rows_out, y)
    return y


def unpool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.unpool`."""
    y = as_features(features, len(rulebook.output_coordinates), "the rulebook's output sites")
    return sum_pool(y, rulebook.transposed())


def average_pool(features: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """See `sscn_ref.average_pool`."""
    n, y = pool_sizes(rulebook, count), sum_pool(features, rulebook)
    return (y / n).astype(np.result_type(y, np.float32))


def average_pool_backward(grad_output: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """See `sscn_ref.average_pool_backward`."""
    g = as_features(grad_output, len(rulebook.output_coordinates), "the rulebook's output sites")
    return unpool((g / pool_sizes(rulebook, count)).astype(np.result_type(g, np.float32)), rulebook)


def max_pool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.max_pool`."""
    return _largest(pooling_features(features, rulebook), rulebook.rules, len(rulebook.output_coordinates))[0]


def max_pool_backward(grad_output: ArrayLike, features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.max_pool_backward`."""
    x = pooling_features(features, rulebook)
    g = as_pooling_gradient(grad_output, (len(rulebook.output_coordinates), x.shape[1]))
    return _give_back(g, x, rulebook.rules)


def global_pool(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None = None, how: str = "mean"
) -> NDArray:
    """See `sscn_ref.global_pool`. Each event is one output row, and each of its rows is a rule."""
    x, event, size = global_arguments(features, coordinates, batch_size, how)
    if how == "max":
        return _largest(x, [(np.arange(len(x)), event)], size)[0]
    y = np.zeros((size, x.shape[1]))
    loops.add_rows(np.ascontiguousarray(x), np.arange(len(x)), event, y)
    return as_reduced(y / event_sizes(event, size) if how == "mean" else y, x, how)


def global_pool_backward(
    grad_output: ArrayLike, features: ArrayLike, coordinates: ArrayLike, how: str = "mean"
) -> NDArray:
    """See `sscn_ref.global_pool_backward`."""
    x, event, size = global_arguments(features, coordinates, len(np.asarray(grad_output)), how)
    g = as_pooling_gradient(grad_output, (size, x.shape[1]))
    if how == "max":
        return _give_back(g, x, [(np.arange(len(x)), event)])
    shares = np.ascontiguousarray(as_reduced(g / event_sizes(event, size) if how == "mean" else g, g, how))
    grad_features = np.zeros(x.shape, shares.dtype)
    loops.add_rows(shares, event, np.arange(len(x)), grad_features)
    return grad_features


def _largest(x: NDArray, rules: Rules, outputs: int) -> tuple[NDArray, Rows]:
    """The largest value under each output and the input row that contains it (-1 where no rule ends)."""
    y = np.zeros((outputs, x.shape[1]), x.dtype)
    winners = np.full(y.shape, -1, np.int64)
    for rows_in, rows_out in rules:
        loops.largest_rows(np.ascontiguousarray(x), rows_in, rows_out, y, winners)
    return y, winners


def _give_back(g: NDArray, x: NDArray, rules: Rules) -> NDArray:
    """Add each output's gradient to the input row that had the largest value."""
    _, winners = _largest(x, rules, len(g))
    grad_features = np.zeros(x.shape, g.dtype)
    for rows_in, rows_out in rules:
        loops.give_rows(np.ascontiguousarray(g), winners, rows_in, rows_out, grad_features)
    return grad_features

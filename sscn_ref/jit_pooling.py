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
    f = np.ascontiguousarray(pooling_features(features, rulebook))
    h = np.zeros((len(rulebook.output_coordinates), f.shape[1]), f.dtype)
    for rows_in, rows_out in rulebook.rules:
        loops.add_rows(f, rows_in, rows_out, h)
    return h


def unpool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.unpool`."""
    h = as_features(features, len(rulebook.output_coordinates), "the rulebook's output sites")
    return sum_pool(h, rulebook.transposed())


def average_pool(features: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """See `sscn_ref.average_pool`."""
    n, h = pool_sizes(rulebook, count), sum_pool(features, rulebook)
    return (h / n).astype(np.result_type(h, np.float32))


def average_pool_backward(grad_output: ArrayLike, rulebook: Rulebook, count: str = "active") -> NDArray[np.floating]:
    """See `sscn_ref.average_pool_backward`."""
    g = as_features(grad_output, len(rulebook.output_coordinates), "the rulebook's output sites")
    return unpool((g / pool_sizes(rulebook, count)).astype(np.result_type(g, np.float32)), rulebook)


def max_pool(features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.max_pool`."""
    return _largest(pooling_features(features, rulebook), rulebook.rules, len(rulebook.output_coordinates))[0]


def max_pool_backward(grad_output: ArrayLike, features: ArrayLike, rulebook: Rulebook) -> NDArray:
    """See `sscn_ref.max_pool_backward`."""
    f = pooling_features(features, rulebook)
    g = as_pooling_gradient(grad_output, (len(rulebook.output_coordinates), f.shape[1]))
    return _give_back(g, f, rulebook.rules)


def global_pool(
    features: ArrayLike, coordinates: ArrayLike, batch_size: int | None = None, how: str = "mean"
) -> NDArray:
    """See `sscn_ref.global_pool`. Each event is one output row, and each of its rows is a rule."""
    f, event, size = global_arguments(features, coordinates, batch_size, how)
    if how == "max":
        return _largest(f, [(np.arange(len(f)), event)], size)[0]
    h = np.zeros((size, f.shape[1]))
    loops.add_rows(np.ascontiguousarray(f), np.arange(len(f)), event, h)
    return as_reduced(h / event_sizes(event, size) if how == "mean" else h, f, how)


def global_pool_backward(
    grad_output: ArrayLike, features: ArrayLike, coordinates: ArrayLike, how: str = "mean"
) -> NDArray:
    """See `sscn_ref.global_pool_backward`."""
    f, event, size = global_arguments(features, coordinates, len(np.asarray(grad_output)), how)
    g = as_pooling_gradient(grad_output, (size, f.shape[1]))
    if how == "max":
        return _give_back(g, f, [(np.arange(len(f)), event)])
    shares = np.ascontiguousarray(as_reduced(g / event_sizes(event, size) if how == "mean" else g, g, how))
    grad_features = np.zeros(f.shape, shares.dtype)
    loops.add_rows(shares, event, np.arange(len(f)), grad_features)
    return grad_features


def _largest(f: NDArray, rules: Rules, outputs: int) -> tuple[NDArray, Rows]:
    """The largest value under each output and the input row that contains it (-1 where no rule ends)."""
    h = np.zeros((outputs, f.shape[1]), f.dtype)
    winners = np.full(h.shape, -1, np.int64)
    for rows_in, rows_out in rules:
        loops.largest_rows(np.ascontiguousarray(f), rows_in, rows_out, h, winners)
    return h, winners


def _give_back(g: NDArray, f: NDArray, rules: Rules) -> NDArray:
    """Add each output's gradient to the input row that had the largest value."""
    _, winners = _largest(f, rules, len(g))
    grad_features = np.zeros(f.shape, g.dtype)
    for rows_in, rows_out in rules:
        loops.give_rows(np.ascontiguousarray(g), winners, rows_in, rows_out, grad_features)
    return grad_features

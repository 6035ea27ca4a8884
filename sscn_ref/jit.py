"""The functions of `sscn_ref` with their inner loops compiled by Numba: the same names, signatures and results.

The same code checks the arguments. The differences: sites are found in a hash table instead of by
sorting, and loops (`sscn_ref.loops`) replace NumPy's array expressions. The NumPy functions document
what each function does. The first call of a function compiles it, which takes about a second; later processes load it
from Numba's cache.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref import loops
from sscn_ref.convolution import as_bias, as_grad_output, convolution_arguments
from sscn_ref.dense import dense_arguments
from sscn_ref.hashtable import capacity_for
from sscn_ref.jit_pooling import (
    average_pool,
    average_pool_backward,
    global_pool,
    global_pool_backward,
    max_pool,
    max_pool_backward,
    sum_pool,
    unpool,
)
from sscn_ref.normalization import Floats, as_normalization_gradient, as_rows, as_statistics, normalization_arguments
from sscn_ref.relation import PerAxis, output_shape
from sscn_ref.rulebook import (
    Axes,
    Rulebook,
    Rules,
    Window,
    strided_arguments,
    submanifold_arguments,
    transposed_arguments,
)
from sscn_ref.sites import Keys, Rows, Sites, as_sites, key_box, reduction_arguments, refuse_duplicates, unpack_keys

__all__ = [
    "active_growth",
    "average_pool",
    "average_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_statistics",
    "convolve",
    "convolve_backward",
    "dense_convolution",
    "global_pool",
    "global_pool_backward",
    "grow",
    "max_pool",
    "max_pool_backward",
    "normalize",
    "reduce_duplicates",
    "strided_rulebook",
    "submanifold_rulebook",
    "sum_pool",
    "transposed_rulebook",
    "unique_sites",
    "unpool",
]


def unique_sites(coordinates: ArrayLike) -> tuple[Sites, Rows]:
    """See `sscn_ref.unique_sites`."""
    sites = as_sites(coordinates)
    first_rows, number = loops.number_first(_Table(sites).first)
    return sites[first_rows], number


def reduce_duplicates(coordinates: ArrayLike, features: ArrayLike, how: str) -> tuple[Sites, NDArray]:
    """See `sscn_ref.reduce_duplicates`."""
    values = np.ascontiguousarray(reduction_arguments(coordinates, features, how))
    sites, number = unique_sites(coordinates)
    result = np.zeros((len(sites), values.shape[1]), values.dtype)
    code = {"sum": 0, "mean": 0, "max": 1, "first": 2, "last": 3}[how]
    loops.reduce_rows(values, number, result, code)
    if how == "mean":
        count = np.bincount(number, minlength=len(sites))[:, np.newaxis]
        result = (result / count).astype(np.result_type(values, np.float32))
    return sites, result


def submanifold_rulebook(coordinates: ArrayLike, kernel_size: PerAxis, dilation: PerAxis = 1) -> Rulebook:
    """See `sscn_ref.submanifold_rulebook`."""
    sites, window = submanifold_arguments(coordinates, kernel_size, dilation)
    return Rulebook(sites, sites, _match(sites, sites, window))


def strided_rulebook(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    spatial_shape: PerAxis | None = None,
) -> Rulebook:
    """See `sscn_ref.strided_rulebook`."""
    sites, window, shape = strided_arguments(coordinates, kernel_size, stride, padding, dilation, spatial_shape)
    reached = loops.coarse_sites(sites, np.array(window.stride), window.offsets, _limits(shape))
    outputs = _sorted_sites(reached)
    return Rulebook(sites, outputs, _match(sites, outputs, window))


def transposed_rulebook(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    spatial_shape: PerAxis | None = None,
    output_padding: PerAxis = 0,
) -> Rulebook:
    """See `sscn_ref.transposed_rulebook`."""
    sites, window, shape = transposed_arguments(
        coordinates, kernel_size, stride, padding, dilation, spatial_shape, output_padding
    )
    reached = loops.fine_sites(sites, np.array(window.stride), window.offsets, _limits(shape))
    outputs = _sorted_sites(reached)
    return Rulebook(outputs, sites, _match(outputs, sites, window)).transposed()


def convolve(
    features: ArrayLike, weight: ArrayLike, rulebook: Rulebook, bias: ArrayLike | None = None
) -> NDArray[np.floating]:
    """See `sscn_ref.convolve`."""
    f, w = map(np.ascontiguousarray, convolution_arguments(features, weight, rulebook))
    b = as_bias(bias, w)
    h = np.zeros((len(rulebook.output_coordinates), w.shape[1] * w.shape[3]), np.result_type(f, w, b))
    for (rows_in, rows_out), w_tap in zip(rulebook.rules, w, strict=True):
        loops.multiply_tap(f, w_tap, rows_in, rows_out, h)
    return h + b


def convolve_backward(
    grad_output: ArrayLike, features: ArrayLike, weight: ArrayLike, rulebook: Rulebook
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """See `sscn_ref.convolve_backward`."""
    f, w = map(np.ascontiguousarray, convolution_arguments(features, weight, rulebook))
    g = np.ascontiguousarray(as_grad_output(grad_output, w, rulebook))
    w_turned = np.ascontiguousarray(w.transpose(0, 1, 3, 2))
    grad_features = np.zeros(f.shape, np.result_type(g, w))
    grad_weight = np.zeros(w.shape, np.result_type(g, f))
    for tap, (rows_in, rows_out) in enumerate(rulebook.rules):
        loops.multiply_tap(g, w_turned[tap], rows_out, rows_in, grad_features)
        loops.outer_tap(f, g, rows_in, rows_out, grad_weight[tap])
    return grad_features, grad_weight.reshape(np.shape(weight)), g.sum(axis=0)


def batch_statistics(features: ArrayLike) -> tuple[Floats, Floats]:
    """See `sscn_ref.batch_statistics`."""
    return loops.statistics(np.ascontiguousarray(as_rows(features)))


def normalize(
    features: ArrayLike, mean: ArrayLike, variance: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float
) -> Floats:
    """See `sscn_ref.normalize`."""
    f, w, b = map(np.ascontiguousarray, normalization_arguments(features, weight, bias, eps))
    h = np.empty_like(f)
    loops.normalize_rows(f, as_statistics(mean, f), as_statistics(variance, f), w, b, eps, h)
    return h


def batch_norm(features: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> Floats:
    """See `sscn_ref.batch_norm`."""
    f, w, b = normalization_arguments(features, weight, bias, eps)
    return normalize(f, *batch_statistics(f), w, b, eps)


def batch_norm_backward(
    grad_output: ArrayLike, features: ArrayLike, weight: ArrayLike, eps: float = 1e-5
) -> tuple[Floats, Floats, Floats]:
    """See `sscn_ref.batch_norm_backward`."""
    f, w, _ = map(np.ascontiguousarray, normalization_arguments(features, weight, weight, eps))
    g = np.ascontiguousarray(as_normalization_gradient(grad_output, f))
    grad_features = np.empty_like(f)
    grad_weight, grad_bias = loops.normalize_backward(g, f, w, eps, grad_features)
    return grad_features, grad_weight.astype(w.dtype), grad_bias.astype(w.dtype)


def dense_convolution(
    x: ArrayLike,
    weight: ArrayLike,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    bias: ArrayLike | None = None,
) -> NDArray:
    """See `sscn_ref.dense_convolution`."""
    image, w, window = dense_arguments(x, weight, stride, padding, dilation)
    b = as_bias(bias, w)
    shape = output_shape(image.shape[1:-1], window.kernel_size, window.stride, window.padding, window.dilation)
    inputs = np.ascontiguousarray(image).reshape(len(image), math.prod(image.shape[1:-1]), image.shape[-1])
    h = np.zeros((len(image), math.prod(shape), len(b)), np.result_type(image, w, b))
    sizes = np.array(image.shape[1:-1]), np.array(shape), np.array(window.stride)
    for offset, w_tap in zip(window.offsets, np.ascontiguousarray(w), strict=True):
        positions = loops.dense_positions(*sizes, offset)
        rows_out = np.flatnonzero(positions >= 0)
        for one, out in zip(inputs, h, strict=True):
            loops.multiply_tap(one, w_tap, positions[rows_out], rows_out, out)
    return h.reshape(len(image), *shape, len(b)) + b


def grow(coordinates: ArrayLike, kernel_size: PerAxis = 3, dilation: PerAxis = 1) -> Sites:
    """See `sscn_ref.grow`."""
    sites, window = submanifold_arguments(coordinates, kernel_size, dilation)
    for axis in range(len(window.kernel_size)):
        offsets = window.edge(axis).offsets
        sites = _sorted_sites(loops.coarse_sites(sites, np.array(window.stride), offsets, _limits(None)))
    return sites


def active_growth(coordinates: ArrayLike, steps: int, kernel_size: PerAxis = 3) -> list[int]:
    """See `sscn_ref.active_growth`."""
    if steps < 0:
        raise ValueError(f"steps must not be negative: {steps}")
    sites, _ = unique_sites(coordinates)
    counts = [len(sites)]
    for _ in range(steps):
        sites = grow(sites, kernel_size)
        counts.append(len(sites))
    return counts


class _Table:
    """The hash table of a set of sites: their box, the slots, and for each row the first row with the same site."""

    def __init__(self, sites: Sites) -> None:
        self.low, self.extent = key_box(sites)
        self.bits = capacity_for(len(sites)).bit_length() - 1
        self.keys: Keys = loops.pack_all(sites, self.low, self.extent)
        self.slot_keys, self.slot_rows, self.first = loops.build_table(self.keys, self.bits)


def _match(fine: Sites, coarse: Sites, window: Window) -> Rules:
    table = _Table(fine)
    refuse_duplicates(fine, table.first)
    stride = np.array(window.stride)
    place = table.low, table.extent, table.slot_keys, table.slot_rows, table.bits
    return [loops.match_tap(coarse, stride, offset, *place) for offset in window.offsets]


def _sorted_sites(candidates: NDArray[np.int64]) -> Sites:
    table = _Table(as_sites(candidates))
    keys = np.sort(table.slot_keys[table.slot_rows >= 0])
    return unpack_keys(keys, table.low, table.extent).astype(np.int32)


def _limits(shape: Axes | None) -> NDArray[np.int64]:
    """The shape in the form that the loops expect: an empty array if there is none."""
    return np.array(shape or (), np.int64)

"""Batch norm: kernels that normalise rows, optionally with residual and rectifier, and their gradients."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.norm import Norm
from sscn_triton.ops.triton import statistics
from sscn_triton.ops.triton.launch import ceil_div, launch
from sscn_triton.ops.triton.statistics import HEAD, store_height, store_pair, tile_of, tile_size, wide_type


@triton.jit
def scaling(mean, variance, column, there, EPS: tl.constexpr, WIDE: tl.constexpr):
    """Mean and reciprocal deviation of a block of channels."""
    deviation = tl.sqrt(tl.load(variance + column, mask=there, other=1).to(WIDE) + EPS)
    return tl.load(mean + column, mask=there, other=0).to(WIDE), 1 / deviation


@triton.jit
def scaled(distance, weight, bias, column, there):
    """``distance * weight + bias`` for a block of channels; either may be None."""
    if weight is not None:
        distance *= tl.load(weight + column, mask=there, other=0).to(distance.dtype)
    if bias is not None:
        distance += tl.load(bias + column, mask=there, other=0).to(distance.dtype)
    return distance


@triton.jit
def rectified(value, LEAKINESS: tl.constexpr):
    """Negative values times LEAKINESS."""
    if LEAKINESS == 0:
        return tl.where(value < 0, 0.0, value).to(value.dtype)
    elif LEAKINESS == 1:
        return value
    else:
        return tl.where(value < 0, value * LEAKINESS, value)


@triton.jit
def normalized(
    value, there, mean, variance, weight, bias, channel, known, EPS: tl.constexpr, LEAKINESS: tl.constexpr
):  # fmt: skip
    """Gathered numbers of a block of channels, normalised in float32; zero for a missing row.

    Numbers of 16 bits need one multiplication and addition, by a scale and a shift per channel. Its rounding error is
    2^-24 of the mean, less than a 2^12th of that of a number of 16 bits near the mean. For float32 the two errors would
    be equal, so the mean is subtracted first.
    """
    middle, scale = scaling(mean, variance, channel, known, EPS, tl.float32)
    if value.dtype == tl.float32:
        value = scaled((value - middle) * scale, weight, bias, channel, known)
    else:
        scale = scaled(scale, weight, None, channel, known)
        value = value.to(tl.float32) * scale + scaled(-middle * scale, None, bias, channel, known)
    return tl.where(there, rectified(value, LEAKINESS), 0)


@triton.jit(do_not_specialize=["rows"])
def normalize_kernel(
    features,
    output,
    residual,
    mean,
    variance,
    norm_weight,
    norm_bias,
    rows,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """``output = rectified(norm(features) + residual)``, all ``[rows, CHANNELS]``; the norm has ``[CHANNELS]``."""
    column, inside, there, place = tile_of(rows, CHANNELS, ROWS, WIDTH)
    mask = inside[:, None] & there
    middle, scale = scaling(mean, variance, column, there, EPS, WIDE)
    value = (tl.load(features + place, mask=mask, other=0).to(WIDE) - middle) * scale
    value = scaled(value, norm_weight, norm_bias, column, there)
    if residual is not None:
        value += tl.load(residual + place, mask=mask, other=0).to(WIDE)
    tl.store(output + place, rectified(value, LEAKINESS).to(output.dtype.element_ty), mask=mask)


@triton.jit
def slope_and_distance(
    grad, features, residual, weight, bias, middle, scale, column, there, place, mask,
    LEAKINESS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The gradient for the preactivation (before the rectifier), and the normalised distance from the mean."""
    slope = tl.load(grad + place, mask=mask, other=0).to(WIDE)
    distance = tl.where(mask, (tl.load(features + place, mask=mask, other=0).to(WIDE) - middle) * scale, 0)
    if LEAKINESS != 1:
        value = scaled(distance, weight, bias, column, there)
        if residual is not None:
            value += tl.load(residual + place, mask=mask, other=0).to(WIDE)
        slope = tl.where(value <= 0, slope * LEAKINESS, slope)
    return slope, distance


@triton.jit(do_not_specialize=["rows"])
def slopes_kernel(
    grad,
    features,
    slopes,
    residual,
    mean,
    variance,
    norm_weight,
    norm_bias,
    rows,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    HEAD: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """For each tile, write the sum of the slopes and the sum of slopes times distances.

    grad, features and residual ``[rows, CHANNELS]``; slopes ``[HEAD + 2 * tiles * CHANNELS]``; the norm's tensors
    ``[CHANNELS]``.
    """
    column, inside, there, place = tile_of(rows, CHANNELS, ROWS, WIDTH)
    middle, scale = scaling(mean, variance, column, there, EPS, WIDE)
    slope, distance = slope_and_distance(
        grad, features, residual, norm_weight, norm_bias, middle, scale, column, there, place, inside[:, None] & there,
        LEAKINESS, WIDE,
    )  # fmt: skip
    store_pair(slopes, tl.program_id(0), tl.sum(slope, 0), tl.sum(slope * distance, 0), column, there, CHANNELS, HEAD)
    store_height(slopes, tl.program_id(0), ROWS)


@triton.jit(do_not_specialize=["rows", "count"])
def gradient_kernel(
    grad,
    features,
    output,
    grad_residual,
    sums,
    residual,
    mean,
    variance,
    norm_weight,
    norm_bias,
    rows,
    count,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDE: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """The gradient for the rows. With ``sums``, mean and variance were computed from ``count`` rows including these.

    grad, features, residual, output and grad_residual ``[rows, CHANNELS]``; sums ``[2, CHANNELS]``; the norm's tensors
    ``[CHANNELS]``.
    """
    column, inside, there, place = tile_of(rows, CHANNELS, ROWS, WIDTH)
    mask = inside[:, None] & there
    middle, scale = scaling(mean, variance, column, there, EPS, WIDE)
    slope, distance = slope_and_distance(
        grad, features, residual, norm_weight, norm_bias, middle, scale, column, there, place, mask, LEAKINESS, WIDE
    )  # fmt: skip
    if grad_residual is not None:
        tl.store(grad_residual + place, slope.to(grad_residual.dtype.element_ty), mask=mask)
    if sums is not None:
        share = tl.load(sums + column, mask=there, other=0)
        share = share + distance * tl.load(sums + CHANNELS + column, mask=there, other=0)
        slope -= share / count.to(WIDE)
    value = scaled(slope * scale, norm_weight, None, column, there)
    tl.store(output + place, value.to(output.dtype.element_ty), mask=mask)


def norm_arguments(norm: Norm | None) -> dict[str, Any]:
    """A norm as the arguments of a kernel; all are None without a norm."""
    if norm is None:
        return dict.fromkeys(("mean", "variance", "norm_weight", "norm_bias", "EPS", "LEAKINESS"))
    return {
        "mean": norm.mean, "variance": norm.variance, "norm_weight": norm.weight, "norm_bias": norm.bias,
        "EPS": norm.eps, "LEAKINESS": norm.leakiness,
    }  # fmt: skip


MOST_GATHERED = 1 << 19
"""Numbers of a table up to which a convolution normalises rows while it gathers them.

It then normalises each row once per rule, about 16 times, which costs two to five times the instructions of its loop
(`tests/ops/triton/kernel_budget.json`), but it saves a launch. A small table is gathered while the host prepares the
next launch; for a large one, writing the normalised rows once costs less. The number is an estimate from counted
instructions, not a measurement: 32,768 sites of 16 channels, or 8,192 of 64.
"""


def normalize(features: Tensor, norm: Norm, residual: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """``[N, C]``, in the type of the features unless ``dtype`` is another: the normalised rows; the residual is added
    before negative values are multiplied by the leakiness."""
    features = features.contiguous()
    output = torch.empty_like(features, dtype=dtype)
    grid, options = _walk(features, norm, 2)
    residual = None if residual is None else residual.contiguous()
    launch(normalize_kernel, grid, features=features, output=output, residual=residual, **options)
    return output


def slopes(grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None) -> Tensor:
    """``[2, C]``: the gradients for bias and weight."""
    grad, features = grad.contiguous(), features.contiguous()
    grid, options = _walk(features, norm)
    found = statistics.line(features, features.shape[1])
    residual = None if residual is None else residual.contiguous()
    launch(slopes_kernel, grid, grad=grad, features=features, slopes=found, residual=residual, HEAD=HEAD, **options)
    return statistics.add(found, *features.shape)


def gradient(
    grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None, sums: Tensor | None, count: int
) -> tuple[Tensor, Tensor]:
    """The gradients for the rows and for the residual, if there is one. ``sums`` are the result of `slopes` over the
    ``count`` rows from which mean and variance were computed; None if these are constants."""
    grad, features = grad.contiguous(), features.contiguous()
    output = torch.empty_like(features)
    residual = None if residual is None else residual.contiguous()
    grad_residual = None if residual is None else torch.empty_like(residual)
    grid, options = _walk(features, norm, 2)
    launch(
        gradient_kernel, grid, grad=grad, features=features, output=output, grad_residual=grad_residual, sums=sums,
        residual=residual, count=count, **options,
    )  # fmt: skip
    return output, features.new_empty(0) if grad_residual is None else grad_residual


def _walk(features: Tensor, norm: Norm, split: int = 1) -> tuple[tuple[int, int], dict[str, Any]]:
    """The grid of a kernel that iterates over rows, and the arguments of all such kernels; ``split`` divides tiles."""
    (rows, channels), (height, width) = features.shape, tile_size(features.shape[1])
    height //= split
    return (ceil_div(rows, height), ceil_div(channels, width)), {
        **norm_arguments(norm), "rows": rows, "CHANNELS": channels, "WIDE": wide_type(features), "ROWS": height,
        "WIDTH": width,
    }  # fmt: skip

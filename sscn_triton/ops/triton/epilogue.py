"""The last step of a convolution's tile: it adds bias and residual, writes the rows and computes their moments."""

from __future__ import annotations

import triton
import triton.language as tl

from sscn_triton.ops.triton.normalization import scaled, scaling
from sscn_triton.ops.triton.statistics import store_height, store_moments, store_pair


@triton.jit
def finish(
    total, bias, residual, output, moments, rows, mean, variance, norm_weight, norm_bias, order, tile, position,
    positions, column, there, EPS: tl.constexpr, LEAKINESS: tl.constexpr, CHANNELS: tl.constexpr, HEAD: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Add bias and residual, then write the rows and their moments.

    If there are ``rows``, the tile is the gradient of their norm's output: the gradient of the preactivation (before
    the rectifier) is written instead, and ``moments`` gets the sums that the norm's own gradient needs. Out-of-range
    rows in ``order`` are clamped.
    """
    inside = position < positions
    if bias is not None:
        total += tl.load(bias + column, mask=there, other=0).to(tl.float32)
    row = tl.minimum(tl.maximum(tl.load(order + position, mask=inside, other=0), 0), positions - 1).to(tl.int64)
    place, mask = row[:, None] * CHANNELS + column, inside[:, None] & there
    if residual is not None:
        total += tl.load(residual + place, mask=mask, other=0).to(tl.float32)
    value = total.to(output.dtype.element_ty)
    if rows is not None:
        middle, scale = scaling(mean, variance, column, there, EPS, tl.float32)
        distance = tl.where(mask, (tl.load(rows + place, mask=mask, other=0).to(tl.float32) - middle) * scale, 0)
        slope = tl.where(mask, value.to(tl.float32), 0)
        if LEAKINESS != 1:
            falls = scaled(distance, norm_weight, norm_bias, column, there) <= 0
            slope = tl.where(falls, slope * LEAKINESS, slope)
        value = slope.to(output.dtype.element_ty)
        sums = tl.sum(slope, 0), tl.sum(slope * distance, 0)
        store_pair(moments, tile, sums[0], sums[1], column, there, CHANNELS, HEAD)
        store_height(moments, tile, ROWS)
    elif moments is not None:
        store_moments(moments, tile, value.to(tl.float32), inside, positions, column, there, CHANNELS, HEAD, ROWS)
    tl.store(output + place, value, mask=mask)

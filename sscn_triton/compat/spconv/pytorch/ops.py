"""spconv's output sizes, and the names of its algorithms."""

from __future__ import annotations

from collections.abc import Sequence

from sscn_triton.compat.spconv.core import ConvAlgo

__all__ = ["ConvAlgo", "get_conv_output_size", "get_deconv_output_size"]


def get_conv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """``(in + 2 padding - dilation (kernel - 1) - 1) // stride + 1`` on every axis."""
    axes = zip(input_size, kernel_size, stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]


def get_deconv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
) -> list[int]:
    """``(in - 1) stride - 2 padding + kernel + output_padding`` on every axis: ``dilation`` has no part in it."""
    axes = zip(input_size, kernel_size, stride, padding, dilation, output_padding, strict=True)
    return [(n - 1) * s - 2 * p + k + extra for n, k, s, p, _, extra in axes]

"""The one relation that every convolution of this package is made of.

    input = stride * output + dilation * tap - padding        (per axis)

A *tap* is one position of the kernel, counted from 0 to kernel_size - 1 on every axis. The relation says
which input site a tap carries to an output site. What distinguishes one convolution from another is only who
chooses the output sites (see `sscn_ref.rulebook`).

The formula is the cross-correlation of Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (arXiv:1603.07285), and PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PerAxis = int | Sequence[int]  # one number for all axes, or one for each

MAX_NDIM = 4
LARGEST = 2**31 - 1  # of a coordinate and of a kernel's settings, so that stride * output fits in int64


def per_axis(value: PerAxis, ndim: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """`value` as one integer for each of `ndim` axes: a single number stands for all of them.

    Raises TypeError for what is not an integer, ValueError for a wrong count or a number below `minimum`;
    both name the argument.
    """
    given = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else [value] * ndim
    if any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) for v in given):
        raise TypeError(f"{name} must be an integer or one integer per axis, not {value!r}")
    numbers = tuple(int(v) for v in given)
    if len(numbers) != ndim:
        raise ValueError(f"{name} has {len(numbers)} entries for {ndim} axes: {value!r}")
    if any(not minimum <= v <= LARGEST for v in numbers):
        raise ValueError(f"{name} must be between {minimum} and {LARGEST}, not {value!r}")
    return numbers


def taps(kernel_size: Sequence[int]) -> NDArray[np.int64]:
    """All taps of a kernel, [V, D] with V = prod(kernel_size); the last axis is the fastest.

    >>> taps((2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.indices(tuple(kernel_size), dtype=np.int64).reshape(len(kernel_size), -1).T


def submanifold_padding(kernel_size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """The padding that puts a kernel's middle on the output site: dilation * (kernel_size - 1) // 2 on each axis.

    A kernel of even extent has no middle: it reaches one site further to the right, as PyTorch's padding="same" does.
    """
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel_size, dilation, strict=True))


def output_shape(
    spatial_shape: PerAxis, kernel_size: Sequence[int], stride: PerAxis = 1, padding: PerAxis = 0, dilation: PerAxis = 1
) -> tuple[int, ...]:
    """The extent of a dense convolution's output, per axis.

        out = (in + 2 padding - dilation (kernel - 1) - 1) // stride + 1

    This counts the windows that lie inside the padded input (relationship 6 of arXiv:1603.07285, with
    dilation as in torch.nn.Conv2d). Raises ValueError where none does.
    """
    ndim = len(kernel_size)
    shape = per_axis(spatial_shape, ndim, "spatial_shape")
    settings = (
        per_axis(stride, ndim, "stride"),
        per_axis(padding, ndim, "padding", 0),
        per_axis(dilation, ndim, "dilation"),
    )
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(shape, kernel_size, *settings, strict=True)
    )
    if min(out) < 1:
        raise ValueError(f"spatial_shape {shape} is smaller than the kernel: the output's shape would be {out}")
    return out


def transposed_output_shape(
    spatial_shape: PerAxis,
    kernel_size: Sequence[int],
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    output_padding: PerAxis = 0,
) -> tuple[int, ...]:
    """The extent of a dense transposed convolution's output, per axis.

        out = (in - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding

    `output_padding` chooses among the inputs that `output_shape` maps to the same output; it is smaller than
    the stride or the dilation (torch.nn.ConvTranspose2d). Raises ValueError where nothing is left.
    """
    ndim = len(kernel_size)
    shape, stride = per_axis(spatial_shape, ndim, "spatial_shape"), per_axis(stride, ndim, "stride")
    padding, dilation = per_axis(padding, ndim, "padding", 0), per_axis(dilation, ndim, "dilation")
    extra = per_axis(output_padding, ndim, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"output_padding {extra} must be smaller than stride {stride} or dilation {dilation}")
    out = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, k, s, p, d, e in zip(shape, kernel_size, stride, padding, dilation, extra, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"padding {padding} leaves nothing of spatial_shape {shape}: the output's shape would be {out}"
        )
    return out

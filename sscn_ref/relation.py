"""The one relation that defines every convolution of this package.

    input = stride * output + dilation * tap - padding        (per axis)

A *tap* is one position of the kernel, counted from 0 to kernel_size - 1 on every axis. The relation says
which input site a tap carries to an output site. Convolutions differ only in how they
choose the output sites (see `sscn_ref.rulebook`).

The formula is the cross-correlation of Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning" (arXiv:1603.07285), and of PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PerAxis = int | Sequence[int]  # one number for all axes, or one per axis

MAX_NDIM = 4
LARGEST = 2**31 - 1  # coordinate and kernel setting, so that stride * output fits in int64


def per_axis(value: PerAxis, ndim: int, name: str, minimum: int = 1) -> tuple[int, ...]:
    """`value` as one integer per axis, `ndim` of them: a single number applies to all axes.

    Raises TypeError if an entry is not an integer, ValueError for a wrong count or a number outside `minimum` to
    2**31 - 1; both name the argument.
    """
    given = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else [value] * ndim
    if any(isinstance(v, bool) or not isinstance(v, (int, np.integer)) for v in given):
        raise TypeError(f"{name} must be an integer or {ndim} integers (one per axis), got {value!r}")
    numbers = tuple(int(v) for v in given)
    if len(numbers) != ndim:
        raise ValueError(f"{name} must be one integer or {ndim} (one per axis), got {len(numbers)}: {value!r}")
    if min(numbers) < minimum:
        raise ValueError(f"{name} must be at least {minimum} on every axis, got {value!r}")
    if max(numbers) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST} on every axis, got {value!r}")
    return numbers


def taps(kernel_size: Sequence[int]) -> NDArray[np.int64]:
    """All taps of a kernel, [V, D] with V = prod(kernel_size); the last axis varies fastest.

    >>> taps((2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    return np.indices(tuple(kernel_size), dtype=np.int64).reshape(len(kernel_size), -1).T


def fine_from_coarse(coarse: Any, tap: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The relation as it is written, from the output to the input: stride * coarse + dilation * tap - padding.

    The output of a strided convolution is the coarse grid, its input the fine one. Numbers of one axis, or arrays whose
    last axis holds one number per axis.

    >>> fine_from_coarse(coarse=5, tap=2, stride=2, padding=1, dilation=1)
    11
    """
    return stride * coarse + dilation * tap - padding


def coarse_from_fine(fine: Any, tap: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, Any]:
    """The relation solved for the output: fine + padding - dilation * tap divided by the stride, and the remainder.

    The quotient is the coarse coordinate where the remainder is 0; elsewhere the tap joins the fine site to no coarse
    one. Numbers of one axis, or arrays whose last axis holds one number per axis.

    >>> coarse_from_fine(fine=11, tap=2, stride=2, padding=1, dilation=1)
    (5, 0)
    """
    moved = fine + padding - dilation * tap
    return moved // stride, moved % stride


def is_mirrored(kernel_size: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> bool:
    """Whether a kernel of stride 1 reaches equally far to both sides: 2 * padding = dilation * (kernel_size - 1).

    Then taps v and V - 1 - v have opposite offsets: one is the other read backwards.
    """
    return all(2 * p == d * (k - 1) for k, p, d in zip(kernel_size, padding, dilation, strict=True))


def submanifold_padding(kernel_size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """The padding that centres the kernel on the output site: dilation * (kernel_size - 1) // 2 on each axis.

    A kernel of even extent has no centre: it reaches one site further to the right, as with PyTorch's padding="same".
    """
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel_size, dilation, strict=True))


def output_shape(
    spatial_shape: PerAxis, kernel_size: Sequence[int], stride: PerAxis = 1, padding: PerAxis = 0, dilation: PerAxis = 1
) -> tuple[int, ...]:
    """The extent of a dense convolution's output, per axis.

        out = (in + 2 padding - dilation (kernel - 1) - 1) // stride + 1

    This counts the windows that lie inside the padded input (relationship 6 of arXiv:1603.07285, with
    dilation as in torch.nn.Conv2d). Raises ValueError if there is no such window.
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
        window = "kernel_size {}, stride {}, padding {}, dilation {}".format(tuple(kernel_size), *settings)
        raise ValueError(f"spatial_shape {shape} is too small for {window}: the output shape would be {out}")
    return out


def check_output_padding(output_padding: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> None:
    """Raise ValueError unless `output_padding` is smaller than the stride or the dilation on every axis.

    It chooses among the extents that `output_shape` maps to the same one (PyTorch's bound).
    """
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding must be smaller than stride or dilation on every axis, got {output_padding} "
            f"with stride {stride} and dilation {dilation}"
        )


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

    `output_padding` chooses among the inputs that `output_shape` maps to the same output; it must be smaller than
    the stride or the dilation (torch.nn.ConvTranspose2d). Raises ValueError if the output would be empty.
    """
    ndim = len(kernel_size)
    shape, stride = per_axis(spatial_shape, ndim, "spatial_shape"), per_axis(stride, ndim, "stride")
    padding, dilation = per_axis(padding, ndim, "padding", 0), per_axis(dilation, ndim, "dilation")
    extra = per_axis(output_padding, ndim, "output_padding", 0)
    check_output_padding(extra, stride, dilation)
    out = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
        for n, k, s, p, d, e in zip(shape, kernel_size, stride, padding, dilation, extra, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"spatial_shape {shape} is too small for kernel_size {tuple(kernel_size)}, stride {stride}, "
            f"padding {padding}, dilation {dilation}, output_padding {extra}: the output shape would be {out}"
        )
    return out

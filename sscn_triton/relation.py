"""The one relation, and what follows from it without looking at any site.

    input = stride * output + dilation * tap - padding          (on every axis)

Every convolution of this library is this relation plus a choice of output sites. `fine_from_coarse` and
`coarse_from_fine` are its two directions; the kernels of both engines compute the same numbers. `sscn_ref.relation` has
the same functions, arguments and messages for readers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

Axes = tuple[int, ...]
Size = int | Sequence[int] | np.ndarray
"""One number, or one per axis."""
MAX_NDIM = 4
LARGEST = 2**31 - 1  # for the settings of layers and tensors, so that stride * coordinate fits in int64


def as_int_or_tuple(value: Size) -> int | Axes:
    """A sequence or an array as a tuple; anything else unchanged."""
    given: Any = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else given


def per_axis(value: Size, ndim: int, name: str, minimum: int) -> Axes:
    """One integer per axis, ``ndim`` in all: ``value`` itself if it is a sequence or an array, else ``value`` repeated.

    NumPy integers are accepted. Raises TypeError for anything else, ValueError for a wrong length or a value outside
    ``minimum`` to ``LARGEST``.
    """
    if type(value) is tuple and len(value) == ndim:  # a layer gives what it has already checked
        for number in value:
            if type(number) is not int or not minimum <= number <= LARGEST:
                break
        else:
            return value
    given = as_int_or_tuple(value)
    values = given if isinstance(given, tuple) else (given,) * ndim
    if any(isinstance(v, bool) or not isinstance(v, Integral) for v in values):
        raise TypeError(f"{name} must be an integer or {ndim} integers (one per axis), got {value!r}")
    if len(values) != ndim:
        raise ValueError(f"{name} must be one integer or {ndim} (one per axis), got {len(values)}: {value!r}")
    if min(values) < minimum:
        raise ValueError(f"{name} must be at least {minimum} on every axis, got {value!r}")
    if max(values) > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST} on every axis, got {value!r}")
    return tuple(int(v) for v in values)


def one_integer(value: int, name: str, minimum: int) -> int:
    """``value`` as a Python integer. Raises as `per_axis` does."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not minimum <= value <= LARGEST:
        raise ValueError(f"{name} must be at least {minimum} and at most {LARGEST}, got {value!r}")
    return int(value)


def taps(kernel_size: Axes) -> list[Axes]:
    """All positions of the kernel, ordered so that the last axis varies fastest."""
    return list(itertools.product(*(range(k) for k in kernel_size)))


def volume(kernel_size: Axes) -> int:
    """Number of taps V."""
    return math.prod(kernel_size)


def fine_from_coarse(coarse: Any, tap: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The relation from its output side: the fine coordinate ``stride * coarse + dilation * tap - padding``.

    Numbers of one axis, or arrays of them.
    """
    return stride * coarse + dilation * tap - padding


def coarse_from_fine(fine: Any, tap: Any, stride: Any, padding: Any, dilation: Any) -> tuple[Any, Any]:
    """The relation from its input side: ``fine + padding - dilation * tap`` divided by the stride, and the remainder.

    The quotient is the coarse coordinate where the remainder is 0; elsewhere the tap joins the fine site to no coarse
    one. Numbers of one axis, or arrays of them.
    """
    moved = fine + padding - dilation * tap
    return moved // stride, moved % stride


def is_mirrored(kernel_size: Axes, padding: Axes, dilation: Axes) -> bool:
    """Whether a kernel of stride 1 reaches equally far to both sides, ``2 * padding = dilation * (kernel - 1)``.

    Then taps v and V - 1 - v have opposite offsets: one is the other read backwards.
    """
    return all(2 * p == d * (k - 1) for k, p, d in zip(kernel_size, padding, dilation, strict=True))


def submanifold_padding(kernel_size: Axes, dilation: Axes) -> Axes:
    """The padding that keeps a kernel centred on its site: ``dilation * (kernel - 1) // 2``.

    For even extents the extra tap lies on the far side, as in PyTorch's ``padding="same"``.
    """
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel_size, dilation, strict=True))


def output_shape(spatial_shape: Axes, kernel_size: Axes, stride: Axes, padding: Axes, dilation: Axes) -> Axes:
    """Extent of a strided convolution's output: ``(in + 2 padding - dilation (kernel - 1) - 1) // stride + 1``.

    Raises ValueError if an axis would come out empty.
    """
    axes = zip(spatial_shape, kernel_size, stride, padding, dilation, strict=True)
    result = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
    if min(result) < 1:
        raise ValueError(
            f"spatial_shape {spatial_shape} is too small for kernel_size {kernel_size}, stride {stride}, "
            f"padding {padding}, dilation {dilation}: the output shape would be {result}"
        )
    return result


def check_output_padding(output_padding: Axes, stride: Axes, dilation: Axes) -> None:
    """Raise ValueError unless ``output_padding`` is smaller than the stride or the dilation on every axis.

    It chooses among the extents that `output_shape` maps to the same one (PyTorch's bound).
    """
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ValueError(
            f"output_padding must be smaller than stride or dilation on every axis, got {output_padding} "
            f"with stride {stride} and dilation {dilation}"
        )


def transposed_output_shape(
    spatial_shape: Axes, kernel_size: Axes, stride: Axes, padding: Axes, dilation: Axes, output_padding: Axes
) -> Axes:
    """Extent of a transposed convolution's output:
    ``(in - 1) stride - 2 padding + dilation (kernel - 1) + 1 + output_padding``.

    Raises ValueError if an axis would come out empty, or for an ``output_padding`` that is too large.
    """
    check_output_padding(output_padding, stride, dilation)
    axes = zip(spatial_shape, kernel_size, stride, padding, dilation, output_padding, strict=True)
    result = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 + o for n, k, s, p, d, o in axes)
    if min(result) < 1:
        raise ValueError(
            f"spatial_shape {spatial_shape} is too small for kernel_size {kernel_size}, stride {stride}, "
            f"padding {padding}, dilation {dilation}, output_padding {output_padding}: "
            f"the output shape would be {result}"
        )
    return result

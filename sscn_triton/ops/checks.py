"""Checks of operators' arguments against each other, before a kernel reads an address.

A check looks at shapes, types, devices and strides, which costs the host a few microseconds and a device nothing. The
kernels check the numbers inside rules: CPU kernels report a row that does not exist (`foreign_rows`), and GPU kernels
skip it, because the host does not wait for a GPU.

The first argument of each check says whether the operator runs its GPU code; the operator's own arguments follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from sscn_triton.ops.rules import KINDS, TableRules, as_rules, read_backward, read_forward
from sscn_triton.relation import MAX_NDIM

FLOATS = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
INT32, INT64 = torch.int32, torch.int64
HALVES = frozenset((torch.float16, torch.bfloat16))
WIDE = frozenset((torch.float32, torch.float64))
NORM = ("mean", "variance", "weight", "bias")  # the tensors of `sscn_triton.ops.norm.Norm`
FUSED_NORM = ("mean", "variance", "norm_weight", "norm_bias")  # the same beside a convolution's weight and bias
UNIT, WORD = 16, 63  # as in sscn_triton.ops.triton.layout
MAX_TAPS = 2**24  # 256 ** 3; searching for neighbours needs tens of bytes per tap before it looks at a site
LEAST_ROWS, HEAD = 32, 4  # as in sscn_triton.ops.triton.statistics


def moments_size(rows: int, channels: int) -> int:
    """The number of elements in the moments of ``rows`` rows."""
    return HEAD + (rows + LEAST_ROWS - 1) // LEAST_ROWS * 2 * channels


def foreign_rows(what: str) -> ValueError:
    """The error for numbers inside rules or events that name a missing row or are in the wrong order."""
    return ValueError(
        f"{what} name rows that are not there, or are not in their order: they belong to other sites, or were changed"
    )


def refuse_beyond_int32(low: Sequence[int], high: Sequence[int]) -> None:
    """Raise ValueError if coordinates from low to high (batch first, exact integers) overflow int32 on an axis."""
    for axis, (least, most) in enumerate(zip(low[1:], high[1:], strict=True)):
        if least <= most and (least < -(2**31) or most >= 2**31):
            raise ValueError(
                f"coordinates of axis {axis} would run from {least} to {most}; allowed is {-(2**31)} to {2**31 - 1}"
            )


def refuse_beyond_int64(low: Sequence[int], high: Sequence[int], extents: Sequence[int]) -> None:
    """Raise ValueError if the keys of sites from low to high, with `extents` places per column, overflow int64."""
    if math.prod(extents) >= 2**63:
        ranges = ", ".join(f"{least}..{most}" for least, most in zip(low, high, strict=True))
        raise ValueError(
            f"coordinates span {ranges} (batch first): more than 2**63 sites, which no int64 key can number"
        )


def _given(value: Any) -> str:
    if not isinstance(value, Tensor):
        return repr(value)
    return f"{str(value.dtype)[6:]} {list(value.shape)} on {value.device}"


def _refuse(name: str, wanted: str, value: Any) -> NoReturn:
    raise ValueError(f"{name} must be {wanted}, got {_given(value)}")


def _rows(
    name: str, rows: Tensor, place: int, count: int | None = None, channels: int | None = None
) -> tuple[int, int]:
    """Check that rows are floating point ``[count, channels]`` on the device ``place``; returns their shape."""
    shape = rows.shape
    if (
        len(shape) != 2
        or rows.dtype not in FLOATS
        or rows.get_device() != place
        or (count is not None and shape[0] != count)
        or (channels is not None and shape[1] != channels)
    ):
        many = "N" if count is None else count
        wide = "C" if channels is None else channels
        _refuse(name, f"floating point [{many}, {wide}] on one device with the others", rows)
    return shape[0], shape[1]


def _terms(place: int, channels: int, names: Sequence[str], terms: Sequence[Tensor | None]) -> None:
    """Check that each term is None or has one number per channel; its name is at the same position in ``names``."""
    for name, term in zip(names, terms, strict=False):  # operators append further arguments to the terms
        if term is not None and (
            term.dim() != 1
            or term.shape[0] != channels
            or term.dtype not in FLOATS
            or term.get_device() != place
            or not term.is_contiguous()
        ):
            _refuse(name, f"floating point [{channels}], contiguous, on one device with the others", term)


def _count(name: str, number: int, least: int = 0) -> None:
    if number < least or number >= 2**31:
        raise ValueError(f"{name} must be from {least} to {2**31 - 1}, got {number}")


def _whole(tensor: Tensor, dtype: torch.dtype, ndim: int, place: int) -> bool:
    """Whether a kernel can read the tensor given only its address and shape."""
    return tensor.dtype is dtype and tensor.dim() == ndim and tensor.get_device() == place and tensor.is_contiguous()


def _rules(gpu: bool, rules: Sequence[Tensor], place: int) -> int:
    """Check that rules are as `sscn_triton.ops.rules` describes them; returns the number of taps."""
    kind = KINDS.get(len(rules))
    if kind is None or (kind is TableRules) != gpu:
        lengths = "9 tensors on a GPU" if gpu else "3 or 5 tensors on the CPU"
        raise ValueError(f"rules must be those that a grid built on this device, {lengths}, got {len(rules)}")
    inputs, outputs, spans = rules[0], rules[1], rules[2]
    shape = spans.shape
    if (  # `_whole` of each, inlined because every layer runs this
        inputs.dtype is not INT32
        or outputs.dtype is not INT32
        or spans.dtype is not INT64
        or inputs.dim() != 1
        or outputs.dim() != 1
        or len(shape) != 2
        or shape[1] != 2
        or inputs.numel() != outputs.numel()
        or inputs.get_device() != place
        or outputs.get_device() != place
        or spans.get_device() != place
        or not inputs.is_contiguous()
        or not outputs.is_contiguous()
        or not spans.is_contiguous()
    ):
        given = ", ".join(map(_given, rules[:3]))
        raise ValueError(
            "rules must begin with input rows int32 [R], output rows int32 [R] and spans int64 [V, 2], contiguous, on "
            f"one device with the features, got {given}"
        )
    return shape[0]


def _reading(rules: Sequence[Tensor], forward: bool, taps: int, rows: int, place: int) -> None:
    """Check the GPU table that names, for each of the `rows` written, the row to read at each tap."""
    table, order, masks, _ = (read_forward if forward else read_backward)(as_rules(rules))
    if (
        not _whole(table, torch.int32, 2, place)
        or not _whole(order, torch.int32, 1, place)
        or not _whole(masks, torch.int64, 2, place)
        or tuple(table.shape) != (taps, rows)
        or order.shape[0] != rows
        or tuple(masks.shape) != (-(-taps // WORD), -(-rows // UNIT))
    ):
        raise ValueError(
            f"rules must lead to {rows} rows by {taps} taps; theirs are a table {_given(table)}, an order "
            f"{_given(order)} and masks {_given(masks)}"
        )


def _convolved(
    gpu: bool, features: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, bias: Any, residual: Any
) -> tuple[int, int]:
    """Check the arguments that all convolutions share; returns the channels in and out."""
    place = weight.get_device()
    shape = weight.shape
    if len(shape) != 4 or weight.dtype not in FLOATS or shape[1] < 1:
        _refuse("weight", "floating point [taps, groups, in, out]", weight)
    taps, groups, channels_in, channels_out = shape
    _rows("features", features, place, None, groups * channels_in)
    if not 0 <= output_count < 2**31:
        _count("output_count", output_count)
    found = _rules(gpu, rules, place)
    if found != taps:
        raise ValueError(f"weight must have a block for each of the {found} taps of the rules, got {taps}")
    if gpu:
        _reading(rules, True, taps, output_count, place)
    if bias is not None:
        _terms(place, groups * channels_out, ("bias",), (bias,))
    if residual is not None:
        _rows("residual", residual, place, output_count, groups * channels_out)
    return groups * channels_in, groups * channels_out


def convolution(
    gpu: bool,
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
) -> None:
    """Check the arguments of `sscn_triton.ops.convolution.convolution`."""
    _convolved(gpu, features, weight, rules, output_count, bias, residual)
    _of_one_type("features", features.dtype, weight)


def _of_one_type(name: str, kind: torch.dtype, weight: Tensor) -> None:
    """Check that the weight has a type that products of this type take: the same, or float32 for 16 bits."""
    if weight.dtype is not kind and (weight.dtype is not torch.float32 or kind not in HALVES):
        raise TypeError(f"{name} and weight must have one type, or 16 bits and float32, got {kind} and {weight.dtype}")


def divided(groups: int, channels_in: int, channels_out: int) -> None:
    """Check that the channels can be divided into groups; tracing and the meta device ask this too."""
    if groups < 1 or channels_in % groups or channels_out % groups:
        raise ValueError(f"groups must divide the channels, {channels_in} in and {channels_out} out, got {groups}")


def weight_gradient(
    gpu: bool,
    features: Tensor,
    grad_output: Tensor,
    rules: Sequence[Tensor],
    groups: int,
    dtype: torch.dtype | None = None,
) -> tuple[int, int]:
    """Check the arguments of `sscn_triton.ops.convolution.weight_gradient`; returns the shape of the features."""
    kind = grad_output.dtype
    if features.dtype is not kind:
        raise TypeError(f"features and grad_output must have one type, got {features.dtype} and {kind}")
    if dtype is not None and dtype is not kind and (dtype is not torch.float32 or kind not in HALVES):
        raise TypeError(f"dtype must be that of the gradient, {kind}, or float32 for 16 bits, got {dtype}")
    place = features.get_device()
    shape = _rows("features", features, place)
    count, channels_out = _rows("grad_output", grad_output, place)
    taps = _rules(gpu, rules, place)
    divided(groups, shape[1], channels_out)
    if gpu:
        _reading(rules, True, taps, count, place)
    return shape


def fused_convolution(
    gpu: bool,
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None,
    residual: Tensor | None,
    *norm: Any,
) -> None:
    """Check the arguments of `sscn_triton.ops.fused.fused_convolution`."""
    channels, _out = _convolved(gpu, features, weight, rules, output_count, bias, residual)
    mean, variance, _weight, _bias, _eps, _leakiness, _moving, _with_moments, dtype = (*norm, None)[:9]
    if dtype is not None:
        _of_one_type("dtype", dtype, weight)
    if (mean is None) != (variance is None):
        raise ValueError("a norm has a mean and a variance: give both, or neither")
    _terms(weight.get_device(), channels, FUSED_NORM, norm)


def fused_gradients(
    gpu: bool, grad_output: Tensor, features: Tensor, weight: Tensor, rules: Sequence[Tensor], *norm: Any
) -> None:
    """Check the arguments of `sscn_triton.ops.fused.fused_gradients`."""
    place = weight.get_device()
    count, _ = _rows("grad_output", grad_output, place)
    channels, channels_out = _convolved(gpu, features, weight, rules, count, None, None)
    _of_one_type("grad_output", grad_output.dtype, weight)
    _rows("grad_output", grad_output, place, count, channels_out)
    if gpu:
        _reading(rules, False, weight.shape[0], features.shape[0], place)
    _terms(place, channels, FUSED_NORM, norm)


def rows(gpu: bool, features: Tensor) -> None:
    """Check the only argument of an operator on rows."""
    _rows("features", features, features.get_device())


def statistics(
    gpu: bool,
    moments: Tensor,
    rows: int,
    channels: int,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    batches: Tensor | None,
    momentum: float | None,
) -> None:
    """Check the arguments of `sscn_triton.ops.normalization.statistics`."""
    _count("rows", rows)
    _count("channels", channels)
    place, size = moments.get_device(), moments_size(rows, channels)
    if moments.dtype not in WIDE or moments.dim() != 1 or moments.shape[0] != size or not moments.is_contiguous():
        _refuse("moments", f"those of {rows} rows of {channels} channels, float32 or float64 [{size}]", moments)
    _terms(place, channels, ("running_mean", "running_var"), (running_mean, running_var))
    if (running_mean is None) != (running_var is None):
        raise ValueError("running statistics are a mean and a variance: give both, or neither")
    if batches is not None and (
        batches.dtype is not torch.int64 or batches.numel() != 1 or batches.get_device() != place
    ):
        _refuse("batches", "int64 [] on one device with the moments", batches)
    if running_mean is not None and momentum is None and batches is None:
        raise ValueError("momentum None keeps the mean of all batches, whose count must be given: batches")


def normalize(gpu: bool, features: Tensor, *norm: Any) -> None:
    """Check the arguments of `sscn_triton.ops.normalization.normalize`."""
    residual = norm[len(NORM)]
    place = features.get_device()
    count, channels = _rows("features", features, place)
    _terms(place, channels, NORM, norm)
    if residual is not None:
        _rows("residual", residual, place, count, channels)


def slopes(gpu: bool, grad: Tensor, features: Tensor, *norm: Any) -> None:
    """Check the arguments of `sscn_triton.ops.normalization.slopes`."""
    normalize(gpu, features, *norm)
    _rows("grad", grad, features.get_device(), *features.shape)


def slope(gpu: bool, grad: Tensor, features: Tensor, *norm: Any) -> None:
    """Check the arguments of `sscn_triton.ops.normalization.slope`."""
    sums, count = norm[len(NORM) + 1 : len(NORM) + 3]
    slopes(gpu, grad, features, *norm)
    if sums is not None:
        _rows("sums", sums, features.get_device(), 2, features.shape[1])
        if not sums.is_contiguous():
            _refuse("sums", "contiguous", sums)
    _count("count", count)


def pooled(gpu: bool, features: Tensor, rules: Sequence[Tensor], output_count: int) -> None:
    """Check the arguments of `sscn_triton.ops.pooling.pool_sum` and `pool_max`."""
    place = features.get_device()
    _rows("features", features, place)
    _count("output_count", output_count)
    taps = _rules(gpu, rules, place)
    if gpu:
        _reading(rules, True, taps, output_count, place)


def _winners(winners: Tensor, place: int, channels: int) -> None:
    shape = winners.shape
    if len(shape) != 2 or shape[1] != channels or winners.dtype is not torch.int32 or winners.get_device() != place:
        _refuse("winners", f"int32 [N, {channels}] on one device with the features", winners)


def pool_take(gpu: bool, features: Tensor, winners: Tensor, rules: Sequence[Tensor]) -> None:
    """Check the arguments of `sscn_triton.ops.pooling.pool_take`."""
    place = features.get_device()
    _, channels = _rows("features", features, place)
    _winners(winners, place, channels)
    _rules(gpu, rules, place)


def pool_return(gpu: bool, values: Tensor, winners: Tensor, rules: Sequence[Tensor], input_count: int) -> None:
    """Check the arguments of `sscn_triton.ops.pooling.pool_return`."""
    place = values.get_device()
    count, channels = _rows("values", values, place)
    _winners(winners, place, channels)
    if winners.shape[0] != count:
        _refuse("winners", f"int32 [{count}, {channels}], as many as values", winners)
    _count("input_count", input_count)
    taps = _rules(gpu, rules, place)
    if gpu:
        _reading(rules, False, taps, input_count, place)


def _events(events: Sequence[Tensor], place: int) -> tuple[int, int]:
    """Check that events are as `sscn_triton.ops.events` describes them; returns the number of rows and of events."""
    if len(events) != 3 or not all(_whole(tensor, torch.int64, 1, place) for tensor in events):
        raise ValueError(
            "events must be event [N], order [N] and starts [B + 1], int64, contiguous, on one device with the "
            f"features, got {', '.join(map(_given, events))}"
        )
    count, starts = events[0].shape[0], events[2].shape[0]
    if events[1].shape[0] != count or not starts:
        raise ValueError(f"events must be [N], [N] and [B + 1], got {', '.join(map(_given, events))}")
    return count, starts - 1


def of_events(gpu: bool, features: Tensor, events: Sequence[Tensor]) -> None:
    """Check the arguments of `sscn_triton.ops.events.sum_events` and `largest_of_events`."""
    place = features.get_device()
    count, _ = _events(events, place)
    _rows("features", features, place, count)


def spread_events(gpu: bool, values: Tensor, events: Sequence[Tensor]) -> None:
    """Check the arguments of `sscn_triton.ops.events.spread_events`."""
    place = values.get_device()
    _, count = _events(events, place)
    if values.dim() != 2 or values.shape[0] != count:
        _refuse("values", f"[{count}, C]", values)


def unique_sites(gpu: bool, coordinates: Tensor) -> None:
    """Check the arguments of `sscn_triton.ops.sites.unique_sites`."""
    if coordinates.dtype is not torch.int32 or coordinates.dim() != 2 or not 2 <= coordinates.shape[1] <= 1 + MAX_NDIM:
        _refuse("coordinates", f"int32 [N, 1 + D], D from 1 to {MAX_NDIM}", coordinates)


def submanifold_rules(gpu: bool, coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> None:
    """Check the arguments of `sscn_triton.ops.sites.submanifold_rules`."""
    unique_sites(gpu, coordinates)
    ndim = coordinates.shape[1] - 1
    _axes("kernel_size", kernel_size, ndim, 1)
    if math.prod(kernel_size) > MAX_TAPS:
        raise ValueError(f"kernel_size {list(kernel_size)} has {math.prod(kernel_size)} taps; {MAX_TAPS} are allowed")
    _axes("dilation", dilation, ndim, 1)


def between_rules(gpu: bool, coordinates: Tensor, targets: Tensor, offsets: Sequence[int]) -> None:
    """Check the arguments of `sscn_triton.ops.between.between_rules`."""
    unique_sites(gpu, coordinates)
    columns = coordinates.shape[1]
    if (
        targets.dtype is not torch.int32
        or targets.dim() != 2
        or targets.shape[1] != columns
        or targets.device != coordinates.device
    ):
        _refuse("targets", f"int32 [M, {columns}] on one device with the coordinates", targets)
    if len(offsets) % (columns - 1) or not all(abs(offset) < 2**31 for offset in offsets):
        raise ValueError(
            f"offsets must be {columns - 1} integers per tap, smaller than 2**31, got {len(offsets)} integers"
        )
    if len(offsets) // (columns - 1) > MAX_TAPS:
        raise ValueError(f"offsets have {len(offsets) // (columns - 1)} taps; {MAX_TAPS} are allowed")


def window_rules(
    gpu: bool,
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> None:
    """Check the arguments of `sscn_triton.ops.sites.strided_rules` and `transposed_rules`."""
    submanifold_rules(gpu, coordinates, kernel_size, dilation)
    ndim = coordinates.shape[1] - 1
    _axes("stride", stride, ndim, 1)
    _axes("padding", padding, ndim, 0)
    if len(bounds):
        _axes("bounds", bounds, ndim, 1)


def _axes(name: str, sizes: Sequence[int], ndim: int, least: int) -> None:
    if len(sizes) != ndim or not all(least <= size < 2**31 for size in sizes):
        raise ValueError(f"{name} must be {ndim} integers from {least} to {2**31 - 1}, got {list(sizes)}")

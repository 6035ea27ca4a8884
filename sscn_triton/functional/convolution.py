"""Convolutions: each gets a rulebook from the tensor's grid and passes both to an operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.core.counterparts import by_name
from sscn_triton.core.grid import Grid
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional.fused_inputs import NOTHING, Fused
from sscn_triton.functional.normalization import normalize_by
from sscn_triton.functional.steps import Path, step_back, strided_step, transposed_step
from sscn_triton.ops.checks import HALVES
from sscn_triton.ops.convolution import direct_convolution
from sscn_triton.ops.fused import direct_fused
from sscn_triton.ops.norm import flattened
from sscn_triton.relation import Axes, Size, per_axis, volume


@by_name
def submanifold_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    dilation: Size = 1,
    along: Fused = NOTHING,
) -> SparseTensor:
    """Convolution whose output sites are its input sites.

    Args:
        x: ``[N, groups * in]`` features.
        weight: ``[V, in, out]`` or ``[V, groups, in, out]`` (per group), taps ordered with the last axis fastest.
        bias: ``[groups * out]`` or None.
        kernel_size: extent of the kernel, one number or one per axis; odd or even.
        dilation: distance between taps.
        along: work fused with the convolution: a norm before it, a residual and moments after it.
    """
    features, grid = x.features, x.grid
    ndim = grid.ndim
    kernel = per_axis(kernel_size, ndim, "kernel_size", 1)
    spread = per_axis(dilation, ndim, "dilation", 1)
    weight = _checked_weight(x, weight, bias, kernel)
    return _convolved(features, weight, bias, grid.submanifold(kernel, spread), along, grid, x.path)


@by_name
def sparse_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    along: Fused = NOTHING,
) -> SparseTensor:
    """Convolution to every site that some input reaches. Shapes as in `submanifold_conv`."""
    step = strided_step(x.ndim, kernel_size, stride, padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    rules, grid = x.grid.step(step)
    return _convolved(x.features, weight, bias, rules, along, grid, (*x.path, (x.grid, step)))


@by_name
def inverse_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    along: Fused = NOTHING,
) -> SparseTensor:
    """The strided convolution of this geometry read backwards, onto its input sites.

    Raises ValueError if the last strided layer above ``x`` had another geometry, or if there is none.
    """
    step = strided_step(x.ndim, kernel_size, stride, padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    features, rules, grid, path = step_back(x, step)
    if along.norm is not None and features is not x.features:
        # Pruned sites return as zeros and must stay zero, so normalise before restoring them.
        features, *_ = step_back(x.replace(normalize_by(x.features, along.norm)), step)
        along = along._replace(norm=None)
    return _convolved(features, weight, bias, rules, along, grid, path)


@by_name
def transposed_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    along: Fused = NOTHING,
) -> SparseTensor:
    """The relation read backwards onto every site reached: ``output = stride * input + dilation * tap - padding``.

    If the input has a spatial shape, the output has PyTorch's, ``(in - 1) stride - 2 padding + dilation (kernel - 1) +
    1 + output_padding``, and sites outside it are left out. Shapes as in `submanifold_conv`. The output has an empty
    path, so no `inverse_conv` can go back over this layer.

    Raises ValueError for an ``output_padding`` if space is unbounded, because it only extends the spatial shape.
    """
    step = transposed_step(x.ndim, kernel_size, stride, padding, output_padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    if x.spatial_shape is None and any(step.output_padding):
        raise ValueError(
            f"output_padding {step.output_padding} extends the spatial_shape, but there is none: "
            "pass spatial_shape to SparseTensor, or leave output_padding 0"
        )
    rules, grid = x.grid.step(step)
    return _convolved(x.features, weight, bias, rules, along, grid, ())


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None, rules: Rulebook) -> Tensor:
    """Convolve features ``[N, groups * in]`` over a rulebook to ``[M, groups * out]``, under autocast in its type.

    ``weight`` is ``[V, groups, in, out]``, ``bias`` ``[groups * out]`` or None. Raises TypeError if the three have
    different types, ValueError if they are on different devices or their shapes do not match the rulebook.
    """
    if features.ndim != 2 or features.shape[0] != rules.input_count:
        raise ValueError(
            f"features must be [{rules.input_count}, channels], one row per input site of the rulebook, "
            f"got shape {tuple(features.shape)}"
        )
    features, weight, bias = _of_one_type(features, weight, bias)
    return direct_convolution(features, weight, rules.rules, rules.output_count, bias)


def _convolved(
    features: Tensor, weight: Tensor, bias: Tensor | None, rules: Rulebook, along: Fused, grid: Grid, path: Path
) -> SparseTensor:
    """`convolve` with the work fused into it, on the output grid."""
    rows, weight, bias = _of_one_type(features, weight, bias)
    residual = None if along.residual is None else _checked_residual(along.residual, grid, weight)
    last = residual if residual is not None and residual.dtype == rows.dtype else None
    arguments: Any = weight, rules.rules, rules.output_count, bias, last
    moments = along.moments is not None and not features.is_meta and last is residual
    if along.norm is None and not moments:
        output, moments_buffer = direct_convolution(rows, *arguments), None
    else:
        arguments = (*arguments, *flattened(along.norm), moments, rows.dtype)
        output, moments_buffer = direct_fused(rows if along.norm is None else features, *arguments)
    if last is not residual and residual is not None:
        output = output + residual
    if moments and moments_buffer is not None and along.moments is not None:
        along.moments.append(moments_buffer)
    return SparseTensor._of(output, grid, path)


def _of_one_type(features: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The three in the type of the products. Under autocast to 16 bits, weight and bias may stay float32."""
    device, kind = features.device, features.dtype
    if device.type == "meta":
        return features, weight, bias
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.device != device:
            raise ValueError(f"features are on {device}, {name} is on {value.device}: put both on one device")
    if torch.is_autocast_enabled(device.type):
        dtype = torch.get_autocast_dtype(device.type)
        features = features.to(dtype)
        if weight.dtype is not torch.float32 or dtype not in HALVES:
            weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    elif weight.dtype is not kind or (bias is not None and bias.dtype is not kind):
        given = f"features {kind}, weight {weight.dtype}"
        given += "" if bias is None else f", bias {bias.dtype}"
        raise TypeError(f"features, weight and bias must have one dtype, got {given}; convert one, or use autocast")
    return features, weight, bias


def _checked_residual(residual: SparseTensor, grid: Grid, weight: Tensor) -> Tensor:
    if residual.grid is not grid:
        raise ValueError(
            f"the residual is on {residual.grid!r}, but the convolution leads to {grid!r}: both must be the same grid"
        )
    channels = weight.shape[1] * weight.shape[3]
    if residual.features.shape[1] != channels:
        raise ValueError(f"cannot add {residual.features.shape[1]} channels to {channels}")
    return residual.features


def _checked_weight(x: SparseTensor, weight: Tensor, bias: Tensor | None, kernel_size: Axes) -> Tensor:
    taps, channels = volume(kernel_size), x.features.shape[1]
    weight = weight.unsqueeze(1) if weight.ndim == 3 else weight
    shape = weight.shape
    if len(shape) != 4 or shape[0] != taps or shape[1] * shape[2] != channels:
        raise ValueError(
            f"weight must be [taps, in, out] or [taps, groups, in / groups, out / groups] with {taps} taps and "
            f"{channels} channels in, got shape {tuple(shape)}"
        )
    if bias is not None and tuple(bias.shape) != (shape[1] * shape[3],):
        raise ValueError(f"bias must be [{shape[1] * shape[3]}], got shape {tuple(bias.shape)}")
    return weight

"""Convolutions: each asks the tensor's grid for a rulebook and gives both to an operator."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.functional.steps import step_back, strided_step, transposed_step
from sscn_triton.ops.convolution import convolution
from sscn_triton.relation import Axes, Size, per_axis, volume
from sscn_triton.rulebook import Rulebook
from sscn_triton.tensor import SparseTensor


def submanifold_conv(
    x: SparseTensor, weight: Tensor, bias: Tensor | None = None, *, kernel_size: Size, dilation: Size = 1
) -> SparseTensor:
    """Convolution whose output sites are its input sites.

    Args:
        x: ``[N, groups * in]`` features.
        weight: ``[V, in, out]`` or ``[V, groups, in, out]`` (per group), taps numbered with the last axis fastest.
        bias: ``[groups * out]`` or None.
        kernel_size: extent of the kernel, one number or one per axis; odd and even.
        dilation: distance between taps.
    """
    kernel = per_axis(kernel_size, x.ndim, "kernel_size", 1)
    spread = per_axis(dilation, x.ndim, "dilation", 1)
    weight = _checked_weight(x, weight, bias, kernel)
    return x.replace(convolve(x.features, weight, bias, x.grid.submanifold(kernel, spread)))


def sparse_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> SparseTensor:
    """Convolution to every site that some input reaches. Shapes as in `submanifold_conv`."""
    step = strided_step(x.ndim, kernel_size, stride, padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    rules, grid = x.grid.step(step)
    return SparseTensor.on(convolve(x.features, weight, bias, rules), grid, (*x.path, (x.grid, step)))


def inverse_conv(
    x: SparseTensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> SparseTensor:
    """The strided convolution of this geometry read backwards, onto the sites it came from.

    Raises ValueError if the last strided layer above ``x`` had another geometry, or if there is none.
    """
    step = strided_step(x.ndim, kernel_size, stride, padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    features, rules, grid, path = step_back(x, step)
    return SparseTensor.on(convolve(features, weight, bias, rules), grid, path)


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
) -> SparseTensor:
    """The relation read backwards onto every site reached: ``output = stride * input + dilation * tap - padding``.

    With a spatial shape the output has PyTorch's, ``(in - 1) stride - 2 padding + dilation (kernel - 1) + 1 +
    output_padding``, and sites outside it are left out. Shapes as in `submanifold_conv`. The new sites start a path
    of their own: no `inverse_conv` leads back over them.

    Raises ValueError for an ``output_padding`` where space is unbounded: it says where space ends, and nothing else.
    """
    step = transposed_step(x.ndim, kernel_size, stride, padding, output_padding, dilation)
    weight = _checked_weight(x, weight, bias, step.kernel_size)
    if x.spatial_shape is None and any(step.output_padding):
        raise ValueError(
            f"output_padding {step.output_padding} needs a spatial_shape, which it would enlarge: "
            "give one to SparseTensor, or leave output_padding 0"
        )
    rules, grid = x.grid.step(step)
    return SparseTensor.on(convolve(x.features, weight, bias, rules), grid)


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None, rules: Rulebook) -> Tensor:
    """Features ``[N, groups * in]`` through a rulebook to ``[M, groups * out]``, in autocast's type where that is on.

    ``weight`` is ``[V, groups, in, out]``, ``bias`` ``[groups * out]`` or None. Raises TypeError where the three have
    different types, ValueError where they are on different devices.
    """
    device = features.device.type
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.device != features.device and device != "meta":
            raise ValueError(f"features are on {features.device}, {name} is on {value.device}: put both on one device")
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight = features.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    elif device != "meta" and (features.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype)):
        given = f"features {features.dtype}, weight {weight.dtype}"
        given += "" if bias is None else f", bias {bias.dtype}"
        raise TypeError(f"features, weight and bias must have one dtype, got {given}; convert one, or use autocast")
    output = convolution(features, weight, rules.rules, rules.output_count)
    return output if bias is None else output + bias


def _checked_weight(x: SparseTensor, weight: Tensor, bias: Tensor | None, kernel_size: Axes) -> Tensor:
    taps, channels = volume(kernel_size), x.features.shape[1]
    weight = weight.unsqueeze(1) if weight.ndim == 3 else weight
    if weight.ndim != 4 or weight.shape[0] != taps or weight.shape[1] * weight.shape[2] != channels:
        raise ValueError(
            f"weight must be [taps, in, out] or [taps, groups, in / groups, out / groups] with {taps} taps and "
            f"{channels} channels in, got shape {tuple(weight.shape)}"
        )
    channels_out = weight.shape[1] * weight.shape[3]
    if bias is not None and tuple(bias.shape) != (channels_out,):
        raise ValueError(f"bias must be [{channels_out}], got shape {tuple(bias.shape)}")
    return weight

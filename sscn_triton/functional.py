"""The differentiable functions: each asks the tensor's grid for a rulebook and gives both to an operator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.ops.convolution import convolution
from sscn_triton.relation import Axes, per_axis, volume
from sscn_triton.rulebook import Rulebook
from sscn_triton.tensor import SparseTensor, Step

Size = int | Sequence[int]


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
    return x.replace(_convolve(x.features, weight, bias, x.grid.submanifold(kernel, spread)))


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
    return SparseTensor.on(_convolve(x.features, weight, bias, rules), grid, (*x.path, (x.grid, step)))


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
    if not x.path:
        raise ValueError(
            f"there is no strided layer to invert: this tensor's sites were given, not reached by a {step}"
        )
    fine, taken = x.path[-1]
    if taken != step:
        raise ValueError(f"cannot invert {step}: this tensor's sites were reached by {taken}")
    rules, _ = fine.step(step)
    return SparseTensor.on(_convolve(x.features, weight, bias, rules.transposed()), fine, x.path[:-1])


def concatenate(tensors: Sequence[SparseTensor]) -> SparseTensor:
    """Join the channels of tensors on one grid."""
    _same_grid(tensors)
    return tensors[0].replace(torch.cat([x.features for x in tensors], 1))


def add(x: SparseTensor, y: SparseTensor) -> SparseTensor:
    """Sum of two tensors on one grid."""
    _same_grid((x, y))
    return x.replace(x.features + y.features)


def batch_norm(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch normalisation over active sites, `torch.nn.functional.batch_norm` for ``[N, C]`` with any N.

    With no site the running statistics stay as they are; a single site has variance 0.
    """
    if not training or features.shape[0] > 1:
        return torch.nn.functional.batch_norm(
            features, running_mean, running_var, weight, bias, training, momentum, eps
        )
    if features.shape[0] == 1:
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(features[0].detach().to(running_mean.dtype), momentum)
            running_var.mul_(1 - momentum)
        features = features - features
    if weight is not None:
        features = features * weight
    return features if bias is None else features + bias


def strided_step(ndim: int, kernel_size: Size, stride: Size, padding: Size, dilation: Size) -> Step:
    """The geometry of a strided layer, one number per axis, checked."""
    return Step(
        "strided",
        per_axis(kernel_size, ndim, "kernel_size", 1),
        per_axis(stride, ndim, "stride", 1),
        per_axis(padding, ndim, "padding", 0),
        per_axis(dilation, ndim, "dilation", 1),
        (0,) * ndim,
    )


def _convolve(features: Tensor, weight: Tensor, bias: Tensor | None, rules: Rulebook) -> Tensor:
    device = features.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight = features.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
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


def _same_grid(tensors: Sequence[SparseTensor]) -> None:
    if not tensors:
        raise ValueError("at least one tensor is needed")
    for other in tensors[1:]:
        if other.grid is not tensors[0].grid:
            raise ValueError(
                f"tensors are on different grids: {tensors[0].grid!r} and {other.grid!r}; "
                "features can only be joined site by site on one grid"
            )

"""A convolution fused with its neighbours in a network: the norm before it, bias, residual and moments after it.

    y[o] = bias + residual[o] + sum over the rules (i, o) of tap v of norm(x[i]) w[v]

The norm is that of `sscn_triton.ops.normalization`. A GPU normalises few rows while it gathers them; it
normalises a temporary copy of many, as the CPU always does. The operator also returns the moments of y for the next
norm. Missing rows stay zero.

When PyTorch records gradients of gradients, the norm and the convolution are differentiated one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.checks import moments_size
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.cpu import convolution as cpu
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.norm import Norm
from sscn_triton.ops.normalization import (
    moments_cpu,
    norm_gradients,
    normalize,
    normalized_cpu,
    rising_and_sums,
    rising_and_sums_cpu,
    slope,
)
from sscn_triton.ops.registration import operator
from sscn_triton.ops.rules import as_rules, read_backwards


def _fused_cpu(
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None,
    residual: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool,
    with_moments: bool,
) -> tuple[Tensor, Tensor]:
    if mean is not None and variance is not None:
        features = normalized_cpu(features, Norm(mean, variance, norm_weight, norm_bias, eps, leakiness, moving))
    output = cpu.convolve(features, weight, as_rules(rules), output_count, bias, residual, weight.dtype)
    return output, moments_cpu(output) if with_moments else widened(output).new_empty(0)


def _fused_fake(
    features: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, *rest: Any
) -> tuple[Tensor, Tensor]:
    output = weight.new_empty(output_count, weight.shape[1] * weight.shape[3])
    return output, widened(output).new_empty(moments_size(*output.shape) if rest[-1] else 0)


def _save_fused(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, weight, rules, _, _, _, *norm, ctx.eps, ctx.leakiness, ctx.moving, _ = inputs
    ctx.save_for_backward(features, weight, *norm, *rules)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _fused_backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    features, weight, mean, variance, norm_weight, norm_bias, *rules = ctx.saved_tensors
    if grad is None:
        return (None,) * 14
    by = ctx.needs_input_grad
    norm = None
    if mean is not None:
        norm = Norm(mean, variance, norm_weight, norm_bias, ctx.eps, ctx.leakiness, ctx.moving)
    grad_features = grad_weight = grad_norm_weight = grad_norm_bias = None
    if by[1]:
        grad_weight = _weight_gradient(grad, features, norm, rules, weight.shape[1])
    if by[0] or by[8] or by[9]:
        grad_features, grad_norm_weight, grad_norm_bias = _row_gradients(ctx, grad, features, weight, norm, rules)
    return (
        grad_features, grad_weight, None, None, grad.sum(0) if by[4] else None, grad if by[5] else None,
        None, None, grad_norm_weight, grad_norm_bias, None, None, None, None,
    )  # fmt: skip


def _row_gradients(
    ctx: Any, grad: Tensor, features: Tensor, weight: Tensor, norm: Norm | None, rules: Sequence[Tensor]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients for the features and for the norm's weight and bias."""
    by = ctx.needs_input_grad
    backwards: Any = grad, weight.transpose(2, 3), read_backwards(rules), features.shape[0]
    if norm is None:
        return convolution(*backwards).to(features.dtype), None, None
    if torch.is_grad_enabled():
        needed = (by[0], False, False, by[8], by[9], False)
        return norm_gradients(convolution(*backwards), features, norm, None, needed)[:3]
    backwards = (*backwards, features, *norm[:6])
    rising, sums = norm_input_gradient(*backwards)
    grad_features = None
    if by[0]:
        known, count = sums if norm.moving else None, features.shape[0]
        grad_features, _ = slope(
            rising, features, norm.mean, norm.variance, norm.weight, None, None, known, count, norm.eps, 1.0
        )
    return (
        grad_features,
        sums[1].to(norm.weight.dtype) if norm.weight is not None else None,
        sums[0].to(norm.bias.dtype) if norm.bias is not None else None,
    )


def _weight_gradient(grad: Tensor, features: Tensor, norm: Norm | None, rules: Sequence[Tensor], groups: int) -> Tensor:
    if norm is None:
        return weight_gradient(features.to(grad.dtype), grad, rules, groups)
    if torch.is_grad_enabled():
        rows = normalize(features, *norm[:4], None, *norm[4:])
        return weight_gradient(rows.to(grad.dtype), grad, rules, groups)
    return norm_weight_gradient(features, grad, rules, groups, *norm[:6])


@operator(
    check=checks.fused_convolution,
    cpu=_fused_cpu,
    fake=_fused_fake,
    setup_context=_save_fused,
    backward=_fused_backward,
)
def fused_convolution(
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None,
    residual: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool,
    with_moments: bool,
) -> tuple[Tensor, Tensor]:
    """``[N_in, groups * in]``, ``[V, groups, in, out]`` to ``[output_count, groups * out]`` in the type of the weight,
    and the moments of that output (empty unless ``with_moments``).

    The norm's arguments are those of `sscn_triton.ops.normalization.normalize`; without a mean there is no norm.
    """
    from sscn_triton.ops.triton import convolution as triton
    from sscn_triton.ops.triton.statistics import line

    norm = None
    if mean is not None and variance is not None:
        norm = Norm(mean, variance, norm_weight, norm_bias, eps, leakiness)
    rows, channels = weight.new_empty(output_count, 0), weight.shape[1] * weight.shape[3]
    found = line(rows, channels) if with_moments else widened(rows).new_empty(0)
    output = triton.convolve(
        features, weight, as_rules(rules), output_count, bias, None, residual, norm, found if with_moments else None
    )
    return output, found


def _norm_weight_gradient_cpu(
    features: Tensor, grad_output: Tensor, rules: Sequence[Tensor], groups: int, *norm: Any
) -> Tensor:
    rows = normalized_cpu(features, Norm(*norm))
    return cpu.weight_gradient(rows, grad_output, as_rules(rules), groups, grad_output.dtype)


def _norm_weight_gradient_fake(
    features: Tensor, grad_output: Tensor, rules: Sequence[Tensor], groups: int, *_: Any
) -> Tensor:
    checks.divided(groups, features.shape[1], grad_output.shape[1])
    taps = as_rules(rules).spans.shape[0]
    return grad_output.new_empty(taps, groups, features.shape[1] // groups, grad_output.shape[1] // groups)


@operator(check=checks.norm_weight_gradient, cpu=_norm_weight_gradient_cpu, fake=_norm_weight_gradient_fake)
def norm_weight_gradient(
    features: Tensor,
    grad_output: Tensor,
    rules: Sequence[Tensor],
    groups: int,
    mean: Tensor,
    variance: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
) -> Tensor:
    """The weight gradient of `fused_convolution`, which normalises the rows again."""
    from sscn_triton.ops.triton import weight_gradient as triton

    norm = Norm(mean, variance, norm_weight, norm_bias, eps, leakiness)
    return triton.weight_gradient(features, grad_output, as_rules(rules), groups, norm=norm)


def _norm_input_gradient_cpu(
    grad_output: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, features: Tensor, *norm: Any
) -> tuple[Tensor, Tensor]:
    kind = torch.promote_types(grad_output.dtype, torch.float32)
    gradient = cpu.convolve(grad_output, weight, as_rules(rules), output_count, dtype=kind)
    rising, sums = rising_and_sums_cpu(gradient, features, Norm(*norm), over=True)
    return rising.to(grad_output.dtype), sums


def _norm_input_gradient_fake(
    grad_output: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, features: Tensor, *_: Any
) -> tuple[Tensor, Tensor]:
    return grad_output.new_empty(features.shape), widened(grad_output).new_empty(2, features.shape[1])


@operator(check=checks.norm_input_gradient, cpu=_norm_input_gradient_cpu, fake=_norm_input_gradient_fake)
def norm_input_gradient(
    grad_output: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
) -> tuple[Tensor, Tensor]:
    """The gradient of `fused_convolution` for the norm's preactivation (before the rectifier), and the sums ``[2, C]``
    that `sscn_triton.ops.normalization.slopes` returns. ``weight`` and ``rules`` are those read backwards."""
    from sscn_triton.ops.triton import convolution as triton
    from sscn_triton.ops.triton import statistics

    norm = Norm(mean, variance, norm_weight, norm_bias, eps, leakiness)
    if weight.dtype == torch.float64:
        gradient = triton.convolve(grad_output, weight, as_rules(rules), output_count)
        return rising_and_sums(gradient, features, norm)
    line, rows = statistics.line(grad_output.new_empty(features.shape[0], 0), features.shape[1]), features.contiguous()
    rising = triton.convolve(grad_output, weight, as_rules(rules), output_count, norm=norm, moments=line, rows=rows)
    return rising, statistics.add(line, *rows.shape)

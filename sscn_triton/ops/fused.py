"""A convolution fused with its neighbours in a network: the norm before it, bias, residual and moments after it.

    y[o] = bias + residual[o] + sum over the rules (i, o) of tap v of norm(x[i]) w[v]

The norm is that of `sscn_triton.ops.normalization`. A GPU normalises few rows while it gathers them; it
normalises a temporary copy of many, as the CPU always does. The operator also returns the moments of y for the next
norm. Missing rows stay zero.

The backward pass of a norm and a convolution is one operator too. When PyTorch records gradients of gradients, the two
are differentiated one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.checks import moments_size
from sscn_triton.ops.convolution import direct_convolution, direct_weight_gradient
from sscn_triton.ops.cpu import convolution as cpu
from sscn_triton.ops.cpu import normalization
from sscn_triton.ops.cpu.jobs import Step
from sscn_triton.ops.dtypes import of_type, widened
from sscn_triton.ops.norm import Norm
from sscn_triton.ops.normalization import (
    direct_normalize,
    for_loops,
    moments_cpu,
    norm_gradients,
    rising_and_sums,
)
from sscn_triton.ops.registration import direct, operator
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
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    kind = dtype or weight.dtype
    steps: list[Step] = []
    if mean is not None and variance is not None:
        x, norm = for_loops(features, Norm(mean, variance, norm_weight, norm_bias, eps, leakiness, moving))
        features, steps = normalization.normalize(x, norm)
    rounded = weight if weight.dtype is kind else weight.to(kind)
    output, more = cpu.convolution(features, rounded, as_rules(rules), output_count, bias, residual)
    moments = output.new_empty(moments_size(*output.shape) if with_moments else 0)
    steps += more
    if output.dtype is kind:
        if with_moments and output.numel():
            steps.append(normalization.moments(output, moments))
        cpu.run_rules(steps)
        return output, moments
    cpu.run_rules(steps)
    output = output.to(kind)
    return output, moments_cpu(output) if with_moments else moments


def _fused_fake(
    features: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, *rest: Any
) -> tuple[Tensor, Tensor]:
    with_moments, *dtype = rest[9:]
    output = weight.new_empty(output_count, weight.shape[1] * weight.shape[3], dtype=dtype[0] if dtype else None)
    return output, widened(output).new_empty(moments_size(*output.shape) if with_moments else 0)


def _save_fused(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, weight, rules, _, _, _, *norm, ctx.eps, ctx.leakiness, ctx.moving, _, _ = inputs
    ctx.save_for_backward(features, weight, *norm, *rules)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _fused_backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    features, weight, mean, variance, norm_weight, norm_bias, *rules = ctx.saved_tensors
    if grad is None:
        return (None,) * 15
    by = ctx.needs_input_grad
    needed = by[0], by[1], by[8], by[9]
    norm = None
    if mean is not None:
        norm = Norm(mean, variance, norm_weight, norm_bias, ctx.eps, ctx.leakiness, ctx.moving)
    if norm is None or torch.is_grad_enabled():
        gradients = _fused_gradients(grad, features, weight, rules, norm, needed)
    else:
        gradients = _known_gradients(grad, features, weight, rules, norm, needed)
    grad_features, grad_weight, grad_norm_weight, grad_norm_bias = gradients
    return (
        grad_features, grad_weight, None, None, grad.sum(0, dtype=weight.dtype) if by[4] else None,
        grad if by[5] else None, None, None, grad_norm_weight, grad_norm_bias, None, None, None, None, None,
    )  # fmt: skip


Gradients = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
Needed = tuple[bool, bool, bool, bool]


def _fused_gradients(
    grad: Tensor, features: Tensor, weight: Tensor, rules: Sequence[Tensor], norm: Norm | None, needed: Needed
) -> Gradients:
    """The gradients for features, weight, norm's weight and norm's bias, as far as they are ``needed``. They can be
    differentiated again if PyTorch is recording gradients."""
    by_features, by_weight, *by_norm = needed
    grad_features = grad_weight = grad_norm_weight = grad_norm_bias = None
    if by_weight:
        rows = features if norm is None else direct_normalize(features, *norm[:4], None, *norm[4:])
        grad_weight = direct_weight_gradient(rows.to(grad.dtype), grad, rules, weight.shape[1], weight.dtype)
    if by_features or any(by_norm):
        grad_features = direct_convolution(grad, weight.transpose(2, 3), read_backwards(rules), features.shape[0])
        if norm is None:
            return grad_features.to(features.dtype), grad_weight, None, None
        wanted = (by_features, False, False, *by_norm, False)
        grad_features, grad_norm_weight, grad_norm_bias, _ = norm_gradients(grad_features, features, norm, None, wanted)
    return grad_features, grad_weight, grad_norm_weight, grad_norm_bias


def _known_gradients(
    grad: Tensor, features: Tensor, weight: Tensor, rules: Sequence[Tensor], norm: Norm, needed: Needed
) -> Gradients:
    """`_fused_gradients` with a norm, by one operator that cannot be differentiated again."""
    by_features, by_weight, by_norm = needed[0], needed[1], needed[2] or needed[3]
    grad_features, grad_weight, sums = direct_gradients(
        grad, features, weight, rules, *norm, by_features, by_weight, by_norm
    )
    grad_weight_of_norm = grad_bias = None
    if by_norm:
        grad_bias, grad_weight_of_norm = sums.unbind()
    return (
        grad_features if by_features else None,
        grad_weight if by_weight else None,
        None if grad_weight_of_norm is None or norm.weight is None else grad_weight_of_norm.to(norm.weight.dtype),
        None if grad_bias is None or norm.bias is None else grad_bias.to(norm.bias.dtype),
    )


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
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """``[N_in, groups * in]``, ``[V, groups, in, out]`` to ``[output_count, groups * out]`` in the type of the weight,
    and the moments of that output (empty unless ``with_moments``).

    For a float32 weight, ``dtype`` may be one of 16 bits: that of the output and of the products, which take the weight
    rounded to it. The weight's gradient is float32.

    The norm's arguments are those of `sscn_triton.ops.normalization.normalize`; without a mean there is no norm.
    """
    from sscn_triton.ops.triton import convolution as triton
    from sscn_triton.ops.triton.statistics import line

    norm = None
    if mean is not None and variance is not None:
        norm = Norm(mean, variance, norm_weight, norm_bias, eps, leakiness)
    rows, channels = weight.new_empty(output_count, 0, dtype=dtype), weight.shape[1] * weight.shape[3]
    found = line(rows, channels) if with_moments else widened(rows).new_empty(0)
    output = triton.convolve(
        features, weight, as_rules(rules), output_count, bias, None, residual, norm, found if with_moments else None,
        dtype=dtype,
    )  # fmt: skip
    return output, found


def _fused_gradients_cpu(
    grad_output: Tensor,
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    mean: Tensor,
    variance: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool,
    by_features: bool,
    by_weight: bool,
    by_norm: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    x, norm = for_loops(features, Norm(mean, variance, norm_weight, norm_bias, eps, leakiness, moving))
    wide = of_type(grad_output, x.dtype)  # the steps share buffers, so all of them must have the type of the rows
    forwards = as_rules(rules)
    steps: list[Step] = []
    slope = partial = sums = rows = None
    if by_features or by_norm:
        rounded = weight if weight.dtype is grad_output.dtype else weight.to(grad_output.dtype)
        rising, steps = cpu.input_gradient(wide, rounded, forwards, x.shape[0])
        rows = torch.empty_like(x) if by_weight else None
        sums, more = normalization.rising(rising, x, norm, into=rising, normalized=rows)
        steps += more
        if by_features:
            known = sums if moving else None
            slope, more = normalization.slope(rising, x, norm, known, x.shape[0], into=rising)
            steps += more
    if by_weight:
        if rows is None:
            rows, steps = normalization.normalize(x, norm)
        partial, more = cpu.weight_sums(rows, wide, forwards, weight.shape[1])
        steps += more
    cpu.run_rules(steps)
    return (
        features.new_empty(0) if slope is None else of_type(slope, features.dtype),
        weight.new_empty(0) if partial is None else cpu.weight_total(partial, weight.dtype),
        x.new_empty(0) if sums is None else sums,
    )


def _or_empty(found: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if found is None else found


def empty_gradients(
    grad_output: Tensor, features: Tensor, weight: Tensor, rules: Sequence[Tensor], *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The results of `fused_gradients` without their values."""
    by_features, by_weight, by_norm = rest[-3:]
    return (
        features.new_empty(features.shape if by_features else 0),
        weight.new_empty(weight.shape if by_weight else 0),
        widened(features).new_empty((2, features.shape[1]) if by_features or by_norm else 0),
    )


@operator(check=checks.fused_gradients, cpu=_fused_gradients_cpu, fake=empty_gradients)
def fused_gradients(
    grad_output: Tensor,
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    mean: Tensor,
    variance: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool,
    by_features: bool,
    by_weight: bool,
    by_norm: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `fused_convolution` with a norm: for the features ``[N_in, groups * in]``, for the weight in its
    own type, and the sums ``[2, groups * in]`` that `sscn_triton.ops.normalization.slopes` returns.

    Arguments up to ``moving`` are those of `fused_convolution`; the last three say which gradients are needed. Those
    that are not are empty; the sums come with the gradient for the features too.
    """
    from sscn_triton.ops.triton import convolution as triton
    from sscn_triton.ops.triton import statistics
    from sscn_triton.ops.triton.normalization import gradient
    from sscn_triton.ops.triton.weight_gradient import weight_gradient

    forwards, norm = as_rules(rules), Norm(mean, variance, norm_weight, norm_bias, eps, leakiness, moving)
    grad_features = grad_weight = sums = None
    if by_weight:
        groups, kind = weight.shape[1], weight.dtype
        grad_weight = weight_gradient(features, grad_output, forwards, groups, norm=norm, dtype=kind)
    if by_features or by_norm:
        transposed, backwards, count = weight.transpose(2, 3), forwards.read_backwards(), features.shape[0]
        kind = grad_output.dtype
        if kind == torch.float64:
            rising, sums = rising_and_sums(triton.convolve(grad_output, transposed, backwards, count), features, norm)
        else:
            line = statistics.line(grad_output.new_empty(count, 0), features.shape[1])
            rows = features.contiguous()
            rising = triton.convolve(
                grad_output, transposed, backwards, count, norm=norm, moments=line, rows=rows, dtype=kind
            )
            sums = statistics.add(line, *features.shape)
        if by_features:
            linear, known = norm._replace(bias=None, leakiness=1.0), sums if moving else None
            grad_features, _ = gradient(rising, features, linear, None, known, count)
    return _or_empty(grad_features, features), _or_empty(grad_weight, weight), _or_empty(sums, widened(features))


direct_fused, direct_gradients = direct(fused_convolution), direct(fused_gradients)

"""Sparse convolution as two operators, each the derivative of the other.

With rules (i, o) of tap v, features x, weight w and gradient g of the output:

    convolution:      y[o] += x[i] w[v]
    weight gradient:  W[v] += x[i]^T g[o]

The input gradient of a convolution is a convolution with transposed weights over the rules read backwards. The two
operators are therefore closed under differentiation, and gradients of any order exist.

``rules`` are those of `sscn_triton.ops.rules`; ``weight`` is ``[V, groups, in, out]`` with
``in`` and ``out`` counted per group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.cpu import convolution as cpu
from sscn_triton.ops.registration import direct, operator
from sscn_triton.ops.rules import as_rules, read_backwards


def _convolution_cpu(
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    return cpu.convolve(features, weight.to(features.dtype), as_rules(rules), output_count, bias, residual)


def _convolution_fake(features: Tensor, weight: Tensor, rules: Sequence[Tensor], output_count: int, *_: Any) -> Tensor:
    return features.new_empty(output_count, weight.shape[1] * weight.shape[3])


def _save_convolution(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, weight, rules, *_ = inputs
    ctx.save_for_backward(features, weight, *rules)


def _convolution_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    features, weight, *rules = ctx.saved_tensors
    by_features, by_weight, _, _, by_bias, by_residual = ctx.needs_input_grad[:6]
    grad_features = grad_weight = None
    if by_features:
        grad_features = direct_convolution(grad, weight.transpose(2, 3), read_backwards(rules), features.shape[0])
    if by_weight:
        grad_weight = direct_weight_gradient(features, grad, rules, weight.shape[1], weight.dtype)
    grad_bias = grad.sum(0, dtype=weight.dtype) if by_bias else None
    return grad_features, grad_weight, None, None, grad_bias, grad if by_residual else None


@operator(
    check=checks.convolution,
    cpu=_convolution_cpu,
    fake=_convolution_fake,
    setup_context=_save_convolution,
    backward=_convolution_backward,
)
def convolution(
    features: Tensor,
    weight: Tensor,
    rules: Sequence[Tensor],
    output_count: int,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """``y[o] = bias + residual[o] + sum of x[i] w[v]``: ``[N_in, groups * in]``, ``[V, groups, in, out]`` to
    ``[output_count, groups * out]`` in the type of the features. For features of 16 bits the weight may be float32: the
    products take it rounded to their type, and its gradient is float32."""
    from sscn_triton.ops.triton import convolution as triton

    kind = features.dtype
    return triton.convolve(features, weight, as_rules(rules), output_count, bias, None, residual, dtype=kind)


def _weight_gradient_cpu(
    features: Tensor, grad_output: Tensor, rules: Sequence[Tensor], groups: int, dtype: torch.dtype | None = None
) -> Tensor:
    return cpu.weight_gradient(features, grad_output, as_rules(rules), groups, dtype)


def _weight_gradient_fake(
    features: Tensor, grad_output: Tensor, rules: Sequence[Tensor], groups: int, dtype: torch.dtype | None = None
) -> Tensor:
    checks.divided(groups, features.shape[1], grad_output.shape[1])
    taps = as_rules(rules).spans.shape[0]
    shape = taps, groups, features.shape[1] // groups, grad_output.shape[1] // groups
    return features.new_empty(shape, dtype=dtype)


def _save_weight_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, grad_output, rules, *_ = inputs
    ctx.save_for_backward(features, grad_output, *rules)


def _weight_gradient_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    features, grad_output, *rules = ctx.saved_tensors
    grad_features = grad_grad_output = None
    if ctx.needs_input_grad[0]:
        grad_features = direct_convolution(grad_output, grad.transpose(2, 3), read_backwards(rules), features.shape[0])
    if ctx.needs_input_grad[1]:
        grad_grad_output = direct_convolution(features, grad, rules, grad_output.shape[0])
    return grad_features, grad_grad_output, None, None, None


@operator(
    check=checks.weight_gradient,
    cpu=_weight_gradient_cpu,
    fake=_weight_gradient_fake,
    setup_context=_save_weight_gradient,
    backward=_weight_gradient_backward,
)
def weight_gradient(
    features: Tensor, grad_output: Tensor, rules: Sequence[Tensor], groups: int, dtype: torch.dtype | None = None
) -> Tensor:
    """``W[v] += x[i]^T g[o]``: ``[N_in, groups * in]``, ``[N_out, groups * out]`` of one type to ``[V, groups, in,
    out]`` in this type or ``dtype``, which may be float32 for 16 bits."""
    from sscn_triton.ops.triton import weight_gradient as triton

    return triton.weight_gradient(features, grad_output, as_rules(rules), groups, dtype=dtype)


direct_convolution, direct_weight_gradient = direct(convolution), direct(weight_gradient)

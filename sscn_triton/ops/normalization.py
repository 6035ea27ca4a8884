"""Batch norm over rows, split into parts that a convolution can fuse.

    moments       moments of rows per tile (`sscn_triton.ops.triton.statistics`); a convolution can compute its output's
    statistics    mean and variance from moments; also updates running statistics
    normalize     ``leaky((x - mean) / sqrt(variance + eps) * weight + bias + residual)``
    slopes        the sums over all rows that the gradient of `normalize` needs
    slope         the gradient of `normalize` for the rows

``leaky`` multiplies negative values by ``leakiness``. Everything is computed in float32, or in float64 for float64
rows, and rounded once. When PyTorch records gradients of gradients, its own operators compute the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.checks import moments_size
from sscn_triton.ops.cpu import normalization as cpu
from sscn_triton.ops.cpu.jobs import Step, run
from sscn_triton.ops.dtypes import of_type, sum_type, widened
from sscn_triton.ops.norm import Norm, with_residual
from sscn_triton.ops.registration import direct, operator


def empty_moments(features: Tensor) -> Tensor:
    """The moments of rows without their values."""
    return widened(features).new_empty(moments_size(*features.shape))


def moments_cpu(features: Tensor) -> Tensor:
    """`moments`, computed by compiled loops."""
    rows, channels = features.shape
    found = empty_moments(features)
    if rows and channels:
        run(cpu.moments(_wide(features), found))
    return found


def _wide(features: Tensor) -> Tensor:
    """The rows in a type that the compiled loops accept."""
    return of_type(features, sum_type(features))


@operator(check=checks.rows, cpu=moments_cpu, fake=empty_moments)
def moments(features: Tensor) -> Tensor:
    """The moments of rows ``[N, C]``."""
    from sscn_triton.ops.triton import statistics as triton

    return triton.moments(features)


def _statistics_fake(moments: Tensor, rows: int, channels: int, *_: Any) -> tuple[Tensor, Tensor]:
    return moments.new_empty(channels), moments.new_empty(channels)


def _statistics_cpu(
    moments: Tensor,
    rows: int,
    channels: int,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    batches: Tensor | None,
    momentum: float | None,
) -> tuple[Tensor, Tensor]:
    if not rows:
        return moments.new_zeros(channels), moments.new_zeros(channels)
    step = 1 / float(batches) if momentum is None and batches is not None else momentum or 0.0
    running = _of_type(moments, running_mean, running_var)
    mean, variance = cpu.statistics(moments, rows, channels, running[0], running[1], step)
    if batches is not None and momentum is not None:
        batches.add_(1)
    for kept, moved in zip((running_mean, running_var), running, strict=True):
        if kept is not None and moved is not kept:
            kept.copy_(moved)
    return mean, variance


@operator(
    check=checks.statistics,
    cpu=_statistics_cpu,
    fake=_statistics_fake,
    mutates=("running_mean", "running_var", "batches"),
)
def statistics(
    moments: Tensor,
    rows: int,
    channels: int,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    batches: Tensor | None,
    momentum: float | None,
) -> tuple[Tensor, Tensor]:
    """Mean and biased variance ``[C]`` of the rows that have these moments; zeros without rows.

    Running statistics move by the fraction ``momentum`` towards mean and unbiased variance, and ``batches`` increases
    by one. If momentum is None, the fraction is ``1 / batches``, and the caller has already incremented ``batches``.
    Without rows all of these stay unchanged.
    """
    from sscn_triton.ops.triton import statistics as triton

    return triton.statistics(moments, rows, channels, running_mean, running_var, batches, momentum)


def _distance(features: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (widened(features) - mean) * (variance + eps).rsqrt()


def _before_leak(distance: Tensor, weight: Tensor | None, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    for term, joined in ((weight, torch.mul), (bias, torch.add), (residual, torch.add)):
        distance = distance if term is None else joined(distance, term.to(distance.dtype))
    return distance


def normalized_cpu(features: Tensor, norm: Norm, residual: Tensor | None = None) -> Tensor:
    """`normalize` by compiled loops; the result has the type of the computation."""
    x, norm = for_loops(features, norm)
    (added,) = _of_type(x, residual)
    return _computed(cpu.normalize(x, norm, added))


def _computed(promised: tuple[Tensor, list[Step]]) -> Tensor:
    """The result of steps, which run now."""
    result, steps = promised
    if steps:
        run(*steps)
    return result


def _normalize_cpu(features: Tensor, *terms: Any) -> Tensor:
    return of_type(normalized_cpu(features, *with_residual(*terms)), features.dtype)


def _of_type(x: Tensor, *terms: Tensor | None) -> list[Any]:
    """The terms of a norm as contiguous tensors of the rows' type."""
    return [None if term is None else of_type(term, x.dtype) for term in terms]


def for_loops(features: Tensor, norm: Norm) -> tuple[Tensor, Norm]:
    """Rows and norm as the compiled loops take them: contiguous and of one type."""
    x = _wide(features)
    mean, variance, weight, bias = _of_type(x, *norm[:4])
    return x, Norm(mean, variance, weight, bias, norm.eps, norm.leakiness, norm.moving)


def _normalize_fake(features: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(features, memory_format=torch.contiguous_format)


def _save_norm(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, eps, leakiness, moving = inputs
    ctx.numbers = eps, leakiness, moving
    ctx.save_for_backward(*tensors)


def _normalize_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    features, *terms = ctx.saved_tensors
    norm, residual = with_residual(*terms, *ctx.numbers)
    needed = ctx.needs_input_grad[:6]
    by_features, by_weight, by_bias, by_residual = norm_gradients(grad, features, norm, residual, needed)
    return by_features, None, None, by_weight, by_bias, by_residual, None, None, None


@operator(
    check=checks.normalize,
    cpu=_normalize_cpu,
    fake=_normalize_fake,
    setup_context=_save_norm,
    backward=_normalize_backward,
)
def normalize(
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    leakiness: float,
    moving: bool,
) -> Tensor:
    """``[N, C]``, in the type of the features. ``moving``: mean and variance were computed from these rows, and the
    gradient flows through them; else they are constants."""
    from sscn_triton.ops.triton import normalization as triton

    return triton.normalize(features, Norm(mean, variance, weight, bias, eps, leakiness), residual)


def norm_gradients(
    grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None, needed: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients for features, weight, bias and residual; ``needed`` says which of `normalize`'s first six
    arguments need one. They can be differentiated again if PyTorch is recording gradients."""
    if torch.is_grad_enabled():
        return _plain_gradients(grad, features, norm, residual)
    by_features, _, _, by_weight, by_bias, by_residual = needed
    given: Any = (grad, features, *norm[:4], residual)
    numbers: Any = (norm.eps, norm.leakiness)
    sums = None
    if by_weight or by_bias or (by_features and norm.moving):
        sums = direct_slopes(*given, *numbers)
    grad_features = grad_residual = None
    if by_features or by_residual:
        known = sums if norm.moving else None
        given = (*given, known, features.shape[0])
        grad_features, grad_residual = direct_slope(*given, *numbers)
    return (
        grad_features,
        sums[1].to(norm.weight.dtype) if sums is not None and norm.weight is not None else None,
        sums[0].to(norm.bias.dtype) if sums is not None and norm.bias is not None else None,
        grad_residual if by_residual else None,
    )


def _rising(grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gradient for the preactivation (before the rectifier), and the normalised distance from the mean."""
    distance = _distance(features, norm.mean, norm.variance, norm.eps)
    wide = grad.to(distance.dtype)
    negative = _before_leak(distance, norm.weight, norm.bias, residual) <= 0
    return torch.where(negative, wide * norm.leakiness, wide), distance


def _plain_gradients(
    grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of `norm_gradients`, computed by operators that PyTorch can differentiate."""
    wide, count = widened(features), max(features.shape[0], 1)
    if norm.moving:
        mean = wide.sum(0) / count
        norm = norm._replace(mean=mean, variance=(wide - mean).square().sum(0) / count)
    rising, distance = _rising(grad, wide, norm, residual)
    by_bias, by_weight = rising.sum(0), (rising * distance).sum(0)
    by_features = rising - (by_bias + by_weight * distance) / count if norm.moving else rising
    by_features = _before_leak(by_features * (norm.variance + norm.eps).rsqrt(), norm.weight, None, None)
    return (
        by_features.to(features.dtype),
        None if norm.weight is None else by_weight.to(norm.weight.dtype),
        None if norm.bias is None else by_bias.to(norm.bias.dtype),
        None if residual is None else rising.to(residual.dtype),
    )


def rising_and_sums(grad: Tensor, features: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """The gradient for the preactivation (before the rectifier), in the type of ``grad``, and its `slopes`."""
    rising, distance = _rising(grad, features, norm, None)
    return rising.to(grad.dtype), torch.stack([rising.sum(0), (rising * distance).sum(0)])


def _rising_and_sums_cpu(grad: Tensor, features: Tensor, norm: Norm, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """`rising_and_sums` by compiled loops; the gradient has the type of the sums."""
    x, norm = for_loops(features, norm)
    wide = of_type(grad, x.dtype)
    into = torch.empty_like(wide) if wide is grad else wide
    (added,) = _of_type(x, residual)
    return into, _computed(cpu.rising(wide, x, norm, added, into))


def _slopes_cpu(grad: Tensor, features: Tensor, *terms: Any) -> Tensor:
    norm, residual = with_residual(*terms)
    x, norm = for_loops(features, norm)
    (added,) = _of_type(x, residual)
    return _computed(cpu.rising(of_type(grad, x.dtype), x, norm, added))


def _slopes_fake(grad: Tensor, features: Tensor, *_: Any) -> Tensor:
    return widened(features).new_empty(2, features.shape[1])


@operator(check=checks.slopes, cpu=_slopes_cpu, fake=_slopes_fake)
def slopes(
    grad: Tensor,
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    eps: float,
    leakiness: float,
) -> Tensor:
    """``[2, C]``: the gradients of `normalize` for bias and weight."""
    from sscn_triton.ops.triton import normalization as triton

    return triton.slopes(grad, features, Norm(mean, variance, weight, bias, eps, leakiness), residual)


def _slope_cpu(grad: Tensor, features: Tensor, *norm: Any) -> tuple[Tensor, Tensor]:
    mean, variance, weight, bias, residual, sums, count, eps, leakiness = norm
    x, given = for_loops(features, Norm(mean, variance, weight, bias, eps, leakiness))
    rising = grad
    if leakiness != 1:
        rising, _ = _rising_and_sums_cpu(grad, x, given, residual)
    (known,) = _of_type(x, sums)
    slope = _computed(cpu.slope(of_type(rising, x.dtype), x, given, known, count))
    return slope.to(features.dtype), features.new_empty(0) if residual is None else rising.to(residual.dtype, copy=True)


def _slope_fake(grad: Tensor, features: Tensor, *norm: Any) -> tuple[Tensor, Tensor]:
    residual = norm[4]
    return _normalize_fake(features), features.new_empty(0) if residual is None else _normalize_fake(residual)


@operator(check=checks.slope, cpu=_slope_cpu, fake=_slope_fake)
def slope(
    grad: Tensor,
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    sums: Tensor | None,
    count: int,
    eps: float,
    leakiness: float,
) -> tuple[Tensor, Tensor]:
    """The gradients of `normalize` for features and residual (empty without one).

    ``sums`` are the result of `slopes` over the ``count`` rows from which mean and variance were computed; None if mean
    and variance are constants.
    """
    from sscn_triton.ops.triton import normalization as triton

    norm = Norm(mean, variance, weight, bias, eps, leakiness)
    return triton.gradient(grad, features, norm, residual, sums, count)


direct_moments, direct_statistics, direct_normalize = direct(moments), direct(statistics), direct(normalize)
direct_slopes, direct_slope = direct(slopes), direct(slope)

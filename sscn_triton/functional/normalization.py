"""Norms over active sites: of the whole batch, of all processes, of each event."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.ops import normalization as kernels
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import spread_events, sum_events
from sscn_triton.ops.norm import Norm


def batch_norm(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
    leakiness: float = 1.0,
    residual: Tensor | None = None,
    batches: Tensor | None = None,
    moments: Tensor | None = None,
) -> Tensor:
    """Batch normalisation over active sites: `torch.nn.functional.batch_norm` for ``[N, C]`` with any N.

    Without sites the running statistics do not change; a single site has variance 0. ``residual`` ``[N, C]`` is
    added; then negative results are multiplied by ``leakiness``: 0 makes it batch norm with ReLU.

    Running statistics move by ``momentum`` of the difference; ``batches``, int64 ``[]``, counts the batches seen. If
    momentum is None, the running statistics are the mean over all batches: the step is one over the count, and
    ``batches`` is required. ``moments`` are those of the features, if a convolution computed them.
    """
    if momentum is None and training and running_mean is not None and batches is None:
        raise ValueError("momentum None averages over all batches and requires batches, their count")
    if features.is_meta:
        return torch.empty_like(features)
    norm = batch_norm_of(
        features, running_mean, running_var, weight, bias, training, momentum, eps, leakiness, batches, moments
    )
    return normalize_by(features, norm, residual)


def batch_norm_of(
    features: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
    leakiness: float = 1.0,
    batches: Tensor | None = None,
    moments: Tensor | None = None,
) -> Norm:
    """The norm that `batch_norm` applies to these rows: their statistics, or in evaluation the running ones.

    Running statistics are updated as in `batch_norm`. ``moments`` are those of the features, if the
    operator that computed the features also computed them.
    """
    if not training and running_mean is not None and running_var is not None:
        return Norm(running_mean, running_var, weight, bias, eps, leakiness, False)
    if moments is None:
        moments = kernels.direct_moments(features.detach())
    if momentum is None and batches is not None and features.shape[0]:
        batches.add_(1)
    mean, variance = kernels.direct_statistics(
        moments, features.shape[0], features.shape[1], running_mean, running_var, batches, momentum
    )
    return Norm(mean, variance, weight, bias, eps, leakiness, True)


def normalize_by(features: Tensor, norm: Norm, residual: Tensor | None = None) -> Tensor:
    """Apply a norm to rows by a separate kernel; a residual is added before ``leakiness`` is applied."""
    if residual is not None:
        residual = residual.to(features.dtype)
    mean, variance, weight, bias, eps, leakiness, moving = norm
    return kernels.direct_normalize(features, mean, variance, weight, bias, residual, eps, leakiness, moving)


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; its derivative is the sum over all processes too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = value.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _SumOverProcesses.apply(grad.contiguous(), ctx.group), None


def process_statistics(features: Tensor, group: Any = None) -> tuple[Tensor, Tensor, Tensor]:
    """Number of rows ``[]``, mean ``[C]`` and biased variance ``[C]`` over the rows ``[N, C]`` of all processes.

    Every row counts the same, wherever it is; a process may have no rows. Statistics are float32, or float64 for
    float64 features. Differentiable to any order; every process of ``group`` must call it, and run its backward pass.
    """
    wide = widened(features)
    sums = torch.cat([wide.sum(0), wide.new_full((1,), wide.shape[0])])
    sums = _SumOverProcesses.apply(sums, group)
    count = sums[-1].detach()
    mean = sums[:-1] / count.clamp(min=1)
    squares = _SumOverProcesses.apply((wide - mean).square().sum(0), group)
    return count, mean, squares / count.clamp(min=1)


def normalize(
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    leakiness: float = 1.0,
) -> Tensor:
    """``(x - mean) / sqrt(variance + eps) * weight + bias``, negative values times ``leakiness``, in the type of x."""
    scaled = (widened(features) - mean) * (variance + eps).rsqrt()
    return _rectify(_affine(scaled, weight, bias), leakiness).to(features.dtype)


def group_norm(
    x: SparseTensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> SparseTensor:
    """Normalise each group of channels of each event by its mean and variance over the event's active sites.

    As `torch.nn.functional.group_norm`, with active sites in place of pixels. Statistics are float32, or float64 for
    float64 features. With as many groups as channels it is instance normalisation; an event of a single site then has
    variance 0 and its output is ``bias``.
    """
    channels = x.features.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(f"num_groups must divide the {channels} channels, got {num_groups}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (channels,):
            raise ValueError(f"{name} must be [{channels}], got shape {tuple(value.shape)}")
    events, width = x.grid.events(), channels // num_groups
    wide = widened(x.features)
    count = sum_events(torch.ones_like(wide[:, :1]), events).clamp(min=1) * width

    def mean(rows: Tensor) -> Tensor:
        """The mean over each event and group, repeated for each channel of the group: ``[B, C]``."""
        total = sum_events(rows, events).unflatten(1, (num_groups, width)).sum(2)
        return (total / count).repeat_interleave(width, 1)

    centred = wide - spread_events(mean(wide), events)
    variance = mean(centred.square())
    scaled = centred * spread_events((variance + eps).rsqrt(), events)
    return x.replace(_affine(scaled, weight, bias).to(x.dtype))


def _affine(features: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        features = features * weight
    return features if bias is None else features + bias


def _rectify(features: Tensor, leakiness: float) -> Tensor:
    if leakiness == 0:
        return torch.relu(features)
    return features if leakiness == 1 else torch.nn.functional.leaky_relu(features, leakiness)

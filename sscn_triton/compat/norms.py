"""PyTorch's batch norm on feature rows, also for one row or none."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.nn.own_forward import own_forward, runs_own_forward

own_forward(torch.nn.BatchNorm1d.forward)


def norm_rows(norm: torch.nn.BatchNorm1d, features: Tensor) -> Tensor:
    """`torch.nn.BatchNorm1d` of ``[N, C]`` for any N.

    In training, one row has variance 0, and without rows the running statistics do not change.
    """
    if not norm.training or len(features) > 1:
        return torch.nn.BatchNorm1d.forward(norm, features)
    momentum = norm.momentum
    if norm.num_batches_tracked is not None and len(features):
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if momentum is None else momentum
    mean, variance = norm.running_mean, norm.running_var
    return functional.batch_norm(features, mean, variance, norm.weight, norm.bias, True, momentum or 0.0, norm.eps)


def call_norm(norm: torch.nn.BatchNorm1d, features: Tensor) -> Tensor:
    """``norm(features)`` for any number of rows, for a norm that someone else made.

    A norm with hooks or another forward is called unchanged; PyTorch then refuses a single row in training.
    """
    few = norm.training and len(features) < 2
    return norm_rows(norm, features) if few and runs_own_forward(norm) else norm(features)


class RowNorm(torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` of ``[N, C]`` for any N."""

    def forward(self, input: Tensor) -> Tensor:
        return norm_rows(self, input)

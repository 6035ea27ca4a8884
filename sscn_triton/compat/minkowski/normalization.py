"""Norms with MinkowskiEngine's parameter names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton import functional
from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, expect, expect_any
from sscn_triton.compat.norms import RowNorm


class MinkowskiBatchNorm(torch.nn.Module):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of sites."""

    bn: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.bn = RowNorm(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, input: Any) -> Any:
        x = expect_any(self, input)
        if x.F.shape[1] != self.bn.num_features:
            raise ValueError(
                f"{type(self).__name__} takes {self.bn.num_features} channels, but the tensor has {x.F.shape[1]}"
            )
        return x.on(self.bn(x.F))


class MinkowskiSyncBatchNorm(MinkowskiBatchNorm):
    """`torch.nn.SyncBatchNorm` over the active sites of all processes."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
    ) -> None:
        torch.nn.Module.__init__(self)
        self.bn = torch.nn.SyncBatchNorm(num_features, eps, momentum, affine, track_running_stats, process_group)

    @classmethod
    def convert_sync_batchnorm(cls, module: torch.nn.Module, process_group: Any = None) -> torch.nn.Module:
        """Replace every `MinkowskiBatchNorm` in ``module`` by a synchronised one with the same parameters and
        statistics; returns the module, or its replacement."""
        result = module
        if isinstance(module, MinkowskiBatchNorm) and not isinstance(module, MinkowskiSyncBatchNorm):
            bn: Any = module.bn
            result = cls(bn.num_features, bn.eps, bn.momentum, bn.affine, bn.track_running_stats, process_group)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                setattr(result.bn, name, getattr(bn, name))
            return result.train(module.training)
        for name, child in module.named_children():
            setattr(result, name, cls.convert_sync_batchnorm(child, process_group))
        return result


class MinkowskiInstanceNorm(MinkowskiModuleBase):
    """Normalise each channel of each event by its mean and variance over the event's sites; eps is 1e-8."""

    eps = 1e-8

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.weight = torch.nn.Parameter(torch.ones(1, num_features))
        self.bias = torch.nn.Parameter(torch.zeros(1, num_features))

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        torch.nn.init.ones_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        x = expect(self, input, self.num_features)
        return x.on(instance_norm(x.library(), self.weight[0], self.bias[0], self.eps))

    def extra_repr(self) -> str:
        return f"num_features={self.num_features}"


class MinkowskiStableInstanceNorm(MinkowskiInstanceNorm):
    """`MinkowskiInstanceNorm` with an eps of 1e-6."""

    eps = 1e-6


def instance_norm(x: Any, weight: Values | None, bias: Values | None, eps: float) -> Values:
    """The features of the library's tensor ``x``, normalised by event and channel."""
    return functional.group_norm(x, max(x.features.shape[1], 1), weight, bias, eps).features

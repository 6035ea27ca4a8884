"""Norms, activations, global poolings and the crop: layers whose parameters are PyTorch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor as Library
from sscn_triton import functional
from sscn_triton.compat.norms import RowNorm
from sscn_triton.compat.torchsparse.nn.functional.conv.kmap import sites_of
from sscn_triton.compat.torchsparse.nn.functional.crop import checked_bound, spcrop
from sscn_triton.compat.torchsparse.nn.functional.pooling import global_avg_pool, global_max_pool
from sscn_triton.compat.torchsparse.nn.utils.apply import expect, fapply
from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.relation import Size


class ReLU(torch.nn.ReLU):
    """`torch.nn.ReLU` on the features."""

    def forward(self, input: Any) -> Any:
        return fapply(input, super().forward)


class LeakyReLU(torch.nn.LeakyReLU):
    """`torch.nn.LeakyReLU` on the features."""

    def forward(self, input: Any) -> Any:
        return fapply(input, super().forward)


class SiLU(torch.nn.SiLU):
    """`torch.nn.SiLU` on the features."""

    def forward(self, input: Any) -> Any:
        return fapply(input, super().forward)


class BatchNorm(RowNorm):
    """`torch.nn.BatchNorm1d` over the sites of the whole batch, for any number of sites."""

    def forward(self, input: Any) -> Any:
        return fapply(input, super().forward)


class GroupNorm(torch.nn.GroupNorm):
    """`torch.nn.GroupNorm` of each event, with its sites in place of pixels."""

    def forward(self, input: Any) -> Any:
        x = expect(input, "GroupNorm", self.num_channels)
        given = Library.on(x.feats, sites_of(x).grid)
        return x.on(functional.group_norm(given, self.num_groups, self.weight, self.bias, self.eps).features)


class InstanceNorm(torch.nn.InstanceNorm1d):
    """Normalise the channels of each site, as `torch.nn.InstanceNorm1d` does in torchsparse, which gives it ``[N, C]``
    as one image of N channels.

    Args:
        num_features: number of channels.
        eps: added to the variance.
        momentum: has no effect without running statistics.
        affine, track_running_stats: must be False; torchsparse would apply them to sites.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        for name, given in (("affine", affine), ("track_running_stats", track_running_stats)):
            if given:
                raise ValueError(
                    f"{name} must be False: torchsparse's InstanceNorm would apply it to sites; use GroupNorm"
                )
        super().__init__(num_features, eps, momentum)

    def forward(self, input: Any) -> Any:
        x = expect(input, "InstanceNorm", self.num_features)
        return x.on(torch.nn.functional.layer_norm(x.feats, (self.num_features,), eps=self.eps))


class GlobalAvgPool(torch.nn.Module):
    """`global_avg_pool`."""

    def forward(self, input: SparseTensor) -> Tensor:
        return global_avg_pool(input)


class GlobalMaxPool(torch.nn.Module):
    """`global_max_pool`."""

    def forward(self, input: SparseTensor) -> Tensor:
        return global_max_pool(input)


class SparseCrop(torch.nn.Module):
    """`spcrop` with these bounds."""

    def __init__(self, coords_min: Size | None = None, coords_max: Size | None = None) -> None:
        super().__init__()
        self.coords_min = checked_bound("coords_min", coords_min)
        self.coords_max = checked_bound("coords_max", coords_max)

    def forward(self, input: SparseTensor) -> SparseTensor:
        return spcrop(input, self.coords_min, self.coords_max)

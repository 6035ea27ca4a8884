"""UResNets in which two parts respect the active set or not: the statistics of the norms, and the convolutions.

The sparse network and its dense twin (`DenseUResNet`, matched) differ in two things. A norm of the dense twin averages
over all voxels, empty ones included, and its convolutions write values to inactive voxels, which later layers read.
The four networks here have the same parameters and differ in nothing but these two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.models import DenseUResNet, SparseUResNet
from sscn_triton.nn import BatchNormReLU

Voxels = Literal["all", "active"]


@dataclass(frozen=True)
class Respect:
    """norms: the voxels over which batch norm computes its statistics. sites: the voxels that convolutions read and
    write, all in an ordinary convolution and the active ones in a submanifold convolution."""

    norms: Voxels
    sites: Voxels


class ActiveSet:
    """Masks of the active voxels of the current batch, [B, 1, *S], by image size.

    A voxel of a coarser level is active if one of the finer ones in it is, as in a strided sparse convolution.
    """

    def __init__(self, ndim: int, levels: int) -> None:
        self.levels, self.pool = levels, {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[ndim]
        self.masks: dict[torch.Size, Tensor] = {}

    def read(self, image: Tensor) -> None:
        """Take the voxels of the image [B, C, *S] with a nonzero channel as the active ones."""
        mask = (image != 0).any(1, keepdim=True).to(image.dtype)
        self.masks = {mask.shape[2:]: mask}
        for _ in range(self.levels - 1):
            mask = self.pool(mask, 2)
            self.masks[mask.shape[2:]] = mask

    def of(self, x: Tensor) -> Tensor:
        """The mask for features [B, C, *S]."""
        return self.masks[x.shape[2:]]


class ActiveNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of a dense image with mean and variance of its active voxels; all voxels are normalised by them."""

    def __init__(self, channels: int, eps: float, momentum: float | None, active: ActiveSet) -> None:
        super().__init__(channels, eps, momentum)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance = self.running_mean, self.running_var
        if self.training:
            rows = x.movedim(1, -1)[self.active.of(x)[:, 0] > 0]
            variance, mean = torch.var_mean(rows, dim=0, correction=0)
            _follow(self, mean, variance, len(rows))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)


class WholeNormReLU(BatchNormReLU):
    """Batch norm and ReLU of sparse rows with the statistics of the whole image, whose other voxels are zero."""

    def forward(self, x: SparseTensor, moments: Tensor | None = None) -> SparseTensor:  # type: ignore[override]
        assert self.running_mean is not None
        assert self.running_var is not None
        assert x.spatial_shape is not None
        rows, mean, variance = x.features, self.running_mean, self.running_var
        if self.training:
            voxels = x.batch_size * torch.Size(x.spatial_shape).numel()
            mean = rows.sum(0) / voxels
            empty = voxels - len(rows)
            variance = ((rows - mean).square().sum(0) + empty * mean.square()) / voxels
            _follow(self, mean, variance, voxels)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return x.replace(torch.relu(rows * scale + (self.bias - mean * scale)))


def _follow(norm: Any, mean: Tensor, variance: Tensor, number: int) -> None:
    """Update the running statistics as PyTorch does: unbiased variance, and plain means if momentum is None."""
    with torch.no_grad():
        norm.num_batches_tracked += 1
        factor = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean, factor)
        norm.running_var.lerp_(variance * (number / max(1, number - 1)), factor)


class SwitchedUResNet(DenseUResNet):
    """The matched dense UResNet with two switches. An active voxel is one whose input has a nonzero channel.

    With both switches at "all" it is `DenseUResNet`; with both at "active" it is `SparseUResNet` on the active voxels.
    With sites="active", every convolution reads zero from inactive voxels and writes zero to them.

    Input and output as of `DenseUResNet`; so is the rule for image sizes.
    """

    def __init__(
        self, respect: Respect, num_classes: int, filters: int, depth: int, repetitions: int, ndim: int
    ) -> None:
        super().__init__(1, num_classes, filters, depth, repetitions, ndim)
        self.active = ActiveSet(ndim, depth)
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if respect.norms == "active" and isinstance(child, nn.modules.batchnorm._BatchNorm):
                    norm = ActiveNorm(child.num_features, child.eps, child.momentum, self.active)
                    setattr(parent, name, norm)
                if respect.sites == "active" and isinstance(child, nn.modules.conv._ConvNd):
                    child.register_forward_pre_hook(lambda layer, given: (given[0] * self.active.of(given[0]),))
                    child.register_forward_hook(lambda layer, given, result: result * self.active.of(result))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, 1, *S] -> logits [B, num_classes, *S]."""
        self.active.read(x)
        return super().forward(x)


def dense_network(
    respect: Respect, seed: int, num_classes: int, filters: int, depth: int, repetitions: int, ndim: int
) -> SwitchedUResNet:
    """A network with these switches. All with one seed have the same initial weights, up to the last layer if they
    differ in num_classes."""
    torch.manual_seed(seed)
    sparse = SparseUResNet(1, num_classes, filters, depth, repetitions, ndim)
    network = SwitchedUResNet(respect, num_classes, filters, depth, repetitions, ndim)
    network.load_sparse_weights(sparse)
    return network


def sparse_network(
    respect: Respect, seed: int, num_classes: int, filters: int, depth: int, repetitions: int, ndim: int
) -> SparseUResNet:
    """The network of `dense_network` without the work on inactive voxels: equal on active voxels up to rounding.

    Only for sites="active", where inactive voxels enter a norm's statistics as zeros, if at all.
    """
    if respect.sites != "active":
        raise ValueError("a sparse network has no values at inactive sites: sites must be 'active'")
    torch.manual_seed(seed)
    network = SparseUResNet(1, num_classes, filters, depth, repetitions, ndim)
    for parent in list(network.modules()) if respect.norms == "all" else []:
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormReLU):
                setattr(parent, name, WholeNormReLU(child.num_features, child.eps, child.momentum))
    return network

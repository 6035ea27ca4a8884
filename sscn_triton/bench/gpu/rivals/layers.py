"""Engines of single submanifold layers: PyTorch's dense convolution, MinkowskiEngine, WarpConvNet, FlexGEMM.

Each gets the weight in its own layout, as far as that is known; an engine whose result then differs is not timed.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from sscn_triton import nn as ours
from sscn_triton.bench.gpu.rivals.networks import Rival, Unfit
from sscn_triton.bench.gpu.subjects import Subject


class Layer(Rival):
    """An engine that runs one submanifold layer; `weight` is this library's, ``[x, y, z, in, out]``."""

    def __init__(self, subject: Subject) -> None:
        layer: Any = subject.network
        if not isinstance(layer, ours.SubmanifoldConv):
            raise Unfit("only single layers are run")
        shape = (*layer.kernel_size, layer.in_channels, layer.out_channels)
        self.weight = layer.weight.detach()[:, 0].reshape(shape)
        super().__init__(subject)

    def run(self, module: torch.nn.Module, x: Any) -> Any:
        return self.leaves[id(module)](x)

    def rows(self, x: Any) -> tuple[Tensor, Tensor]:
        return x, self.batch.coordinates


class _Dense(torch.nn.Module):
    def __init__(self, weight: Tensor, sites: Tensor) -> None:
        super().__init__()
        *kernel, width_in, width_out = weight.shape
        self.convolution = torch.nn.Conv3d(width_in, width_out, tuple(kernel), padding="same", bias=False)  # type: ignore[arg-type]
        with torch.no_grad():
            self.convolution.weight.copy_(weight.permute(4, 3, 0, 1, 2))
        self.sites = sites.long().unbind(1)

    def forward(self, image: Tensor) -> Tensor:
        batch, x, y, z = self.sites
        return self.convolution(image).movedim(1, -1)[batch, x, y, z]


class Dense(Layer):
    """`torch.nn.Conv3d` on the whole image, compared at the sites; filling the image is not timed."""

    MOST = 1 << 34  # maximum size of the image in bytes

    def leaf(self, layer: Any) -> torch.nn.Module:
        voxels = self.batch.images * self.batch.spatial_shape[0] ** 3
        size = voxels * layer.in_channels * self.subject.features.element_size()
        if size > self.MOST:
            raise Unfit(f"the image would take {size / 1e9:.0f} GB")
        self.image = self.subject.tensor.dense().detach().requires_grad_(self.subject.cell.task == "step")
        return _Dense(self.weight, self.batch.coordinates)

    def build(self) -> Tensor:
        self.image.grad = None
        return self.image


class _Flex(torch.nn.Module):
    def __init__(self, weight: Tensor, coordinates: Tensor, shape: torch.Size, keep: bool) -> None:
        super().__init__()
        self.api = importlib.import_module("flex_gemm.ops.spconv")
        self.weight = torch.nn.Parameter(weight.permute(4, 0, 1, 2, 3).contiguous())
        self.coordinates, self.shape, self.keep, self.cache = coordinates, shape, keep, None

    def forward(self, features: Tensor) -> Tensor:
        weight = self.weight.to(features.dtype)
        cache = self.cache if self.keep else None
        y, self.cache = self.api.sparse_submanifold_conv3d(features, self.coordinates, self.shape, weight, None, cache)
        return y


class Flex(Layer):
    """FlexGEMM's submanifold layer."""

    def leaf(self, layer: Any) -> torch.nn.Module:
        shape = torch.Size([self.batch.images, layer.in_channels, *self.batch.spatial_shape])
        return _Flex(self.weight, self.batch.coordinates, shape, self.subject.cell.rulebook == "out")

    def build(self) -> Tensor:
        return self.subject.features


class _Warp(torch.nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        api = importlib.import_module("warpconvnet.nn.modules.sparse_conv")
        self.convolution = api.SparseConv3d(*weight.shape[3:], kernel_size=weight.shape[0], bias=False)
        with torch.no_grad():
            self.convolution.weight.copy_(weight.flatten(0, 2).reshape(self.convolution.weight.shape))

    def forward(self, voxels: Any) -> Any:
        return self.convolution(voxels)


class Warp(Layer):
    """WarpConvNet's layer."""

    def leaf(self, layer: Any) -> torch.nn.Module:
        return _Warp(self.weight)

    def build(self) -> Any:
        voxels = importlib.import_module("warpconvnet.geometry.types.voxels").Voxels
        ends = torch.bincount(self.batch.coordinates[:, 0].cpu().long(), minlength=self.batch.images).cumsum(0)
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), ends])
        return voxels(self.batch.coordinates[:, 1:].contiguous(), self.subject.features, offsets)

    def rows(self, x: Any) -> tuple[Tensor, Tensor]:
        return x.feature_tensor, torch.cat([self.batch.coordinates[:, :1], x.coordinate_tensor.int()], 1)


class Minkowski(Layer):
    """MinkowskiEngine's layer: taps with the first axis fastest."""

    def leaf(self, layer: Any) -> torch.nn.Module:
        api = importlib.import_module("MinkowskiEngine")
        width = layer.in_channels, layer.out_channels
        own = api.MinkowskiConvolution(*width, kernel_size=layer.kernel_size[0], bias=False, dimension=3)
        with torch.no_grad():
            own.kernel.copy_(self.weight.permute(2, 1, 0, 3, 4).reshape(own.kernel.shape))
        return own

    def build(self) -> Any:
        api = importlib.import_module("MinkowskiEngine")
        return api.SparseTensor(self.subject.features, self.batch.coordinates)

    def rows(self, x: Any) -> tuple[Tensor, Tensor]:
        return x.F, x.C

"""Another engine on a cell: the same network built from the engine's own layers, with equal weights."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from sscn_triton import nn as ours
from sscn_triton.bench.gpu.subjects import Subject, numbers
from sscn_triton.models.encoder import Block, SparseEncoder
from sscn_triton.models.uresnet import Level, ResidualBlock, SparseUResNet


class Unfit(Exception):
    """An engine cannot run a cell; the message says why."""


class Rival:
    """An engine on a subject's network. Subclasses implement `leaf`, `build` and `with_features`."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.batch = subject, subject.batch
        self.leaves: dict[int, Any] = {}
        self.level = 0
        self.parameters: list[Tensor] = []
        self._convert(subject.network)
        self.adam = torch.optim.Adam(self.parameters, 1e-4, fused=True) if subject.adam else None

    def leaf(self, layer: Any) -> torch.nn.Module:
        """The engine's convolution with the weight of this library's layer."""
        raise NotImplementedError

    def build(self) -> Any:
        """The batch as the engine's tensor."""
        raise NotImplementedError

    def with_features(self, x: Any, features: Tensor) -> Any:
        """The same sites with other features."""
        raise NotImplementedError

    def rows(self, x: Any) -> tuple[Tensor, Tensor]:
        """The features and their sites ``[N, 4]``, batch first."""
        return x.features, x.indices

    def _convert(self, module: torch.nn.Module) -> None:
        """Make the engine's layers for all leaves, in the order in which they run; `level` counts the halvings."""
        if isinstance(module, ours.InverseConv):
            self.level -= 1
        if isinstance(module, (ours.SubmanifoldConv, ours.SparseConv, ours.InverseConv)):
            self._keep(module, self.leaf(module).to(self.subject.device))
        elif isinstance(module, ours.BatchNorm):
            norm = torch.nn.BatchNorm1d(module.num_features, module.eps, module.momentum)
            norm.load_state_dict(module.state_dict())
            self._keep(module, norm.to(self.subject.device))
        elif isinstance(module, torch.nn.Linear):
            linear = torch.nn.Linear(module.in_features, module.out_features, module.bias is not None)
            linear.load_state_dict(module.state_dict())
            self._keep(module, linear.to(self.subject.device))
        for child in module.children():
            self._convert(child)
        if isinstance(module, ours.SparseConv):
            self.level += 1

    def _keep(self, module: torch.nn.Module, own: torch.nn.Module) -> None:
        self.leaves[id(module)] = own.train(self.subject.network.training)
        self.parameters.extend(own.parameters())

    def run(self, module: torch.nn.Module, x: Any) -> Any:
        """``module(x)`` with the engine's layers."""
        own = self.leaves.get(id(module))
        if isinstance(module, ours.BatchNorm):
            y = own(x.features)  # type: ignore[misc]
            return self.with_features(x, torch.relu(y) if module.leakiness == 0 else y)
        if isinstance(module, torch.nn.Linear):
            return self.with_features(x, own(x.features))  # type: ignore[misc]
        if own is not None:
            return own(x)
        if isinstance(module, ours.ReLU):
            return self.with_features(x, torch.relu(x.features))
        if isinstance(module, (ResidualBlock, Block)):
            shortcut = self.run(module.shortcut, x) if isinstance(module, ResidualBlock) else x
            y = self.with_features(x, shortcut.features + self.run(module.branch, x).features)
            return y if isinstance(module, ResidualBlock) else self.run(module.relu, y)
        if isinstance(module, Level):
            x = self.run(module.encoder, x)
            if module.has_coarser:
                wide = torch.cat([x.features, self.run(module.visit, x).features], 1)
                x = self.run(module.decoder, self.with_features(x, wide))
            return x
        if isinstance(module, (torch.nn.Sequential, SparseUResNet, SparseEncoder)):
            for child in module.children():
                x = self.run(child, x)
        elif not isinstance(module, torch.nn.Identity):
            raise Unfit(f"no such layer: {type(module).__name__}")
        return x

    def outputs(self, x: Any = None) -> Any:
        with numbers(self.subject.cell.precision, self.subject.device):
            return self.run(self.subject.network, self.build() if x is None else x)

    def once(self) -> None:
        """Run one pass of the cell's task, like `Subject.once`."""
        if self.subject.cell.task == "forward":
            with torch.no_grad():
                self.outputs()
            return
        for parameter in self.parameters:
            parameter.grad = None
        if self.subject.features.requires_grad:
            self.subject.features.grad = None
        self.subject.loss(self.rows(self.outputs())[0]).backward()
        if self.adam is not None:
            self.adam.step()


class Spconv(Rival):
    """spconv's API: weight ``[out, kernel, in]``; rulebooks by name, shared by the layers of a level."""

    module = "spconv.pytorch"

    def __init__(self, subject: Subject) -> None:
        self.api = importlib.import_module(self.module)
        self.books: dict[Any, Any] = {}
        super().__init__(subject)

    def leaf(self, layer: Any) -> torch.nn.Module:
        width = {"in_channels": layer.in_channels, "out_channels": layer.out_channels, "bias": False}
        size = list(layer.kernel_size)
        if isinstance(layer, ours.SubmanifoldConv):
            own = self.api.SubMConv3d(**width, kernel_size=size, indice_key=f"sites{self.level}")
        elif isinstance(layer, ours.SparseConv):
            window = {"stride": list(layer.stride), "padding": list(layer.padding)}
            own = self.api.SparseConv3d(**width, kernel_size=size, **window, indice_key=f"halving{self.level}")
        else:
            own = self.api.SparseInverseConv3d(**width, kernel_size=size, indice_key=f"halving{self.level}")
        with torch.no_grad():
            weight = layer.weight[:, 0].reshape(*size, layer.in_channels, layer.out_channels)
            own.weight.copy_(weight.movedim(-1, 0).reshape(own.weight.shape))
        return own

    def build(self) -> Any:
        batch = self.batch
        x = self.api.SparseConvTensor(self.subject.features, batch.coordinates, list(batch.spatial_shape), batch.images)
        if self.subject.cell.rulebook == "out":
            x.indice_dict = self.books
        return x

    def with_features(self, x: Any, features: Tensor) -> Any:
        return x.replace_feature(features)


class SpconvTriton(Spconv):
    """spconv-triton, which has spconv's API."""

    module = "spconv_triton.pytorch"

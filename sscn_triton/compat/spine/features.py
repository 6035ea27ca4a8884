"""Layers on feature rows, with MinkowskiEngine's parameter names."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton import functional
from sscn_triton.compat.norms import RowNorm
from sscn_triton.compat.spine.tensor import BackendTensor, expect


class Linear(torch.nn.Module):
    """`torch.nn.Linear` on every site."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(in_features, out_features, bias)

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.linear.in_features)
        return x.on(self.linear(x.F))


class BatchNorm(torch.nn.Module):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of sites."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.bn = RowNorm(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.bn.num_features)
        return x.on(self.bn(x.F))


class InstanceNorm(torch.nn.Module):
    """Normalise each channel of each event by its mean and variance over the event's sites; eps is 1e-8."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        self.weight = torch.nn.Parameter(torch.ones(1, num_features))
        self.bias = torch.nn.Parameter(torch.zeros(1, num_features))

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, self.num_features)
        weight, bias = self.weight[0], self.bias[0]
        return x.on(functional.group_norm(x.sparse(), self.num_features, weight, bias, 1e-8).features)


class Network(torch.nn.Module):
    """A network in ``D`` dimensions."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.D = D


class _OnFeatures(torch.nn.Module):
    """PyTorch's module of the same name, on the features; its arguments are PyTorch's."""

    MODULE: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.module = self.MODULE(*args, **kwargs)

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input)
        return x.on(self.module(x.F))


def _on_features(module: type[torch.nn.Module]) -> type[torch.nn.Module]:
    name = module.__name__
    doc = f"`torch.nn.{name}` on the features; its arguments are PyTorch's."
    return type(name, (_OnFeatures,), {"MODULE": module, "__doc__": doc, "__module__": __name__})


Dropout = _on_features(torch.nn.Dropout)
ReLU = _on_features(torch.nn.ReLU)
PReLU = _on_features(torch.nn.PReLU)
SELU = _on_features(torch.nn.SELU)
CELU = _on_features(torch.nn.CELU)
LeakyReLU = _on_features(torch.nn.LeakyReLU)
ELU = _on_features(torch.nn.ELU)
Tanh = _on_features(torch.nn.Tanh)
Sigmoid = _on_features(torch.nn.Sigmoid)
Softplus = _on_features(torch.nn.Softplus)

"""The shares of a layer's training step, each as a pass: both gradients, its norm, its norm with gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sscn_triton import nn
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.cells import SHARES, Cell
from sscn_triton.bench.gpu.subjects import Subject, numbers
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.rules import read_backwards


def subject(cell: Cell, batch: BenchBatch, device: str) -> Subject:
    """A cell in runnable form, whatever its task is."""
    return (Share if cell.task in SHARES else Subject)(cell, batch, device)


class Share(Subject):
    """One share of a submanifold layer's training step."""

    def __init__(self, cell: Cell, batch: BenchBatch, device: str) -> None:
        super().__init__(cell, batch, device)
        layer: Any = self.network
        self.norm = nn.BatchNormReLU(layer.out_channels).to(device)
        generator = torch.Generator().manual_seed(2)
        self.gradient = torch.randn(self.features.shape, generator=generator).to(self.features)
        self.weight = layer.weight.detach().to(self.features.dtype)
        kernel, ones = (3,) * self.tensor.ndim, (1,) * self.tensor.ndim
        self.rules = self.tensor.grid.submanifold(kernel, ones).rules
        self.backward = read_backwards(self.rules)
        self._with(self.features)

    def _with(self, features: Tensor) -> None:
        self.features = features.detach().requires_grad_(self.cell.task == "norm step")
        self.tensor = self.tensor.replace(self.features)

    def exact(self) -> Subject:
        self.cell = self.cell._replace(precision="fp32")
        self.norm.double()
        self.gradient, self.weight = self.gradient.double(), self.weight.double()
        self._with(self.features.double())
        return self

    def once(self, forward: Callable[[SparseTensor], Tensor] | None = None, update: bool = True) -> Any:
        """Compute the share and return its results; a share has no other forward pass and nothing to update."""
        with numbers(self.cell.precision, self.device):
            return self._share()

    def _share(self) -> tuple[Tensor, ...]:
        if self.cell.task == "norm step":
            y = self.norm(self.tensor).features
            return (y.detach(), *torch.autograd.grad(y, [self.features, *self.norm.parameters()], self.gradient))
        with torch.no_grad():
            if self.cell.task == "norm":
                return (self.norm(self.tensor).features,)
            if self.cell.task == "weight gradient":
                return (weight_gradient(self.features, self.gradient, self.rules, 1),)
            return (convolution(self.gradient, self.weight.transpose(2, 3), self.backward, len(self.features)),)

    def results(self) -> dict[str, Tensor]:
        names = ("outputs", "input gradient", "gradient of the scale", "gradient of the shift")
        return dict(zip(names, self.once(), strict=False))

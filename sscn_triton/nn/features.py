"""Layers that work on each feature row separately: PyTorch's own, applied to the features of a sparse tensor.

Sites stay active even if their features become zero.
"""

from __future__ import annotations

import torch

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.nn.checks import expect
from sscn_triton.nn.own_forward import own_forward


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` on every site: a 1 x 1 convolution."""

    @own_forward
    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        expect(self, x, self.in_features)
        return x.map(super().forward)


class LayerNorm(torch.nn.LayerNorm):
    """`torch.nn.LayerNorm` over the channels of every site; ``normalized_shape`` is their number."""

    def __init__(
        self, normalized_shape: int, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, bias)

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        expect(self, x, self.normalized_shape[0])
        return x.map(super().forward)


def _on_features(layer: type[torch.nn.Module]) -> type[torch.nn.Module]:
    """The layer with a forward that takes and returns a sparse tensor; arguments as in PyTorch."""

    def forward(self: torch.nn.Module, x: SparseTensor) -> SparseTensor:
        expect(self, x)
        return x.map(lambda features: layer.forward(self, features))

    name = layer.__name__
    doc = f"`torch.nn.{name}` on the features of a sparse tensor; its arguments are PyTorch's."
    return type(name, (layer,), {"forward": forward, "__doc__": doc, "__module__": __name__})


ReLU = _on_features(torch.nn.ReLU)
LeakyReLU = _on_features(torch.nn.LeakyReLU)
PReLU = _on_features(torch.nn.PReLU)
ELU = _on_features(torch.nn.ELU)
SiLU = _on_features(torch.nn.SiLU)
GELU = _on_features(torch.nn.GELU)
Softplus = _on_features(torch.nn.Softplus)
Sigmoid = _on_features(torch.nn.Sigmoid)
Tanh = _on_features(torch.nn.Tanh)
Dropout = _on_features(torch.nn.Dropout)

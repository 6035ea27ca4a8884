"""Layers on feature rows, of sparse tensors and of fields, with MinkowskiEngine's parameter names."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, expect_any

MODULES = (
    "ELU", "Hardshrink", "Hardsigmoid", "Hardtanh", "Hardswish", "LeakyReLU", "LogSigmoid", "PReLU", "ReLU", "ReLU6",
    "RReLU", "SELU", "CELU", "GELU", "Sigmoid", "SiLU", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink",
    "Threshold", "Softmin", "Softmax", "LogSoftmax", "Dropout", "AlphaDropout",
)  # fmt: skip
"""PyTorch's modules that exist with the prefix Minkowski."""


class MinkowskiNonlinearityBase(MinkowskiModuleBase):
    """A module of PyTorch on the features; its arguments are PyTorch's."""

    MODULE: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.module = self.MODULE(*args, **kwargs)

    def forward(self, input: Any) -> Any:
        x = expect_any(self, input)
        return x.on(self.module(x.F))


def _on_features(name: str) -> type[MinkowskiNonlinearityBase]:
    doc = f"`torch.nn.{name}` on the features; its arguments are PyTorch's."
    members = {"MODULE": getattr(torch.nn, name), "__doc__": doc, "__module__": __name__}
    return type(f"Minkowski{name}", (MinkowskiNonlinearityBase,), members)


LAYERS: dict[str, type[MinkowskiNonlinearityBase]] = {f"Minkowski{name}": _on_features(name) for name in MODULES}
"""The layers of `MODULES`, by name."""
globals().update(LAYERS)


class MinkowskiLinear(torch.nn.Module):
    """`torch.nn.Linear` on every site or point."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(in_features, out_features, bias)

    def forward(self, input: Any) -> Any:
        x = expect_any(self, input)
        if x.F.shape[1] != self.linear.in_features:
            raise ValueError(
                f"{type(self).__name__} takes {self.linear.in_features} channels, but the tensor has {x.F.shape[1]}"
            )
        return x.on(self.linear(x.F))


class MinkowskiSinusoidal(MinkowskiModuleBase):
    """``sin(x kernel + bias) coef``, all three uniform from 0 to 1."""

    def __init__(self, in_channel: int, out_channel: int) -> None:
        super().__init__()
        self.in_channel, self.out_channel = in_channel, out_channel
        self.kernel = torch.nn.Parameter(torch.rand(in_channel, out_channel))
        self.bias = torch.nn.Parameter(torch.rand(1, out_channel))
        self.coef = torch.nn.Parameter(torch.rand(1, out_channel))

    def forward(self, input: Any) -> Any:
        x = expect_any(self, input)
        return x.on(torch.sin(x.F @ self.kernel + self.bias) * self.coef)

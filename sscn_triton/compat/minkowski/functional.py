"""PyTorch's functions on the features of sparse tensors and fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sscn_triton.compat.minkowski.tensor import Tensor

FEATURES = (
    "threshold", "relu", "hardtanh", "hardswish", "relu6", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu", "glu",
    "gelu", "logsigmoid", "hardshrink", "tanhshrink", "softsign", "softplus", "softmin", "softmax", "softshrink",
    "gumbel_softmax", "log_softmax", "tanh", "sigmoid", "hardsigmoid", "silu", "batch_norm", "normalize", "linear",
    "dropout", "alpha_dropout",
)  # fmt: skip
"""Functions that return a tensor on the same sites or points."""
LOSSES = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "poisson_nll_loss", "cross_entropy",
    "hinge_embedding_loss", "kl_div", "l1_loss", "mse_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss",
    "multi_margin_loss", "nll_loss", "smooth_l1_loss", "soft_margin_loss",
)  # fmt: skip
"""Functions that compare the features with a target, a `torch.Tensor`."""


def _expect(name: str, input: Any) -> Any:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name} takes a SparseTensor or a TensorField, got {type(input).__name__}")
    return input


def _on_features(name: str) -> Callable[..., Any]:
    function = getattr(torch.nn.functional, name)

    def apply(input: Any, *args: Any, **kwargs: Any) -> Any:
        return _expect(name, input).on(function(input.F, *args, **kwargs))

    apply.__doc__ = f"`torch.nn.functional.{name}` of the features."
    return apply


def _loss(name: str) -> Callable[..., Any]:
    function = getattr(torch.nn.functional, name)

    def apply(input: Any, target: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return function(_expect(name, input).F, target, *args, **kwargs)

    apply.__doc__ = f"`torch.nn.functional.{name}` of the features and a target."
    return apply


for _make, _names in ((_on_features, FEATURES), (_loss, LOSSES)):
    for _name in _names:
        globals()[_name] = _made = _make(_name)
        _made.__name__ = _made.__qualname__ = _name

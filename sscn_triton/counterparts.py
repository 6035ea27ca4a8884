"""What stands for a function of PyTorch where the argument is a sparse tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

COUNTERPARTS = {
    "relu": "nn.ReLU",
    "leaky_relu": "nn.LeakyReLU",
    "prelu": "nn.PReLU",
    "elu": "nn.ELU",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "softplus": "nn.Softplus",
    "sigmoid": "nn.Sigmoid",
    "tanh": "nn.Tanh",
    "dropout": "nn.Dropout",
    "linear": "nn.Linear",
    "layer_norm": "nn.LayerNorm",
    "batch_norm": "nn.BatchNorm",
    "group_norm": "nn.GroupNorm",
    "instance_norm": "nn.InstanceNorm",
    "conv": "nn.SubmanifoldConv or nn.SparseConv",
    "conv_transpose": "nn.InverseConv or nn.TransposedConv",
    "max_pool": "nn.MaxPool",
    "avg_pool": "nn.AveragePool",
    "adaptive_max_pool": "nn.GlobalPool",
    "adaptive_avg_pool": "nn.GlobalPool",
    "interpolate": "nn.Unpool",
    "cat": "functional.concatenate",
    "concat": "functional.concatenate",
    "concatenate": "functional.concatenate",
}


def refusal(function: Callable[..., Any]) -> str:
    """Why ``function`` of PyTorch does not take a SparseTensor, in one line that names what does."""
    name = getattr(function, "__name__", str(function))
    known = COUNTERPARTS.get(name[:-2] if name.endswith(("1d", "2d", "3d")) else name)
    instead = f"sscn_triton.{known}" if known else "x.map(function), which applies a function to its features"
    return f"{name} of PyTorch takes tensors, not a SparseTensor: use {instead}"

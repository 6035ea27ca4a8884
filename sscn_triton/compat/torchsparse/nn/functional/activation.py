"""PyTorch's functions on the features."""

from __future__ import annotations

from torch.nn import functional

from sscn_triton.compat.torchsparse.nn.utils.apply import fapply
from sscn_triton.compat.torchsparse.tensor import SparseTensor


def relu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    """`torch.nn.functional.relu`; by default the input's features change too."""
    return fapply(input, functional.relu, inplace=inplace)


def silu(input: SparseTensor, inplace: bool = True) -> SparseTensor:
    """`torch.nn.functional.silu`; by default the input's features change too."""
    return fapply(input, functional.silu, inplace=inplace)


def leaky_relu(input: SparseTensor, negative_slope: float = 0.1, inplace: bool = True) -> SparseTensor:
    """`torch.nn.functional.leaky_relu`; by default the input's features change too."""
    return fapply(input, functional.leaky_relu, negative_slope=negative_slope, inplace=inplace)

"""Modules that take and return sparse tensors."""

from torch.nn import Sequential

from sscn_triton.nn.convolution import InverseConv, SparseConv, SubmanifoldConv
from sscn_triton.nn.features import BatchNorm, BatchNormReLU, Linear, ReLU
from sscn_triton.nn.prepare import prepare

__all__ = [
    "BatchNorm",
    "BatchNormReLU",
    "InverseConv",
    "Linear",
    "ReLU",
    "Sequential",
    "SparseConv",
    "SubmanifoldConv",
    "prepare",
]

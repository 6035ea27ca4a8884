"""Modules that take and return sparse tensors."""

from typing import TYPE_CHECKING, NoReturn

from torch.nn import Identity

from sscn_triton.core.counterparts import missing_name
from sscn_triton.nn import init
from sscn_triton.nn.arguments import check_arguments
from sscn_triton.nn.convert import from_torch, to_torch
from sscn_triton.nn.convolution import InverseConv, SparseConv, SubmanifoldConv, TransposedConv
from sscn_triton.nn.dimensions import (
    InverseConv1d,
    InverseConv2d,
    InverseConv3d,
    InverseConv4d,
    SparseConv1d,
    SparseConv2d,
    SparseConv3d,
    SparseConv4d,
    SubmanifoldConv1d,
    SubmanifoldConv2d,
    SubmanifoldConv3d,
    SubmanifoldConv4d,
    TransposedConv1d,
    TransposedConv2d,
    TransposedConv3d,
    TransposedConv4d,
)
from sscn_triton.nn.features import (
    ELU,
    GELU,
    Dropout,
    LayerNorm,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from sscn_triton.nn.fusion import Sequential
from sscn_triton.nn.normalization import (
    BatchNorm,
    BatchNormLeakyReLU,
    BatchNormReLU,
    GroupNorm,
    InstanceNorm,
    SyncBatchNorm,
    convert_sync_batchnorm,
)
from sscn_triton.nn.pooling import AveragePool, GlobalPool, MaxPool, Unpool
from sscn_triton.nn.prepare import prepare
from sscn_triton.nn.sites import Prune, ToDense

__all__ = [
    "ELU",
    "GELU",
    "AveragePool",
    "BatchNorm",
    "BatchNormLeakyReLU",
    "BatchNormReLU",
    "Dropout",
    "GlobalPool",
    "GroupNorm",
    "Identity",
    "InstanceNorm",
    "InverseConv",
    "InverseConv1d",
    "InverseConv2d",
    "InverseConv3d",
    "InverseConv4d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "PReLU",
    "Prune",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "SparseConv",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseConv4d",
    "SubmanifoldConv",
    "SubmanifoldConv1d",
    "SubmanifoldConv2d",
    "SubmanifoldConv3d",
    "SubmanifoldConv4d",
    "SyncBatchNorm",
    "Tanh",
    "ToDense",
    "TransposedConv",
    "TransposedConv1d",
    "TransposedConv2d",
    "TransposedConv3d",
    "TransposedConv4d",
    "Unpool",
    "convert_sync_batchnorm",
    "from_torch",
    "init",
    "prepare",
    "to_torch",
]

for _layer in [globals()[name] for name in __all__]:
    if isinstance(_layer, type) and _layer is not Identity:  # PyTorch's Identity takes any arguments
        check_arguments(_layer)

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> NoReturn:
        """Called for a name that does not exist here, such as one of PyTorch or of another engine."""
        raise missing_name(__name__, name)

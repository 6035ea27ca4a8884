"""Containers, and their treatment of PyTorch's own modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.norms import call_norm, norm_rows
from sscn_triton.compat.spconv.pytorch.core import SparseConvTensor


class SparseModule(torch.nn.Module):
    """A module that takes a `SparseConvTensor` inside a `SparseSequential`, not its features.

    Args:
        name: a label.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.name = name
        self._sparse_unique_name = ""


class SparseSequential(SparseModule):
    """Modules one after another; PyTorch's own are applied to the features.

    Args:
        args: modules, or one OrderedDict of them.
        kwargs: modules by name.
    """

    def __init__(self, *args: Any, **kwargs: torch.nn.Module) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = list(args[0].items())
        else:
            named = [(str(number), module) for number, module in enumerate(args)]
        for name, module in [*named, *kwargs.items()]:
            if name in self._modules:
                raise ValueError(f"there is already a module {name!r}")
            self.add_module(name, module)

    def __getitem__(self, idx: int) -> torch.nn.Module:
        return list(self)[idx]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[torch.nn.Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]  # children() would omit repeated modules

    def add(self, module: torch.nn.Module, name: str | None = None) -> None:
        """Append a module."""
        name = str(len(self)) if name is None else name
        if name in self._modules:
            raise KeyError(f"there is already a module {name!r}")
        self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self:
            if isinstance(input, SparseConvTensor) and not is_spconv_module(module):
                input = input.replace_feature(on_features(module, input.features))
            else:
                input = module(input)
        return input


class SparseBatchNorm(torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of sites."""

    def forward(self, input: Any) -> Any:
        if isinstance(input, SparseConvTensor):
            return input.replace_feature(norm_rows(self, input.features))
        return norm_rows(self, input)


class SparseSyncBatchNorm(torch.nn.SyncBatchNorm):
    """`torch.nn.SyncBatchNorm` over the active sites."""

    def forward(self, input: Any) -> Any:
        if isinstance(input, SparseConvTensor):
            return input.replace_feature(super().forward(input.features))
        return super().forward(input)


class SparseReLU(torch.nn.ReLU):
    """`torch.nn.ReLU` of the features; sites stay active."""

    def forward(self, input: Any) -> Any:
        if isinstance(input, SparseConvTensor):
            return input.replace_feature(super().forward(input.features))
        return super().forward(input)


class SparseIdentity(torch.nn.Identity):
    """The input itself."""


def is_spconv_module(module: torch.nn.Module) -> bool:
    """Whether a module takes a `SparseConvTensor`."""
    return isinstance(module, SparseModule | SparseBatchNorm | SparseSyncBatchNorm | SparseReLU | SparseIdentity)


def is_sparse_conv(module: torch.nn.Module) -> bool:
    """Whether a module is one of the convolutions."""
    from sscn_triton.compat.spconv.pytorch.convolution import SparseConvolution

    return isinstance(module, SparseConvolution)


def assign_name_for_sparse_modules(module: torch.nn.Module) -> None:
    """Set the name of every `SparseModule` to its name in ``module``."""
    for name, child in module.named_modules():
        if isinstance(child, SparseModule):
            child._sparse_unique_name = name


def on_features(module: torch.nn.Module, features: Tensor) -> Tensor:
    """``module(features)``; a batch norm without hooks also takes one row or none in training."""
    return call_norm(module, features) if isinstance(module, torch.nn.BatchNorm1d) else module(features)


__getattr__ = names(
    __name__,
    {"PrintTensorMeta": "print in a forward hook", "PrintCurrentTime": "torch.profiler", "_mean_update": "an average"},
    again=("sscn_triton.compat.spconv.pytorch.core",),
)

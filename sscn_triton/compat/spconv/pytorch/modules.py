"""Containers, and what becomes of PyTorch's own modules in them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sscn_triton import functional
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
                raise ValueError(f"there is a module {name!r} already")
            self.add_module(name, module)

    def __getitem__(self, index: int) -> torch.nn.Module:
        return list(self.children())[index]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[torch.nn.Module]:
        return self.children()

    def add(self, module: torch.nn.Module, name: str | None = None) -> None:
        """Append a module."""
        name = str(len(self)) if name is None else name
        if name in self._modules:
            raise KeyError(f"there is a module {name!r} already")
        self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self:
            if isinstance(input, SparseConvTensor) and not is_spconv_module(module):
                input = input.replace_feature(on_features(module, input.features))
            else:
                input = module(input)
        return input


class SparseBatchNorm(torch.nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d` over the active sites of the whole batch, for any number of them."""

    def forward(self, input: Any) -> Any:
        if isinstance(input, SparseConvTensor):
            return input.replace_feature(self.forward(input.features))
        return _norm_few_rows(self, input) if self.training and len(input) < 2 else super().forward(input)


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
    """Tell every `SparseModule` the name it has in ``module``."""
    for name, child in module.named_modules():
        if isinstance(child, SparseModule):
            child._sparse_unique_name = name


def on_features(module: torch.nn.Module, features: Tensor) -> Tensor:
    """``module(features)``; a batch norm in training takes one row, and none, as well."""
    if isinstance(module, torch.nn.BatchNorm1d) and module.training and len(features) < 2:
        return _norm_few_rows(module, features)
    return module(features)


def _norm_few_rows(norm: torch.nn.BatchNorm1d, features: Tensor) -> Tensor:
    """Batch norm in training of one row, whose variance is 0, or of none, which leaves the running statistics."""
    momentum = norm.momentum
    if norm.num_batches_tracked is not None and len(features):
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if momentum is None else momentum
    mean, variance = norm.running_mean, norm.running_var
    return functional.batch_norm(features, mean, variance, norm.weight, norm.bias, True, momentum or 0.0, norm.eps)

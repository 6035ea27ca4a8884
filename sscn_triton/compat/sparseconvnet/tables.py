"""Containers: layers in sequence or in parallel, and the combination of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, same_place


class Sequential(torch.nn.Sequential):
    """Layers one after another; `add` appends and returns the container."""

    def add(self, module: torch.nn.Module) -> Sequential:
        """Append a layer."""
        self.add_module(str(len(self)), module)
        return self

    def append(self, module: torch.nn.Module) -> Sequential:
        """Append a layer."""
        return self.add(module)

    def __add__(self, other: Any) -> Sequential:
        return Sequential(*self, *other)

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The spatial size of the input that leads to an output of ``out_size``."""
        for module in reversed(list(self)):
            layer: Any = module
            out_size = layer.input_spatial_size(out_size)
        return out_size


class ConcatTable(torch.nn.Sequential):
    """A list of the outputs of its layers for the same input."""

    def add(self, module: torch.nn.Module) -> ConcatTable:
        """Append a layer."""
        self.add_module(str(len(self)), module)
        return self

    def forward(self, input: SparseConvNetTensor) -> list[SparseConvNetTensor]:
        return [module(input) for module in self]

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size for its first layer."""
        first: Any = self[0]
        return first.input_spatial_size(out_size)


class _Table(torch.nn.Module):
    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size


class JoinTable(_Table):
    """Concatenate the feature planes of a list of tensors on the same sites."""

    def forward(self, input: Sequence[SparseConvNetTensor]) -> SparseConvNetTensor:
        return concatenate_feature_planes(input)


class AddTable(_Table):
    """The sum of a list of tensors on the same sites."""

    def forward(self, input: Sequence[SparseConvNetTensor]) -> SparseConvNetTensor:
        return add_feature_planes(input)


class Identity(_Table):
    """The input itself."""

    def forward(self, input: Any) -> Any:
        return input


def concatenate_feature_planes(input: Sequence[SparseConvNetTensor]) -> SparseConvNetTensor:
    """Concatenate the feature planes of tensors on the same sites.

    Raises ValueError if the sites differ.
    """
    same_place(input)
    return input[0].with_features(torch.cat([x.features for x in input], 1))


def add_feature_planes(input: Sequence[SparseConvNetTensor]) -> SparseConvNetTensor:
    """The sum of tensors on the same sites.

    Raises ValueError if the sites or the numbers of planes differ.
    """
    same_place(input)
    planes = [x.features.shape[1] for x in input]
    if len(set(planes)) > 1:
        raise ValueError(f"tensors to add must have the same number of feature planes, got {planes}")
    total = input[0].features
    for x in input[1:]:
        total = total + x.features
    return input[0].with_features(total)

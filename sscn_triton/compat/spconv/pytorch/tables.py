"""Parallel branches, and the combination of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.pytorch import functional
from sscn_triton.compat.spconv.pytorch.core import SparseConvTensor, same_sites
from sscn_triton.compat.spconv.pytorch.modules import SparseModule

_Given = TypeVar("_Given")


class _Table(SparseModule):
    """A layer that keeps the sites."""

    def input_spatial_size(self, out_size: _Given) -> _Given:
        """The spatial size that leads to ``out_size``: the same size."""
        return out_size


class JoinTable(_Table):
    """Concatenate the channels of a list of tensors on the same sites."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        _expect_same_sites(self, input)
        return input[0].replace_feature(torch.cat([x.features for x in input], 1))


class AddTable(_Table):
    """The sum of a list of tensors on the same sites."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        _expect_same_sites(self, input)
        return input[0].replace_feature(functional.add_features([x.features for x in input]))


class AddTableMisaligned(_Table):
    """`functional.sparse_add` of a list of tensors."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        return functional.sparse_add(*input)


class ConcatTable(SparseModule):
    """A list of the outputs of its modules for the same input."""

    def add(self, module: torch.nn.Module) -> ConcatTable:
        """Append a module."""
        self.add_module(str(len(self._modules)), module)
        return self

    def forward(self, input: Any) -> list[Any]:
        return [module(input) for module in self._modules.values()]  # type: ignore[misc]

    def input_spatial_size(self, out_size: Any) -> Any:
        """The spatial size that leads to ``out_size``, according to the first module."""
        return self._modules["0"].input_spatial_size(out_size)  # type: ignore[union-attr,operator]


def _expect_same_sites(layer: SparseModule, tensors: Sequence[SparseConvTensor]) -> None:
    if not tensors:
        raise ValueError(f"{type(layer).__name__} takes at least one tensor")
    grids = [x.sites() for x in tensors]
    for grid in grids[1:]:
        if not same_sites(grids[0], grid):
            raise ValueError(
                f"{type(layer).__name__} takes tensors on the same sites, got {grids[0]!r} and {grid!r}; "
                "functional.sparse_add adds others"
            )


__getattr__ = names(
    __name__,
    {},
    again=(
        "sscn_triton.compat.spconv.pytorch.core",
        "sscn_triton.compat.spconv.pytorch.modules",
    ),
)

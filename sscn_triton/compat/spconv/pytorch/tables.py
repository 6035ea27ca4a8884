"""Tensors side by side, and joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sscn_triton.compat.spconv.pytorch import functional
from sscn_triton.compat.spconv.pytorch.core import SparseConvTensor, same_sites
from sscn_triton.compat.spconv.pytorch.modules import SparseModule


class JoinTable(SparseModule):
    """The channels of a list of tensors on the same sites, side by side."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        _expect_same_sites(self, input)
        return input[0].replace_feature(torch.cat([x.features for x in input], 1))


class AddTable(SparseModule):
    """The sum of a list of tensors on the same sites."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        _expect_same_sites(self, input)
        return input[0].replace_feature(functional.add_features([x.features for x in input]))


class AddTableMisaligned(SparseModule):
    """`functional.sparse_add` of a list of tensors."""

    def forward(self, input: Sequence[SparseConvTensor]) -> SparseConvTensor:
        return functional.sparse_add(*input)


class ConcatTable(SparseModule):
    """A list of what each of its modules makes of the same input."""

    def add(self, module: torch.nn.Module) -> ConcatTable:
        """Append a module."""
        self.add_module(str(len(self._modules)), module)
        return self

    def forward(self, input: Any) -> list[Any]:
        return [module(input) for module in self.children()]


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

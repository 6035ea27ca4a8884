"""Layers that choose sites, or leave them."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.nn.checks import expect


class Prune(torch.nn.Module):
    """``prune(x, keep)``: the sites where ``keep``, bool ``[N]``, is true, on a grid of their own.

    `InverseConv` and `Unpool` after it still lead to all the sites that the strided layer came from.
    """

    def forward(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        expect(self, x)
        return functional.prune(x, keep)


class ToDense(torch.nn.Module):
    """``[batch_size, C, *spatial_shape]``, zero where no site is active; the tensor must have a spatial shape."""

    def forward(self, x: SparseTensor) -> Tensor:
        expect(self, x)
        return x.dense()

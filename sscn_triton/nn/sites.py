"""Layers that choose sites or convert them to an image."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.nn.checks import expect


class Prune(torch.nn.Module):
    """``prune(x, keep)``: keep the sites where ``keep``, bool ``[N]``, is true, on a new grid.

    A later `InverseConv` or `Unpool` still goes back to all input sites of the strided layer.
    """

    def forward(self, x: SparseTensor, keep: Tensor) -> SparseTensor:
        expect(self, x)
        return functional.prune(x, keep)


class ToDense(torch.nn.Module):
    """``[batch_size, C, *spatial_shape]``, zero at inactive sites; the tensor must have a spatial shape."""

    def forward(self, x: SparseTensor) -> Tensor:
        expect(self, x)
        return x.dense()

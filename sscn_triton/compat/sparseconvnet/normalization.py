"""Batch norms with SparseConvNet's eps, momentum and leakiness."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton import functional
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, sparse


class BatchNormalization(torch.nn.Module):
    """Batch norm over the active sites of the whole batch.

    Args:
        nPlanes: feature planes.
        eps: added to the variance.
        momentum: the share of the running statistics that is kept; PyTorch's momentum is ``1 - momentum``.
        affine: whether to have a weight and a bias.
        leakiness: factor of negative outputs; 1 changes nothing, 0 is a ReLU.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, nPlanes: int, eps: float = 1e-4, momentum: float = 0.99, affine: bool = True, leakiness: float = 1
    ) -> None:
        super().__init__()
        self.nPlanes, self.eps, self.momentum = nPlanes, eps, momentum
        self.affine, self.leakiness = affine, leakiness
        self.register_buffer("running_mean", torch.zeros(nPlanes))
        self.register_buffer("running_var", torch.ones(nPlanes))
        if affine:
            self.weight = torch.nn.Parameter(torch.ones(nPlanes))
            self.bias = torch.nn.Parameter(torch.zeros(nPlanes))

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = sparse(self, input, self.nPlanes)
        return input.with_features(
            functional.batch_norm(
                x.features,
                self.running_mean,
                self.running_var,
                self.weight if self.affine else None,
                self.bias if self.affine else None,
                self.training,
                1 - self.momentum,
                self.eps,
                self.leakiness,
            )
        )

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size

    def __repr__(self) -> str:
        name = type(self).__name__.replace("Normalization", "Norm")
        return (
            f"{name}({self.nPlanes},eps={self.eps},momentum={self.momentum},affine={self.affine},"
            f"leakiness={self.leakiness})"
        )


class BatchNormReLU(BatchNormalization):
    """`BatchNormalization`, then ReLU."""

    def __init__(self, nPlanes: int, eps: float = 1e-4, momentum: float = 0.99) -> None:
        super().__init__(nPlanes, eps, momentum, True, 0)


class BatchNormLeakyReLU(BatchNormalization):
    """`BatchNormalization`, then negative values times ``leakiness``."""

    def __init__(self, nPlanes: int, eps: float = 1e-4, momentum: float = 0.99, leakiness: float = 0.333) -> None:
        super().__init__(nPlanes, eps, momentum, True, leakiness)

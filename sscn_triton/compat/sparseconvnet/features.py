"""Layers that work on each feature row separately."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.sparseconvnet.counts import count
from sscn_triton.compat.sparseconvnet.metadata import Metadata
from sscn_triton.compat.sparseconvnet.normalization import BatchNormalization
from sscn_triton.compat.sparseconvnet.tables import Sequential
from sscn_triton.compat.sparseconvnet.tensor import SparseConvNetTensor, sparse


class _OnFeatures(torch.nn.Module):
    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = sparse(self, input)
        return input.with_features(self._apply_to(x.features))

    def _apply_to(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size


class Sigmoid(_OnFeatures):
    """`torch.sigmoid` of the features; sites stay active."""

    def _apply_to(self, features: Tensor) -> Tensor:
        return features.sigmoid()


class Tanh(_OnFeatures):
    """`torch.tanh` of the features."""

    def _apply_to(self, features: Tensor) -> Tensor:
        return features.tanh()


class ReLU(_OnFeatures):
    """Negative features become 0; sites stay active."""

    def _apply_to(self, features: Tensor) -> Tensor:
        return features.relu()


class LeakyReLU(_OnFeatures):
    """Negative features times ``leak``."""

    def __init__(self, leak: float = 1 / 3) -> None:
        super().__init__()
        self.leak = leak

    def _apply_to(self, features: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(features, self.leak)


class ELU(_OnFeatures):
    """`torch.nn.functional.elu` of the features."""

    def _apply_to(self, features: Tensor) -> Tensor:
        return torch.nn.functional.elu(features)


class SELU(_OnFeatures):
    """`torch.selu` of the features."""

    def _apply_to(self, features: Tensor) -> Tensor:
        return torch.selu(features)


class Dropout(_OnFeatures):
    """In training every feature is zero with probability ``p``; in evaluation all are multiplied by ``1 - p``.

    PyTorch's dropout scales in training instead.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must be 0 to 1, got {p}")
        self.p = p

    def _apply_to(self, features: Tensor) -> Tensor:
        if not self.training:
            return features * (1 - self.p)
        return features * torch.bernoulli(torch.full_like(self._pattern(features), 1 - self.p))

    def _pattern(self, features: Tensor) -> Tensor:
        return features.detach()


class BatchwiseDropout(Dropout):
    """`Dropout` of whole feature planes, the same for every site."""

    def _pattern(self, features: Tensor) -> Tensor:
        return features.detach()[:1] if len(features) else features.detach().new_empty(1, features.shape[1])


class NetworkInNetwork(torch.nn.Module):
    """A matrix ``[nIn, nOut]`` on every site: a 1 x 1 convolution; normal with std ``sqrt(2 / nIn)``."""

    bias: Tensor | None

    def __init__(self, nIn: int, nOut: int, bias: bool) -> None:
        super().__init__()
        self.nIn, self.nOut = nIn, nOut
        self.weight = torch.nn.Parameter(torch.empty(nIn, nOut).normal_(0, (2.0 / nIn) ** 0.5))
        if bias:
            self.bias = torch.nn.Parameter(torch.zeros(nOut))

    def forward(self, input: SparseConvNetTensor) -> SparseConvNetTensor:
        x = sparse(self, input, self.nIn)
        bias = getattr(self, "bias", None)
        output = torch.nn.functional.linear(x.features, self.weight.t(), bias)
        count(len(x) * self.nIn * self.nOut, output)
        return input.with_features(output)

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size

    def __repr__(self) -> str:
        return f"NetworkInNetwork{self.nIn}->{self.nOut}"


class SparseToDense(torch.nn.Module):
    """``[batch, nPlanes, *spatial_size]``, zero at inactive sites."""

    def __init__(self, dimension: int, nPlanes: int) -> None:
        super().__init__()
        self.dimension = Metadata(dimension).dimension
        self.nPlanes = nPlanes

    def forward(self, input: SparseConvNetTensor) -> Tensor:
        return sparse(self, input, self.nPlanes).dense()

    def input_spatial_size(self, out_size: Tensor) -> Tensor:
        """The size itself."""
        return out_size

    def __repr__(self) -> str:
        return f"SparseToDense({self.dimension},{self.nPlanes})"


def BatchNormELU(nPlanes: int, eps: float = 1e-4, momentum: float = 0.9) -> Sequential:
    """`BatchNormalization`, then `ELU`; its default momentum is 0.9."""
    return Sequential().add(BatchNormalization(nPlanes, eps, momentum)).add(ELU())

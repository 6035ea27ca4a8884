"""The networks that the study compares, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from sscn_triton import SparseTensor
from sscn_triton.common.options import check_types
from sscn_triton.models import DenseUResNet, SparseUResNet
from sscn_triton.models.pretrained import check_depth

if TYPE_CHECKING:
    from sscn_triton.study.data.batches import Batch

Kind = Literal["sparse", "matched", "study"]
Network = SparseUResNet | DenseUResNet


@dataclass(frozen=True)
class NetworkSettings:
    """The parameters of a network.

    kind: `sparse` (`SparseUResNet`), `matched` (the same layer by layer, dense) or `study` (the dense network of 2018
    without its sixth output, a background class that its loss never uses).
    """

    kind: Kind = "sparse"
    in_channels: int = 1
    num_classes: int = 5
    filters: int = 16
    depth: int = 5
    repetitions: int = 2
    ndim: int = 3

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("in_channels", "num_classes", "filters", "depth", "repetitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_depth(self.depth)
        if not 1 <= self.ndim <= 4:
            raise ValueError(f"ndim must be 1 to 4, got {self.ndim}")

    @property
    def halvings(self) -> int:
        """The number of times the network halves an image."""
        return self.depth if self.kind == "study" else self.depth - 1

    @property
    def divisor(self) -> int:
        """The number that must divide the image sizes of a dense network; 1 for the sparse one."""
        return 1 if self.kind == "sparse" else 2**self.halvings

    def takes(self, size: int) -> bool:
        """Whether the network accepts images of this size. The study's network needs two voxels per axis at its lowest
        level, because its batch norm computes statistics there even from a single image."""
        return size % self.divisor == 0 and (self.kind != "study" or size > self.divisor)


def make_network(settings: NetworkSettings, seed: int = 0) -> Network:
    """A new network. A sparse network and its matched twin start from the same weights if they have the same seed."""
    torch.manual_seed(seed)
    s = settings
    arguments = (s.in_channels, s.num_classes, s.filters, s.depth, s.repetitions, s.ndim)
    if s.kind == "study":
        return DenseUResNet(*arguments, architecture="study")
    sparse = SparseUResNet(*arguments)
    if s.kind == "sparse":
        return sparse
    dense = DenseUResNet(*arguments)
    dense.load_sparse_weights(sparse)
    return dense


def voxel_logits(network: nn.Module, batch: Batch) -> Tensor:
    """Logits [N, classes] of the active voxels, by a sparse network or by a dense one that reads the whole image."""
    tensor = SparseTensor(batch.features, batch.coordinates, batch.spatial_shape, batch.images)
    if not isinstance(network, DenseUResNet):
        return network(tensor).features
    logits = network(tensor.dense())
    return logits.movedim(1, -1)[batch.coordinates.long().unbind(1)]


def shape_logits(logits: Tensor) -> Tensor:
    """Logits [N, 5] of the five types as those of PILArNet-M's classes: track has the probability of HIP and MIP,
    low-energy deposit none, so that the loss is infinite where one occurs."""
    hip, mip, shower, delta, michel = logits.unbind(1)
    nothing = torch.full_like(shower, -torch.inf)
    return torch.stack([shower, torch.logaddexp(hip, mip), michel, delta, nothing], 1)

"""The networks that are compared, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from sscn_triton.common.options import check_types
from sscn_triton.models import DenseUResNet, SparseUResNet

Kind = Literal["sparse", "matched", "study"]
Network = SparseUResNet | DenseUResNet


@dataclass(frozen=True)
class NetworkSettings:
    """What a network is made of.

    kind: `sparse` (`SparseUResNet`), `matched` (the same layer by layer, dense) or `study` (the dense network of 2018,
    without its sixth output, a background class that its loss never asks for).
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
        if not 1 <= self.ndim <= 4:
            raise ValueError(f"ndim must be 1 to 4, got {self.ndim}")

    @property
    def halvings(self) -> int:
        """How many times the network halves an image."""
        return self.depth if self.kind == "study" else self.depth - 1

    @property
    def divisor(self) -> int:
        """Image sizes that a dense network takes are multiples of this; 1 for the sparse one."""
        return 1 if self.kind == "sparse" else 2**self.halvings

    def takes(self, size: int) -> bool:
        """Whether images of this size can be read; the study's network needs two voxels an axis at its bottom, as its
        batch norm takes its statistics there even of a single image."""
        return size % self.divisor == 0 and (self.kind != "study" or size > self.divisor)


def make_network(settings: NetworkSettings, seed: int = 0) -> Network:
    """A fresh network. A sparse network and its matched twin of one seed start from the same weights."""
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

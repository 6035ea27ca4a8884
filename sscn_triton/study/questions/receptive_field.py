"""The receptive field of a UResNet: the input sites on which an output site depends, through active sites alone.

If all weights are 1 and the norms are identities, an output is above 0 exactly where an input above 0 reaches it. The
library's own layers therefore compute the field, without a second description of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sscn_triton import SparseTensor
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.models import SparseUResNet
from sscn_triton.study.training.networks import NetworkSettings

_MIP, _MICHEL = CLASS_NAMES.index("MIP"), CLASS_NAMES.index("Michel")


def counting_network(depth: int, repetitions: int = 2, ndim: int = 3) -> SparseUResNet:
    """A `SparseUResNet` of one filter whose output is above 0 where its input reaches; it counts paths in float64."""
    network = SparseUResNet(1, 1, 1, depth, repetitions, ndim=ndim).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return network


def reached(network: SparseUResNet, coordinates: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Whether each of the sites [N, D] depends on a site of the source, [N] bool; all N sites are active."""
    batched = np.column_stack([np.zeros(len(coordinates), np.int32), coordinates]).astype(np.int32)
    features = torch.from_numpy(source.astype(np.float64))[:, None]
    with torch.no_grad():
        return network(SparseTensor(features, torch.from_numpy(batched))).features[:, 0].numpy() > 0


def receptive_field(depth: int, repetitions: int = 2) -> int:
    """Edge, in voxels, of the largest image region whose voxels can all change one output voxel.

    The function counts on a line of active voxels, one source at a time. The result depends on the voxel's position
    within a voxel of the coarsest level; the function returns the largest.
    """
    stride = 2 ** NetworkSettings(depth=depth).halvings
    line = np.arange(-40 * stride, 40 * stride)[:, None]
    network = counting_network(depth, repetitions, ndim=1)
    extents = [int(reached(network, line, line[:, 0] == place).sum()) for place in range(stride)]
    return max(extents)


def joined_share(events: list[Event], depth: int, repetitions: int = 2) -> float:
    """Share of the Michel voxels of three-dimensional events that depend on a MIP voxel; nan without Michel voxels."""
    network = counting_network(depth, repetitions)
    found = total = 0
    for event in events:
        michel = event.labels == _MICHEL
        if michel.any():
            total += int(michel.sum())
            found += int(reached(network, event.coordinates, event.labels == _MIP)[michel].sum())
    return found / total if total else float("nan")


@dataclass(frozen=True)
class Joining:
    """Receptive field and joined share of networks of one depth, with a given number of blocks at each level."""

    name: str
    events: list[Event]
    depth: int
    repetitions: int

    def run(self) -> dict[str, Any]:
        field = receptive_field(self.depth, self.repetitions)
        return {"receptive_field": field, "joined_share": joined_share(self.events, self.depth, self.repetitions)}

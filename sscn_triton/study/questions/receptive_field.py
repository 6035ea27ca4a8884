"""What a UResNet can join: which sites of the input an output site depends on, through active sites alone.

A network whose weights are all 1 and whose norms do nothing gives an output above 0 exactly where some input above 0
reaches it: the library's own layers tell, whatever they do.
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
    """A `SparseUResNet` of one filter that is above 0 where its input reaches; in float64, as it counts paths."""
    network = SparseUResNet(1, 1, 1, depth, repetitions, ndim=ndim).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return network


def reached(network: SparseUResNet, coordinates: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Which of the sites [N, D] depend on a site of the source, [N] bool; all N sites are active."""
    batched = np.column_stack([np.zeros(len(coordinates), np.int32), coordinates]).astype(np.int32)
    features = torch.from_numpy(source.astype(np.float64))[:, None]
    with torch.no_grad():
        return network(SparseTensor(features, torch.from_numpy(batched))).features[:, 0].numpy() > 0


def receptive_field(depth: int, repetitions: int = 2) -> int:
    """Edge, in voxels, of the largest image region whose voxels can all change one output voxel.

    Counted on a line that is active throughout, one source at a time; it depends on where a voxel lies in the coarsest
    one, so the largest of them is taken.
    """
    stride = 2 ** NetworkSettings(depth=depth).halvings
    line = np.arange(-40 * stride, 40 * stride)[:, None]
    network = counting_network(depth, repetitions, ndim=1)
    extents = [int(reached(network, line, line[:, 0] == place).sum()) for place in range(stride)]
    return max(extents)


def joined_share(events: list[Event], depth: int, repetitions: int = 2) -> float:
    """Share of the Michel voxels of these three-dimensional events that depend on a MIP voxel; nan of none."""
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

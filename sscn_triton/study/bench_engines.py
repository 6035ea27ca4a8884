"""What is timed: a training step of the study's network, by this library or by SparseConvNet, in a process of its own.

A process for each engine, so that neither meets the other's threads or memory; the parent asks them in turn.
"""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sscn_triton.study.memory import PeakMemory

Parameters = list[np.ndarray]
FILTERS, DEPTH, REPETITIONS, CLASSES = 16, 5, 2, 5
ENGINES = ("sscn fp32", "sscn bf16 autocast", "SparseConvNet fp32")


class Ours:
    """The library's own network; ``bf16`` runs it under autocast."""

    def __init__(self, batch: Any, parameters: Parameters, bf16: bool) -> None:
        from sscn_triton.models import SparseUResNet

        self.batch, self.labels, self.bf16 = batch, batch.labels, bf16
        self.network = SparseUResNet(1, CLASSES, FILTERS, DEPTH, REPETITIONS)
        load(self.network, parameters)

    def logits(self) -> Tensor:
        from sscn_triton import SparseTensor

        batch = self.batch
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            x = SparseTensor(batch.features, batch.coordinates, batch.spatial_shape, batch.images)
            return self.network(x).features.float()


class SparseConvNet:
    """The same network of SparseConvNet's own parts, which reads coordinates as raw memory: batch last, contiguous."""

    def __init__(self, batch: Any, parameters: Parameters) -> None:
        import sparseconvnet as scn  # type: ignore[import-not-found,unused-ignore]

        sites, self.labels = batch.coordinates.long(), batch.labels
        self.inputs = [torch.cat([sites[:, 1:], sites[:, :1]], 1).contiguous(), batch.features]
        widths = [FILTERS * (level + 1) for level in range(DEPTH)]
        self.sparse = scn.Sequential()
        for layer in (
            scn.InputLayer(3, max(batch.spatial_shape), mode=3),
            scn.SubmanifoldConvolution(3, 1, FILTERS, 3, False),
            scn.UNet(3, REPETITIONS, widths, residual_blocks=True, downsample=[2, 2]),
            scn.BatchNormReLU(FILTERS),
            scn.OutputLayer(3),
        ):
            self.sparse.add(layer)
        self.network = nn.ModuleList([self.sparse, nn.Linear(FILTERS, CLASSES)])
        load(self.network, parameters)

    def logits(self) -> Tensor:
        return self.network[1](self.sparse(self.inputs))


def load(network: nn.Module, parameters: Parameters) -> None:
    """Set the parameters, in order. A matrix that is not `Linear`'s is SparseConvNet's 1 x 1 layer, kept transposed."""
    mine = list(network.parameters())
    if len(mine) != len(parameters):
        raise ValueError(f"the network has {len(mine)} parameters, {len(parameters)} were given")
    linear = {id(layer.weight) for layer in network.modules() if isinstance(layer, nn.Linear)}
    with torch.no_grad():
        for target, array in zip(mine, parameters, strict=True):
            value = torch.from_numpy(array)
            transposed = array.ndim == 2 and id(target) not in linear
            target.copy_((value.T if transposed else value).reshape(target.shape))


def step(engine: Any, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """One training step: rulebooks, forward, loss, backward, Adam; seconds."""
    start, cpu = time.perf_counter(), time.process_time()
    loss = nn.functional.cross_entropy(engine.logits(), engine.labels, ignore_index=-1)
    forward = time.perf_counter()
    optimizer.zero_grad()
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    return {
        "wall": end - start,
        "cpu": time.process_time() - cpu,
        "rulebooks and forward": forward - start,
        "backward": backward - forward,
        "adam": end - backward,
    }


def serve(pipe: Connection, name: str, batch: Any, parameters: Parameters, threads: int) -> None:
    """Answer "logits", "step" and "memory", until ended by the parent."""
    try:
        torch.set_num_threads(threads)
        memory = PeakMemory()
        ours = name != ENGINES[2]
        engine: Any = Ours(batch, parameters, name == ENGINES[1]) if ours else SparseConvNet(batch, parameters)
        optimizer = torch.optim.Adam(engine.network.parameters(), 1e-3)
        while True:
            question = pipe.recv()
            if question == "logits":
                with torch.no_grad():
                    pipe.send(engine.logits().numpy())
            elif question == "step":
                pipe.send(step(engine, optimizer))
            else:
                pipe.send({"before": memory.before / 1e6, "peak above": memory.bytes() / 1e6})
    except Exception as error:
        pipe.send(error)

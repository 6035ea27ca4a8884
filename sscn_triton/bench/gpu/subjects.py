"""A cell in runnable form: its network, its batch, and one pass as a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.cells import NETWORKS, Cell
from sscn_triton.bench.gpu.timing import float32_products
from sscn_triton.models import SparseEncoder, SparseUResNet

Pass = Callable[[], Any]


def network_named(name: str) -> torch.nn.Module:
    """A network of `NETWORKS`, with weights drawn from seed 0."""
    kind, *sizes = NETWORKS[name]
    torch.manual_seed(0)
    if kind == "uresnet":
        toy = int(sizes[0]) == 2
        return SparseUResNet(filters=int(sizes[0]), depth=2 if toy else 5, repetitions=1 if toy else 2)
    if kind == "encoder":
        return SparseEncoder(*map(int, sizes))
    if kind == "halving":
        return nn.SparseConv(int(sizes[0]), int(sizes[0]), 3, stride=2, padding=1, bias=False)
    return nn.SubmanifoldConv(int(sizes[0]), int(sizes[0]), 3, bias=False)


@contextlib.contextmanager
def numbers(precision: str, device: str) -> Iterator[None]:
    """Compute products inside the context in the given precision: fp32, tf32, or bf16 by autocast."""
    with float32_products(precision), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        yield


class Subject:
    """This library on a cell."""

    def __init__(self, cell: Cell, batch: BenchBatch, device: str) -> None:
        self.cell, self.batch, self.device = cell, batch, device
        self.network = network_named(cell.network).to(device)
        self.network.train(cell.task == "step")
        self.with_loss = cell.kind == "uresnet"
        self.features = self._features()
        self.tensor = prepare(self.network, self.build())
        parameters = self.network.parameters()
        self.adam = None
        if self.with_loss:
            self.adam = torch.optim.Adam(parameters, 1e-4, capturable=device == "cuda", fused=True)

    def _features(self) -> Tensor:
        """The energies or, for a single layer, random features with its number of input channels."""
        channels = getattr(self.network, "in_channels", 1)
        if channels == 1:
            return self.batch.features
        generator = torch.Generator().manual_seed(1)
        wide = torch.randn(len(self.batch.features), channels, generator=generator).to(self.device)
        if self.cell.precision == "bf16":
            wide = wide.bfloat16()
        return wide.requires_grad_(self.cell.task == "step")

    def build(self) -> SparseTensor:
        """The batch as a sparse tensor without rulebooks."""
        return SparseTensor(self.features, self.batch.coordinates, self.batch.spatial_shape, self.batch.images)

    def outputs(self, x: SparseTensor) -> SparseTensor:
        with numbers(self.cell.precision, self.device):
            return self.network(x)

    def rows(self, x: SparseTensor) -> Tensor:
        return self.outputs(x).features

    def loss(self, y: Tensor) -> Tensor:
        """Cross entropy for a UResNet; the sum of the outputs for others, as in the public benchmark."""
        if self.with_loss:
            return torch.nn.functional.cross_entropy(y.float(), self.batch.labels, ignore_index=-1)
        return y.float().sum()

    def once(self, forward: Callable[[SparseTensor], Tensor] | None = None, update: bool = True) -> Any:
        """Run one pass of the cell's task; ``update``: whether Adam makes its step."""
        x = self.build() if self.cell.rulebook == "in" else self.tensor
        run = forward or self.rows
        if self.cell.task == "forward":
            with torch.no_grad():
                return run(x)
        self.network.zero_grad()
        if self.features.requires_grad:
            self.features.grad = None
        self.loss(run(x)).backward()
        if update and self.adam is not None:
            self.adam.step()
        return None

    def gradients(self) -> Tensor:
        """All gradients of the last step, as one vector."""
        found = [p.grad.flatten() for p in self.network.parameters() if p.grad is not None]
        return torch.cat([one if one.dtype == torch.float64 else one.float() for one in found])

    def results(self) -> dict[str, Tensor]:
        """What one pass computes, by name: the outputs and, for a step, the gradients of all parameters."""
        kept: list[Tensor] = []

        def rows(x: SparseTensor) -> Tensor:
            kept.append(self.rows(x))
            return kept[0]

        self.once(rows, update=False)
        found = {"outputs": kept[0].detach()}
        return found if self.cell.task == "forward" else {**found, "gradients": self.gradients()}

    def exact(self) -> Subject:
        """Compute in float64 from now on; such products are taken without the kernels that are timed."""
        self.cell = self.cell._replace(precision="fp32")
        self.network.double()
        self.features = self.features.detach().double().requires_grad_(self.features.requires_grad)
        self.tensor = self.tensor.replace(self.features)
        return self

    def as_run(self) -> Pass:
        """The pass in the cell's mode, ready to be timed."""
        if self.cell.mode == "eager":
            return self.once
        if self.cell.mode == "compiled":
            compiled = self._compiled()
            return lambda: self.once(compiled)
        return self._captured()

    def _compiled(self) -> Callable[[SparseTensor], Tensor]:
        network = self.network
        graph = torch.compile(lambda x: network(x).features, fullgraph=True)

        def run(x: SparseTensor) -> Tensor:
            with numbers(self.cell.precision, self.device):
                return graph(x)

        return run

    def _captured(self) -> Pass:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.once()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.network.zero_grad()
        with torch.cuda.graph(graph):
            self.kept = self.once()  # the graph writes its output here
        return graph.replay

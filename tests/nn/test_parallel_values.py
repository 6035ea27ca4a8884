"""A network may return sparse tensors in containers: PyTorch's data-parallel wrappers find them, and two processes have
the gradients of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from sscn_triton import SparseTensor, nn
from tests.nn.test_parallel import RANKS, joined, share
from tests.support.forks import run_ranks


class Net(torch.nn.Module):
    """Two branches, one of which may be omitted; returns its tensors in a container."""

    def __init__(self, kind: str, both: bool) -> None:
        super().__init__()
        self.kind, self.both = kind, both
        self.body = nn.Sequential(nn.SubmanifoldConv(2, 4, 3), nn.ReLU(), nn.SubmanifoldConv(4, 4, 3))
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: SparseTensor) -> Any:
        y = self.body(x)
        left = self.left(y)
        right = self.right(y) if self.both else left
        return {"tensor": left + right, "dict": {"a": left, "b": [right]}, "list": [left, right]}[self.kind]


def loss(output: Any) -> torch.Tensor:
    if isinstance(output, SparseTensor):
        return output.features.square().sum()
    return sum(map(loss, output.values() if isinstance(output, dict) else output), torch.zeros(()))


def network(kind: str, both: bool) -> Net:
    torch.manual_seed(0)
    return Net(kind, both).double()


def sharded(net: Net, layers: bool) -> Net:
    from torch.distributed.fsdp import fully_shard  # PyTorch 2.5 has it elsewhere, and for GPUs only

    for layer in (net.body, net.left, net.right) if layers else ():
        fully_shard(layer)
    return fully_shard(net)


WRAPPERS: dict[str, tuple[bool, Callable[[Net], torch.nn.Module]]] = {  # whether all parameters are used
    "ddp": (True, DistributedDataParallel),
    "ddp static_graph": (True, lambda net: DistributedDataParallel(net, static_graph=True)),
    "ddp static_graph, some unused": (False, lambda net: DistributedDataParallel(net, static_graph=True)),
    "ddp find_unused_parameters": (True, lambda net: DistributedDataParallel(net, find_unused_parameters=True)),
    "ddp some unused": (False, lambda net: DistributedDataParallel(net, find_unused_parameters=True)),
    "fsdp2 at the root": (True, lambda net: sharded(net, layers=False)),
    "fsdp2 per layer": (True, lambda net: sharded(net, layers=True)),
}
KINDS = ("tensor", "dict", "list")
STEPS = 2


def train(net: torch.nn.Module, batches: list[SparseTensor], scale: float) -> dict[str, torch.Tensor]:
    """The gradients of the last step, complete on every rank."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for x in batches:
        optimizer.zero_grad()
        (scale * loss(net(x))).backward()
        found = {}
        for name, parameter in net.named_parameters():
            if parameter.grad is not None:
                gradient = parameter.grad
                found[name.removeprefix("module.")] = (
                    gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
                ).clone()
        optimizer.step()
    return found


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    seen: dict[str, Any] = {}
    batches = [share(step, rank) for step in range(STEPS)]
    for name, (both, wrap) in WRAPPERS.items():
        for kind in KINDS:
            try:  # the other rank gets the same error, and the test shows it
                seen[f"{name}: {kind}"] = train(wrap(network(kind, both)), batches, RANKS)
            except (ImportError, RuntimeError) as error:
                seen[f"{name}: {kind}"] = repr(error)
    torch.save(seen, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Gradients by wrapper and kind, of each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(one_rank, str(folder), ranks=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "wrapper", [pytest.param(one, marks=pytest.mark.newest) if "fsdp2" in one else one for one in WRAPPERS]
)
def test_two_processes_have_the_gradients_of_one(found: list[dict[str, Any]], wrapper: str, kind: str) -> None:
    wanted = train(network(kind, WRAPPERS[wrapper][0]), [joined(step) for step in range(STEPS)], 1)
    for rank in found:
        mine = rank[f"{wrapper}: {kind}"]
        assert isinstance(mine, dict), mine
        for name, gradient in wanted.items():
            torch.testing.assert_close(mine[name], gradient, rtol=1e-9, atol=1e-9)

"""Data-parallel training: PyTorch's DistributedDataParallel with synchronised batch norm equals one process."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from sscn_triton import SparseTensor, nn
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_cloud
from tests.support.forks import run_ranks

STEPS, RANKS = 3, 2


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    net = SparseUResNet(in_channels=2, num_classes=3, filters=4, depth=2, repetitions=1).double()
    return nn.convert_sync_batchnorm(net)


def joined(step: int) -> SparseTensor:
    """Four events; rank r sees those with ``event % 2 == r``."""
    return random_cloud(90, channels=2, size=6, batch_size=4, seed=step)


def share(step: int, rank: int) -> SparseTensor:
    x = joined(step)
    mine = x.coordinates[:, 0] % RANKS == rank
    return SparseTensor(x.features[mine], x.coordinates[mine], x.spatial_shape, x.batch_size)


def train(net: torch.nn.Module, batches: list[SparseTensor], scale: float) -> list[torch.Tensor]:
    """Gradients, then parameters and statistics, of all steps; losses are sums over voxels times ``scale``."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    seen = []
    for x in batches:
        optimizer.zero_grad()
        (scale * net(x).features.square().sum()).backward()
        seen += [p.grad.clone() for p in net.parameters()]
        optimizer.step()
    return [*seen, *(value.detach().clone() for value in net.state_dict().values())]


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    net = DistributedDataParallel(network())
    # DDP averages gradients over ranks; doubling the loss makes them the sums over the joined batch
    seen = train(net, [share(step, rank) for step in range(STEPS)], scale=RANKS)
    torch.save(seen, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_ddp_processes_train_as_one_on_the_joined_batch(tmp_path: Path) -> None:
    run_ranks(one_rank, str(tmp_path), ranks=RANKS)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/alone", rank=0, world_size=1)
    try:
        expected = train(network(), [joined(step) for step in range(STEPS)], scale=1)
    finally:
        dist.destroy_process_group()
    for rank in range(RANKS):
        got = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert len(got) == len(expected)
        for mine, reference in zip(got, expected, strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-10)


def test_training_runs_and_repeats_under_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            torch.manual_seed(0)
            net = SparseUResNet(in_channels=2, num_classes=3, filters=4, depth=2, repetitions=1)
            batches = [random_cloud(90, channels=2, size=6, seed=step, dtype=torch.float32) for step in range(STEPS)]
            runs.append(train(net, batches, scale=1))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

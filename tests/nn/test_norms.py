"""Norms compute their statistics over active sites: of an event, of a site, or of the batches of all processes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.autograd import gradcheck, gradgradcheck

from sscn_triton import SparseTensor, models, nn
from sscn_triton.functional import group_norm, normalize, process_statistics
from tests.support.cases import block
from tests.support.clouds import random_cloud
from tests.support.forks import run_ranks

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def full(ndim: int, channels: int = 6, size: int = 4) -> tuple[torch.Tensor, SparseTensor]:
    """A dense image of two events, and the tensor with all of its sites."""
    image = torch.randn(2, channels, *[size] * ndim, dtype=torch.float64) * 3 + 5
    features = image.movedim(1, -1).reshape(-1, channels)
    return image, SparseTensor(features, torch.tensor(block(*[size] * ndim, batches=2)), size)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_on_a_full_block_the_norms_and_their_gradients_equal_pytorchs(ndim: int) -> None:
    torch.manual_seed(0)
    image, x = full(ndim)
    instance = {1: torch.nn.InstanceNorm1d, 2: torch.nn.InstanceNorm2d, 3: torch.nn.InstanceNorm3d}[ndim]
    pairs = [
        (nn.GroupNorm(3, 6), torch.nn.GroupNorm(3, 6)),
        (nn.GroupNorm(1, 6, eps=0.3), torch.nn.GroupNorm(1, 6, eps=0.3)),
        (nn.GroupNorm(2, 6, affine=False), torch.nn.GroupNorm(2, 6, affine=False)),
        (nn.InstanceNorm(6), instance(6)),
        (nn.InstanceNorm(6, affine=True), instance(6, affine=True)),
    ]
    for mine, theirs in pairs:
        for layer in (mine.double(), theirs.double()):
            for p, value in zip(layer.parameters(), (torch.arange(1.0, 7), torch.arange(6.0)), strict=False):
                p.data = value.double()
        leaves = [image.clone().requires_grad_(), x.features.clone().requires_grad_()]
        wanted, got = theirs(leaves[0]), mine(x.replace(leaves[1])).dense()
        torch.testing.assert_close(got, wanted, **TIGHT)
        weights = torch.randn_like(wanted)
        (weights * wanted).sum().backward()
        (weights * got).sum().backward()
        torch.testing.assert_close(leaves[1].grad, leaves[0].grad.movedim(1, -1).reshape(-1, 6), **TIGHT)
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, **TIGHT)


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.InstanceNorm(4), nn.LayerNorm(4)], ids=repr)
def test_events_of_a_batch_are_normalised_separately(layer: torch.nn.Module) -> None:
    layer = copy.deepcopy(layer).double()
    x = random_cloud(50, channels=4, batch_size=3)
    y = layer(x).features
    for event in range(3):
        rows = x.coordinates[:, 0] == event
        sites = x.coordinates[rows].clone()
        sites[:, 0] = 0
        torch.testing.assert_close(layer(SparseTensor(x.features[rows], sites, 8)).features, y[rows])


def test_layer_norm_equals_pytorchs_on_every_row() -> None:
    x = random_cloud(20, channels=5)
    mine, theirs = nn.LayerNorm(5, eps=0.2).double(), torch.nn.LayerNorm(5, eps=0.2).double()
    torch.testing.assert_close(mine(x).features, theirs(x.features))
    assert nn.LayerNorm(5, elementwise_affine=False).weight is None


@pytest.mark.parametrize("layer", [nn.GroupNorm(2, 4), nn.InstanceNorm(4, affine=True), nn.LayerNorm(4)], ids=repr)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_no_site_single_sites_and_empty_events_work(count: int, layer: torch.nn.Module) -> None:
    layer = copy.deepcopy(layer).double()
    x = random_cloud(count, channels=4, batch_size=5)
    features = x.features.requires_grad_()
    y = layer(x.replace(features))
    y.features.sum().backward()
    assert y.features.shape == (count, 4)
    assert all(torch.isfinite(t).all() for t in (y.features, features.grad, *(p.grad for p in layer.parameters())))


def test_a_single_site_becomes_the_bias_of_an_instance_norm() -> None:
    layer = nn.InstanceNorm(3, affine=True).double()
    layer.bias.data = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.equal(layer(random_cloud(1)).features, layer.bias[None])


def test_group_norm_has_right_first_and_second_derivatives() -> None:
    x = random_cloud(7, channels=4, size=3, batch_size=3)
    leaves = [x.features, torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)]
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def function(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return group_norm(x.replace(features), 2, weight, bias, eps=0.1).features

    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_in_low_precision_are_those_of_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = random_cloud(400, channels=4, dtype=dtype)
    x = x.replace(x.features * 0.1 + 3)  # float16 would sum their squares to nonsense
    layer = nn.GroupNorm(2, 4).to(dtype)
    y = layer(x)
    wanted = nn.GroupNorm(2, 4).double()(x.replace(x.features.double()))
    assert y.dtype == dtype
    torch.testing.assert_close(y.features.double(), wanted.features, rtol=torch.finfo(dtype).eps, atol=1e-3)


def test_the_variance_stays_exact_with_a_large_mean() -> None:
    x = random_cloud(400, channels=4, dtype=torch.float32)
    x = x.replace(x.features + 1000)
    wanted = nn.GroupNorm(2, 4).double()(x.replace(x.features.double()))
    torch.testing.assert_close(nn.GroupNorm(2, 4)(x).features.double(), wanted.features, rtol=1e-4, atol=1e-3)


def test_the_leaky_batch_norm_is_batch_norm_then_leaky_relu() -> None:
    x = random_cloud(30)
    fused, plain = nn.BatchNormLeakyReLU(3, leakiness=0.2).double(), nn.BatchNorm(3).double()
    torch.testing.assert_close(fused(x).features, nn.LeakyReLU(0.2)(plain(x)).features)
    assert torch.equal(fused.running_var, plain.running_var)
    relu = nn.BatchNormReLU(3).double()
    torch.testing.assert_close(relu(x).features, nn.BatchNorm(3).double()(x).features.relu())
    one = random_cloud(1)
    for layer, bias in ((nn.BatchNormReLU(3), 0.0), (nn.BatchNormLeakyReLU(3), -0.333)):
        torch.nn.init.constant_(layer.double().bias, -1.0)
        assert torch.allclose(layer(one).features, torch.full((1, 3), bias, dtype=torch.float64))


def test_bad_arguments_are_refused() -> None:
    x = random_cloud(5)
    with pytest.raises(ValueError, match="GroupNorm takes 4 channels, but the tensor has 3"):
        nn.GroupNorm(2, 4)(x)
    with pytest.raises(ValueError, match="num_channels"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ValueError, match="num_groups must divide the 3 channels, got 2"):
        group_norm(x, 2)
    with pytest.raises(ValueError, match=r"weight must be \[3\], got shape \(2,\)"):
        group_norm(x, 3, torch.ones(2))
    with pytest.raises(TypeError, match="BatchNorm takes a SparseTensor, got Tensor"):
        nn.BatchNorm(3)(x.features)
    with pytest.raises(ValueError, match="LayerNorm takes 4 channels, but the tensor has 3"):
        nn.LayerNorm(4)(x)


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm(2), nn.SubmanifoldConv(2, 4, 3), nn.BatchNormLeakyReLU(4, momentum=None))
    return nn.Sequential(*net, models.SparseUResNet(4, 2, filters=3, depth=2, repetitions=1)).double()


def share(rank: int, batch: int) -> SparseTensor:
    """The input of a process in one step: in the second step, the first process has no site; in the third, no process
    has."""
    counts = {0: (40, 25), 1: (0, 30), 2: (0, 0), 3: (1, 0)}[batch]
    return random_cloud(counts[rank], channels=2, size=6, batch_size=2, seed=10 * batch + rank)


def joined(batch: int) -> SparseTensor:
    parts = [share(rank, batch) for rank in range(2)]
    sites = [part.coordinates + torch.tensor([2 * rank, 0, 0, 0]) for rank, part in enumerate(parts)]
    return SparseTensor(torch.cat([part.features for part in parts]), torch.cat(sites), 6, batch_size=4)


def steps(net: torch.nn.Module, batches: list[SparseTensor]) -> dict[str, Any]:
    """Outputs, gradients of the inputs, summed gradients of the parameters, and the state after some batches."""
    outputs, slopes = [], []
    for x in batches:
        features = x.features.requires_grad_()
        y = net(x.replace(features)).features
        y.pow(3).sum().backward()
        outputs.append(y.detach())
        slopes.append(features.grad)
    gradients = [p.grad for p in net.parameters()]
    return {"outputs": outputs, "slopes": slopes, "gradients": gradients, "state": net.state_dict()}


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    net = nn.convert_sync_batchnorm(small_net())
    torch.save(steps(net, [share(rank, batch) for batch in range(4)]), f"{folder}/{rank}.pt")
    statistics = process_statistics(share(rank, 1).features.float() + 1000)
    torch.save(statistics, f"{folder}/statistics{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one_on_the_joined_batch(tmp_path: Path) -> None:
    run_ranks(one_of_two, str(tmp_path))
    both = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    alone = steps(small_net(), [joined(batch) for batch in range(4)])
    for name in ("outputs", "slopes"):
        for mine, theirs, wanted in zip(both[0][name], both[1][name], alone[name], strict=True):
            torch.testing.assert_close(torch.cat([mine, theirs]), wanted, **TIGHT)
    for mine, theirs, wanted in zip(both[0]["gradients"], both[1]["gradients"], alone["gradients"], strict=True):
        torch.testing.assert_close(mine + theirs, wanted, **TIGHT)
    for process in both:
        assert process["state"].keys() == alone["state"].keys()
        for name, wanted in alone["state"].items():
            torch.testing.assert_close(process["state"][name], wanted, **TIGHT)
    count, mean, variance = torch.load(tmp_path / "statistics0.pt")
    rows = (joined(1).features.float() + 1000).double()
    assert count == 30
    torch.testing.assert_close(mean.double(), rows.mean(0), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance.double(), rows.var(0, correction=0), rtol=1e-4, atol=0)


def test_the_synchronised_norm_of_one_process_equals_batch_norm() -> None:
    net = small_net()
    twin = nn.convert_sync_batchnorm(copy.deepcopy(net))
    assert not any(type(module) is nn.BatchNorm for module in twin.modules())
    x = joined(0)
    mine, theirs = steps(twin, [x]), steps(net, [x])
    assert all(torch.equal(a, b) for a, b in zip(mine["gradients"], theirs["gradients"], strict=True))
    assert torch.equal(twin.eval()(x).features, net.eval()(x).features)
    again = nn.convert_sync_batchnorm(twin)
    assert again is twin


def test_conversion_keeps_parameters_buffers_and_settings() -> None:
    layer = nn.BatchNormReLU(3, eps=0.1, momentum=0.3).double().eval()
    twin = nn.convert_sync_batchnorm(layer)
    assert isinstance(twin, nn.SyncBatchNorm)
    assert (twin.eps, twin.momentum, twin.leakiness, twin.training) == (0.1, 0.3, 0, False)
    assert twin.weight is layer.weight
    assert twin.running_var is layer.running_var
    bare = nn.convert_sync_batchnorm(nn.BatchNorm(3, affine=False, track_running_stats=False))
    assert bare.weight is None
    assert bare.running_mean is None


def test_normalize_applies_the_statistics_it_is_given() -> None:
    y = normalize(torch.tensor([[5.0], [-1.0]]), *(torch.tensor([v]) for v in (1.0, 3.0, 10.0, 0.5)), eps=1.0)
    assert y.tolist() == [[20.5], [-9.5]]
    y = normalize(torch.tensor([[-1.0]]), torch.tensor([1.0]), torch.tensor([3.0]), None, None, 1.0, leakiness=0.5)
    assert y.tolist() == [[-0.5]]

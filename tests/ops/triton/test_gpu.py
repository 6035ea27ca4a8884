"""The library on the device: a GPU if there is one and TRITON_INTERPRET is 0, otherwise interpreted on the CPU.

`make gpu` runs this last, and marks its record with what fails.
"""

from __future__ import annotations

import gc
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.models import SparseUResNet
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.cases import block
from tests.support.clouds import random_sites
from tests.support.engines import ON_GPU

DEVICE = "cuda" if ON_GPU else "cpu"
gpu = pytest.mark.skipif(not ON_GPU, reason="needs a CUDA device and TRITON_INTERPRET=0")
PRECISIONS = {
    "fp32": ("highest", False),
    "tf32": ("medium", False),
    "split": ("high", False),
    "bf16": ("highest", True),
}


def engine() -> object:
    return nullcontext() if ON_GPU else interpreted()


def small_network() -> torch.nn.Module:
    """A UResNet; for the slow interpreter, the smallest one that changes resolution."""
    torch.manual_seed(0)
    if ON_GPU:
        return SparseUResNet(filters=4, depth=2, repetitions=1)
    halving = {"kernel_size": 2, "stride": 2, "bias": False}
    return nn.Sequential(
        nn.SubmanifoldConv(1, 4, 3, bias=False),
        nn.BatchNormReLU(4),
        nn.SparseConv(4, 8, **halving),
        nn.BatchNormReLU(8),
        nn.InverseConv(8, 5, **halving),
    )


def cloud(count: int, seed: int = 0, device: str = DEVICE) -> SparseTensor:
    sites = random_sites(count, size=6, seed=seed).to(device)
    features = torch.randn(count, 1, generator=torch.Generator().manual_seed(seed)).to(device)
    return SparseTensor(features, sites, 6, 2)


def step(network: torch.nn.Module, x: SparseTensor, bf16: bool = False) -> tuple[Tensor, ...]:
    """Outputs and all gradients."""
    with torch.autocast(DEVICE, torch.bfloat16, enabled=bf16):
        y = network(x).features
    found = torch.autograd.grad(y.float().square().sum(), list(network.parameters()))
    return y.detach(), *found


def off(mine: Tensor, right: Tensor) -> float:
    right = right.double().cpu()
    return float((mine.double().cpu() - right).norm() / right.norm())


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_a_step_of_a_network_gives_the_same_bits_twice(bf16: bool) -> None:
    network = small_network().to(DEVICE)
    with engine():
        once, again = (step(network, cloud(120), bf16) for _ in range(2))
    assert all(map(torch.equal, once, again))
    assert all(one.isfinite().all() for one in once)


def test_a_network_on_the_gpu_equals_the_cpu() -> None:
    network = small_network().double()
    right = step(network, SparseTensor.from_dense(cloud(120, device="cpu").dense().double()))
    sites = cloud(120, device="cpu")
    order = torch.tensor(sorted(range(120), key=lambda row: sites.coordinates[row].tolist()))
    with engine():
        network = network.float().to(DEVICE)
        mine = step(network, cloud(120))
    assert off(mine[0][order.to(DEVICE)], right[0]) < 1e-5
    assert max(map(off, mine[1:], right[1:])) < 1e-3


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_batch_and_a_single_site_work(count: int) -> None:
    network = small_network().to(DEVICE)
    with engine():
        found = step(network, cloud(count))
    assert found[0].shape == (count, 5)
    assert all(one.isfinite().all() for one in found)


def test_second_derivatives_exist() -> None:
    layer = nn.SubmanifoldConv(1, 2, 3).to(DEVICE)
    with engine():
        y = layer(cloud(20)).features
        (first,) = torch.autograd.grad(y.pow(3).sum(), layer.weight, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), layer.weight)
    assert second.isfinite().all()
    assert (second != 0).any()


@gpu
@pytest.mark.parametrize(("precision", "most"), [("fp32", 5e-6), ("split", 2e-5), ("tf32", 2e-3), ("bf16", 1e-2)])
def test_products_have_the_requested_precision(precision: str, most: float) -> None:
    """Single layers, because the interpreter computes all of them alike."""
    before = torch.get_float32_matmul_precision()
    torch.manual_seed(0)
    sites = torch.from_numpy(block(24, 24, 24)[::3].copy())
    for width_in, width_out in ((16, 16), (64, 64), (160, 128), (5, 33)):
        layer = nn.SubmanifoldConv(width_in, width_out, 3, bias=False).double()
        features = torch.randn(len(sites), width_in, dtype=torch.float64)
        right = step(layer, SparseTensor(features, sites))
        try:
            torch.set_float32_matmul_precision(PRECISIONS[precision])
            x = SparseTensor(features.float().to(DEVICE), sites.to(DEVICE))
            mine = step(layer.float().to(DEVICE), x, bf16=precision == "bf16")
        finally:
            torch.set_float32_matmul_precision(before)
        assert max(map(off, mine, right)) < most, (width_in, width_out)


@gpu
def test_a_compiled_network_is_the_eager_one() -> None:
    network = small_network().to(DEVICE).eval()
    compiled = torch.compile(lambda x: network(x).features, fullgraph=True)
    with torch.no_grad():
        for count in (100, 120):
            x = prepare(network, cloud(count))
            assert off(compiled(x), network(x).features) < 1e-5


@gpu
def test_a_captured_step_replays_the_eager_one() -> None:
    network, x = small_network().to(DEVICE), cloud(120)
    prepare(network, x)
    right = [one.clone() for one in step(network, x)]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step(network, x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(network, x)
    graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, captured, right))


@gpu
def test_a_tensor_of_more_than_two_to_the_31_elements_is_right() -> None:
    """Two blocks of sites far apart in memory; the second block alone gives the same bits."""
    width, edge = 128, 208  # 2 x 208^3 x 128 = 2.3e9 numbers of two bytes
    if torch.cuda.mem_get_info()[0] < 40e9:
        pytest.skip("needs 40 GB of free device memory")
    sites = torch.cartesian_prod(torch.arange(2), *[torch.arange(edge)] * 3).int().to(DEVICE)
    features = torch.randn(len(sites), width, dtype=torch.bfloat16, device=DEVICE)
    assert features.numel() > 2**31
    layer = nn.SubmanifoldConv(width, width, (3, 1, 1), bias=False).to(DEVICE, torch.bfloat16)
    with torch.no_grad():
        y = layer(SparseTensor(features, sites, edge, 2)).features
        last = edge**3
        alone = layer(SparseTensor(features[last:].clone(), sites[last:] - sites[last], edge, 1)).features
    assert y.isfinite().all()
    assert torch.equal(y[last:], alone)


@gpu
def test_memory_is_back_at_its_start_after_a_hundred_steps() -> None:
    network = small_network().to(DEVICE)
    step(network, cloud(100))

    def held() -> int:
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    start = held()
    for seed in range(100):
        step(network, cloud(50 + seed, seed))
    assert held() <= start

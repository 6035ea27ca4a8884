"""Wall times, and the host time of an operator apart from its arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, nn

CALLS = 50  # number of calls between two readings of the clock


def milliseconds(work: Callable[[], Any], repeat: int) -> float:
    """The median time of ``repeat`` runs, after one warm-up run."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def product_rate(rows: int, inner: int, columns: int, repeat: int) -> float:
    """GFLOP/s of a plain float32 matrix product on this machine, with PyTorch's threads."""
    a, b, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    return 2e-6 * rows * inner * columns / milliseconds(lambda: torch.mm(a, b, out=out), repeat)


def host_times(repeat: int) -> dict[str, float]:
    """Microseconds per layer on eight sites with four channels, where arithmetic takes almost no time."""
    sites = torch.tensor([[0, i // 4, i // 2 % 2, i % 2] for i in range(8)], dtype=torch.int32)
    x = SparseTensor(torch.randn(8, 4, requires_grad=True), sites)
    found = {}
    for name, layer in (
        ("convolution", nn.SubmanifoldConv(4, 4, 3, bias=False)),
        ("batch norm and ReLU", nn.BatchNormReLU(4)),
    ):
        wanted: list[Tensor] = [x.features, *layer.parameters()]

        def forward(layer: torch.nn.Module = layer) -> Tensor:
            return layer(x).features

        def both(forward: Callable[[], Tensor] = forward, wanted: list[Tensor] = wanted) -> None:
            y = forward()
            torch.autograd.grad(y, wanted, y.detach())

        for suffix, work in (("forward", forward), ("forward and backward", both)):
            found[f"{name}, {suffix}"] = 1e3 * milliseconds(partial(_often, work), repeat) / CALLS
    return found


def _often(work: Callable[[], Any]) -> None:
    for _ in range(CALLS):
        work()


def operators(work: Callable[[], Any]) -> list[dict[str, Any]]:
    """The ten operators with the largest self time on the host in one run."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)[:10]
    return [{"name": row.key, "calls": row.count, "host ms": row.self_cpu_time_total / 1e3} for row in rows]

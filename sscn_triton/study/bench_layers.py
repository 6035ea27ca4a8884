"""Where a pass goes: rulebooks, and the convolutions of each level, beside plain products of the same size."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, prepare
from sscn_triton.nn import InverseConv, SparseConv
from sscn_triton.nn.convolution import Convolution

MOST_ROWS = 1 << 16  # of a plain product, so that it fits the memory of a laptop


def _milliseconds(work: Callable[[], Any], repeat: int) -> float:
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def measure_layers(network: torch.nn.Module, batch: Any, repeat: int) -> dict[str, Any]:
    """Rulebook build, each level's convolutions one by one (forward; both gradients), and host time per operator.

    A level's rate is its operations over its forward time; its share is that time's inverse in units of what the same
    products take without gather and scatter, in the same run. Strided layers count to the finer level.
    """

    def tensor() -> SparseTensor:
        return SparseTensor(batch.features, batch.coordinates, batch.spatial_shape, batch.images)

    calls: list[tuple[Convolution, SparseTensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, _: calls.append((layer, given[0])))
        for layer in network.modules()
        if isinstance(layer, Convolution)
    ]
    with torch.no_grad():
        network(tensor())
    for hook in hooks:
        hook.remove()
    levels: dict[int, dict[str, float]] = {}
    for layer, x in calls:
        _add(levels.setdefault(_level(layer, x), {}), _measure(layer, x, repeat))
    return {
        "rulebooks ms": _milliseconds(lambda: prepare(network, tensor()), repeat),
        "levels": [_rates(levels[level]) for level in sorted(levels)],
        "operators": _operators(network, tensor, batch.labels),
    }


def _level(layer: Convolution, x: SparseTensor) -> int:
    return len(x.path) - isinstance(layer, InverseConv)


def count_rules(layer: Convolution, x: SparseTensor) -> int:
    """Rules that the layer applies to ``x``."""
    y = layer(x)
    if isinstance(layer, InverseConv):
        grid, step = x.path[-1]
        return grid.step(step)[0].rule_count
    if isinstance(layer, SparseConv):
        grid, step = y.path[-1]
        return grid.step(step)[0].rule_count
    return x.grid.submanifold(layer.kernel_size, layer.dilation).rule_count


def _measure(layer: Convolution, x: SparseTensor, repeat: int) -> dict[str, float]:
    with torch.no_grad():
        rules = count_rules(layer, x)
    taking = x.replace(x.features.detach().requires_grad_())
    y = layer(taking).features
    seed = torch.randn_like(y)
    a = torch.randn(max(1, min(rules, MOST_ROWS)), layer.in_channels)
    b = torch.randn(layer.in_channels, layer.out_channels)
    out = torch.empty(len(a), layer.out_channels)
    with torch.no_grad():
        forward = _milliseconds(lambda: layer(x), repeat)
        product = _milliseconds(lambda: torch.mm(a, b, out=out), repeat) * rules / len(a)
    wanted: list[Tensor] = [taking.features, layer.weight]
    backward = _milliseconds(lambda: torch.autograd.grad(y, wanted, seed, retain_graph=True), repeat)
    submanifold = not isinstance(layer, (SparseConv, InverseConv))
    return {
        "layers": 1,
        "sites": len(x) if submanifold else 0,
        "rules per site": rules / max(len(x), 1) if submanifold else 0,
        "GFLOP": 2e-9 * rules * layer.in_channels * layer.out_channels / layer.groups,
        "forward ms": forward,
        "backward ms": backward,
        "products ms": product,
    }


def _add(total: dict[str, float], one: dict[str, float]) -> None:
    for key, value in one.items():
        total[key] = max(total.get(key, 0), value) if key in ("sites", "rules per site") else total.get(key, 0) + value


def _rates(level: dict[str, float]) -> dict[str, float]:
    forward, backward = level["forward ms"], level["backward ms"]
    return {
        **level,
        "forward GFLOP/s": 1e3 * level["GFLOP"] / forward,
        "backward GFLOP/s": 2e3 * level["GFLOP"] / backward,
        "forward share of product rate": level["products ms"] / forward,
    }


def _operators(network: torch.nn.Module, tensor: Callable[[], SparseTensor], labels: Tensor) -> list[dict[str, Any]]:
    """The ten operators with most host time of their own in one forward and backward pass."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        torch.nn.functional.cross_entropy(network(tensor()).features, labels, ignore_index=-1).backward()
    network.zero_grad()
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)[:10]
    return [{"name": row.key, "calls": row.count, "host ms": row.self_cpu_time_total / 1e3} for row in rows]

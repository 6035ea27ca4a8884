"""The time of a pass by part: rulebooks and the convolutions per level, compared with plain products of equal size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor
from sscn_triton.bench.cpu.rulebooks import Call, convolutions, measure_rulebooks
from sscn_triton.bench.cpu.timing import host_times, milliseconds, operators, product_rate
from sscn_triton.nn import InverseConv, SparseConv

MOST_ROWS = 1 << 16  # maximum rows of a plain product, so that it fits into a laptop's memory
SQUARE = 1024  # rows and columns of the product that measures the machine's rate


def measure_layers(network: torch.nn.Module, batch: Any, repeat: int) -> dict[str, Any]:
    """Times of rulebooks, of each level's convolutions (forward; both gradients), of all levels, and of operators' host
    work.

    A rate is operations divided by time. Its share of the product rate is the time of the same products without gather
    and scatter divided by the time of the layer, in the same run. Strided layers belong to the finer level.
    """

    def tensor() -> SparseTensor:
        return SparseTensor(batch.features, batch.coordinates, batch.spatial_shape, batch.images)

    def one_pass() -> None:
        torch.nn.functional.cross_entropy(network(tensor()).features, batch.labels, ignore_index=-1).backward()

    calls = convolutions(network, tensor())
    levels: dict[int, dict[str, float]] = {}
    for call in calls:
        layer, x, _ = call
        _add(levels.setdefault(len(x.path) - isinstance(layer, InverseConv), {}), measure_layer(call, repeat))
    total: dict[str, float] = {}
    for level in levels.values():
        _add(total, level)
    record = {
        "rulebooks": measure_rulebooks(network, calls, tensor, repeat),
        "levels": [_rates(levels[level]) for level in sorted(levels)],
        "total": _rates(total),
        "product GFLOP/s": product_rate(SQUARE, SQUARE, SQUARE, repeat),
        "operators": operators(one_pass),
        "host microseconds": host_times(repeat),
    }
    network.zero_grad()
    return record


def count_rules(call: Call) -> int:
    """The number of rules that a layer applied."""
    layer, x, y = call
    if isinstance(layer, InverseConv | SparseConv):
        grid, step = (x if isinstance(layer, InverseConv) else y).path[-1]
        return grid.step(step)[0].rule_count
    return x.grid.submanifold(layer.kernel_size, layer.dilation).rule_count


def measure_layer(call: Call, repeat: int) -> dict[str, float]:
    """Operations and milliseconds of a layer, and of plain products of the same size."""
    layer, x, _ = call
    rules = count_rules(call)
    taking = x.replace(x.features.detach().requires_grad_())
    y = layer(taking).features
    seed = torch.randn_like(y)
    rows = max(1, min(rules, MOST_ROWS))
    rate = product_rate(rows, layer.in_channels, layer.out_channels // layer.groups, repeat)
    with torch.no_grad():
        forward = milliseconds(lambda: layer(x), repeat)
    wanted: list[Tensor] = [taking.features, layer.weight]
    backward = milliseconds(lambda: torch.autograd.grad(y, wanted, seed, retain_graph=True), repeat)
    submanifold = not isinstance(layer, SparseConv | InverseConv)
    operations = 2e-9 * rules * layer.in_channels * layer.out_channels / layer.groups
    return {
        "layers": 1,
        "sites": len(x) if submanifold else 0,
        "rules per site": rules / max(len(x), 1) if submanifold else 0,
        "GFLOP": operations,
        "forward ms": forward,
        "backward ms": backward,
        "products ms": 1e3 * operations / rate,
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
        "GFLOP/s": 3e3 * level["GFLOP"] / (forward + backward),
        "forward share of product rate": level["products ms"] / forward,
        "share of product rate": 3 * level["products ms"] / (forward + backward),
    }

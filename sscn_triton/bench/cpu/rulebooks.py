"""The cost of rulebooks per level, measured separately from the network's pass that requests them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from sscn_triton import Grid, SparseTensor, prepare
from sscn_triton.bench.cpu.timing import milliseconds
from sscn_triton.nn import InverseConv, SparseConv
from sscn_triton.nn.convolution import Convolution

Call = tuple[Convolution, SparseTensor, SparseTensor]


def convolutions(network: torch.nn.Module, x: SparseTensor) -> list[Call]:
    """Every convolution of a pass, with its input and output."""
    calls: list[Call] = []
    hooks = [
        layer.register_forward_hook(lambda layer, given, made: calls.append((layer, given[0], made)))
        for layer in network.modules()
        if isinstance(layer, Convolution)
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def measure_rulebooks(
    network: torch.nn.Module, calls: list[Call], tensor: Callable[[], SparseTensor], repeat: int
) -> dict[str, Any]:
    """Milliseconds for the rulebooks of each level and of all, for checking a tensor's sites, and for the rest of
    `prepare`.

    A level's rulebooks are those of its submanifold layers and of the step to the coarser level.
    """
    levels: dict[int, float] = {}
    for level, build in builds(calls):
        levels[level] = levels.get(level, 0) + milliseconds(build, repeat)
    total = sum(levels.values())
    sites = milliseconds(tensor, repeat)
    whole = milliseconds(lambda: prepare(network, tensor()), repeat)
    return {
        "levels ms": [levels[level] for level in sorted(levels)],
        "total ms": total,
        "sites checked ms": sites,
        "rest of prepare ms": whole - total - sites,
    }


def builds(calls: list[Call]) -> list[tuple[int, Callable[[], Any]]]:
    """``(level, build)`` for every rulebook that the calls need; each is built from sites alone, as for a new batch."""
    found: dict[Any, tuple[int, Callable[[], Any]]] = {}
    for layer, x, y in calls:
        if isinstance(layer, SparseConv):
            fine, step = y.path[-1]
            found.setdefault((fine, step), (len(x.path), partial(_build, fine, Grid.step, step)))
        elif not isinstance(layer, InverseConv):
            key = layer.kernel_size, layer.dilation
            found.setdefault((x.grid, *key), (len(x.path), partial(_build, x.grid, Grid.submanifold, *key)))
    return list(found.values())


def _build(grid: Grid, rulebook: Callable[..., Any], *geometry: Any) -> Any:
    """Build the rulebook on a new grid with the same sites and no rulebooks."""
    return rulebook(Grid(grid.coordinates, grid.spatial_shape, grid.batch_size), *geometry)

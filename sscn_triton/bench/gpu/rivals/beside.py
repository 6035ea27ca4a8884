"""Comparison of this library with other engines that are installed.

An engine's results are checked against this library before it is timed. An engine whose results differ, or that cannot
run a cell, is reported with the reason. A worker of its own runs `measure`, because another engine may hang.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.cells import SHARES, Cell
from sscn_triton.bench.gpu.measure import allowed, timed
from sscn_triton.bench.gpu.rivals.layers import Dense, Flex, Minkowski, Warp
from sscn_triton.bench.gpu.rivals.networks import Rival, Spconv, SpconvTriton, Unfit
from sscn_triton.bench.gpu.subjects import Pass, Subject
from sscn_triton.bench.gpu.timing import Stopwatch, device_works

RIVALS: dict[str, tuple[str, Callable[[Subject], Rival]]] = {
    "spconv-triton": ("spconv_triton", SpconvTriton),
    "spconv": ("spconv", Spconv),
}
LAYERS: dict[str, tuple[str, Callable[[Subject], Rival]]] = {
    "PyTorch dense conv3d": ("torch", Dense),
    "FlexGEMM": ("flex_gemm", Flex),
    "WarpConvNet": ("warpconvnet", Warp),
    "MinkowskiEngine": ("MinkowskiEngine", Minkowski),
}
"""By name, the package that must be importable and the engine: for whole networks, and for single layers only."""


def installed() -> list[str]:
    """The engines that can be imported here."""
    return [name for name, (package, _) in {**RIVALS, **LAYERS}.items() if importlib.util.find_spec(package)]


def compare(subject: Subject, rival: Rival) -> float:
    """Relative difference (root mean square) of the outputs on the same sites. Raises Unfit if sites differ."""
    with torch.no_grad():
        y = subject.outputs(subject.tensor)
        features, sites = rival.rows(rival.outputs())
    if len(sites) != len(y):
        raise Unfit(f"it has {len(sites)} sites in its output, this library {len(y)}")
    mine, theirs = _sorted(y.coordinates), _sorted(sites)
    if not torch.equal(y.coordinates[mine].long(), sites[theirs].long()):
        raise Unfit("its output is on other sites")
    right = y.features[mine].double()
    return float((features[theirs].double() - right).norm() / right.norm().clamp(min=1e-30))


def _sorted(sites: Tensor) -> Tensor:
    """The order that sorts sites lexicographically."""
    order = torch.arange(len(sites), device=sites.device)
    for column in range(sites.shape[1] - 1, -1, -1):
        order = order[torch.sort(sites[order, column], stable=True).indices]
    return order


def engines_for(cell: Cell) -> list[str]:
    """The installed engines that can run a cell."""
    if cell.mode != "eager" or cell.task in SHARES:
        return []
    engines = {**RIVALS, **LAYERS} if cell.kind == "layer" else RIVALS
    return [name for name in engines if name in installed()]


def measure(name: str, cell: Cell, batch: BenchBatch, device: str, watch: Stopwatch) -> dict[str, Any]:
    """An engine's times on a cell, and the ratio to this library's time, which is taken just before in this process.

    If the engine cannot run the cell, or its outputs differ, the record has only ``why not``.
    """
    subject = Subject(cell, batch, device)
    try:
        run = checked_pass(subject, name)
        mine = watch(subject.once)
        times = timed(run, watch)
    except Exception as error:  # another engine may fail in any way
        if not device_works(device):
            raise
        return {"why not": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    return {**times, "sscn ms": mine["ms"], "ratio": times["ms"] / mine["ms"]}


def checked_pass(subject: Subject, name: str) -> Pass:
    """An engine's pass, ready to be timed. Raises Unfit if its outputs differ from this library's."""
    rival = {**RIVALS, **LAYERS}[name][1](subject)
    difference, most = compare(subject, rival), 3 * allowed(subject.cell)[0]
    if not difference < most:
        raise Unfit(f"its outputs differ by {difference:.1e}, allowed is {most:.0e}")
    rival.once()
    return rival.once

"""Comparison of this library with other engines that are installed.

An engine's results are checked against this library before it is timed. An engine whose results differ, or that cannot
run a cell, is reported with the reason.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

from sscn_triton import nn
from sscn_triton.bench.gpu.others import Dense, Flex, Minkowski, Warp
from sscn_triton.bench.gpu.rivals import Rival, Spconv, SpconvTriton, Unfit
from sscn_triton.bench.gpu.subjects import Pass, Subject

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


def passes(subject: Subject, tolerance: float) -> dict[str, Pass | str]:
    """For every installed engine, its pass, ready to be timed, or the reason why there is none."""
    single = isinstance(subject.network, nn.SubmanifoldConv)
    engines = {**RIVALS, **LAYERS} if single else RIVALS
    found: dict[str, Pass | str] = {}
    for name in filter(engines.__contains__, installed()):
        try:
            rival = engines[name][1](subject)
            difference = compare(subject, rival)
            if not difference < tolerance:
                raise Unfit(f"its outputs differ by {difference:.1e}, allowed is {tolerance:.0e}")
            rival.once()
            found[name] = rival.once
        except Exception as error:  # another engine may fail in any way; the run continues
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found

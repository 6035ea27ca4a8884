"""The measurement of one cell: checks its results, then times it and compares it with its floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor
from sscn_triton.bench.cost_model.cost import count_work, floor, total
from sscn_triton.bench.cost_model.devices import Device
from sscn_triton.bench.cost_model.launches import asked_by
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.bars import bar_of
from sscn_triton.bench.gpu.cells import Cell
from sscn_triton.bench.gpu.layers import subject
from sscn_triton.bench.gpu.timing import Stopwatch

FEW = 1500
"""Number of sites on which results are checked against float64 on the CPU."""

NETWORK_ERRORS = {"fp32": (1e-4, 5e-2), "tf32": (2e-2, 0.5), "bf16": (0.1, 0.7)}
LAYER_ERRORS = {"fp32": (1e-5, 1e-5), "tf32": (2e-3, 2e-3), "bf16": (1e-2, 1e-2)}
"""Maximum relative errors (root mean square) of outputs and gradients. The CPU's own errors are 5e-6 and 6e-3 for
networks in fp32, and 0.026 and 0.29 in bf16, because rounding can flip a ReLU and batch norms over few rows spread the
difference."""


class WrongResult(Exception):
    """The results of a cell are wrong; the message says by how much."""


def allowed(cell: Cell) -> tuple[float, float]:
    """The largest allowed errors of a cell's outputs and gradients."""
    return (LAYER_ERRORS if cell.kind in ("layer", "halving") else NETWORK_ERRORS)[cell.precision]


def relative(mine: Tensor, right: Tensor) -> float:
    """Root mean square of the difference, divided by that of the right result."""
    mine, right = mine.detach().cpu().double(), right.detach().cpu().double()
    return float((mine - right).norm() / right.norm().clamp(min=1e-30))


def _some(batch: BenchBatch, device: str) -> BenchBatch:
    """The first sites of a batch."""
    columns = {name: getattr(batch, name)[:FEW] for name in ("coordinates", "features", "labels")}
    return _moved(replace(batch, **columns), device)


def _moved(batch: BenchBatch, device: str) -> BenchBatch:
    columns = {name: getattr(batch, name).to(device) for name in ("coordinates", "features", "labels")}
    return replace(batch, **columns)


def checked_batches(batch: BenchBatch, device: str) -> list[tuple[BenchBatch, str]]:
    """The batches on which results are checked, each with the device that computes the right ones in float64.

    The CPU shares no code with a GPU, but is slow: it gets some sites. The tiles of the whole batch differ from those
    of a few sites, so on a GPU the whole batch is also checked against the GPU itself, whose float64 products need none
    of the kernels under test.
    """
    few = (_some(batch, device), "cpu")
    return [few, (batch, device)] if device == "cuda" and len(batch.labels) > FEW else [few]


def check(cell: Cell, batch: BenchBatch, device: str) -> dict[str, float]:
    """The largest relative error of each result of a cell against float64, over `checked_batches`.

    Raises WrongResult if one is too large, or if two passes do not agree to the last bit.
    """
    plain = cell._replace(mode="eager", rulebook="out")
    errors: dict[str, float] = {}
    for some, where in checked_batches(batch, device):
        mine = subject(plain, some, device)
        found, again = mine.results(), mine.results()
        if not all(map(torch.equal, found.values(), again.values())):
            raise WrongResult(f"{cell}: two passes differ")
        right = subject(plain, _moved(some, where), where).exact().results()
        for what, result in found.items():
            error, most = relative(result, right[what]), allowed(cell)[what != "outputs"]
            if not error <= most:
                sites = f"{len(some.labels)} sites"
                raise WrongResult(f"{cell}: relative error {error:.1e} of the {what} on {sites}, allowed {most:.0e}")
            errors[what] = max(error, errors.get(what, 0.0))
    return errors


def measure(cell: Cell, batch: BenchBatch, device: str, watch: Stopwatch, ceilings: Device) -> dict[str, Any]:
    """Measure a checked cell: times, peak memory, floor and its share, rules per site, and the bar to beat, if any."""
    one = subject(cell, batch, device)
    operations = count_work(lambda: one.once(update=False))
    least = 1e3 * floor(operations, ceilings, cell.precision)
    mine = timed(one.as_run(), watch)
    asked = asked_by(lambda: one.once(update=False)) if cell.rulebook == "out" else None
    work, bar = total(operations), bar_of(cell)
    return {
        "cell": cell._asdict(),
        "voxels": len(one.tensor),
        "rules per site": _rules_per_site(one.tensor),
        "GFLOP": work.useful / 1e9,
        "memory GB": work.memory / 1e9,
        "operators": len(operations),
        "launches": None if asked is None else asked.launches,
        "kernels": None if asked is None else dict(asked.kernels),
        "floor ms": least,
        "sscn": {**mine, "share of floor": least / mine["ms"]},
        **({"bar": bar._asdict()} if bar else {}),
    }


def timed(run: Callable[[], Any], watch: Stopwatch) -> dict[str, float]:
    """The watch's times of a pass and, on a GPU, its peak memory."""
    times = watch(run)
    if watch.cuda:
        torch.cuda.reset_peak_memory_stats()
        run()
        watch.wait()
        times["peak MB"] = torch.cuda.max_memory_allocated() / 1e6
    return times


def _rules_per_site(x: SparseTensor) -> dict[str, float]:
    """Rules per site of 3 x 3 x 3 submanifold layers, at the finest level."""
    kernel, ones = (3,) * x.ndim, (1,) * x.ndim
    return {"finest level": x.grid.submanifold(kernel, ones).rule_count / max(len(x), 1)}

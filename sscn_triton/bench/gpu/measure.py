"""The measurement of one cell: checks its results, then times it and compares it with its floor and its rivals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, tune
from sscn_triton.bench.cost_model.cost import count_work, floor, total
from sscn_triton.bench.cost_model.devices import Device
from sscn_triton.bench.cost_model.launches import asked_by
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.beside import passes
from sscn_triton.bench.gpu.cells import NETWORKS, Cell
from sscn_triton.bench.gpu.subjects import Subject, numbers
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
    return (LAYER_ERRORS if NETWORKS[cell.network][0] == "layer" else NETWORK_ERRORS)[cell.precision]


def relative(mine: Tensor, right: Tensor) -> float:
    """Root mean square of the difference, divided by that of the right result."""
    mine, right = mine.detach().cpu().double(), right.detach().cpu().double()
    return float((mine - right).norm() / right.norm().clamp(min=1e-30))


def _some(batch: BenchBatch, device: str) -> BenchBatch:
    """The first sites of a batch."""
    columns = {name: getattr(batch, name)[:FEW].to(device) for name in ("coordinates", "features", "labels")}
    return replace(batch, **columns)


def check(cell: Cell, batch: BenchBatch, device: str) -> dict[str, float]:
    """Errors of outputs and gradients on some sites, against float64 on the CPU.

    Raises WrongResult if they are too large, or if two passes do not agree to the last bit.
    """
    step = cell._replace(task="step", mode="eager", rulebook="out")
    subject = Subject(step, _some(batch, device), device)
    exact = Subject(step._replace(precision="fp32"), _some(batch, "cpu"), "cpu")
    exact.network.double()
    exact.tensor = exact.tensor.to(torch.float64)
    exact.network.load_state_dict(subject.network.state_dict())

    def both(one: Subject) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            y = one.outputs(one.tensor).features
        one.once(update=False)
        return y, one.gradients()

    mine, again, right = both(subject), both(subject), both(exact)
    if not all(torch.equal(a, b) for a, b in zip(mine, again, strict=True)):
        raise WrongResult(f"{cell}: two passes differ")
    errors = [relative(a, b) for a, b in zip(mine, right, strict=True)]
    for what, error, most in zip(("outputs", "gradients"), errors, allowed(cell), strict=True):
        if not error <= most:
            raise WrongResult(f"{cell}: relative error {error:.1e} of the {what}, allowed {most:.0e}")
    return {"outputs": errors[0], "gradients": errors[1]}


def measure(cell: Cell, batch: BenchBatch, device: str, watch: Stopwatch, ceilings: Device) -> dict[str, Any]:
    """Measure a checked cell: times, peak memory, floor and its share, rules per site; and the rivals' times."""
    subject = Subject(cell, batch, device)
    operations = count_work(lambda: subject.once(update=False))
    least = 1e3 * floor(operations, ceilings, cell.precision)
    mine = _timed(subject.as_run(), watch)
    asked = asked_by(lambda: subject.once(update=False)) if cell.rulebook == "out" else None
    work = total(operations)
    record: dict[str, Any] = {
        "cell": cell._asdict(),
        "voxels": len(subject.tensor),
        "rules per site": _rules_per_site(subject.tensor),
        "GFLOP": work.useful / 1e9,
        "memory GB": work.memory / 1e9,
        "operators": len(operations),
        "launches": None if asked is None else asked.launches,
        "kernels": None if asked is None else dict(asked.kernels),
        "floor ms": least,
        "sscn": {**mine, "share of floor": least / mine["ms"]},
    }
    if cell.mode == "eager":
        others = {}
        for name, run in passes(subject, 3 * allowed(cell)[0]).items():
            others[name] = {"why not": run} if isinstance(run, str) else _beside(run, mine, watch)
        record["rivals"] = others
    return record


def _beside(run: Callable[[], Any], mine: dict[str, float], watch: Stopwatch) -> dict[str, Any]:
    try:
        times = _timed(run, watch)
    except Exception as error:  # another engine may fail in any way; the run continues
        return {"why not": f"{type(error).__name__}: {error}"}
    return {**times, "ratio": times["ms"] / mine["ms"]}


def _timed(run: Callable[[], Any], watch: Stopwatch) -> dict[str, float]:
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


def tuned(cell: Cell, batch: BenchBatch, device: str) -> list[dict[str, Any]]:
    """Tune the tiles of a cell's convolutions and keep the results; returns those that beat the untuned tile."""
    subject = Subject(cell, batch, device)
    with numbers(cell.precision, device):
        trials = tune(subject.network, subject.tensor)
    return [{**asdict(trial), "key": str(trial.key)} for trial in trials if trial.best != trial.untuned]

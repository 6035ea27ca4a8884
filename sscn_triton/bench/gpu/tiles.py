"""A search for fast tiles under a time limit: every candidate is checked, then timed, and every time is kept.

`sscn_triton.tune` tries all candidates of a kernel before the next. Here they take turns in a fixed random order, so
that a search that is cut short has seen some of everything; a later one goes on with the candidates that are left.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import torch

from sscn_triton import nn, prepare
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.cells import Cell
from sscn_triton.bench.gpu.report import UNFIT, WRONG
from sscn_triton.bench.gpu.subjects import Subject, numbers
from sscn_triton.bench.gpu.timing import device_works
from sscn_triton.ops.triton import tuning
from sscn_triton.ops.triton.candidates import MARGIN, Problem

WARMUP_MS, REPEAT_MS = 2, 10


def problems(cell: Cell, batch: BenchBatch, device: str) -> list[Problem]:
    """The kernels of a training step of two layers with a norm between them: plain and fused, forward and gradients."""
    one = Subject(cell, batch, device)
    channels = one.features.shape[1]
    torch.manual_seed(0)
    layers = [nn.SubmanifoldConv(channels, channels, 3, bias=False) for _ in range(2)]
    network = nn.Sequential(layers[0], nn.BatchNormReLU(channels), layers[1]).to(device)
    with tuning.meeting() as met, numbers(cell.precision, device):
        network(prepare(network, one.tensor)).features.float().sum().backward()
    return [Problem(key, call, torch.device(device)) for key, call in met.items()]


def order_of(problem: Problem) -> list[Any]:
    """The untuned tile, then the candidates in a random order that is the same in every run."""
    tiles = list(problem.candidates())
    random.Random(str(problem.key)).shuffle(tiles)
    return [problem.untuned, *tiles]


def in_turns(found: list[Problem]) -> Iterator[tuple[Problem, Any]]:
    """Every problem's first tile, then every problem's second, and so on."""
    orders = [(problem, order_of(problem)) for problem in found]
    for number in range(max((len(order) for _, order in orders), default=0)):
        yield from ((problem, order[number]) for problem, order in orders if number < len(order))


def warm(cell: Cell, batch: BenchBatch, device: str, share: tuple[int, int], seconds: float) -> None:
    """Compile the tiles whose number in the order is ``share[0]`` modulo ``share[1]``, as far as the time goes."""
    end = time.monotonic() + seconds
    for number, (problem, tile) in enumerate(in_turns(problems(cell, batch, device))):
        if number % share[1] == share[0]:
            _tried(problem, tile)
        if time.monotonic() > end:
            return


def search(
    cell: Cell, batch: BenchBatch, device: str, known: dict[str, dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Time the untuned tiles, then candidates until the time is over; returns all times, also those ``known`` already.

    ``tiles`` has the milliseconds of every tile by kernel, or why a tile has none; ``best`` those to keep, as the
    package's files of tiles name them; ``left`` counts the candidates that were not tried.
    """
    end = time.monotonic() + seconds
    times = {key: dict(tried) for key, tried in known.items()}
    found, left = problems(cell, batch, device), 0
    for problem, tile in in_turns(found):
        tried = times.setdefault(str(problem.key), {})
        name = _name(tile)
        if name in tried:
            continue
        if time.monotonic() > end and tile != problem.untuned:
            left += 1
        else:
            tried[name] = _tried(problem, tile) or _milliseconds(problem, tile)
    untuned = {str(problem.key): _name(problem.untuned) for problem in found}
    return {
        "cell": cell._asdict(), "tiles": times, "untuned": untuned, "best": best(times, untuned), "left": left
    }  # fmt: skip


def _tried(problem: Problem, tile: Any) -> str | None:
    """Run a tile once; returns what is wrong with it, or None. Raises if the device no longer works."""
    try:
        return None if problem.is_right(tile) else WRONG
    except Exception:  # too much shared memory or too many registers
        if not device_works(problem.x.device.type):
            raise
        return UNFIT


def _milliseconds(problem: Problem, tile: Any) -> float:
    """The median on an idle device with an emptied cache; on a CPU, where it means nothing, one run."""
    if problem.x.is_cuda:
        from triton.testing import do_bench

        run = lambda: problem.run(tile)  # noqa: E731
        return float(do_bench(run, warmup=WARMUP_MS, rep=REPEAT_MS, return_mode="median"))
    start = time.perf_counter()
    problem.run(tile)
    return 1e3 * (time.perf_counter() - start)


def _name(tile: Any) -> str:
    return " ".join(map(str, tile))


def best(times: dict[str, dict[str, Any]], untuned: dict[str, str]) -> dict[str, list[int]]:
    """The fastest tile by kernel, where it beats the untuned one by `MARGIN`."""
    found = {}
    for key, first in untuned.items():
        timed = {name: ms for name, ms in times[key].items() if not isinstance(ms, str)}
        name = min(timed, key=lambda name: timed[name], default=first)
        if first in timed and timed[name] * MARGIN < timed[first]:
            found[key] = [int(number) for number in name.split()]
    return found

"""The search for fast tiles: the candidates, the check of their results and the timing."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sscn_triton.ops.norm import Norm
from sscn_triton.ops.triton import convolution, tuning, weight_gradient
from sscn_triton.ops.triton.tuning import Call, Key, Numbers

ERRORS = {"ieee": 1e-5, "tf32x3": 1e-4, "bf16x3": 1e-4, "tf32": 2e-3, "float16": 2e-3, "bfloat16": 1e-2}
"""Relative error, root mean square, that a candidate of a precision may have."""

MARGIN = 1.03
"""A candidate is kept if it is faster than the untuned tile by so much."""

MOST_SUMS = 4096
"""Sums per warp of a candidate's tile; more would need over 128 registers of each thread."""

Timer = Callable[[Callable[[], Any]], float]


@dataclasses.dataclass
class Trial:
    """The result for one key: the untuned and the best tile with their times in milliseconds, and the numbers of
    candidates that were tried, gave wrong results or did not fit the device."""

    key: Key
    untuned: Numbers
    best: Numbers
    untuned_ms: float
    best_ms: float
    tried: int = 0
    wrong: int = 0
    unfit: int = 0


def seconds_on_device(run: Callable[[], Any]) -> float:
    """Milliseconds of a run on an idle device with an empty cache: the median of many runs."""
    from triton.testing import do_bench

    return float(do_bench(run, warmup=10, rep=50, return_mode="median"))


class Problem:
    """A recorded call, repeated on random numbers: its untuned tile, its candidates and its expected result."""

    def __init__(self, key: Key, call: Call, device: torch.device) -> None:
        self.key, self.call = key, call
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device, call.dtype)

        _, taps, groups, width_in, width_out, precision, _ = key
        self.groups, self.limit = groups, ERRORS[precision]
        self.forward = key.kernel.endswith("convolution")
        self.x = random(call.input_count, groups * width_in)
        shape = (taps, groups, width_in, width_out) if self.forward else (call.output_count, groups * width_out)
        self.other = random(*shape)
        self.norm = None
        if key.kernel.startswith("fused"):
            mean, variance, weight, bias = (random(groups * width_in).float() for _ in range(4))
            self.norm = Norm(mean, variance.square() + 0.5, weight, bias, 1e-5, 0.0)
        self.untuned: Any = self._untuned(tuning.product_precision(self.other))
        self.right = self.run(None, torch.float64)

    def _untuned(self, precision: str) -> Any:
        _, _, groups, width_in, width_out, *_ = self.key
        columns = groups * width_out if width_in == 1 and groups > 1 else width_out
        if self.forward:
            sizes = self.call.output_count, width_in, columns
            return convolution.choose_tile(self.other, *sizes, precision, self.norm is not None)
        return weight_gradient.choose_tile(self.other, width_in, width_out, precision)

    def run(self, tile: Any, dtype: torch.dtype | None = None) -> Tensor:
        """The result with a tile; ``dtype`` computes the expected result in another type."""
        x, other = (self.x, self.other) if dtype is None else (self.x.to(dtype), self.other.to(dtype))
        if self.forward:
            count = self.call.output_count
            return convolution.convolve(x, other, self.call.rules, count, tile=tile, norm=self.norm)
        return weight_gradient.weight_gradient(x, other, self.call.rules, self.groups, tile=tile, norm=self.norm)

    def candidates(self) -> Iterator[Any]:
        """Tiles around the untuned one."""
        first, second, third, *_ = self.untuned
        kind = type(self.untuned)
        blocks = {(second, third), (second, max(third // 2, 16)), (max(second // 2, 16) if second > 1 else 1, third)}
        shapes = itertools.product((32, 64, 128, 256), sorted(blocks), (1, 2, 4, 8), (2, 3, 4, 5))
        for rows, (a, b), warps, stages in shapes:
            tile, sums = kind(rows, a, b, warps, stages), rows * b if self.forward else a * b
            if tile != self.untuned and sums <= min(128 * 128, MOST_SUMS * warps) and rows <= 4 * first:
                yield tile

    def is_right(self, tile: Any) -> bool:
        """Whether every number of a tile's result is right; the memory it gets is filled with NaN before."""
        poison = torch.full_like(self.right, torch.nan, dtype=self.call.dtype)
        del poison
        off = (self.run(tile).double() - self.right).norm()
        return bool(off <= self.limit * self.right.norm())


def search(problem: Problem, timer: Timer) -> Trial:
    """The fastest tile among those that give the right answer; the untuned one must."""
    if not problem.is_right(problem.untuned):
        raise ArithmeticError(f"the untuned tile {tuple(problem.untuned)} computes something wrong for {problem.key}")
    untuned = tuple(problem.untuned)
    first = timer(lambda: problem.run(problem.untuned))
    trial = Trial(problem.key, untuned, untuned, first, first)
    for tile in problem.candidates():
        trial.tried += 1
        try:
            if not problem.is_right(tile):
                trial.wrong += 1
                continue
            time = timer(lambda: problem.run(tile))  # noqa: B023
        except Exception as error:  # too much shared memory or too many registers; a broken device is another matter
            if "CUDA error" in str(error) or "HIP error" in str(error):
                raise
            trial.unfit += 1
            continue
        if time * MARGIN < first and time < trial.best_ms:
            trial.best, trial.best_ms = tuple(tile), time
    return trial


def tune(run: Callable[[], Any], device: torch.device, timer: Timer = seconds_on_device) -> list[Trial]:
    """Run a function, find the fastest tile of every convolution in it, and keep tiles that beat the untuned ones."""
    with tuning.meeting() as met:
        run()
    trials = [search(Problem(key, call, device), timer) for key, call in met.items()]
    found = {trial.key: trial.best for trial in trials if trial.best != trial.untuned}
    try:
        tuning.keep(device, found)
    except OSError as error:
        tuning.use(device, found)
        warnings.warn(f"this process has the tiles that were found, but they cannot be kept: {error}", stacklevel=3)
    return trials

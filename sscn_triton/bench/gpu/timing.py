"""Times on a device, and the device's own ceilings, measured in the same run.

On CUDA, events around the work time it, starting from an idle device with an empty cache. On a CPU the host's clock
does, which is only useful to check that the code runs.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch

from sscn_triton.bench.cost_model.devices import Device

Work = Callable[[], Any]
CACHE = 256 << 20  # bytes written to empty the cache, more than any device's cache
TAPS, WIDTH, NEAR = 27, 64, 2000


class Stopwatch:
    """Median times of some work on a device.

    Args:
        device: "cuda" or "cpu".
        repeat: maximum number of timed runs; 1 also omits the warm-up and the runs in a row.
        limit: maximum time in seconds; at least three runs are made.
    """

    def __init__(self, device: str, repeat: int = 20, limit: float = 1.0) -> None:
        self.cuda, self.repeat, self.limit = device == "cuda", repeat, limit
        self._cache = torch.empty(CACHE // 4, dtype=torch.int32, device=device) if self.cuda else None

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def __call__(self, work: Work) -> dict[str, float]:
        """Milliseconds: ``ms``, the median of single runs; ``least``, the shortest; ``in a row``, the mean of runs
        that follow each other without a pause; and ``runs``, how many there were."""
        if self.repeat == 1:
            once = self._once(work)
            return {"ms": once, "least": once, "in a row": once, "runs": 1}
        for _ in range(2):
            work()
        self.wait()
        end = time.perf_counter() + self.limit
        singles: list[float] = []
        while len(singles) < self.repeat and (len(singles) < 3 or time.perf_counter() < end):
            singles.append(self._once(work))
        row = max(3, min(self.repeat, int(500 * self.limit / max(median(singles), 1e-3))))
        start = time.perf_counter()
        for _ in range(row):
            work()
        self.wait()
        together = 1e3 * (time.perf_counter() - start) / row
        return {"ms": median(singles), "least": min(singles), "in a row": together, "runs": len(singles)}

    def _once(self, work: Work) -> float:
        if self._cache is None:
            start = time.perf_counter()
            work()
            return 1e3 * (time.perf_counter() - start)
        self._cache.zero_()
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.wait()
        first.record()
        work()
        last.record()
        self.wait()
        return first.elapsed_time(last)


def device_works(device: str) -> bool:
    """Whether a device still computes. After an illegal access, all later work of a process on its GPU fails."""
    try:
        if device == "cuda":
            torch.zeros(1, device=device).add_(1).item()
    except RuntimeError:
        return False
    return True


def measure_ceilings(device: str, watch: Stopwatch) -> dict[str, float]:
    """The device's ceilings as numbers to print: "copy TB/s", "gather TB/s", and "bf16 TFLOP/s", also of tf32, fp32."""
    big = device == "cuda"
    numbers = {
        "copy TB/s": _copy_rate(device, 1 << 30 if big else 1 << 20, watch) / 1e12,
        "gather TB/s": _gather_rate(device, 1 << 18 if big else 1 << 8, watch) / 1e12,
    }
    for precision, size in (("bf16", 8192), ("tf32", 8192), ("fp32", 4096)):
        numbers[f"{precision} TFLOP/s"] = _matrix_rate(device, size if big else 128, watch, precision) / 1e12
    return numbers


def as_device(numbers: dict[str, float], name: str) -> Device:
    """Measured ceilings, as the cost model takes them; without numbers, infinite ones, so that floors are 0."""

    def rate(key: str) -> float:
        return 1e12 * numbers.get(key, float("inf"))

    matrix = {precision: rate(f"{precision} TFLOP/s") for precision in ("bf16", "tf32", "fp32")}
    return Device(name, rate("copy TB/s"), rate("gather TB/s"), matrix, "measured in this run")


def _copy_rate(device: str, size: int, watch: Stopwatch) -> float:
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(watch, lambda: target.copy_(source))


def _gather_rate(device: str, count: int, watch: Stopwatch) -> float:
    """Bytes per second of gathered bfloat16 rows of 64 channels (128 bytes).

    For each of ``count`` rows written, the kernel reads TAPS nearby rows, most of which it has read before.
    """
    from sscn_triton.bench.gpu.gather_kernel import sum_rows

    generator = torch.Generator().manual_seed(0)
    near = torch.randint(-NEAR, NEAR, (TAPS, count), generator=generator)
    table = ((torch.arange(count) + near) % count).int().to(device)
    rows = torch.randn(count, WIDTH, generator=generator).to(device, torch.bfloat16)
    output = torch.empty_like(rows)
    times = watch(lambda: sum_rows(rows, table, output))
    right = torch.zeros(count, WIDTH, device=device)
    for line in table.long():
        right += rows[line].float()
    if not torch.allclose(output.float(), right, rtol=2e-2, atol=2e-1):
        raise ArithmeticError("the kernel that measures the gather rate computes something else than it should")
    return 2.0 * TAPS * count * WIDTH / (times["ms"] / 1e3)


def _seconds(watch: Stopwatch, work: Work) -> float:
    return watch(work)["ms"] / 1e3


def _matrix_rate(device: str, size: int, watch: Stopwatch, precision: str) -> float:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    with float32_products(precision):
        return 2 * size**3 / _seconds(watch, lambda: torch.mm(a, b, out=out))


@contextlib.contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Compute float32 products inside the context in TF32 for "tf32", else in IEEE float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

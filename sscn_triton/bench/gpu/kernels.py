"""Where a pass spends its time on the device: every kernel with its calls, its time and its floor.

torch.profiler records the kernels. The floor of a kernel is that of the operator that launches it, as counted by the
cost model; of this library's other kernels it is the bytes of their tensors at the memory's bandwidth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from sscn_triton.bench.cost_model.cost import CONVOLUTIONS, GRADIENTS, Operation, count_work
from sscn_triton.bench.cost_model.devices import Device
from sscn_triton.bench.events import BenchBatch
from sscn_triton.bench.gpu.cells import Cell
from sscn_triton.bench.gpu.subjects import Subject
from sscn_triton.bench.gpu.timing import Stopwatch
from sscn_triton.ops.triton.launch import Launch, count_launches

MAIN = {**dict.fromkeys(CONVOLUTIONS, "convolution_kernel"), **dict.fromkeys(GRADIENTS, "weight_gradient_kernel")}
"""The kernel that does the work of an operator that applies rules."""
PASSES = 3
"""Number of profiled passes; calls and times are means."""


class Row(NamedTuple):
    """One kernel of this library, or all kernels of one PyTorch operator; calls and times of one pass."""

    name: str
    calls: float
    us: float
    floor_us: float | None


def profile(cell: Cell, batch: BenchBatch, device: str, watch: Stopwatch, ceilings: Device) -> dict[str, Any]:
    """The kernels of a cell's pass, the slowest first, the time in which they keep the device busy, and the pass's own
    time in a row: what is missing from one to the other, the device waits for the host."""
    one = Subject(cell, batch, device)
    with count_launches() as launched:
        operations = count_work(one.once)
    time = watch(one.once)
    times = recorded(one, {launch.kernel for launch in launched}, watch, 1 if watch.repeat == 1 else PASSES)
    least = floors(operations, launched, ceilings, cell.precision)
    rows = sorted((Row(name, *found, least.get(name)) for name, found in times.items()), key=lambda row: -row.us)
    return {
        "cell": cell._asdict(),
        "voxels": len(one.tensor),
        "in a row ms": time["in a row"],
        "busy ms": sum(row.us for row in rows) / 1e3,
        "floor ms": 1e3 * sum(operation.work.floor(ceilings, cell.precision) for operation in operations),
        "profile": [row._asdict() for row in rows],
    }


def recorded(one: Subject, own: set[str], watch: Stopwatch, passes: int) -> dict[str, tuple[float, float]]:
    """Calls and microseconds per pass, by kernel for those in ``own``, else by PyTorch operator. Without a GPU, the
    operators on the CPU."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if watch.cuda else [])]
    with profiler(activities=activities) as found:
        for _ in range(passes):
            one.once()
        watch.wait()
    events: Any = found.events()
    named = on_device(events, own) if watch.cuda else [(_short(e.name), e.self_cpu_time_total) for e in events]
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for name, us in named:
        sums[name][0] += 1 / passes
        sums[name][1] += us / passes
    return {name: (round(calls, 2), us) for name, (calls, us) in sums.items()}


def on_device(events: Iterable[Any], own: set[str]) -> list[tuple[str, float]]:
    """Name and microseconds of every kernel on the device: this library's by their own names, others by the PyTorch
    operator that launched them or, if that is unknown, by the names of the kernels."""
    events = list(events)
    asked_by = {kernel.name: _short(e.name) for e in events for kernel in getattr(e, "kernels", ())}
    kernels = [e for e in events if e.device_type.name != "CPU" and not getattr(e, "is_user_annotation", False)]
    return [(e.name if e.name in own else asked_by.get(e.name, e.name), e.time_range.elapsed_us()) for e in kernels]


def floors(operations: list[Operation], launched: list[Launch], ceilings: Device, precision: str) -> dict[str, float]:
    """Microseconds by kernel of this library, and by operator."""
    least: dict[str, float] = defaultdict(float)
    for launch in launched:
        if launch.kernel not in MAIN.values():
            least[launch.kernel] += 1e6 * launch.memory / ceilings.bandwidth
    for operation in operations:
        for name in {operation.name, MAIN.get(operation.name, operation.name)}:
            least[name] += 1e6 * operation.work.floor(ceilings, precision)
    return dict(least)


def _short(name: str) -> str:
    return name.rpartition("::")[2]

"""The command `sscn bench`: how long a training step takes here, beside SparseConvNet where it is installed."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sscn_triton.study.errors import RunError
from sscn_triton.study.model_devices import device_named

TOLERANCE = 1e-3
"""Logits of two engines may differ by so much, relative to the largest, before timing them is refused."""


@dataclass(frozen=True)
class Bench:
    """Time a training step of the study's network, all events as one batch.

    SparseConvNet, if it can be imported, is run in turn with this library, with equal weights.

    Args:
        data: event file; left out, events are simulated.
        events: number of events, the first ones; left out, all of the file, or 5 simulated.
        size: edge of a simulated image in voxels.
        copies: how often the events are repeated, for larger batches.
        repeat: steps that are timed; the median counts.
        threads: threads to compute with.
        device: what to run on; only cpu so far.
        model: a100, h100, h200, b200 or mi300x: what such a GPU needs at least, counted and printed; nothing is timed
            or written.
        out: JSON file to write.
    """

    data: str | None = None
    events: int | None = None
    size: int = 192
    copies: int = 1
    repeat: int = 7
    threads: int = 2
    device: str = "cpu"
    model: str | None = None
    out: str = "bench.json"

    def __post_init__(self) -> None:
        for name in ("copies", "repeat", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.events is not None and self.events < 1:
            raise ValueError(f"events must be at least 1, got {self.events}")
        if not 8 <= self.size <= 4096:
            raise ValueError(f"size must be 8 to 4096 voxels, got {self.size}")
        if self.device != "cpu":
            raise ValueError(f"device must be cpu, got {self.device}")
        if self.model is not None:
            device_named(self.model)
        if Path(self.out).suffix.lower() != ".json":
            raise ValueError(f"out must end with .json, got {self.out}")


def bench(options: Bench) -> None:
    """Measure, print a table and write the JSON file, which appears whole or not at all."""
    import torch

    from sscn_triton.models import SparseUResNet
    from sscn_triton.study import machine
    from sscn_triton.study.bench_layers import measure_layers
    from sscn_triton.study.bench_table import table
    from sscn_triton.study.output import as_json

    batch, source = load_batch(options)
    if options.model is not None:
        from sscn_triton.study.model_report import print_model

        return print_model(options.model, batch)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = SparseUResNet()
    before = machine.load_average()
    engines = measure_engines(batch, [p.detach().numpy() for p in network.parameters()], options)
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {**machine.describe(), "load average": [before, machine.load_average()]},
        "options": {**asdict(options), "data": source, "out": Path(options.out).name},
        "voxels": len(batch.labels),
        "images": batch.images,
        "engines": engines,
        **measure_layers(network, batch, options.repeat),
    }
    record["rulebooks share of step"] = record["rulebooks ms"] / engines["sscn fp32"]["wall ms"]
    print(table(record))
    target = Path(options.out)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    try:
        unfinished.write_text(as_json(record) + "\n", encoding="utf-8")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"\nwritten: {options.out}")


def load_batch(options: Bench) -> tuple[Any, str]:
    """The events as one batch, and where they come from."""
    from sscn_triton.lartpc import open_events, simulate
    from sscn_triton.study.bench_batch import as_batch

    if options.data is None:
        number = 5 if options.events is None else options.events
        events = [simulate(0, index, size=options.size) for index in range(number)]
        source = f"{number} simulated events of {options.size} px, seed 0"
    else:
        with open_events(options.data) as file:
            events = [file[index] for index in range(min(len(file), options.events or len(file)))]
        source = f"{len(events)} events of {Path(options.data).name}"
    if not sum(len(event) for event in events):
        raise ValueError(f"there is no voxel in {source}")
    return as_batch(events * options.copies), source


def measure_engines(batch: Any, parameters: list[Any], options: Bench) -> dict[str, Any]:
    """A training step of each engine, in turn; milliseconds (medians), megabytes, and ratios to the first.

    Raises ValueError if an engine's logits are not the first's.
    """
    import multiprocessing

    from sscn_triton.study.bench_engines import ENGINES, serve

    names = ENGINES if importlib.util.find_spec("sparseconvnet") else ENGINES[:2]
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Any] = {}
    workers: list[Any] = []
    for name in names:
        pipes[name], end = context.Pipe()
        workers.append(context.Process(target=serve, args=(end, name, batch, parameters, options.threads), daemon=True))
        workers[-1].start()
        end.close()
    try:
        agreement = _compare({name: _ask(pipe, "logits") for name, pipe in pipes.items()})
        for _ in range(2):
            _steps(pipes)
        rounds = [_steps(pipes) for _ in range(options.repeat)]
        results = {name: _summary(name, rounds, _ask(pipe, "memory")) for name, pipe in pipes.items()}
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    for name, difference in agreement.items():
        results[name]["largest relative difference of logits"] = difference
    return results


def _ask(pipe: Any, question: str) -> Any:
    with contextlib.suppress(BrokenPipeError):  # it has failed, and its last word says how
        pipe.send(question)
    try:
        answer = pipe.recv()
    except EOFError:
        raise RunError("an engine's process was killed, perhaps for want of memory; nothing was written") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _steps(pipes: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {name: _ask(pipe, "step") for name, pipe in pipes.items()}


def _compare(logits: dict[str, Any]) -> dict[str, float]:
    first, *others = logits
    scale = float(abs(logits[first]).max())
    found = {name: float(abs(logits[name] - logits[first]).max()) / scale for name in others}
    for name, difference in found.items():
        if "bf16" not in name and difference > TOLERANCE:
            raise ValueError(f"{name} computes something else: logits differ by {difference:.1e}, allowed {TOLERANCE}")
    return found


def _summary(name: str, rounds: list[dict[str, dict[str, float]]], memory: dict[str, float]) -> dict[str, float]:
    """Medians; ratios are medians of the ratios within a round, this engine's time over the first's."""
    first = next(iter(rounds[0]))
    result = {f"{key} ms": 1e3 * median(one[name][key] for one in rounds) for key in rounds[0][name]}
    for key in ("wall", "cpu"):
        result[f"{key} ratio"] = median(one[name][key] / one[first][key] for one in rounds)
    return {**result, "resident before MB": memory["before"], "peak above MB": memory["peak above"]}

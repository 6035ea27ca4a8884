"""The command `sscn bench`: times a training step on this machine, and SparseConvNet's if it is installed."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sscn_triton.bench.cost_model.devices import device_named
from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.options import check_least, check_size, check_suffix
from sscn_triton.lartpc.files.reading_options import ReadingOptions

VERSIONS = ("torch", "numpy", "numba", "sscn", "sparseconvnet")


@dataclass(frozen=True)
class Bench(ReadingOptions):
    """Time a training step of the study's network with all events in one batch.

    If SparseConvNet can be imported, the command also times it, in alternation with this library and with equal
    weights.

    Args:
        data: event file. If omitted, events are simulated.
        events: number of events, counted from the first. If omitted, all events of the file, or 5 simulated ones.
        size: edge of a simulated image in voxels.
        copies: how often to repeat the events for a larger batch. With the five PILArNet events, 4 copies have 109,528
            voxels and 37 copies have 1,013,134.
        repeat: number of timed steps; the result is their median.
        threads: number of threads.
        cold: also time the first step without any compiled code in the cache, which takes a while.
        device: device to run on; only cpu so far.
        model: a100, h100, h200, b200 or mi300x. Print the minimum time that such a GPU needs according to the cost
            model; nothing is timed or written.
        out: new JSON file to write.
        overwrite: replace an existing file, once the new one is complete.
    """

    data: str | None = None
    events: int | None = None
    size: int = 192
    copies: int = 1
    repeat: int = 7
    threads: int = 2
    cold: bool = False
    device: str = "cpu"
    model: str | None = None
    out: str = "bench.json"
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.refuse_without_file(self.data)
        check_least(self, copies=1, repeat=1, threads=1, events=1)
        check_size(self.size)
        if self.device != "cpu":
            raise ValueError(f"device must be cpu, got {self.device}")
        if self.model is not None:
            device_named(self.model)
        check_suffix("out", self.out, (".json",))
        if self.model is None:
            check_new("out", self.out, self.overwrite)


def bench(options: Bench) -> None:
    """Measure, write the JSON file (completely or not at all) and print a table."""
    import torch

    from sscn_triton.bench.cpu.layers import measure_layers
    from sscn_triton.bench.cpu.table import table
    from sscn_triton.bench.cpu.workers import measure_engines
    from sscn_triton.common import machine
    from sscn_triton.common.output import as_json
    from sscn_triton.models import SparseUResNet

    batch, source = load_batch(options)
    if options.model is not None:
        from sscn_triton.bench.cost_model.report import print_model

        return print_model(options.model, batch)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = SparseUResNet()
    before = machine.load_average()
    parameters = [p.detach().numpy() for p in network.parameters()]
    engines = measure_engines(batch, parameters, options.threads, options.repeat, options.cold)
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {**machine.describe(), "load average": [before, machine.load_average()]},
        "versions": {name: _version(name) for name in VERSIONS},
        "options": {**asdict(options), "data": source, "out": Path(options.out).name},
        "voxels": len(batch.labels),
        "images": batch.images,
        "engines": engines,
        **measure_layers(network, batch, options.repeat),
    }
    record["rulebooks share of step"] = record["rulebooks"]["total ms"] / engines["sscn fp32"]["wall ms"]
    write_whole(options.out, as_json(record) + "\n", overwrite=options.overwrite)
    print(table(record))
    print(f"\nwritten: {options.out}")


def load_batch(options: Bench) -> tuple[Any, str]:
    """The events as one batch, and their source."""
    from sscn_triton.bench.events import as_batch
    from sscn_triton.lartpc import open_events, simulate
    from sscn_triton.study.data.labels import relabel

    if options.data is None:
        number = 5 if options.events is None else options.events
        events = [simulate(0, index, size=options.size) for index in range(number)]
        source = f"{number} simulated events of {options.size} px, seed 0"
    else:
        with open_events(options.data, **options.reading()) as file:
            events = [relabel(file[index]) for index in range(min(len(file), options.events or len(file)))]
        source = f"{len(events)} events of {Path(options.data).name}"
    if not sum(len(event) for event in events):
        raise ValueError(f"there is no voxel in {source}")
    return as_batch(events * options.copies), source


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

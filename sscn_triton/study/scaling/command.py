"""The command `sscn scaling`: how time and memory grow here, into a dated JSON file."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.options import check_least, check_positive, check_suffix
from sscn_triton.lartpc.files.reading_options import ReadingOptions


@dataclass(frozen=True)
class Scaling(ReadingOptions):
    """Measure how time and memory of the networks grow with the image, its voxels and the batch.

    The command measures the sparse network, its dense twin and the dense network of 2018, in three and two dimensions,
    on crops of the same events, as far as time and memory allow. It prints exponents with their errors, and computes
    the points that it did not measure. On the CPU, it measures every point in a separate process.

    Args:
        data: file of three-dimensional events, in any format that `sscn inspect` reads. If omitted, events are
            simulated.
        events: number of events to use, those with the most voxels first; at most 8 per batch.
        image: edge of simulated events in voxels, 768 if omitted; not allowed with a file.
        seed: seed of the simulated events.
        filters: channels of the first level.
        depth: number of levels (number of halvings for the network of 2018).
        minutes: approximate time for the measurements. Points that do not fit into it are computed.
        threads: number of CPU threads. With one thread, the command measures processor time, which is also correct on a
            busy machine.
        device: auto (a GPU if there is one), cpu or cuda.
        out: new JSON file to write.
        overwrite: replace an existing file, once the new one is complete.
    """

    data: str | None = None
    events: int = 8
    image: int | None = None
    seed: int = 0
    filters: int = 16
    depth: int = 5
    minutes: float = 9.0
    threads: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    out: str = "scaling.json"
    overwrite: bool = False

    def __post_init__(self) -> None:
        self.refuse_without_file(self.data)
        check_least(self, events=1, seed=0, filters=1, depth=1, threads=1)
        if self.data is not None and self.image is not None:
            raise ValueError(f"image applies only to simulated events: leave it out with data={self.data}")
        if self.image is not None and not 32 <= self.image <= 4096:
            raise ValueError(f"image must be 32 to 4096 voxels, got {self.image}")
        check_positive(self, "minutes")
        check_suffix("out", self.out, (".json",))
        check_new("out", self.out, self.overwrite)


def scaling(options: Scaling) -> dict[str, Any]:
    """Measure, print the results, write the file (completely or not at all) and return its record."""
    import torch

    from sscn_triton.common import machine
    from sscn_triton.common.output import as_json
    from sscn_triton.common.results import commit, device_record
    from sscn_triton.study.scaling import report
    from sscn_triton.study.scaling.measure import Plan, run

    device = machine.device_name(options.device)
    events, source = _events(options)
    memory = 1e9 * (machine.memory_gb() or 8.0)
    if device == "cuda":
        memory = float(torch.cuda.get_device_properties(0).total_memory)
    torch.set_num_threads(options.threads)
    before = machine.load_average()
    plan = Plan(
        name="scaling",
        events=events,
        filters=options.filters,
        depth=options.depth,
        seconds=60 * options.minutes,
        memory=memory,
        device=device,
        apart=device == "cpu",
        threads=options.threads,
    )
    record: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "device": device_record(device),
        "options": {**asdict(options), "data": source, "out": Path(options.out).name},
        **run(plan),
    }
    record["machine"] = {**machine.describe(), "load average": [before, machine.load_average()]}
    write_whole(options.out, f"{as_json(record)}\n", overwrite=options.overwrite)
    print(report.text(record))
    print(f"\nwritten: {options.out}")
    return record


def _events(options: Scaling) -> tuple[list[Any], str]:
    """The events, fullest first, and their source."""
    from sscn_triton.lartpc import open_events
    from sscn_triton.study.data.batches import simulated
    from sscn_triton.study.data.labels import relabel

    if options.data is None:
        size = options.image or 768
        events = simulated(options.seed, options.events, size)
        source = f"{options.events} simulated events of {size} px, seed {options.seed}"
    else:
        with open_events(options.data, **options.reading()) as file:
            events = [relabel(event) for event in sorted(file, key=len, reverse=True)[: options.events]]
        source = f"the {len(events)} events of {Path(options.data).name} with the most voxels"
        if not events or events[0].ndim != 3 or not len(events[-1]):
            raise ValueError(f"{options.data}: the measurement needs three-dimensional events with voxels")
        if min(min(event.spatial_shape) for event in events) < 32:
            raise ValueError(f"{options.data}: images must have at least 32 voxels along each axis")
    return sorted(events, key=len, reverse=True), source

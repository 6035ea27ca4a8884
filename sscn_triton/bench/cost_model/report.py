"""`sscn bench --model DEVICE`: the minimum times of the study's network and the public encoder, by the cost model.

The report predicts floors, not times; nothing in it was measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from sscn_triton.bench.cost_model.cost import Operation, Work, count_work, floor, table_bytes, total
from sscn_triton.bench.cost_model.devices import Device, device_named
from sscn_triton.bench.events import BenchBatch, batch_of, events, kept_events
from sscn_triton.bench.gpu.cells import Cell
from sscn_triton.bench.gpu.subjects import Subject
from sscn_triton.common.table import Table

ENGINES = ("spconv 2.3.8", "torchsparse++", "WarpConvNet", "MinkowskiEngine")
PUBLISHED = {
    ("a100", "encoder-small", 1): (12.1, 4.8, 15.0, 9.3),
    ("a100", "encoder-small", 16): (15.5, 13.9, 17.6, 13.7),
    ("a100", "encoder-medium", 1): (18.0, 12.8, 22.7, 23.5),
    ("a100", "encoder-medium", 16): (40.1, 70.0, 29.9, 44.4),
    ("a100", "encoder-large", 1): (23.8, 49.0, 32.7, 46.1),
    ("a100", "encoder-large", 8): (77.5, 211.6, 45.5, 79.3),
    ("a100", "encoder-large", 16): (131.8, 352.2, 56.8, 105.2),
    ("h200", "encoder-large", 16): (87.0, 237.0, 35.0, 72.0),
}
"""Published times in milliseconds by device, network and batch, for the first events of PILArNet-M-mini's validation
set: forward and backward, bf16 autocast, reused rulebooks."""


def count_pass(network: str, task: str, precision: str, batch: BenchBatch) -> list[Operation]:
    """The operators of one pass over a batch on the CPU, with rulebooks built before; products are not computed."""
    cell = Cell(network, task, precision, batch.spatial_shape[0], "real", batch.images, "eager", "out")
    subject = Subject(cell, batch, "cpu")
    return count_work(lambda: subject.once(update=False), dry=True)


def by_shape(operations: list[Operation]) -> list[tuple[str, list[Work]]]:
    """The work of equal operators grouped together, in the order in which they first ran."""
    found: dict[str, list[Work]] = {}
    for operation in operations:
        found.setdefault(f"{operation.name} {operation.shape}", []).append(operation.work)
    return list(found.items())


def layer_table(operations: list[Operation], device: Device, precision: str) -> Table:
    """One row per kind of operator, the slowest first: number, bytes, products, floor, and the limit that binds it.

    The last row sums the kinds that take less than a hundredth of the total.
    """
    kinds = [
        (name, works, 1e6 * sum(w.floor(device, precision) for w in works)) for name, works in by_shape(operations)
    ]
    least = sum(time for *_, time in kinds) / 100
    rows = []
    for name, works, time in sorted(kinds, key=lambda kind: -kind[2]):
        seconds = works[0].seconds(device, precision)
        if time >= least:
            rows.append([name, *_sizes(works), f"{time:.1f}", max(seconds, key=lambda key: seconds[key])])
    rest = [(works, time) for _, works, time in kinds if time < least]
    sizes = _sizes([work for works, _ in rest for work in works])
    rows.append(["others", *sizes, f"{sum(time for _, time in rest):.1f}", ""])
    return Table(["operator", "times", "MB", "gathered MB", "GFLOP", "padded", "floor us", "bound by"], rows)


def _sizes(works: list[Work]) -> list[str]:
    work = sum(works, Work())
    bytes_ = [f"{work.memory / 1e6:.2f}", f"{work.gathered / 1e6:.2f}"]
    return [str(len(works)), *bytes_, f"{work.useful / 1e9:.3f}", f"{work.products / 1e9:.3f}"]


def network_report(device: Device, batch: BenchBatch) -> Iterator[str]:
    """The study's network: every operator of a training step in bf16, then totals of both passes in each precision."""
    yield f"The study's UResNet, 16 filters, {batch.images} images, {len(batch.labels)} voxels; {device.name}"
    yield f"({device.source})"
    yield ""
    yield layer_table(count_pass("uresnet16", "step", "bf16", batch), device, "bf16").markdown()
    yield ""
    rows = []
    for precision in ("bf16", "tf32", "fp32"):
        for task in ("forward", "step"):
            operations = count_pass("uresnet16", task, precision, batch)
            work, least = total(operations), 1e3 * floor(operations, device, precision)
            sizes = [f"{work.memory / 1e9:.3f}", f"{work.gathered / 1e9:.3f}", f"{work.useful / 1e9:.2f}"]
            rows.append([f"{task} {precision}", str(len(operations)), *sizes, f"{least:.3f}"])
    yield Table(["pass", "operators", "GB", "gathered GB", "GFLOP", "floor ms"], rows).markdown()
    yield ""
    yield f"rulebooks: {rulebook_bytes(batch) / 1e6:.1f} MB of rules and tables for {len(batch.labels)} voxels"


def rulebook_bytes(batch: BenchBatch) -> int:
    """Bytes of all rulebooks of the study's network, as the Triton engine holds them."""
    cell = Cell("uresnet16", "forward", "fp32", batch.spatial_shape[0], "real", batch.images, "eager", "out")
    grid, size = Subject(cell, batch, "cpu").tensor.grid, 0
    while True:
        for book in grid._submanifold.values():
            size += 8 * book.rule_count + table_bytes(len(book.rules.spans), book.output_count)
        if not grid._steps:
            return size
        ((book, grid),) = grid._steps.values()
        taps = len(book.rules.spans)
        size += 8 * book.rule_count + table_bytes(taps, book.output_count) + table_bytes(taps, book.input_count)


def encoder_report(name: str, device: Device, batches: dict[int, BenchBatch]) -> Iterator[str]:
    """The floors of the public encoder next to the published times, for the given batch sizes."""
    yield "The public encoder, forward and backward in bf16 with reused rulebooks, in milliseconds. The floors are for"
    yield "simulated events of the benchmark's density, the published times for its own events: compare only the order."
    yield ""
    rows = []
    for network in ("encoder-small", "encoder-medium", "encoder-large"):
        for images, batch in batches.items():
            operations = count_pass(network, "step", "bf16", batch)
            known = PUBLISHED.get((name.lower(), network, images))
            times = [f"{time:.1f}" for time in known] if known else [""] * len(ENGINES)
            least = 1e3 * floor(operations, device, "bf16")
            counts = [str(images), str(len(batch.labels)), str(len(operations))]
            rows.append([network, *counts, f"{least:.2f}", *times])
    yield Table(["encoder", "batch", "voxels", "operators", "floor", *ENGINES], rows).markdown()


def report(name: str, batch: BenchBatch, batches: dict[int, BenchBatch]) -> str:
    """The whole report: the study's network on ``batch``, the encoder on ``batches``; ``name`` is one of `DEVICES`."""
    device = device_named(name)
    return "\n".join([*network_report(device, batch), "", *encoder_report(name, device, batches)])


def print_model(name: str, batch: BenchBatch) -> None:
    """Print `report`, with the encoder on simulated events of its benchmark's size and density."""
    made = events(768, 16, kept_events())
    print(report(name, batch, {images: batch_of(made, images, 768, "pilarnet", "cpu") for images in (1, 16)}))

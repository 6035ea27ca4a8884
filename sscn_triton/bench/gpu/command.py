"""Correctness on the device, then a few named times: `make gpu`; the whole grid in parts: `make gpu-full`.

    python3 -m sscn_triton.bench.gpu [--full] [--toy] [--seconds N] [--only TEXT] [--out FILE]

The command needs a clone, torch with its Triton, numpy, numba, pytest and hypothesis, but no internet and no
installation. Without a CUDA device, or with --toy, everything runs on the CPU in Triton's interpreter at toy size,
which checks that the code runs and times nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sscn_triton.bench.gpu.cells import QUICK, TOY, Cell, full_grid
from sscn_triton.common import machine
from sscn_triton.common.results import OUT_OF_MEMORY

Checked = set[tuple[str, str]]
ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "book" / "results"
AHEAD = 40
"""Number of cells whose kernels are compiled before timing starts."""
WARNING = "*** NO CUDA DEVICE: kernels are interpreted on the CPU. These are NOT timings of a GPU. ***"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0; 1 if a result is wrong or a cell failed; 2 if the machine lacks a requirement."""
    options = _options(words)
    os.environ["TRITON_INTERPRET"] = "1" if options.toy else "0"
    missing = _missing(options.toy)
    if missing:
        print(f"cannot run here: {missing}", file=sys.stderr)
        return 2
    if options.toy:
        print(WARNING)
    start = time.perf_counter()
    from sscn_triton.bench.gpu import tests

    if not options.no_tests and not tests.run(options.toy):
        print("a correctness test failed, so nothing is timed", file=sys.stderr)
        return 1
    with tests.engine(options.toy):
        code = _times(options, start)
    if options.toy:
        print(WARNING)
    return code


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    import torch

    parser = argparse.ArgumentParser(prog="make gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--full", action="store_true", help="the whole grid, as far as it goes in the given time")
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU, interpreted; writes no results")
    parser.add_argument(
        "--seconds", type=float, help="start no cell once these have passed (270; 420 for a part of the grid)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells with this in their name")
    parser.add_argument("--out", type=Path, help="JSON file; by default a dated one in book/results")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests, which were run before")
    parser.add_argument(
        "--tune", action="store_true", help="measure tiles first and keep the fastest (sscn_triton.tune)"
    )
    parser.add_argument("--warm", nargs="*", help=argparse.SUPPRESS)  # run these cells once, by number in the grid
    options = parser.parse_args(words)
    options.toy = options.toy or not torch.cuda.is_available()
    if options.toy and options.tune:
        parser.error("--tune needs a GPU")
    options.seconds = options.seconds or (420.0 if options.full else 270.0)
    return options


def _missing(toy: bool) -> str | None:
    """A requirement of a run that this machine lacks, or None."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return (
            "no triton; PyTorch for CUDA and ROCm brings it, for the CPU it comes with pip install 'sscn[interpreter]'"
        )
    for module in ("pytest", "hypothesis", "numba"):
        try:
            __import__(module)
        except ImportError:
            return f"no {module}"
    return None if toy else machine.missing_compiler()


def _cells(options: argparse.Namespace) -> list[Cell]:
    chosen = TOY if options.toy else full_grid() if options.full else QUICK
    return [cell for cell in chosen if options.only in str(cell)]


def _target(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return options.out
    if options.toy:
        return Path(tempfile.mkdtemp()) / "toy.json"
    if options.full:
        return RESULTS / "gpu-full.json"
    return RESULTS / f"{datetime.date.today().isoformat()}-gpu.json"


def _batch(cell: Cell, options: argparse.Namespace, device: str) -> Any:
    from sscn_triton.bench.events import batch_of, events, kept_events

    distinct = min(cell.images, 64 if options.full else 16)
    return batch_of(events(cell.size, distinct, kept_events()), cell.images, cell.size, cell.density, device)


def _times(options: argparse.Namespace, start: float) -> int:
    from sscn_triton.bench.gpu.beside import installed
    from sscn_triton.bench.gpu.report import line, table
    from sscn_triton.bench.gpu.timing import Stopwatch, measure_ceilings
    from sscn_triton.common.results import Results, about

    device = "cpu" if options.toy else "cuda"
    cells = _cells(options)
    if options.warm is not None:
        return _warm(options, device)
    watch = Stopwatch(device, 1 if options.toy else 20)
    results = Results(_target(options), about(device), go_on=options.full)
    todo = [cell for cell in cells if str(cell) not in results]
    if not options.toy:
        _compile_ahead(todo[:AHEAD], options, start)
    ceilings, numbers = measure_ceilings(device, watch)
    results.note(ceilings=numbers, rivals=installed(), tuned=options.tune)
    print(", ".join(f"{name} {value:.3g}" for name, value in numbers.items()), flush=True)
    bad, checked = 0, Checked()
    for cell in todo:
        if time.perf_counter() - start > options.seconds:
            break
        record = _one(cell, lambda: _batch(cell, options, device), device, watch, ceilings, checked, options.tune)  # noqa: B023
        bad += "wrong" in record or record.get("failed", OUT_OF_MEMORY) != OUT_OF_MEMORY
        results.add(str(cell), record)
        print(line(str(cell), record), flush=True)
    print(table(results.record))
    left = sum(str(cell) not in results for cell in cells)
    print(f"{len(results)} cells in {results.path}" + (f"; {left} are left: run it again" if left else ""))
    if options.toy and options.out is None:
        shutil.rmtree(results.path.parent)
    return 1 if bad else 0


def _one(
    cell: Cell, batch: Callable[[], Any], device: str, watch: Any, ceilings: Any, checked: Checked, tune: bool
) -> dict[str, Any]:
    """The record of a cell: its measurements, or ``wrong`` if its results differ, or ``failed`` if it cannot run."""
    import torch

    from sscn_triton.bench.gpu.measure import WrongResult, check, measure, tuned

    try:
        made, errors = batch(), {}
        if (cell.network, cell.precision) not in checked:
            errors = {"errors": check(cell, made, device)}
            checked.add((cell.network, cell.precision))
        trials = {"tiles": tuned(cell, made, device)} if tune else {}
        return {**measure(cell, made, device, watch, ceilings), **errors, **trials}
    except WrongResult as error:
        return {"cell": cell._asdict(), "wrong": str(error)}
    except Exception as error:  # the other cells are still measured
        if isinstance(error, torch.OutOfMemoryError):
            return {"cell": cell._asdict(), "failed": OUT_OF_MEMORY}
        if "CUDA error" in str(error):  # later results would be unreliable
            raise
        traceback.print_exc()
        return {"cell": cell._asdict(), "failed": f"{type(error).__name__}: {error}"}
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()


def _compile_ahead(cells: list[Cell], options: argparse.Namespace, start: float) -> None:
    """Run the cells once in several processes, which compile kernels in parallel and leave them in Triton's cache."""
    for cell in cells:  # make the events once, for all processes
        _batch(cell, options, "cpu")
    limit = max(30.0, 0.4 * (options.seconds - (time.perf_counter() - start)))
    words = [sys.executable, "-m", "sscn_triton.bench.gpu.command", "--no-tests", f"--seconds={limit}"]
    words += ["--full"] if options.full else []
    eager = dict.fromkeys(cell._replace(mode="eager", rulebook="out") for cell in cells)
    numbers = [str(full_grid().index(cell)) for cell in eager]
    workers = max(1, min(8, os.cpu_count() or 1, len(numbers)))
    nowhere = subprocess.DEVNULL

    def run(numbers: list[str]) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([*words, "--warm", *numbers], cwd=ROOT, stdout=nowhere, stderr=nowhere, timeout=limit)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, [numbers[k::workers] for k in range(workers)]))


def _warm(options: argparse.Namespace, device: str) -> int:
    from sscn_triton.bench.gpu.subjects import Subject

    start, grid = time.perf_counter(), full_grid()
    for number in options.warm:
        if time.perf_counter() - start > options.seconds:
            break
        try:
            cell = grid[int(number)]
            Subject(cell, _batch(cell, options, device), device).once()
        except Exception:  # the cell fails again in the main run, which reports it
            continue
    return 0

"""The parts of a run: cells, kernels, tiles, other engines, tests. Each has a clock, and none can stop the others.

All results are in one record, which is written after each of them. A later run skips what the record has, unless the
code of the engine has changed since.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sscn_triton.bench.gpu import report, tests
from sscn_triton.bench.gpu.cells import PROFILED, QUICK, TOY, TUNED, Cell, full_grid
from sscn_triton.bench.gpu.timing import as_device
from sscn_triton.bench.gpu.worker import Worker
from sscn_triton.common.files import write_whole
from sscn_triton.common.results import OUT_OF_MEMORY, ROOT, Results

PARTS = {"cells": 250.0, "kernels": 40.0, "tiles": 80.0, "rivals": 40.0, "tests": 150.0}
"""The parts of `make gpu` in their order, with the seconds that each may take."""
FULL = {"cells": 420.0, "rivals": 120.0}
"""The parts of `make gpu-full`."""
CHECKING = 100.0
"""Seconds of the cells' time in which they are checked in parallel, which compiles their kernels."""
LIMITS = {"events": 120.0, "ceilings": 45.0, "cell": 60.0, "compiled": 120.0, "profile": 30.0, "rival": 30.0}
"""Seconds after which a task is given up and its process is ended; interpreted, it may take SLOWER times as long."""
SLOWER = 10
COMPILING = 0.6
"""Share of the tiles' time in which candidates are compiled in parallel."""
LEAST = 5.0
"""Nothing is started if fewer seconds are left."""
AHEAD = 40
"""Number of cells that are checked before the first is timed."""
WORKERS = 12
"""Maximum number of processes that check or compile."""
ENGINE = ("core", "functional", "models", "nn", "ops")


def digest(*folders: str) -> str:
    """A checksum of the sources in folders of the clone: results of other sources are not continued."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".json"):
                found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()[:12]


class Run:
    """One call of `make gpu` on a record; ``worker`` and ``rivals`` are processes for tasks."""

    def __init__(self, results: Results, options: argparse.Namespace) -> None:
        self.results, self.options, self.toy = results, options, bool(options.toy)
        self.end = time.monotonic() + options.seconds
        self.part_end = self.end
        self.engine = digest(*(f"sscn_triton/{room}" for room in ENGINE))
        self.worker, self.rivals = Worker(self.toy), Worker(self.toy)
        self.bad = 0

    def do(self) -> int:
        """Work on the chosen parts, print their results and what is left; returns the exit code."""
        clocks = FULL if self.options.full else PARTS
        parts: dict[str, Callable[[], None]] = {
            "cells": self.cells, "kernels": self.kernels, "tiles": self.tiles, "rivals": self.beside,
            "tests": self.tests,
        }  # fmt: skip
        try:
            for part in self.options.parts:
                start = time.monotonic()
                self.part_end = min(self.end, start + clocks.get(part, PARTS[part]))
                parts[part]()
                spent = self.results.record.setdefault("seconds", {})
                spent[part] = round(spent.get(part, 0.0) + time.monotonic() - start, 1)
                self.results.write()
        finally:
            self.worker.end()
            self.rivals.end()
        print("\n".join(report.summary(self.results.record)))
        left = self.left()
        print(f"{len(self.results)} results in {self.results.path}" + (f"; run it again for {left}" if left else ""))
        return 1 if self.bad else 0

    def seconds(self) -> float:
        """Seconds until the clock of this part stops."""
        return self.part_end - time.monotonic()

    def ask(self, task: str, limit: float | None = None, worker: Worker | None = None, **given: Any) -> dict[str, Any]:
        """A worker's record, within the task's limit and the time of the whole run."""
        limit = (LIMITS[task] if limit is None else limit) * (SLOWER if self.toy else 1)
        limit = min(limit, max(self.end - time.monotonic(), LEAST))
        return (worker or self.worker).ask(task, limit, **given)

    @property
    def distinct(self) -> int:
        """Number of different events in a batch; larger batches repeat them."""
        return 64 if self.options.full else 16

    def wanted(self, cells: Iterable[Cell]) -> list[Cell]:
        return [cell for cell in cells if self.options.only in str(cell)]

    def has(self, name: str) -> bool:
        """Whether the record has this result of the present engine, and nothing of it is left."""
        found = self.results.record["cells"].get(name, {})
        return name in self.results and found.get("engine") == self.engine and not found.get("left")

    def missing(self, cells: Iterable[Cell], name: Callable[[Cell], str] = str) -> list[Cell]:
        """The cells without a result; those that failed before come last."""
        todo = [cell for cell in cells if not self.has(name(cell))]
        return sorted(todo, key=lambda cell: name(cell) in self.results.record["cells"])

    def keep(self, name: str, cell: Cell, record: dict[str, Any]) -> None:
        """Store a result and print it."""
        self.bad += "wrong" in record or record.get("failed", OUT_OF_MEMORY) != OUT_OF_MEMORY
        self.results.add(name, {"cell": cell._asdict(), **record, "engine": self.engine})
        print(report.line(name, record), flush=True)

    def chosen(self) -> list[Cell]:
        return self.wanted(TOY if self.toy else full_grid() if self.options.full else QUICK)

    def cells(self) -> None:
        """Check the cells in parallel, then time those that are right one by one."""
        todo = self.missing(self.chosen())
        if not todo:
            return
        self.prepare(todo[:AHEAD])
        checks = self.check(todo[:AHEAD])
        self.measure_ceilings()
        for cell in todo:
            if self.seconds() < LEAST:
                return
            checked = checks.get(_unmoded(cell), {})
            self.keep(str(cell), cell, checked if "wrong" in checked else self.time(cell, checked.get("errors")))

    def time(self, cell: Cell, errors: dict[str, float] | None) -> dict[str, Any]:
        """The times of a cell, which is checked first unless the ``errors`` of its check are known."""
        limit = LIMITS["compiled" if cell.mode == "compiled" else "cell"]
        given = {"cell": cell, "distinct": self.distinct, "ceilings": self.ceilings(), "errors": errors}
        return self.ask("cell", limit, **given)

    def prepare(self, cells: Iterable[Cell]) -> None:
        """Simulate the events of the cells once for all processes."""
        for size, images in sorted({(cell.size, min(cell.images, self.distinct)) for cell in cells}):
            cell = next(cell for cell in cells if cell.size == size)._replace(images=images)
            self.ask("events", cell=cell, distinct=self.distinct)

    def check(self, cells: list[Cell]) -> dict[Cell, dict[str, Any]]:
        """The records of the checks of all different passes. A check that fails or has no time left has no record, or
        one without ``errors``: its cell is checked again when it is timed."""
        passes = list(dict.fromkeys(map(_unmoded, cells)))[: 1 if self.toy else None]
        print(f"checking {len(passes)} passes and compiling their kernels, for {CHECKING:.0f} s at most", flush=True)
        tasks = [{"cell": cell, "distinct": self.distinct} for cell in passes]
        return dict(zip(passes, self.in_parallel("check", tasks, min(CHECKING, self.seconds() / 2)), strict=True))

    def in_parallel(self, task: str, given: list[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
        """The records of tasks that several processes do in the given time; empty ones for those that do not start."""
        end = time.monotonic() + seconds
        found: list[dict[str, Any]] = [{} for _ in given]
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(given)):
            waiting.put(number)
        cores = os.cpu_count() or 1
        count = max(1, min(WORKERS, cores, len(given)))

        def work() -> None:
            worker = Worker(self.toy, threads=max(1, cores // count))
            try:
                while (limit := end - time.monotonic()) > 0:
                    number = waiting.get_nowait()
                    found[number] = worker.ask(task, limit, **given[number])
            except queue.Empty:
                return
            finally:
                worker.end()

        with ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(work) for _ in range(count)]:
                done.result()
        return found

    def measure_ceilings(self) -> None:
        if not self.results.record.get("ceilings"):
            numbers = self.ask("ceilings")
            if "failed" in numbers:
                self.bad += 1
                print(f"failed  ceilings, so all floors are 0: {numbers['failed']}", flush=True)
                return
            self.results.note(ceilings=numbers)
        numbers = self.results.record["ceilings"]
        print(", ".join(f"{name} {value:.3g}" for name, value in numbers.items()), flush=True)

    def ceilings(self) -> Any:
        return as_device(self.results.record.get("ceilings") or {}, self.results.record["device"]["name"])

    def kernels(self) -> None:
        """List the kernels of some steps, with calls, times and floors."""
        for cell in self.missing(self.wanted(TOY[:1] if self.toy else PROFILED), _kernels):
            if self.seconds() < LEAST:
                return
            record = self.ask("profile", cell=cell, distinct=self.distinct, ceilings=self.ceilings())
            self.keep(_kernels(cell), cell, record)

    def tiles(self) -> None:
        """Time candidates for tiles, which are compiled in parallel first, and write the best beside the record."""
        todo = self.missing(self.wanted(TOY[:1] if self.toy else TUNED), _tiles)
        if not todo or self.seconds() < LEAST:
            return
        self.prepare(todo)
        if not self.toy:  # interpreted kernels are not compiled
            compiling = COMPILING * self.seconds()
            shares = max(1, min(WORKERS, os.cpu_count() or 1) // len(todo))
            given = {"distinct": self.distinct, "seconds": compiling}
            tasks = [{**given, "cell": cell, "share": (share, shares)} for share in range(shares) for cell in todo]
            self.in_parallel("warm tiles", tasks, compiling)
        for number, cell in enumerate(todo):
            seconds = self.seconds() / (len(todo) - number)
            if seconds < 1:
                break
            self.search(cell, 1.0 if self.toy else seconds)
        self.write_tiles()

    def search(self, cell: Cell, seconds: float) -> None:
        before = self.results.record["cells"].get(_tiles(cell), {})
        known = before.get("tiles", {}) if before.get("engine") == self.engine else {}
        record = self.ask(
            "tiles", seconds + 20, cell=cell, distinct=self.distinct, known=known, seconds=seconds
        )  # fmt: skip
        if "failed" in record:
            record = {**record, "tiles": known}
        self.keep(_tiles(cell), cell, record)

    def write_tiles(self) -> None:
        """Write the best tiles in the form of the package's own files, under their name for this device."""
        found = [one for one in self.results.record["cells"].values() if "best" in one]
        tiles = {key: tile for one in found for key, tile in one["best"].items()}
        if tiles:
            path = self.results.path.parent / found[0]["file"]
            write_whole(path, json.dumps({"tiles": tiles}, indent=1) + "\n", overwrite=True)
            print(f"{len(tiles)} tiles in {path}; to use them, copy it to sscn_triton/ops/triton/tuned")

    def beside(self) -> None:
        """Time other engines on the cells that have been timed."""
        from sscn_triton.bench.gpu.rivals.beside import engines_for, installed

        self.results.note(rivals=installed())
        for cell in self.chosen():
            record = self.results.record["cells"].get(str(cell), {})
            if "sscn" not in record:
                continue
            known = record.setdefault("rivals", {})
            for name in engines_for(cell):
                if name not in known and self.seconds() >= LEAST:
                    answer = self.ask("rival", worker=self.rivals, cell=cell, distinct=self.distinct, name=name)
                    known[name] = {"why not": answer["failed"]} if "failed" in answer else answer
                    self.results.write()
                    print(report.rival_line(name, str(cell), known[name]), flush=True)

    def tests(self) -> None:
        """Run the tests on the device. A failure marks the record and changes nothing else in it."""
        self.worker.end()
        self.rivals.end()
        code = digest(*(f"sscn_triton/{room}" for room in ENGINE), "tests")
        known = self.results.record.get("tests", {})
        known = known if known.get("code") == code else {}
        if known.get("complete") and not known["failed"]:
            return
        if self.seconds() < LEAST:
            return
        found = tests.run(self.toy, self.seconds(), known)
        self.bad += bool(found["failed"]) or not found["complete"]
        self.results.note(tests={**found, "code": code})
        print(report.tests_line(self.results.record), file=sys.stderr if found["failed"] else sys.stdout, flush=True)

    def left(self) -> str:
        """What a later run has to do, in words, or nothing."""
        cells: dict[str, tuple[list[Cell], Callable[[Cell], str]]] = {"cells": (self.chosen(), str)}
        if not self.options.full:
            cells |= {
                "kernels": (self.wanted(TOY[:1] if self.toy else PROFILED), _kernels),
                "tiles": (self.wanted(TOY[:1] if self.toy else TUNED), _tiles),
            }
        found = []
        for part, (wanted, name) in cells.items():
            count = len(self.missing(wanted, name)) if part in self.options.parts else 0
            found += [f"{count} of {len(wanted)} {part}"] if count else []
        if "tests" in self.options.parts and not self.results.record.get("tests", {}).get("complete"):
            found.append("the tests")
        return ", ".join(found)


def _unmoded(cell: Cell) -> Cell:
    """The cell that stands for all with the same pass over the same batch."""
    return cell._replace(mode="eager", rulebook="out")


def _kernels(cell: Cell) -> str:
    return f"kernels of {cell}"


def _tiles(cell: Cell) -> str:
    return f"tiles of {cell}"

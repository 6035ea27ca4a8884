"""Processes that measure: a hang, a crash or a broken device ends one process and costs one result.

The process of `make gpu` never computes on the device. It sends tasks one by one to a worker, which answers with a
record, and replaces a worker that gives no answer in time, dies, or reports an error that leaves its device unusable.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sscn_triton.common.child import Child
from sscn_triton.common.results import OUT_OF_MEMORY, ROOT

SERVE = "from sscn_triton.bench.gpu.worker import serve; serve()"
START = 60.0
"""Seconds that a new process may take to import what it needs, in addition to its first task's limit."""


class Worker:
    """A process for tasks, started when the first one arrives and again after it was lost."""

    def __init__(self, toy: bool, program: str = SERVE, threads: int | None = None) -> None:
        """``threads``: how many the process may use; as many as there are cores by default."""
        self.toy, self.program = toy, program
        self.child: Child | None = None
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = {"PYTHONPATH": path, "OMP_WAIT_POLICY": "passive"}
        if threads is not None:
            self.environment |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))

    def ask(self, task: str, limit: float, **arguments: Any) -> dict[str, Any]:
        """The record of a task of `TASKS`; if there is none after ``limit`` seconds, or the process dies, a record with
        ``failed``, which gives the reason."""
        if self.child is None:
            self.child = Child(self.program, *(["--toy"] if self.toy else []), environment=self.environment)
            limit += START
        late = threading.Event()

        def stop(child: Child = self.child) -> None:
            late.set()
            child.kill()

        timer = threading.Timer(limit, stop)
        timer.start()
        try:
            record, usable = self.child.ask((task, arguments))
        except (EOFError, pickle.UnpicklingError):
            code = self.child.process.wait()
            reason = f"no result within {limit:.0f} s" if late.is_set() else f"its process ended with exit code {code}"
            record, usable = {"failed": reason}, False
        finally:
            timer.cancel()
        if not usable or late.is_set():
            self.end()
        return record

    def end(self) -> None:
        """End the process; the next task starts another."""
        if self.child is not None:
            self.child.end()
            self.child = None


def serve() -> None:
    """Answer tasks from standard input; what libraries print goes to stderr, so that it cannot damage an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    bench = Bench("--toy" in sys.argv)
    with bench.engine():
        while True:
            try:
                task, arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            record, usable = answer(bench, task, arguments)
            pickle.dump((record, usable), answers)
            answers.flush()
            if not usable:
                return


def answer(bench: Bench, task: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The record of a task, and whether the device still works: ``wrong`` if results differ, ``failed`` if it fails."""
    import torch

    from sscn_triton.bench.gpu.measure import WrongResult
    from sscn_triton.bench.gpu.timing import device_works

    try:
        return TASKS[task](bench, **arguments), True
    except WrongResult as error:
        return {"wrong": str(error)}, True
    except torch.OutOfMemoryError:
        return {"failed": OUT_OF_MEMORY}, True
    except Exception as error:  # the other tasks are still done
        traceback.print_exc(limit=-4, chain=False)
        return {"failed": f"{type(error).__name__}: {error}"}, device_works(bench.device)
    finally:
        bench.free()


class Bench:
    """What a worker keeps between tasks: its device and the last batch."""

    def __init__(self, toy: bool) -> None:
        self.toy, self.device = toy, "cpu" if toy else "cuda"
        self.batch: Callable[..., Any] = lru_cache(1)(self._batch)

    def engine(self) -> Any:
        """A context for the Triton kernels: a GPU runs them as they are, CPU tensors use them interpreted."""
        import contextlib

        if not self.toy:
            return contextlib.nullcontext()
        from sscn_triton.ops.triton.interpreted import interpreted

        return interpreted()

    @property
    def watch(self) -> Any:
        from sscn_triton.bench.gpu.timing import Stopwatch

        return Stopwatch(self.device, 1 if self.toy else 20, 0.6)

    def _batch(self, size: int, density: str, images: int, distinct: int) -> Any:
        from sscn_triton.bench import events

        made = events.events(size, min(images, distinct), events.kept_events())
        return events.batch_of(made, images, size, density, self.device)

    def batch_of(self, cell: Any, distinct: int) -> Any:
        """The batch of a cell, made of this many distinct events."""
        return self.batch(cell.size, cell.density, cell.images, distinct)

    def free(self) -> None:
        """Return unused device memory, which other processes need."""
        import contextlib
        import gc

        import torch

        if self.device == "cuda":
            gc.collect()
            with contextlib.suppress(RuntimeError):  # the device may be broken
                torch.cuda.empty_cache()


def _ceilings(bench: Bench) -> dict[str, Any]:
    from sscn_triton.bench.gpu.timing import measure_ceilings

    return measure_ceilings(bench.device, bench.watch)


def _events(bench: Bench, cell: Any, distinct: int) -> dict[str, Any]:
    """Simulate the events of a cell, unless they are kept already."""
    from sscn_triton.bench import events

    events.events(cell.size, min(cell.images, distinct), events.kept_events())
    return {}


def _check(bench: Bench, cell: Any, distinct: int) -> dict[str, Any]:
    """Check a cell; this also compiles the kernels that timing it needs."""
    from sscn_triton.bench.gpu.measure import check

    return {"errors": check(cell, bench.batch_of(cell, distinct), bench.device)}


def _cell(
    bench: Bench, cell: Any, distinct: int, ceilings: Any, errors: dict[str, float] | None = None
) -> dict[str, Any]:
    """Measure a cell, after it was checked; ``errors`` are those of an earlier check."""
    from sscn_triton.bench.gpu.measure import check, measure

    batch = bench.batch_of(cell, distinct)
    errors = errors or check(cell, batch, bench.device)
    return {**measure(cell, batch, bench.device, bench.watch, ceilings), "errors": errors}


def _profile(bench: Bench, cell: Any, distinct: int, ceilings: Any) -> dict[str, Any]:
    from sscn_triton.bench.gpu.kernels import profile

    return profile(cell, bench.batch_of(cell, distinct), bench.device, bench.watch, ceilings)


def _warm_tiles(bench: Bench, cell: Any, distinct: int, share: tuple[int, int], seconds: float) -> dict[str, Any]:
    from sscn_triton.bench.gpu.tiles import warm

    warm(cell, bench.batch_of(cell, distinct), bench.device, share, seconds)
    return {}


def _tiles(bench: Bench, cell: Any, distinct: int, known: Any, seconds: float) -> dict[str, Any]:
    import torch

    from sscn_triton.bench.gpu.tiles import search
    from sscn_triton.ops.triton.tuning import file_name

    record = search(cell, bench.batch_of(cell, distinct), bench.device, known, seconds)
    return {**record, "file": file_name(torch.device(bench.device))}


def _rival(bench: Bench, cell: Any, distinct: int, name: str) -> dict[str, Any]:
    from sscn_triton.bench.gpu.rivals.beside import measure

    return measure(name, cell, bench.batch_of(cell, distinct), bench.device, bench.watch)


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "ceilings": _ceilings,
    "events": _events,
    "check": _check,
    "cell": _cell,
    "profile": _profile,
    "warm tiles": _warm_tiles,
    "tiles": _tiles,
    "rival": _rival,
}

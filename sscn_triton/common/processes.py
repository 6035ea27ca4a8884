"""Run work in separate processes: one job with its own memory, or many jobs, a few at a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from sscn_triton.common.errors import RunError


class Named(Protocol):
    """A job for a process; its name is for messages."""

    @property
    def name(self) -> str: ...


Work = TypeVar("Work", bound=Named)
Result = TypeVar("Result")


def run_apart(job: Work, task: Callable[[Work], Result]) -> Result:
    """Run `task(job)` in a new process, so that its memory is separate. Ctrl-C ends that process at once.

    Raises RunError with the other process's message if it fails, or with its exit code if it dies.
    """
    return run_all([job], task, 1)[0]


def run_all(
    jobs: Sequence[Work], task: Callable[[Work], Result], workers: int, report: Callable[[int], None] | None = None
) -> list[Result]:
    """Run `task` for every job in `workers` processes, each of which takes the next job when it finishes one.

    Returns the results in the order of the jobs. report: called with the number of finished jobs whenever one finishes.
    Errors are those of `run_apart`.
    """
    waiting = list(enumerate(jobs))[::-1]
    results: dict[int, Result] = {}
    processes: list[_Process] = []
    try:
        for _ in range(min(workers, len(jobs))):
            processes.append(_Process(task))
        for process in processes:
            process.give(*waiting.pop())
        while len(results) < len(jobs):
            busy = {process.pipe: process for process in processes if process.number is not None}
            for pipe in wait(list(busy)):
                process = busy[pipe]
                number, answer = process.answer()
                results[number] = answer
                if report is not None:
                    report(len(results))
                process.number = None
                if waiting:
                    process.give(*waiting.pop())
    finally:
        for process in processes:
            process.end()
    return [results[number] for number in range(len(jobs))]


class _Process:
    """A new process that does one job after another."""

    def __init__(self, task: Callable[[Any], Any]) -> None:
        context = _context()
        self.pipe, theirs = context.Pipe()
        self.task = task
        self.number: int | None = None
        self.job: Any = None
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _ctrl_c_ignored():  # inherited: only the parent handles Ctrl-C, by ending the process
            self._process.start()
        theirs.close()

    def give(self, number: int, job: Any) -> None:
        self.number, self.job = number, job
        try:
            self.pipe.send((self.task, job))
        except ConnectionError:
            raise self._death() from None

    def answer(self) -> tuple[int, Any]:
        """Number and result of its current job."""
        assert self.number is not None
        try:
            done, answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            raise self._death() from None
        if done:
            return self.number, answer
        raise RunError(f"'{self.job.name}' failed: {answer}")

    def _death(self) -> RunError:
        self._process.join()
        return RunError(
            f"the process of '{self.job.name}' ended with exit code {self._process.exitcode}; if it was killed, memory "
            "may have run out: try a smaller size, batch or number of filters"
        )

    def end(self) -> None:
        self._process.terminate()
        self._process.join()


def _context() -> Any:
    """If possible, fork the processes from a server that has imported what the work needs: the import takes
    several seconds, a fork a few milliseconds."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["sscn_triton.study.runs.run", "lightning.pytorch.strategies"])
    return context


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no signal reaches other threads
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(parent: Any) -> None:
    while True:
        try:
            task, job = parent.recv()
        except EOFError:
            return
        try:
            parent.send((True, task(job)))
        except Exception as error:
            parent.send((False, f"{type(error).__name__}: {error}"))

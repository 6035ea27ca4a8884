"""A task that hangs, crashes or breaks the device costs its own result and a new process, nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from sscn_triton.bench.gpu import timing, worker
from sscn_triton.bench.gpu.worker import Bench, Worker, answer

PROGRAM = """
import os, sys, time
from sscn_triton.bench.gpu import timing, worker

works = [True]
timing.device_works = lambda device: works[0]

def broken(bench):
    works[0] = False
    raise RuntimeError("an illegal memory access was encountered")

def talk(bench):
    print("a library prints to standard output")
    os.write(1, b"and writes to it")
    return {"said": True}

worker.TASKS |= {
    "process": lambda bench: {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS")},
    "hang": lambda bench: time.sleep(3600), "die": lambda bench: os._exit(7), "broken": broken, "talk": talk,
    "fail": lambda bench: {}["nothing"],
}
worker.serve()
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Worker]:
    """One for all tests: each starts a process only if the test before it lost one."""
    found = Worker(True, PROGRAM, threads=3)
    yield found
    found.end()


def test_a_task_that_hangs_is_ended_and_the_next_has_a_new_process(own: Worker, monkeypatch: Any) -> None:
    first = own.ask("process", 600)
    monkeypatch.setattr(worker, "START", 0.0)
    assert own.ask("hang", 0.2) == {"failed": "no result within 0 s"}
    monkeypatch.undo()
    assert own.ask("process", 600)["pid"] != first["pid"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [("die", "its process ended with exit code 7"), ("broken", "RuntimeError: an illegal memory access")],
)
def test_a_process_that_dies_or_breaks_its_device_is_replaced(own: Worker, task: str, reason: str) -> None:
    first = own.ask("process", 600)
    assert own.ask(task, 600)["failed"].startswith(reason)
    assert own.ask("process", 600)["pid"] != first["pid"]


def test_a_task_that_fails_leaves_the_process_and_prints_damage_no_answer(own: Worker) -> None:
    first = own.ask("process", 600)
    assert own.ask("fail", 600) == {"failed": "KeyError: 'nothing'"}
    assert own.ask("talk", 600) == {"said": True}
    assert own.ask("process", 600) == first
    assert first["pid"] != os.getpid()


def test_processes_that_share_the_cores_have_few_threads(own: Worker) -> None:
    assert own.ask("process", 600)["threads"] == "3"


def test_running_out_of_memory_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(bench: Bench) -> dict[str, Any]:
        raise torch.OutOfMemoryError("no")

    monkeypatch.setitem(worker.TASKS, "full", full)
    assert answer(Bench(True), "full", {}) == ({"failed": "out of memory"}, True)
    assert timing.device_works("cpu")

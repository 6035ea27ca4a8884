"""A training that SIGKILL ends at any place, and that is started again, ends with the same weights, bit for bit."""

from __future__ import annotations

import csv
import random
import resource
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.common.errors import Interrupted, RunError
from sscn_triton.study.training import checkpoint, trainer
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.segmentation import Segmentation
from sscn_triton.study.training.steplog import StepLog
from tests.support import forks
from tests.support.killing import deadly

PLACES: dict[str, tuple[Any, str]] = {
    "a batch's forward pass": (Segmentation, "training_step"),
    "the gap between row and checkpoint": (trainer.Keeper, "save"),
    "a checkpoint's write": (checkpoint.os, "fsync"),
    "the write of a row": (StepLog, "_write"),
    "the final judgement": (trainer, "judge"),
}


def train_until(config: TrainConfig, place: str | None, count: int) -> None:
    """Train in this process, which dies at the `count`-th entry of `place`."""
    torch.set_num_threads(1)
    if place is not None:
        owner, name = PLACES[place]
        setattr(owner, name, deadly(getattr(owner, name), count))
    trainer.train(config)


@pytest.fixture(scope="module")
def processes() -> Any:
    return forks.context()


def run(processes: Any, config: TrainConfig, place: str | None = None, count: int = 0) -> int:
    process = processes.Process(target=train_until, args=(config, place, count))
    process.start()
    process.join()
    return int(process.exitcode)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def learnt(folder: Path) -> list[dict[str, str]]:
    """The rows, without what depends on the clock."""
    with (folder / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith(("seconds", "wall", "memory"))} for row in rows]


def check_same(one: Path, other: Path) -> None:
    assert learnt(one) == learnt(other)
    for name in ("last.ckpt", "final.ckpt"):
        ours, theirs = load_checkpoint(one / name), load_checkpoint(other / name)
        for field in ("weights", "averaged", "optimizer", "step", "samples"):
            assert same(getattr(ours, field), getattr(theirs, field)), (name, field)
    assert (one / "scores.json").read_bytes() == (other / "scores.json").read_bytes()
    assert not list(one.glob(".*"))


def config(folder: Path, workers: int, accumulate: int) -> TrainConfig:
    return TrainConfig(
        out=str(folder), events=5, image=16, crop=12, filters=2, depth=2, repetitions=1, steps=7, batch=2,
        checkpoint_every=3, workers=workers, accumulate=accumulate, tensorboard=False,
    )  # fmt: skip


STAGED = {"shift": 3, "schedule": "constant", "average": 0.9}


@pytest.mark.parametrize(
    ("workers", "accumulate", "options"), [pytest.param(0, 1, {}, marks=pytest.mark.deep), (2, 2, STAGED)]
)
def test_a_training_killed_anywhere_ends_with_the_same_weights(
    tmp_path: Path, processes: Any, workers: int, accumulate: int, options: dict[str, Any]
) -> None:
    start = tmp_path / "start" / "final.ckpt"
    if options:
        assert run(processes, replace(config(start.parent, 0, 1), steps=1)) == 0
        options = options | {"start": str(start)}
    whole, killed = (replace(config(tmp_path / name, workers, accumulate), **options) for name in ("whole", "killed"))
    assert run(processes, whole) == 0
    kills = [  # the function, which of its calls is killed, and the step kept then
        ("a checkpoint's write", 3, None),  # the very first; the log's file was written before
        ("a batch's forward pass", 2 * accumulate, 0),  # in the middle of a step, if it has two batches
        ("a checkpoint's write", 3, 0),  # that of step 3
        ("the gap between row and checkpoint", 1, 0),
        ("the write of a row", 5, 3),
        ("a batch's forward pass", accumulate + 2, 3),
        ("a checkpoint's write", 5, 6),  # that of step 7, after that of step 6
        ("the final judgement", 1, 7),
    ]
    last = Path(killed.out) / "last.ckpt"
    for place, count, kept in kills:
        assert run(processes, killed, place, count) == -signal.SIGKILL, place
        assert (load_checkpoint(last).step if last.exists() else None) == kept, place
        if last.exists():
            start.unlink(missing_ok=True)  # a training that continues does not need it
    assert run(processes, killed) == 0
    check_same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.deep
@pytest.mark.parametrize(("workers", "accumulate"), [(0, 1), (0, 2), (2, 1), (2, 2)])
def test_a_training_killed_at_any_moment_ends_with_the_same_weights(
    tmp_path: Path, processes: Any, workers: int, accumulate: int
) -> None:
    whole, killed = (
        replace(config(tmp_path / name, workers, accumulate), steps=60, checkpoint_every=2)
        for name in ("whole", "killed")
    )
    assert run(processes, whole) == 0
    started = time.monotonic()
    assert run(processes, replace(whole, out=str(tmp_path / "timed"))) == 0  # the server of processes runs already
    needed = time.monotonic() - started
    generator = random.Random(0)
    kills = 0
    for _ in range(40):
        process = processes.Process(target=train_until, args=(killed, None, 0))
        process.start()
        process.join(needed * generator.uniform(0.1, 0.4))  # on any machine, some kills come before the end
        if process.exitcode == 0:
            break
        process.kill()
        process.join()
        kills += 1
        time.sleep(0.05)
    else:
        assert run(processes, killed) == 0
    assert kills > 1
    check_same(tmp_path / "whole", tmp_path / "killed")


def test_a_checkpoint_that_cannot_be_written_stops_the_training_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, full = (replace(config(tmp_path / name, 0, 1), checkpoint_every=1) for name in ("whole", "full"))
    trainer.train(whole)
    before, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save = trainer.Keeper.save

    def save_on_a_disk_that_fills(keeper: trainer.Keeper, *arguments: Any) -> None:
        if keeper.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        save(keeper, *arguments)

    monkeypatch.setattr(trainer.Keeper, "save", save_on_a_disk_that_fills)
    try:
        with pytest.raises(RunError, match=r"File too large; step 3 is kept in .*last\.ckpt, and the same command"):
            trainer.train(full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "full" / "last.ckpt").step == 3
    trainer.train(full)
    check_same(tmp_path / "whole", tmp_path / "full")


def test_ctrl_c_says_which_step_is_kept_and_restores_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Segmentation.training_step

    def interrupted(module: Segmentation, batch: Any, index: int) -> torch.Tensor:
        if index == 4:
            raise KeyboardInterrupt
        return learn(module, batch, index)

    monkeypatch.setattr(Segmentation, "training_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"interrupted; step 3 is kept in .*last\.ckpt, and the same command"):
        trainer.train(config(tmp_path / "a", 0, 1))
    assert signal.getsignal(signal.SIGINT) is before

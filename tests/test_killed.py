"""A command that is killed by SIGKILL at any call and run again writes the same files as an uninterrupted run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from sscn_triton.lartpc import create_events

pytest.importorskip("h5py")
from tests.study.training.test_resume import check_same
from tests.support import forks
from tests.support.events.files import random_event
from tests.support.killing import sscn_until

MOMENTS = [1, pytest.param(50, marks=pytest.mark.deep)]


@pytest.fixture(scope="module")
def context() -> Any:
    return forks.context()


def kill_often(
    context: Any, folder: Path, words: list[str], target: str, count: int, workers: bool = False
) -> tuple[Path, list[Path]]:
    """The target of an uninterrupted run, and those of runs that were killed at some moment and then repeated.

    workers: forked workers continue the parent's count of calls and may reach the moment first; the command
    then reports the killed worker and exits with code 1.
    """
    whole = folder / "whole"
    whole.mkdir()
    calls, code = sscn_until(context, whole, words)
    assert code == 0
    generator, killed = random.Random(count), []
    for number in range(count):
        place = folder / f"killed-{number}"
        place.mkdir()
        moment = generator.randrange(1, calls)
        ending = sscn_until(context, place, words, moment)
        assert ending == (0, None) or (workers and ending[1] == 1), ending
        if not (place / target).is_file():  # not yet
            assert sscn_until(context, place, words)[1] == 0
            assert [path.name for path in place.iterdir()] == [target.split("/")[0]], moment
        killed.append(place / target)
    return whole / target, killed


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.deep), 2])
@pytest.mark.parametrize("count", MOMENTS)
def test_a_simulation_killed_anywhere_writes_the_same_bytes(
    tmp_path: Path, context: Any, workers: int, count: int
) -> None:
    words = f"simulate --events 50 --size 16 --workers {workers} --out events.h5".split()
    whole, killed = kill_often(context, tmp_path, words, "events.h5", count, workers > 1)
    for path in killed:
        assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".h5", *(pytest.param(s, marks=pytest.mark.deep) for s in (".npz", ".csv"))])
@pytest.mark.parametrize("count", MOMENTS)
def test_a_conversion_killed_anywhere_writes_the_same_bytes(
    tmp_path: Path, context: Any, suffix: str, count: int
) -> None:
    source = tmp_path / "events.npz"
    with create_events(source) as writer:
        for seed in range(50):
            writer.append(random_event(seed))
    words = ["convert", str(source), f"copy{suffix}"]
    whole, killed = kill_often(context, tmp_path, words, f"copy{suffix}", count)
    for path in killed:
        assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("count", MOMENTS)
def test_a_training_killed_anywhere_ends_with_the_same_numbers(tmp_path: Path, context: Any, count: int) -> None:
    """Checkpoints are compared number by number, because PyTorch's archives and the times of rows differ in their
    bytes."""
    shape = "--filters 2 --depth 2 --repetitions 1 --image 16 --crop 12 --tensorboard false"
    words = f"train --out training --events 5 --steps 8 --batch 2 --checkpoint_every 3 {shape}".split()
    whole, killed = kill_often(context, tmp_path, words, "training/scores.json", count)
    for path in killed:
        check_same(whole.parent, path.parent)

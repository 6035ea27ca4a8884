"""The study at full size, with pieces at toy size: each call continues it, also after a kill, with the same result."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sscn_triton.common import machine
from sscn_triton.common.results import Results
from sscn_triton.lartpc import EventFileError, open_events
from sscn_triton.lartpc.simulation.production import simulate_folder
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import Streamed
from sscn_triton.study.full_size import command, report
from sscn_triton.study.full_size import pieces as at_scale_pieces
from sscn_triton.study.full_size.pieces import pieces
from sscn_triton.study.full_size.setting import REAL, TOY, Setting
from sscn_triton.study.scaling import measure
from sscn_triton.study.training import trainer
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.steplog import StepLog
from tests.support import forks
from tests.support.killing import deadly

ONE_SIZE = replace(TOY, sizes=(24, 32), configs=("192", "512"), dense=("dense-study",), parts=(4, 4))
PLACES: dict[str, tuple[Any, str]] = {
    "events": (at_scale_pieces, "simulate_folder"),
    "a step": (StepLog, "_write"),
    "the judgement": (trainer, "judge"),
    "the record": (Results, "add"),
}


def study(out: str, minutes: float, place: str | None = None, count: int = 0) -> None:
    """One call in this process, which dies at the `count`-th entry of `place`."""
    torch.set_num_threads(1)
    measure.MOST_REPEATS = measure.REPEATS  # times do not matter here
    command.TOY = ONE_SIZE  # type: ignore[misc]
    if place is not None:
        owner, name = PLACES[place]
        setattr(owner, name, deadly(getattr(owner, name), count))
    command.study_at_scale(out, minutes, toy=True)


@pytest.fixture(scope="module")
def call() -> Callable[..., int]:
    def one(*arguments: Any) -> int:
        process = forks.context().Process(target=study, args=arguments)
        process.start()
        process.join()
        return int(process.exitcode or 0)

    return one


def record(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*-study-gpu.json")
    return json.loads(file.read_text())


KILLS = (  # the function, which of its calls is killed, and the number of pieces kept then
    ("events", 2, 0),  # the training events, after the held-out events
    ("the record", 1, 0),
    ("a step", 6, 2),  # of the training, after four calls for the pace
    ("the judgement", 1, 2),
    ("the record", 3, 4),
)


@pytest.mark.parametrize("kills", [KILLS[2:3], pytest.param(KILLS, marks=pytest.mark.deep)], ids=["once", "often"])
def test_a_study_killed_in_any_piece_continues_and_ends_with_the_same_record(
    tmp_path: Path, call: Callable[..., int], kills: Sequence[tuple[str, int, int]]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(str(whole), 60.0) == 0
    for place, count, done in kills:
        assert call(str(killed), 60.0, place, count) == -signal.SIGKILL, place
        assert len(record(killed)["cells"]) == done, place
    for done in (kills[-1][-1] + 1, kills[-1][-1] + 2):  # no time: one piece per call
        assert call(str(killed), 1e-9) == 0
        assert len(record(killed)["cells"]) == done
    assert call(str(killed), 60.0) == 0
    ours, theirs = record(whole)["cells"], record(killed)["cells"]
    assert list(ours) == list(theirs) == [piece.name for piece in pieces(Setting(ONE_SIZE, whole, 0, "cpu"), {})]
    for name, cell in ours.items():
        assert cell.get("held_out") == theirs[name].get("held_out")
        assert cell.get("training_accuracy") == theirs[name].get("training_accuracy")
    files = sorted(path.relative_to(whole) for path in whole.rglob("final.ckpt"))
    assert len(files) == 5
    for file in files:
        mine, other = load_checkpoint(whole / file), load_checkpoint(killed / file)
        assert mine.step == 6
        assert all(torch.equal(mine.weights[name], other.weights[name]) for name in mine.weights)
    shown = report.table(record(whole))
    assert "dense-study: 8 events of 24 px" in shown
    assert "2018: sparse, 192 px" in shown


def test_the_command_needs_no_optional_package_and_refuses_without_a_gpu(tmp_path: Path) -> None:
    absent = ("uproot", "awkward", "plotly", "matplotlib", "jsonargparse", "sklearn", "scipy", "tensorboard")
    code = (
        "import sys, lightning\n"  # other packages use some of them if they are installed
        f"for name in {absent}: sys.modules[name] = None\n"
        "import torch; torch.cuda.is_available = lambda: False\n"
        "from sscn_triton.study.full_size.command import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "scale=gpu needs a GPU" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_study_with_another_seed_or_scale_is_not_continued(tmp_path: Path) -> None:
    for seed, scale, message in ((0, TOY, None), (1, TOY, "seed=0, not 1"), (0, REAL, "scale=toy, not full")):
        setting = Setting(scale, tmp_path, seed, "cpu")
        if message is None:
            command._results(setting)
        else:
            with pytest.raises(ValueError, match=message):
                command._results(setting)


def test_options_of_the_other_scale_are_refused() -> None:
    assert StudyConfig(scale="gpu").out == "study-gpu"
    assert StudyConfig().out == "study"
    with pytest.raises(ValueError, match="scale=gpu accepts only out, minutes, seed and toy: leave out size"):
        StudyConfig(scale="gpu", size=32)
    with pytest.raises(ValueError, match="toy=true needs scale=gpu, got scale=laptop"):
        StudyConfig(toy=True)


def test_running_out_of_memory_with_one_image_is_recorded(tmp_path: Path, monkeypatch: Any) -> None:
    tried: list[int] = []

    def too_large(config: TrainConfig) -> None:
        tried.append(config.batch)
        raise trainer.RunError("no room") from torch.OutOfMemoryError("no room")

    monkeypatch.setattr(at_scale_pieces, "train", too_large)
    setting = Setting(TOY, tmp_path, 0, "cpu")
    config = TrainConfig(data="x", batch=4, tensorboard=False)
    assert at_scale_pieces._pace(setting, config) == {"failed": "out of memory"}
    assert tried == [4, 2, 1]
    assert at_scale_pieces._training(config, {"failed": "out of memory"}, 9.0, "a", 24) == {"failed": "out of memory"}


def test_a_training_stops_at_a_checkpoint_when_its_time_is_up(tmp_path: Path, monkeypatch: Any) -> None:
    config = TrainConfig(
        out=str(tmp_path / "a"), events=4, image=24, stream=True, filters=2, depth=2, repetitions=1, steps=7,
        checkpoint_every=100, tensorboard=False, device="cpu",
    )  # fmt: skip
    trainer.train(replace(config, out=str(tmp_path / "b")))
    ticks = itertools.count()
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    kept = []
    while trainer.train(config, seconds=5.0) is None:
        kept.append(load_checkpoint(tmp_path / "a" / "last.ckpt").step)
        assert len(kept) < 9
    assert kept == [4, 7]  # there was no time for the evaluation at the end
    one, other = (load_checkpoint(tmp_path / name / "final.ckpt").weights for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_folder_of_files_is_read_as_one_and_can_be_extended(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    assert simulate_folder(folder, 6, seed=3, size=24, part=2, seconds=0.0) == 0
    assert simulate_folder(folder, 4, seed=3, size=24, part=2) == 4
    first = {path: path.stat().st_mtime_ns for path in folder.glob("*.h5")}
    assert simulate_folder(folder, 6, seed=3, size=24, part=2, workers=2) == 6
    assert {path: path.stat().st_mtime_ns for path in first} == first
    events, streamed = open_events(folder), Streamed(3, 6, 24)
    assert len(events) == len(streamed) == 6
    for i in (0, 1, 2, 5, -1):
        ours, theirs = ({tuple(x) for x in sequence[i].coordinates} for sequence in (events, streamed))
        assert ours == theirs
    assert [len(event) for event in events[1:5:3]] == [len(event) for event in streamed[1:5:3]]
    with pytest.raises(IndexError, match="no event 6; the file has 6"):
        events[6]
    with pytest.raises(ValueError, match="another seed, size"):
        simulate_folder(folder, 6, seed=4, size=24, part=2)
    with pytest.raises(ValueError, match="multiple of part"):
        simulate_folder(folder, 5, seed=3, size=24, part=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EventFileError, match="the folder contains no event files"):
        open_events(tmp_path / "empty")


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (3, 3), (40, 16)])
def test_events_are_simulated_on_all_cores_up_to_sixteen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: cores)
    assert Setting(REAL, tmp_path, 0, "cpu").workers == workers
    assert Setting(TOY, tmp_path, 0, "cpu").workers == 1

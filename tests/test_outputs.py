"""Every writing command keeps existing files, leaves no incomplete ones, and ends with one line on a full disk.

A command added to `sscn` needs an entry in CASES.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from sscn_triton import cli
from sscn_triton.lartpc import create_events, open_events
from sscn_triton.lartpc.simulation.production import PART
from sscn_triton.study.training.checkpoint import load_checkpoint

pytest.importorskip("h5py")
from tests.support import forks
from tests.support.disks import begin_sscn, sscn_on_a_full_disk
from tests.support.events.files import random_event


class Case(NamedTuple):
    """The words of a small run; {} stands for the folder of inputs."""

    words: str
    suffix: str  # of the output; none for a folder
    deep: bool = False  # it takes long
    default: str | None = None  # name of the output if none is given


CASES = {
    "simulate": Case("--events 3 --size 24", ".h5", default="events.h5"),
    "statistics": Case("{}/events.h5 --events 3 --size 24", ".html", default="statistics.html"),
    "inspect": Case("{}/events.h5", ".html"),
    "display": Case("{}/events.h5 --event 1", ".html", default="events-1.html"),
    "predict": Case("{}/events.h5 --checkpoint {}/final.ckpt", ".h5", default="labelled.h5"),
    "convert": Case("{}/events.h5", ".npz"),
    "convert-checkpoint": Case("{}/sparseconvnet.pt", ".pt"),
    "export": Case("--checkpoint {}/final.ckpt", ".pt2", default="network.pt2"),
    "train": Case("--events 4 --image 16 --filters 1 --depth 1 --repetitions 1 --steps 1 --batch 1", ""),
    "report": Case("{}", ".html"),
    "evaluate": Case("--checkpoint {}/final.ckpt --data {}/events.h5", ".json"),
    "study": Case("--events 4 --image 16 --size 8 --depth 2 --filters 1 --steps 1 --questions false", "", deep=True),
    "scaling": Case("--events 1 --image 32 --filters 1 --depth 1 --minutes 0.02", ".json", True, "scaling.json"),
    "bench": Case("--events 1 --size 16 --repeat 1", ".json", True, "bench.json"),
}
FILES = [name for name, case in CASES.items() if case.suffix]
QUICK = [name for name, case in CASES.items() if not case.deep]
ALL = [pytest.param(name, marks=[pytest.mark.deep] if CASES[name].deep else []) for name in CASES]


def output_option(name: str) -> str:
    """The option of a command that names its output: out, or target."""
    names = {field.name for field in dataclasses.fields(cli.COMMANDS[name].options_class())}  # type: ignore[arg-type]
    (option,) = names & {"out", "target"}
    return option


def words_for(name: str, inputs: Path, output: object, *more: str) -> list[str]:
    """The words of the command with this output."""
    words = CASES[name].words.replace("{}", str(inputs)).split()
    if output_option(name) == "target":
        words.insert(1, str(output))
    else:
        words += ["--out", str(output)]
    return [name, *words, *(["sparseconvnet"] if name == "convert-checkpoint" else []), *more]


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of events.h5, final.ckpt and sparseconvnet.pt."""
    from sscn_triton.study.training import trainer
    from sscn_triton.study.training.config import TrainConfig

    folder = tmp_path_factory.mktemp("inputs")
    with create_events(folder / "events.h5") as writer:
        for seed in range(6):
            writer.append(random_event(seed, 150, (16, 16, 16)))
    tiny = {"filters": 2, "depth": 2, "repetitions": 1, "steps": 1, "batch": 1, "tensorboard": False}
    trainer.train(TrainConfig(out=str(folder), data=str(folder / "events.h5"), **tiny))  # type: ignore[arg-type]
    torch.save({"1.weight": torch.zeros(27, 1, 60, 60)}, folder / "sparseconvnet.pt")
    return folder


@pytest.fixture(scope="module")
def context() -> Any:
    return forks.context()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_command_has_a_case_and_an_option_for_its_output() -> None:
    assert set(CASES) == set(cli.COMMANDS)
    for name, case in CASES.items():
        assert output_option(name)
        # Type: ignore[arg-type].
        fields = {field.name: field for field in dataclasses.fields(cli.COMMANDS[name].options_class())}
        assert ("overwrite" in fields) == (name != "train"), name
        if case.default is not None and fields["out"].default:
            assert fields["out"].default == case.default


@pytest.mark.parametrize("name", FILES)
def test_an_existing_file_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = [f"there{CASES[name].suffix}"]
    runs = [words_for(name, inputs, outputs[0])]
    if CASES[name].default is not None:
        outputs.append(str(CASES[name].default))
        runs.append([name, *CASES[name].words.replace("{}", str(inputs)).split()])
    for output, words in zip(outputs, runs, strict=True):
        (tmp_path / output).write_text("years of work")
        before = content(tmp_path)
        option = output_option(name)
        line = f"sscn {name}: {option} must be a new file, but {output} already exists: choose another name, or "
        assert sscn(capsys, *words) == (2, "", f"{line}--overwrite true\n")
        assert content(tmp_path) == before


@pytest.mark.parametrize("name", [name for name in FILES if name in QUICK])
def test_an_existing_file_is_replaced_on_request(
    capsys: pytest.CaptureFixture[str], inputs: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / f"there{CASES[name].suffix}"
    output.write_text("years of work")
    code, _, err = sscn(capsys, *words_for(name, inputs, output, "--overwrite", "true"))
    assert code == 0, err
    assert b"years of work" not in output.read_bytes()
    assert list(content(tmp_path)) == [output.name]


def test_an_existing_report_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"files": ["report.json"]}')
    code, _, err = sscn(capsys, "study", "--out", tmp_path)
    assert code == 2
    assert err == (
        f"sscn study: out must be a new folder, but {tmp_path} already contains a report: choose another name, or "
        "--overwrite true\n"
    )
    assert list(content(tmp_path)) == ["report.json"]


@pytest.mark.parametrize("room", [0, 4096])
@pytest.mark.parametrize("name", ALL)
def test_a_full_disk_gives_one_line_and_leaves_no_file(
    context: Any, inputs: Path, tmp_path: Path, name: str, room: int
) -> None:
    words = words_for(name, inputs, f"out{CASES[name].suffix}")
    ended = sscn_on_a_full_disk(context, tmp_path, room, *words)
    assert ended.code == 1, ended
    *before, line = ended.err.splitlines()
    assert line.startswith(f"sscn {name}: "), ended.err
    assert not re.search(r"Error|Exception|Traceback|sscn ", "\n".join(before)), ended.err
    assert "No space left on device" in line or "File too large" in line
    assert "out" in line
    assert ended.left == {}


def test_events_written_before_the_disk_was_full_are_kept(
    context: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("simulate", "--events", 3 * PART, "--size", 24, "--out", "events.h5")
    ended = sscn_on_a_full_disk(context, tmp_path, 600_000, *words)
    assert ended.code == 1, ended
    assert re.search(
        r"sscn simulate: events\.h5: cannot be written: .*; 20 of 60 events are kept in events\.h5\.unfinished; "
        r"the same command continues from there\n$",
        ended.err,
    )
    assert list(ended.left) == [".events.h5.unfinished.journal", "events.h5.unfinished"]


@pytest.mark.parametrize("room", [16_384, 40_000])
def test_a_training_on_a_full_disk_keeps_its_last_checkpoint_or_nothing(
    context: Any, inputs: Path, tmp_path: Path, room: int
) -> None:
    ended = sscn_on_a_full_disk(context, tmp_path, room, *words_for("train", inputs, "out"))
    assert ended.code == 1, ended
    last = ended.err.splitlines()[-1]
    assert re.match(r"sscn train: out/last\.ckpt: cannot be written: .*; (nothing was|step 0 is) kept", last), last
    assert ("out/last.ckpt" in ended.left) == ("step 0" in last) == (room == 40_000)
    assert "Traceback" not in ended.err
    assert bool(ended.left) == (room == 40_000)


TWICE = {
    "simulate": ("--events 60 --size 24 --out events.h5", "events.h5"),
    "convert": ("{}/events.h5 events.npz", "events.npz"),
    "predict": ("{}/events.h5 --checkpoint {}/final.ckpt --out events.h5", "events.h5"),
    "train": (CASES["train"].words + " --tensorboard false", "training"),
}


@pytest.mark.parametrize("name", TWICE)
def test_one_of_two_processes_with_the_same_target_wins_and_the_other_reports_it(
    context: Any, inputs: Path, tmp_path: Path, name: str
) -> None:
    words, target = TWICE[name]
    begun = [begin_sscn(context, tmp_path, name, *words.replace("{}", str(inputs)).split()) for _ in range(2)]
    ends = [end() for end in begun]
    wins = [end for end in ends if end.code == 0]
    assert len(wins) >= 1 if name == "train" else len(wins) == 1, ends  # a finished training is evaluated again
    for end in ends:
        if end.code:
            assert end.code in (1, 2)
            last = end.err.splitlines()[-1]
            assert re.search(r"another sscn is writing it|already exists|appeared while", last), end.err
            assert "Traceback" not in end.err
    assert [path.name for path in tmp_path.iterdir()] == [target]
    if name == "train":
        assert load_checkpoint(tmp_path / target / "final.ckpt").step == 1
    else:
        assert len(list(open_events(tmp_path / target))) == (60 if name == "simulate" else 6)

"""The commands on event files do what they document, and leave no incomplete output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sscn_triton import cli
from sscn_triton.lartpc import (
    EventFile,
    PilarnetWriter,
    Prediction,
    create_events,
    open_events,
    project,
    relabel,
    simulate,
)
from sscn_triton.lartpc.simulation import production
from sscn_triton.lartpc.simulation.production import PART, kept_events, simulate_file

pytest.importorskip("h5py")
from tests.support import forks
from tests.support.events.files import random_event, same_event


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


@pytest.fixture
def events(tmp_path: Path) -> EventFile:
    """Three events in three dimensions."""
    with create_events(tmp_path / "three.h5") as writer:
        for seed in range(3):
            writer.append(random_event(seed))
    return open_events(writer.path)


@pytest.mark.parametrize("workers", [1, 2])
def test_simulated_events_are_those_of_the_seed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "events.h5"
    number = PART + 2
    words = ("simulate", "--size", 16, "--events", number, "--seed", 1, "--out", path, "--workers", workers)
    code, out, err = sscn(capsys, *words)
    assert code == 0
    assert out.startswith(f"{path}: {number} events (")
    assert f" events per second, {workers} worker" in out
    assert f"100 %  {number} of {number}" in err
    made = open_events(path)
    assert len(made) == number
    for index in (0, PART - 1, PART, number - 1):
        assert same_event(made[index], simulate(1, index, 16))
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_simulation_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.h5"
    seen: list[int] = []

    def interrupt(done: int) -> None:
        seen.append(done)
        if done >= 2 * PART:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_file(path, 3 * PART, seed=5, size=16, progress=interrupt)
    assert not path.exists()
    assert kept_events(path) == 2 * PART
    again: list[int] = []
    simulate_file(path, 3 * PART, seed=5, size=16, progress=again.append)
    assert (seen, again) == ([0, PART, 2 * PART], [2 * PART, 3 * PART])
    whole = tmp_path / "whole.h5"
    simulate_file(whole, 3 * PART, seed=5, size=16)
    assert whole.read_bytes() == path.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, whole]


@pytest.mark.parametrize("change", [{"seed": 6}, {"size": 24}], ids=["seed", "size"])
def test_an_unfinished_file_of_other_events_is_refused_and_kept(tmp_path: Path, change: dict[str, int]) -> None:
    def stop(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    path = tmp_path / "events.h5"
    with pytest.raises(KeyboardInterrupt):
        simulate_file(path, 2 * PART, seed=5, size=16, progress=stop)
    with pytest.raises(
        ValueError, match=r"events\.h5\.unfinished contains events of another seed, size, recipe or version"
    ):
        simulate_file(path, 2 * PART, **{"seed": 5, "size": 16, **change})
    with pytest.raises(ValueError, match=r"events\.h5\.unfinished already contains 20 events, but 7 were requested"):
        simulate_file(path, 7, seed=5, size=16)
    assert kept_events(path) == PART


def test_kept_events_of_a_version_that_simulates_differently_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    path = tmp_path / "events.h5"
    with monkeypatch.context() as older:  # a version whose energies differ
        older.setattr(production, "simulate", lambda *a, **k: (e := simulate(*a, **k)).replace(energy=2 * e.energy))
        with pytest.raises(KeyboardInterrupt):
            simulate_file(path, 2 * PART, seed=5, size=16, progress=stop)
    with pytest.raises(ValueError, match="another seed, size, recipe or version"):
        simulate_file(path, 2 * PART, seed=5, size=16)


def killed_at_the_end(path: Path) -> None:
    publish = production.publish
    production.publish = lambda *names: (publish(*names), os.kill(os.getpid(), signal.SIGKILL))
    simulate_file(path, 3, seed=5, size=16)


@pytest.mark.parametrize("again", [["--overwrite", "true"], []], ids=["overwritten", "refused"])
def test_the_next_run_removes_files_of_a_run_killed_at_the_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, again: list[str]
) -> None:
    path = tmp_path / "events.h5"
    process = forks.context().Process(target=killed_at_the_end, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert {one.name for one in tmp_path.iterdir()} == {path.name, ".events.h5.lock", ".events.h5.unfinished.journal"}
    written = path.read_bytes()
    code, _, err = sscn(capsys, "simulate", "--events", 3, "--seed", 5, "--size", 16, "--out", path, *again)
    assert code == (0 if again else 2)
    assert again or "already exists" in err
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == written


def test_a_kept_event_in_the_middle_that_has_changed_is_refused(tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 3 * PART:
            raise KeyboardInterrupt

    path = tmp_path / "events.h5"
    with pytest.raises(KeyboardInterrupt):
        simulate_file(path, 4 * PART, seed=5, size=16, progress=stop)
    kept = production.unfinished_file(path)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    with pytest.raises(ValueError, match=r"events\.h5\.unfinished: damaged, or changed by another program, in the"):
        simulate_file(path, 4 * PART, seed=5, size=16)
    assert kept.read_bytes() == content


def test_ctrl_c_says_what_is_kept(tmp_path: Path) -> None:
    words = ("simulate", "--size", "96", "--events", "100000", "--workers", "2", "--out", "events.h5")
    program = [sys.executable, "-c", "from sscn_triton.cli import main; main()", *words]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background job ignores Ctrl-C from its start
    child = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not list(tmp_path.glob(".events.h5.unfinished.journal")):
        assert child.poll() is None, child.communicate()[1]
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate()
    assert child.returncode == 130
    last = err.splitlines()[-1]
    kept = kept_events(tmp_path / "events.h5")
    assert kept >= PART
    assert last.startswith(f"sscn simulate: interrupted; {kept} of 100000 events are kept in events.h5.unfinished")
    assert "Traceback" not in err


def test_inspect_counts(capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, out, _ = sscn(capsys, "inspect", events.path, "--out", page)
    assert code == 0
    lines = dict(line.strip().split("  ", 1) for line in out.splitlines() if line.startswith("  "))
    assert lines["events"].strip() == "3"
    assert lines["images"].strip() == "7 x 11 x 5 voxels of 3 mm"
    assert lines["voxels"].strip() == "180"
    assert lines["occupancy [%]"].strip().startswith("median 15.5844")
    for label, name in enumerate(("HIP", "MIP", "shower", "delta", "Michel", "unknown")):
        mine = [event.labels == (label if label < 5 else -1) for event in events]
        energy = sum(float(event.energy[rows].sum()) for event, rows in zip(events, mine, strict=True))
        share = sum(rows.mean() for rows in mine) / 3
        words = lines[name].split()
        assert words[0] == f"{100 * share:.2f}"
        assert words[2:] == [str(sum(int(rows.sum()) for rows in mine)), f"{energy:.1f}"]
    text = page.read_text()
    assert "7 x 11 x 5 voxels" in text
    assert "http" not in text


@pytest.mark.parametrize("color", ["energy", "label", None])
@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_display_draws(
    capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path, color: str | None, suffix: str
) -> None:
    picture = tmp_path / f"event{suffix}"
    words = ["display", events.path, "--event", 2, "--out", picture, *(["--color", color] if color else [])]
    assert sscn(capsys, *words)[:2] == (0, f"picture: {picture}\n")
    start = picture.read_bytes()[:99].lower()
    assert start.startswith(b"\x89png") if suffix == ".png" else start.startswith(b"<!doctype html>")


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_display_draws_planes_and_predictions(
    capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path, suffix: str
) -> None:
    picture, labelled = tmp_path / f"event{suffix}", tmp_path / "labelled.h5"
    with create_events(labelled) as writer:
        event = events[0]
        writer.append(event.replace(prediction=Prediction(np.zeros(len(event), int), np.full((len(event), 5), 0.2))))
    for words in (
        [events.path, "--project", "u"],
        [events.path, "--labels", "attached"],
        [labelled],
        [labelled, "--color", "prediction"],
        [labelled, "--color", "difference"],
        [labelled, "--color", "energy"],
    ):
        assert sscn(capsys, "display", *words, "--out", picture)[:2] == (0, f"picture: {picture}\n")
        assert picture.stat().st_size > 10_000
        picture.unlink()


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".hdf5"])
def test_convert_copies(capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"copy{suffix}"
    assert sscn(capsys, "convert", events.path, target)[:2] == (0, f"{target}: 3 events\n")
    for one, other in zip(events, open_events(target), strict=True):
        assert same_event(one, other, particles=suffix == ".hdf5")


def test_convert_keeps_seed_and_configuration(
    capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path
) -> None:
    with PilarnetWriter(tmp_path / "first.h5", seed=7, configuration={"size": 16}) as writer:
        writer.append(events[0])
    for source, target in (("first.h5", "second.h5"), ("second.h5", "third.hdf5")):
        assert sscn(capsys, "convert", tmp_path / source, tmp_path / target, "--labels", "attached")[0] == 0
    told = open_events(tmp_path / "third.hdf5").attributes
    assert (told["seed"], told["configuration"]) == (7, '{"size": 16}')
    assert open_events(events.path).attributes.get("seed") is None


def test_convert_projects_and_relabels(capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path) -> None:
    target = tmp_path / "plane.npz"
    assert sscn(capsys, "convert", events.path, target, "--project", "u", "--labels", "attached")[0] == 0
    for one, other in zip(events, open_events(target), strict=True):
        assert same_event(project(relabel(one, "attached"), "u"), other, particles=False)
    code, out, _ = sscn(capsys, "inspect", target)
    assert code == 0
    assert "7 voxels of 3 mm" in out


def test_events_are_converted_one_at_a_time(
    capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is read before the previous one is written."""
    from sscn_triton.lartpc import NpzWriter, PilarnetEvents

    log: list[str] = []
    read, append = PilarnetEvents._read, NpzWriter._append
    monkeypatch.setattr(PilarnetEvents, "_read", lambda self, n: (log.append(f"read {n}"), read(self, n))[1])
    monkeypatch.setattr(NpzWriter, "_append", lambda self, e: (log.append(f"write {e.name[0]}"), append(self, e))[1])
    sscn(capsys, "convert", events.path, tmp_path / "copy.npz")
    assert log == ["read 0", "write 0", "read 1", "write 1", "read 2", "write 2"]


def test_a_failed_conversion_leaves_nothing(
    capsys: pytest.CaptureFixture[str], events: EventFile, tmp_path: Path
) -> None:
    content = events.path.read_bytes()
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(content.replace(events[2].energy[:1].tobytes(), b"\0\0\0\0"))
    code, _, err = sscn(capsys, "convert", damaged, tmp_path / "copy.csv")
    assert code == 2
    last = err.splitlines()[-1]
    assert last == f"sscn convert: {damaged}: event 2: point: damaged: its checksum does not match"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.h5", "three.h5"]


BAD = {
    "no file": (["inspect"], "sscn inspect: the following arguments are required: file"),
    "no files": (["convert"], "sscn convert: the following arguments are required: source, target"),
    "missing": (["inspect", "none.h5"], "sscn inspect: none.h5: no such file"),
    "foreign": (
        ["inspect", "text.txt"],
        "sscn inspect: text.txt: not an event file: the content is not that of larcv2 ROOT, larcv3 HDF5",
    ),
    "page": (["inspect", "three.h5", "--out", "page.pdf"], "sscn inspect: out must end with .html, got page.pdf"),
    "color": (["display", "three.h5", "--color", "red"], "sscn display: color must be energy, label, pred"),
    "event": (
        ["display", "three.h5", "--event", "3"],
        "sscn display: three.h5: there is no event 3; the file has 3, numbered",
    ),
    "negative": (["display", "three.h5", "--event", "-1"], "sscn display: event must be 0 or more, got -1"),
    "picture": (["display", "three.h5", "--out", "a.gif"], "sscn display: out must end with .html or .png, got a.gif"),
    "guess": (["display", "three.h5", "--color", "prediction"], "sscn display: color=prediction needs a file labelled"),
    "view": (["display", "three.h5", "--project", "w"], "sscn display: project must be y or u or v, got w"),
    "flat to h5": (
        ["convert", "flat.csv", "a.h5"],
        "sscn convert: PILArNet-M can contain only three-dimensional events",
    ),
    "target": (["convert", "three.h5", "a.root"], "sscn convert: target must end with .h5 or .hdf5 or .npz or .csv"),
    "plane": (["convert", "three.h5", "a.npz", "--project", "x"], "sscn convert: project must be y or u or v, got x"),
    "labels": (["convert", "three.h5", "a.npz", "--labels", "x"], "sscn convert: labels must be slides or attached"),
    "plane to h5": (["convert", "three.h5", "a.h5", "--project", "u"], "sscn convert: target must end with .npz or .c"),
    "flat plane": (["convert", "flat.csv", "a.csv", "--project", "u"], "sscn convert: flat.csv:0: only three-dim"),
    "there": (["convert", "three.h5", "flat.csv"], "sscn convert: target must be a new file, but flat.csv already"),
    "out": (["simulate", "--out", "a.csv"], "sscn simulate: out must end with .h5 or .hdf5, got a.csv"),
    "out there": (["simulate", "--out", "three.h5"], "sscn simulate: out must be a new file, but three.h5 already"),
    "none": (["simulate", "--events", "0"], "sscn simulate: events must be at least 1, got 0"),
    "seed": (["simulate", "--seed", "-1"], "sscn simulate: seed must be at least 0, got -1"),
    "workers": (["simulate", "--workers", "0"], "sscn simulate: workers must be at least 1, got 0"),
    "size": (["simulate", "--size", "7"], "sscn simulate: size must be 8 to 4096 voxels, got 7"),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_gives_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    events: EventFile,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    folder = events.path.parent
    monkeypatch.chdir(folder)
    (folder / "text.txt").write_text("no events here\n" * 100)
    (folder / "flat.csv").write_text("x,y,value\n1,2,0.5\n")
    code, out, err = sscn(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["flat.csv", "text.txt", "three.h5"]


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".csv"])
def test_a_study_takes_any_event_file(tmp_path: Path, suffix: str) -> None:
    from sscn_triton.study.config import StudyConfig
    from sscn_triton.study.data.batches import load

    with create_events(tmp_path / f"events{suffix}") as writer:
        for seed in range(4):
            writer.append(random_event(seed, 30, shape=(16, 16, 16)))
    split = load(StudyConfig(data=str(writer.path), size=16, depth=2))
    assert (len(split.train), len(split.held_out)) == (3, 1)
    assert split.source == f"4 events of events{suffix}"


def test_a_study_refuses_planes(tmp_path: Path) -> None:
    from sscn_triton.study.config import StudyConfig
    from sscn_triton.study.data.batches import load

    with create_events(tmp_path / "planes.npz") as writer:
        for seed in range(2):
            writer.append(random_event(seed, shape=(16, 16)))
    with pytest.raises(ValueError, match="a study needs three-dimensional events, but 0:0 has 2 dim"):
        load(StudyConfig(data=str(writer.path), size=16, depth=2))

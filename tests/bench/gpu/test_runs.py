"""`make gpu` at toy size: it checks before it times, keeps what it has, and never passes the CPU off as a GPU."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.bench import events as gpu_events
from sscn_triton.bench.events import BenchBatch, batch_of, events
from sscn_triton.bench.gpu import command, measure, tests
from sscn_triton.bench.gpu.beside import compare, passes
from sscn_triton.bench.gpu.cells import NETWORKS, QUICK, TOY, Cell, full_grid
from sscn_triton.bench.gpu.others import Dense
from sscn_triton.bench.gpu.rivals import Rival
from sscn_triton.bench.gpu.subjects import Subject, network_named
from sscn_triton.bench.gpu.timing import Stopwatch
from sscn_triton.common.results import Results
from sscn_triton.models import SparseEncoder, SparseUResNet
from tests.support.clouds import random_cloud

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="toy size is for machines without a GPU")
CELL = TOY[0]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(gpu_events, "kept_events", lambda: tmp_path / "events")


def toy_batch(images: int = 1, size: int = 8) -> BenchBatch:
    x = random_cloud(60, 1, size=size, batch_size=images)
    return BenchBatch(x.coordinates, x.features.float(), torch.zeros(60, dtype=torch.long), (size,) * 3, images)


def test_a_toy_run_succeeds_warns_that_it_times_no_gpu_and_writes_no_results(capsys: Any, tmp_path: Path) -> None:
    out = tmp_path / "toy.json"
    assert command.main(["--no-tests", "--only", "layer2", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("These are NOT timings of a GPU") == 2
    assert not (tmp_path / "results").exists()
    record = json.loads(out.read_text())
    assert {"date", "commit", "device", "versions", "ceilings", "cells"} <= record.keys()
    cell = record["cells"][str(CELL)]
    assert cell["errors"]["outputs"] < 1e-6
    assert cell["sscn"]["ms"] > 0
    assert cell["floor ms"] > 0
    assert cell["rules per site"]["finest level"] >= 1
    assert cell["rivals"]["PyTorch dense conv3d"]["ratio"] > 0


@pytest.mark.deep
def test_the_whole_toy_run_passes_its_tests_first(capfd: Any) -> None:
    assert command.main([]) == 0
    assert " passed" in capfd.readouterr().out


def test_nothing_is_timed_when_a_test_fails(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(tests, "run", lambda toy: False)
    monkeypatch.setattr(command, "_times", lambda *_: pytest.fail("something was timed"))
    assert command.main([]) == 1
    assert "nothing is timed" in capsys.readouterr().err


def test_a_failing_test_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests, "TOY", {"test_gpu.py": "no_such_test"})
    assert not tests.run(toy=True)


def test_a_cell_with_wrong_results_is_not_timed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(measure, "allowed", lambda cell: (0.0, 0.0))
    monkeypatch.setattr(measure, "measure", lambda *_: pytest.fail("it was timed"))
    assert command.main(["--no-tests", "--only", "layer2"]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_a_relative_error_of_nan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "relative", lambda mine, right: float("nan"))
    with pytest.raises(measure.WrongResult, match="relative error nan of the outputs"):
        measure.check(CELL, toy_batch(), "cpu")


def test_results_continue_where_they_stopped_and_refuse_another_device(tmp_path: Path) -> None:
    path, about = tmp_path / "some.json", {"device": {"name": "A"}, "versions": {"torch": "1"}}
    Results(path, about).add("one", {"ms": 1.0})
    again = Results(path, about)
    assert "one" in again
    again.add("two", {"failed": "ValueError: no"})
    again.add("three", {"failed": "out of memory"})
    assert "two" not in again
    assert "three" in again
    assert "one" not in Results(path, about, go_on=False)
    assert [file.name for file in tmp_path.iterdir()] == ["some.json"]
    with pytest.raises(ValueError, match="was measured with device"):
        Results(path, {**about, "device": {"name": "B"}})


def test_the_grid_has_every_cell_that_was_asked_for() -> None:
    grid, quick = full_grid(), set(QUICK)
    assert len(set(grid)) == len(grid)
    assert quick <= set(grid)
    assert 12 <= len(quick) <= 15
    networks = {name for name in NETWORKS if name not in ("uresnet2", "layer2")}
    assert {cell.network for cell in grid} == networks
    for name, wanted in {
        "task": {"forward", "step"},
        "precision": {"fp32", "tf32", "bf16"},
        "images": {1, 16, 64},
        "mode": {"eager", "compiled", "graph"},
        "rulebook": {"in", "out"},
    }.items():
        assert {getattr(cell, name) for cell in grid if cell.network == "uresnet16"} == wanted
    assert {(cell.size, cell.density) for cell in grid} == {
        (192, "real"),
        (512, "real"),
        (768, "real"),
        (768, "pilarnet"),
    }


def test_kernels_are_compiled_ahead_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def run(words: list[str], timeout: float, **_: Any) -> None:
        assert timeout > 0
        started.append(words)

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr(command, "_batch", lambda *_: None)
    command._compile_ahead(QUICK, command._options(["--seconds", "60"]), time.perf_counter())
    numbers = [int(word) for words in started for word in words[words.index("--warm") + 1 :]]
    ahead = {full_grid()[number] for number in numbers}
    assert ahead == {cell._replace(mode="eager", rulebook="out") for cell in QUICK}
    assert all("--no-tests" in words and "--full" not in words for words in started)


def test_a_cell_that_fails_ahead_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[Cell] = []
    monkeypatch.setattr(Subject, "once", lambda self: ran.append(self.cell))
    monkeypatch.setattr(command, "full_grid", lambda: [CELL._replace(network="none"), CELL])
    assert command._warm(command._options(["--toy", "--warm", "0", "1"]), "cpu") == 0
    assert ran == [CELL]


def test_simulated_events_are_cached_and_can_be_thinned(tmp_path: Path) -> None:
    made = events(32, 2, tmp_path)
    again = events(32, 2, tmp_path)
    assert all((a == b).all() for one, other in zip(made, again, strict=True) for a, b in zip(one, other, strict=True))
    batch, thin = (batch_of(made, 3, 32, density, "cpu") for density in ("real", "pilarnet"))
    assert batch.coordinates[:, 0].unique().tolist() == [0, 1, 2]
    assert len(thin.features) < len(batch.features)
    assert thin.features.min() > 0.13


class Mirror(Rival):
    """Uses this library in place of another engine, to test the conversion itself."""

    def leaf(self, layer: Any) -> torch.nn.Module:
        own = type(layer)(layer.in_channels, layer.out_channels, bias=False, **layer.geometry())
        own.load_state_dict(layer.state_dict())
        return own

    def build(self) -> Any:
        return self.subject.build()

    def with_features(self, x: Any, features: torch.Tensor) -> Any:
        return x.replace(features)

    def rows(self, x: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return x.features, x.coordinates


@pytest.mark.parametrize("network", ["uresnet2", "encoder-small", "layer2"])
def test_another_engine_is_given_the_same_network_and_weights(network: str) -> None:
    """In float64, because PyTorch and this library round norms over two sites differently."""
    batch = toy_batch(2)
    torch.set_default_dtype(torch.float64)
    try:
        batch = replace(batch, features=batch.features.double())
        subject = Subject(Cell(network, "step", "fp32", 8, "real", 2, "eager", "in"), batch, "cpu")
        rival = Mirror(subject)
        assert compare(subject, rival) < 1e-10
        subject.once(update=False)
        rival.once()
    finally:
        torch.set_default_dtype(torch.float32)
    own = [p.grad for p in rival.parameters if p.grad is not None]
    assert sum(p.numel() for p in rival.parameters) == sum(p.numel() for p in subject.network.parameters())
    assert float(torch.stack([g.norm() for g in own]).norm()) == pytest.approx(float(subject.gradients().norm()), 1e-4)


def test_an_engine_that_differs_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(CELL, toy_batch(), "cpu")
    assert callable(passes(subject, 1e-3)["PyTorch dense conv3d"])
    monkeypatch.setattr(Dense, "rows", lambda self, x: (2 * x, self.batch.coordinates))
    assert "its outputs differ" in str(passes(subject, 1e-3)["PyTorch dense conv3d"])


def test_networks_are_those_of_the_study_and_the_benchmark() -> None:
    with torch.device("meta"):
        assert isinstance(network_named("uresnet32"), SparseUResNet)
        assert isinstance(network_named("encoder-large"), SparseEncoder)
        count = sum(p.numel() for p in network_named("uresnet16").parameters())
    assert count == 2_741_477


def test_a_stopwatch_reports_the_median_of_several_runs() -> None:
    runs: list[int] = []
    times = Stopwatch("cpu", repeat=5)(lambda: runs.append(1))
    assert times["runs"] == 5
    assert len(runs) == 2 + 5 + 5
    assert times["least"] <= times["ms"]

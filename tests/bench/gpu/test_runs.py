"""`make gpu`: each part has its clock, nothing that fails stops the rest, and a later run continues.

Most runs here do their tasks in this process by the CPU's own code; `toys.Here` says how.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton.bench.gpu import command, measure, parts, report, tests, worker
from sscn_triton.bench.gpu.bars import bar_of
from sscn_triton.bench.gpu.cells import PROFILED, QUICK, TOY, TUNED, Cell
from sscn_triton.bench.gpu.measure import WrongResult
from sscn_triton.bench.gpu.timing import Stopwatch
from sscn_triton.common.results import ROOT, Results
from tests.bench.gpu.toys import Here, toy_batch

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="toy size is for machines without a GPU")
CELL, NORM = TOY[0], next(cell for cell in TOY if cell.task == "norm")
PASSED = {"complete": True, "passed": ["tests/one"], "failed": [], "skipped": 2}
DENSE = "PyTorch dense conv3d"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.delenv("OUT", raising=False)
    monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Do tasks in this process; the tests on the device pass. Returns the list of tasks that are asked for."""
    monkeypatch.setattr(parts, "Worker", Here)
    monkeypatch.setattr(tests, "run", lambda *_: PASSED)
    monkeypatch.setattr(Here, "asked", [])
    return Here.asked


def run(out: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """A run's exit code and record."""
    code = command.main(["--toy", "--out", str(out), *words])
    return code, json.loads(out.read_text())


def test_a_run_has_cells_kernels_tiles_rivals_and_tests_in_this_order(here: Any, tmp_path: Path, capsys: Any) -> None:
    code, record = run(tmp_path / "toy.json")
    assert code == 0
    assert {"date", "commit", "device", "versions", "ceilings", "tests", "seconds"} <= record.keys()
    cell = record["cells"][str(CELL)]
    assert cell["errors"]["outputs"] < 1e-6
    assert cell["sscn"]["ms"] > 0
    assert cell["floor ms"] > 0
    assert cell["rules per site"]["finest level"] >= 1
    assert cell["rivals"][DENSE]["ratio"] > 0
    assert record["cells"][f"kernels of {CELL}"]["profile"]
    assert f"tiles of {CELL}" in record["cells"]  # without tiles: the CPU's own code has none
    assert list(record["seconds"]) == list(parts.PARTS) == ["cells", "kernels", "tiles", "rivals", "tests"]
    shown = capsys.readouterr().out
    assert shown.count("These are NOT timings of a GPU") == 2
    assert "All tests passed on the device: 1 passed, 2 skipped." in shown
    assert not (tmp_path / "results").exists()


def test_processes_of_their_own_do_the_same_interpreted(tmp_path: Path) -> None:
    code, record = run(tmp_path / "toy.json", "--parts", "cells", "--only", "norm fp32")
    assert code == 0
    assert record["cells"][str(NORM)]["sscn"]["ms"] > 0


@pytest.mark.deep
def test_a_complete_toy_run_succeeds() -> None:
    assert command.main(["--toy"]) == 0


def test_a_wrong_cell_marks_itself_and_does_not_stop_the_others(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    right = measure.allowed
    monkeypatch.setattr(measure, "allowed", lambda cell: (0.0, 0.0) if cell.task == "step" else right(cell))
    code, record = run(tmp_path / "toy.json", "--parts", "cells")
    assert code == 1
    assert [name for name, cell in record["cells"].items() if "wrong" in cell] == [str(CELL)]
    assert "sscn" not in record["cells"][str(CELL)]
    assert all("sscn" in cell for name, cell in record["cells"].items() if name != str(CELL))
    assert ("cell", str(CELL)) not in here  # its check was enough
    assert "WRONG: layer2 step" in capsys.readouterr().out.split("share of floor")[1]  # again, below the table


def test_a_cell_that_fails_or_hangs_marks_itself_and_does_not_stop_the_others(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(self: Any, task: str, limit: float, **given: Any) -> dict[str, Any]:
        return {"failed": "no result within 60 s"} if given.get("cell") == CELL else done(self, task, limit, **given)

    done = Here.ask
    monkeypatch.setattr(Here, "ask", ask)
    code, record = run(tmp_path / "toy.json", "--parts", "cells")
    assert code == 1
    assert record["cells"][str(CELL)]["failed"] == "no result within 60 s"
    assert sum("sscn" in cell for cell in record["cells"].values()) == len(TOY) - 1


def test_a_check_that_had_no_time_is_made_when_the_cell_is_timed(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "CHECKING", 0.0)
    checked: list[Cell] = []
    monkeypatch.setattr(measure, "check", lambda cell, *_: checked.append(cell) or {"outputs": 0.5})
    _, record = run(tmp_path / "toy.json", "--parts", "cells", "--only", str(CELL))
    assert checked == [CELL]
    assert record["cells"][str(CELL)]["errors"] == {"outputs": 0.5}
    assert ("check", str(CELL)) not in here


def test_a_failing_test_marks_the_record_names_itself_and_erases_nothing(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "toy.json"
    monkeypatch.setattr(tests, "run", lambda *_: {**PASSED, "failed": ["tests/ops/test_gpu.py::test_x"]})
    code, record = run(out, "--parts", "cells,tests", "--only", "norm fp32")
    assert code == 1
    assert record["cells"][str(NORM)]["sscn"]["ms"] > 0
    assert record["tests"]["failed"] == ["tests/ops/test_gpu.py::test_x"]
    assert capsys.readouterr().out.count("TESTS FAILED: tests/ops/test_gpu.py::test_x; 1 passed") == 1
    assert "TESTS FAILED" in report.summary(record)[-1]
    known: list[Any] = []
    monkeypatch.setattr(tests, "run", lambda toy, limit, before: known.append(before) or PASSED)
    assert run(out, "--parts", "tests")[0] == 0
    assert known[0]["failed"] == ["tests/ops/test_gpu.py::test_x"]  # a later run repeats what did not pass
    run(out, "--parts", "tests")
    assert len(known) == 1  # and nothing once all have passed


def test_a_rival_that_hangs_is_left_aside_once_and_for_all(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    limits: list[float] = []

    def ask(self: Any, task: str, limit: float, **given: Any) -> dict[str, Any]:
        if task != "rival":
            return done(self, task, limit, **given)
        limits.append(limit)
        return {"failed": "no result within 30 s"}

    done = Here.ask
    monkeypatch.setattr(Here, "ask", ask)
    out = tmp_path / "toy.json"
    for _ in range(2):
        code, record = run(out, "--parts", "cells,rivals,tests")
        assert code == 0
        assert record["cells"][str(CELL)]["rivals"] == {DENSE: {"why not": "no result within 30 s"}}
    assert len(limits) == 1
    assert f"{DENSE} on {CELL}: no result within 30 s" in capsys.readouterr().out


def test_rivals_have_a_process_of_their_own(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, set[int]] = {"cell": set(), "rival": set()}

    def ask(self: Any, task: str, limit: float, **given: Any) -> dict[str, Any]:
        used.setdefault(task, set()).add(id(self))
        return done(self, task, limit, **given)

    done = Here.ask
    monkeypatch.setattr(Here, "ask", ask)
    run(tmp_path / "toy.json", "--parts", "cells,rivals", "--only", str(CELL))
    assert used["rival"]
    assert not used["cell"] & used["rival"]


def test_a_second_run_continues_and_other_code_starts_again(
    here: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "toy.json"
    run(out, "--parts", "cells", "--only", "norm fp32")
    first = set(here)
    here.clear()
    _, record = run(out, "--parts", "cells")
    assert ("cell", str(NORM)) in first
    assert ("cell", str(NORM)) not in here
    assert ("ceilings", "") not in here
    assert {name for task, name in here if task == "cell"} == {str(cell) for cell in TOY if cell != NORM}
    assert len(record["cells"]) == len(TOY)
    monkeypatch.setattr(parts, "digest", lambda *_: "another engine")
    here.clear()
    run(out, "--parts", "cells", "--only", "norm fp32")
    assert ("cell", str(NORM)) in here
    capsys.readouterr()


def test_what_failed_is_tried_again_after_what_is_new(here: Any, tmp_path: Path) -> None:
    results = Results(tmp_path / "some.json", {"device": {"name": "A"}, "versions": {}})
    results.add(str(TOY[0]), {"failed": "ValueError: no"})
    one = parts.Run(results, command._options(["--toy"]))
    assert one.missing(TOY) == [*TOY[1:], TOY[0]]


def test_the_search_for_tiles_goes_on_and_writes_the_packages_format(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    found = [
        {"tiles": {"some kernel": {"a": 1.0}}, "untuned": {}, "best": {}, "left": 2, "file": "tiles.json"},
        {"tiles": {}, "untuned": {}, "best": {"some kernel": [64, 16, 16, 4, 5]}, "left": 0, "file": "tiles.json"},
    ]
    known: list[Any] = []
    monkeypatch.setitem(worker.TASKS, "tiles", lambda bench, **given: known.append(given["known"]) or found.pop(0))
    out = tmp_path / "toy.json"
    run(out, "--parts", "tiles")
    assert "run it again for 1 of 1 tiles" in capsys.readouterr().out
    run(out, "--parts", "tiles")
    assert known == [{}, {"some kernel": {"a": 1.0}}]
    assert json.loads((tmp_path / "tiles.json").read_text()) == {"tiles": {"some kernel": [64, 16, 16, 4, 5]}}
    run(out, "--parts", "tiles")
    assert len(known) == 2


def test_a_part_without_time_leaves_the_others_theirs(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(parts.PARTS, "cells", 0.0)
    code, record = run(tmp_path / "toy.json", "--parts", "cells,tests")
    assert code == 0
    assert record["tests"]["passed"] == ["tests/one"]
    assert record["cells"] == {}
    assert f"run it again for {len(TOY)} of {len(TOY)} cells" in capsys.readouterr().out


def test_no_part_starts_after_the_end_of_the_run(here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests, "run", lambda *_: pytest.fail("the tests were started"))
    code, record = run(tmp_path / "toy.json", "--seconds", "0")
    assert code == 0
    assert record["cells"] == {}
    assert all(task in ("events", "check", "ceilings") for task, _ in here)


def test_all_parts_fit_into_the_time_of_one_run() -> None:
    assert command.SECONDS <= 540
    assert sum(parts.PARTS.values()) - parts.PARTS["tests"] <= command.SECONDS - 120


def test_records_go_to_out_where_it_is_set_else_to_the_books_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = command._options(["--toy"])
    options.toy = False
    assert command._target(options).parent == command.RESULTS
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    assert command._target(options).parent == tmp_path / "out"
    assert command._target(options).name.endswith("-gpu.json")
    monkeypatch.setenv("OUT", "")
    assert command._target(options).parent == command.RESULTS
    options.out = tmp_path / "own.json"
    assert command._target(options) == options.out


def test_a_run_in_an_empty_out_continues_the_record_in_the_books_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    command.RESULTS.mkdir()
    options = command._options(["--toy", "--out", str(tmp_path / "out" / "some.json")])
    known = {"device": {"name": "A"}, "versions": {}}
    monkeypatch.setattr(command, "about", lambda device: known)
    Results(command.RESULTS / "some.json", known).add("one", {"ms": 1.0})
    results = command._results(options)
    assert "one" in results
    results.add("two", {"ms": 2.0})
    assert set(json.loads(options.out.read_text())["cells"]) == {"one", "two"}
    assert set(json.loads((command.RESULTS / "some.json").read_text())["cells"]) == {"one"}
    options.out = tmp_path / "another" / "some.json"
    monkeypatch.setattr(command, "about", lambda device: {**known, "device": {"name": "B"}})
    assert "one" not in command._results(options)
    assert "starting anew" in capsys.readouterr().out


def test_a_record_of_another_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    out = tmp_path / "toy.json"
    Results(out, {"device": {"name": "another"}, "versions": {}}).write()
    before = out.read_text()
    assert command.main(["--toy", "--out", str(out)]) == 2
    assert "was measured with device" in capsys.readouterr().err
    assert out.read_text() == before


def test_only_known_parts_can_be_chosen(capsys: Any) -> None:
    assert command._options(["--parts", "tests,cells"]).parts == ["cells", "tests"]
    with pytest.raises(SystemExit):
        command._options(["--parts", "cells,test"])
    assert "no list of cells, kernels, tiles, rivals, tests" in capsys.readouterr().err


class OnAGpu(Here):
    """Answers as a worker on a GPU would; nothing runs."""

    def ask(self, task: str, limit: float, **given: Any) -> dict[str, Any]:
        Here.asked.append((task, str(given.get("cell", ""))))
        cell = given.get("cell")
        times = {"ms": 2.0, "least": 1.9, "in a row": 1.8, "runs": 20, "share of floor": 0.5, "peak MB": 10.0}
        row = {"name": "convolution_kernel", "calls": 2.0, "us": 10.0, "floor_us": 5.0}
        tiles = {"some kernel": {"64 16 16 4 5": 2.0, "256 16 16 4 5": 1.0}}
        answers: dict[str, dict[str, Any]] = {
            "check": {"errors": {"outputs": 1e-3}},
            "ceilings": {"copy TB/s": 4.0, "gather TB/s": 9.0, "bf16 TFLOP/s": 800.0},
            "profile": {"profile": [row], "in a row ms": 2.0, "busy ms": 1.0, "floor ms": 0.5},
            "tiles": {
                "tiles": tiles, "untuned": {"some kernel": "64 16 16 4 5"}, "left": 0, "file": "device.json",
                "best": {"some kernel": [256, 16, 16, 4, 5]},
            },
            "rival": {**times, "sscn ms": 2.0, "ratio": 1.0},
        }  # fmt: skip
        if task != "cell" or cell is None:
            return answers.get(task, {})
        bar = bar_of(cell)
        record = {"voxels": 1000, "floor ms": 1.0, "sscn": times, "rules per site": {"finest level": 15.0}}
        return {**record, "errors": given["errors"], **({"bar": bar._asdict()} if bar else {})}


def test_a_run_on_a_gpu_asks_for_every_part(
    here: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(parts, "Worker", OnAGpu)
    options = command._options([])
    options.toy = False
    results = Results(tmp_path / "gpu.json", {"device": {"name": "a GPU"}, "versions": {}})
    assert parts.Run(results, options).do() == 0
    shown = capsys.readouterr().out
    asked = {task: [cell for one, cell in here if one == task] for task, _ in here}
    assert asked["cell"] == list(map(str, QUICK))
    assert len(asked["check"]) == len(set(asked["check"])) < len(QUICK)  # equal passes are checked once
    assert len(asked["events"]) == len(set(asked["events"]))
    assert asked["profile"] == list(map(str, PROFILED))
    assert set(asked["warm tiles"]) == set(asked["tiles"]) == set(map(str, TUNED))
    assert set(asked["rival"]) <= {str(cell) for cell in QUICK if cell.mode == "eager"}
    assert all(f"to beat: {ms} ms" in shown for ms in (0.72, 2.72, 8.51, 6.79, 16.17, 13.11, 34.94))
    assert "convolution_kernel" in shown
    assert "busy 1.000 ms of 2.000 ms in a row" in shown
    assert json.loads((tmp_path / "device.json").read_text()) == {"tiles": {"some kernel": [256, 16, 16, 4, 5]}}
    assert "run it again" not in shown
    here.clear()
    parts.Run(results, options).do()
    assert here == []  # nothing is left


def test_ceilings_that_cannot_be_measured_cost_only_the_floors(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fails(bench: Any) -> dict[str, Any]:
        raise ArithmeticError("the kernel is wrong")

    monkeypatch.setitem(worker.TASKS, "ceilings", fails)
    code, record = run(tmp_path / "toy.json", "--parts", "cells", "--only", "norm fp32")
    assert code == 1
    assert record["cells"][str(NORM)]["floor ms"] == 0
    assert "failed  ceilings" in capsys.readouterr().out


def test_checks_are_made_in_parallel_and_kept_in_order(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(worker.TASKS, "check", lambda bench, cell, distinct: {"errors": {cell.task: 0.1}})
    results = Results(tmp_path / "some.json", {"device": {"name": "A"}, "versions": {}})
    one = parts.Run(results, command._options(["--toy"]))
    given = [{"cell": cell, "distinct": 1} for cell in TOY]
    assert one.in_parallel("check", given, 600) == [{"errors": {cell.task: 0.1}} for cell in TOY]
    assert one.in_parallel("check", given, -1) == [{}] * len(TOY)


def test_a_whole_batch_on_a_gpu_is_checked_as_well_as_a_few_sites() -> None:
    batch = toy_batch()
    assert [where for _, where in measure.checked_batches(batch, "cpu")] == ["cpu"]
    few, whole = 40, len(batch.labels)
    before = measure.FEW
    measure.FEW = few
    try:
        moved = [(len(some.labels), where) for some, where in _batches(batch)]
    finally:
        measure.FEW = before
    assert moved == [(few, "cpu"), (whole, "cuda")]


def _batches(batch: Any) -> Any:
    """What is checked on a GPU, without one."""
    real, measure._moved = measure._moved, lambda some, device: some
    try:
        return measure.checked_batches(batch, "cuda")
    finally:
        measure._moved = real


def test_a_relative_error_of_nan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "relative", lambda mine, right: float("nan"))
    with pytest.raises(WrongResult, match="relative error nan of the outputs"):
        measure.check(CELL, toy_batch(), "cpu")


@pytest.mark.parametrize("cell", TOY, ids=str)
def test_two_passes_that_differ_are_wrong(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(measure.check(cell, toy_batch(), "cpu").values()) < 2e-2
    kind = type(measure.subject(cell, toy_batch(), "cpu"))
    right, turn = kind.results, [0.0]

    def moving(self: Any) -> dict[str, torch.Tensor]:
        turn[0] += 1e-9
        return {name: one.double() + turn[0] for name, one in right(self).items()}

    monkeypatch.setattr(kind, "results", moving)
    with pytest.raises(WrongResult, match="two passes differ"):
        measure.check(cell, toy_batch(), "cpu")


def test_a_stopwatch_reports_the_median_of_several_runs() -> None:
    runs: list[int] = []
    times = Stopwatch("cpu", repeat=5)(lambda: runs.append(1))
    assert times["runs"] == 5
    assert len(runs) == 2 + 5 + 5
    assert times["least"] <= times["ms"]


def test_the_command_needs_no_package_beyond_the_ones_it_names() -> None:
    """On a machine with a GPU there may be only PyTorch, Numba and pytest, with what these require themselves."""
    program = """
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in ("scipy", "sklearn", "yaml", "tqdm", "h5py", "uproot", "lightning", "matplotlib", "plotly"):
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Absent())
import sscn_triton.bench.events, sscn_triton.bench.gpu as room
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr

"""The study keeps its time, and its report is complete or absent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sscn_triton.common import units
from sscn_triton.common.errors import Interrupted
from sscn_triton.common.output import OutputFolder
from sscn_triton.common.units import percent
from sscn_triton.lartpc import simulate
from sscn_triton.study import published
from sscn_triton.study.analysis import judging
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.laptop import budget, comparison, figures, report
from sscn_triton.study.laptop.budget import SHARES, Budget
from sscn_triton.study.questions import ask as questions
from sscn_triton.study.questions import report as questions_report
from sscn_triton.study.runs import curves, run
from sscn_triton.study.runs.figures import STYLE
from sscn_triton.study.runs.run import Job, Outcome
from sscn_triton.study.scaling import measure
from sscn_triton.study.training.loop import Limit
from tests.support.browser import check_head

TINY = {"size": 16, "image": 32, "events": 5, "filters": 2, "depth": 2, "steps": 3}


def here(job: Any, task: Callable[[Any], Any]) -> Any:
    """In this process, to save time."""
    return task(job)


def all_here(jobs: list[Any], task: Callable[[Any], Any], workers: int, told: Callable[[int], None]) -> list[Any]:
    return [job.run() for job in jobs]  # and not `task`, which leaves one thread running


def quick(patch: pytest.MonkeyPatch) -> None:
    """Few repeats of what is timed, and small figures: their numbers and looks do not matter here."""
    patch.setattr(measure, "MOST_REPEATS", measure.REPEATS)
    patch.setitem(STYLE, "figure.dpi", 30)
    patch.setitem(STYLE, "figure.constrained_layout.use", False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny study."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "run_apart", here)
        patch.setattr(questions, "run_all", all_here)
        patch.setattr(questions, "SINGLES", (4, 2))
        quick(patch)
        return comparison.study(StudyConfig(out=str(tmp_path_factory.mktemp("study") / "out"), **TINY))


FIGURES = (
    "report.html", "summary.json", "accuracy.png", "classes.png", "cost.png", "scaling.png", "event.png", "event.html",
    "worst-1.png", "confusion.png", "certainty.png", "michel.png", "michel-event.png", "crop-dense-2018.png",
    "equal.png", "events.png", "depth.png", "weights.png", "particles.png",
)  # fmt: skip


def test_pages_of_the_report_have_language_title_and_viewport(finished: Path) -> None:
    pages = sorted(finished.parent.glob("*.html"))
    assert [page.name for page in pages] == ["event.html", "report.html"]
    for page in pages:
        check_head(page.read_text())


def test_the_report_folder_contains_only_page_record_and_figures(finished: Path) -> None:
    record = json.loads((finished.parent / "report.json").read_text())
    assert sorted(path.name for path in finished.parent.iterdir()) == record["files"]
    assert set(FIGURES) < set(record["files"])
    assert [path.name for path in finished.parent.parent.iterdir()] == ["out"]
    networks = [*record["networks"], record["michel"]["network"]]
    for network in networks:
        assert network["steps"]["iteration"] == [1, 2, 3]
        assert network["forward_seconds_median"] > 0
        assert network["training_memory"] >= 0
    assert [network["whole"] for network in networks] == [False, False, False, True, True]
    assert [network["kind"] for network in networks] == ["sparse", "matched", "study", "sparse", "sparse"]
    assert [network["spatial_shape"][0] for network in networks] == [16, 16, 16, 32, 16]
    assert [network["class_weights"] for network in networks] == ["none"] * 4 + ["sqrt"]
    sparse, dense, large = networks[:3]
    assert sparse["parameters"] == dense["parameters"] < large["parameters"]
    assert sparse["steps"]["voxels"] == dense["steps"]["voxels"] == large["steps"]["voxels"]  # the same crops
    assert record["published"] == json.loads(json.dumps(published.as_record()))


def test_page_is_self_contained_and_says_what_was_measured(finished: Path) -> None:
    page = finished.read_text()
    record = json.loads((finished.parent / "report.json").read_text())
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    pictures = [name for name in record["files"] if name.endswith(".png")]
    assert page.count("<img ") == page.count("data:image/png;base64,") == len(pictures)
    assert page.count("<img ") == page.count("The numbers</summary>")
    for network in record["networks"]:
        assert units.percent(network["held_out"]["nonzero_accuracy"]) in page
        assert units.seconds(network["step_seconds"]) in page
        assert units.memory(network["training_memory"]) in page
    for theirs in (*published.NETWORKS, *published.CLASSES):
        assert theirs.name in page
    assert "62.8 %" in page
    assert "92.0 %" in page
    assert "93.9 %" in page  # the paper's Michel electrons


def test_the_dense_twin_is_judged_by_statistics_of_the_batch_too(finished: Path) -> None:
    record = json.loads((finished.parent / "report.json").read_text())
    by_batch = {network["kind"]: network["held_out_batch"] for network in record["networks"] if not network["whole"]}
    assert by_batch.pop("matched")["events"] == record["networks"][1]["held_out"]["events"]
    assert by_batch == {"sparse": None, "study": None}
    assert record["questions"]["equal"][0]["held_out_batch"] is None
    record["networks"][1]["held_out_batch"] |= {"nonzero_accuracy": 0.4321}
    record["questions"]["equal"][1]["held_out_batch"] = 0.5432
    name = f"{record['networks'][1]['name']}, statistics of the batch"
    assert [row[6] for row in report.main_rows(record) if row[0] == name] == ["43.2 %"]
    assert "and 43.2 % by statistics of the batch, and" in report.sentences(record)[0]
    assert name in report.class_rows(record).header
    assert "54.3 % by statistics of the batch" in questions_report.equal_sentence(record)
    assert questions_report.equal_rows(record).rows[-1][-1] == "54.3 %"
    assert any(f"“{name}” is the same network" in note for note in report.notes(record))
    del record["networks"][1]["held_out_batch"]  # as in an older record
    assert not any(row[0] == name for row in report.main_rows(record))
    assert any("is judged by running statistics alone" in note for note in report.notes(record))


def test_every_question_uses_its_own_trials(finished: Path) -> None:
    asked = json.loads((finished.parent / "report.json").read_text())["questions"]
    assert asked["seeds"] == [0, 1]
    assert [row["events"] for row in asked["events"]] == [1, 12]  # of 15 events, 12 are for training
    assert [row["depth"] for row in asked["depth"]] == [1, 2]
    assert [row["receptive_field"] for row in asked["depth"]] == [7, 20]
    assert [row["class_weights"] for row in asked["weights"]] == ["none", "sqrt", "balanced"]
    plain = asked["events"][-1]["trials"]  # one training is the standard of all three questions
    assert plain == asked["depth"][-1]["trials"] == asked["weights"][0]["trials"]
    different = [plain, asked["events"][0]["trials"], asked["depth"][0]["trials"], asked["weights"][1]["trials"]]
    assert len({json.dumps(trials[0]["shifted"]) for trials in different}) == 4
    for row in [*asked["events"], *asked["depth"], *asked["weights"]]:
        assert [trial["seed"] for trial in row["trials"]] == [0, 1]
        assert {trial["steps"] for trial in row["trials"]} == {3}
    assert [one["kind"] for one in asked["equal"]] == ["sparse", "matched"]
    assert np.sum(asked["particles"]["trials"][0]["confusion"]) == asked["particles"]["held_out"] == 10
    assert "mostly chance" in finished.read_text()  # after three steps
    assert "mostly chance" not in questions_report.introduction(asked | {"steps": 200})


def test_the_summary_is_the_report_in_short(finished: Path) -> None:
    record = json.loads((finished.parent / "report.json").read_text())
    short = json.loads((finished.parent / "summary.json").read_text())
    assert (short["data"]["train_events"], short["data"]["held_out_events"]) == (4, 1)
    assert not {"train", "held_out"} & set(short["data"])
    assert record["config"]["out"] == str(finished.parent)
    assert short["config"]["out"] == finished.parent.name
    mean = np.mean(record["networks"][0]["steps"]["accuracy"])
    for network in short["networks"]:
        assert network["curve"]["iteration"] == [1, 2, 3]
        assert network["step_count"] == 3
        assert "steps" not in network
    assert short["networks"][0]["curve"]["accuracy"][-1] == pytest.approx(mean, rel=1e-3)
    asked = short["questions"]
    assert questions_report.particles_sentence(asked["particles"]) == questions_report.particles_sentence(
        record["questions"]["particles"]
    )
    assert questions_report.weights_sentence(asked) == questions_report.weights_sentence(record["questions"])
    assert short["versions"]["torch"] == metadata.version("torch")
    assert report.main_rows(short)[0][:6] == report.main_rows(record)[0][:6]
    assert report.notes(short)[0] == report.notes(record)[0]
    assert report.class_rows(short)[1][4][2] == "none"
    rows = {row[0]: row for row in report.main_rows(short)}
    for images, best, share in report.trivial_answers(short):
        assert share == max(short["networks"][0 if "crops" in images else -1]["held_out"]["class_share"])
        assert rows[f"{best} everywhere, {images}"][6] == percent(share)
    for draw in (figures.accuracy, figures.classes):
        figures.plt.close(draw(short))


def test_a_curve_keeps_its_ends_and_averages_before_it_is_thinned() -> None:
    assert curves.thinned(5, 3) == [0, 2, 4]
    assert curves.thinned(2, 100) == [0, 1]
    found = curves.curve([float(i) for i in range(1000)], [0.1 * i for i in range(1000)], [1.0] * 1000)
    assert len(found["wall"]) == 100
    assert (found["iteration"][0], found["iteration"][-1]) == (1, 1000)
    assert found["accuracy"][-1] == pytest.approx(999 - 24.5)  # mean of the last fifty


def test_no_question_is_asked_with_questions_false(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[str, Any]] = []

    def refuse_to_answer(*given: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(questions, "ask", refuse_to_answer)
    monkeypatch.setattr(comparison, "_measure", lambda job, output: run.Run(job, SimpleNamespace(predictions=[])))
    for name in ("_scale", "_record", "_michel_record"):
        monkeypatch.setattr(comparison, name, lambda *given: {})
    monkeypatch.setattr(comparison, "_write", lambda output, runs, record: written.append(record))
    comparison.study(StudyConfig(out=str(tmp_path / "out"), questions=False, **TINY))
    assert written[0]["questions"] is None
    with pytest.raises(AssertionError, match="asked"):
        comparison.study(StudyConfig(out=str(tmp_path / "out"), **TINY))


def test_a_budget_gives_each_part_its_share_and_reserves_time_for_later_parts() -> None:
    ten = Budget(StudyConfig(minutes=10.0))
    assert ten.seconds("crops") == pytest.approx(600 * SHARES["crops"])
    assert 3 * SHARES["crops"] + sum(SHARES.values()) - SHARES["crops"] < 0.9
    ten.began -= 370.0  # 600 - 24 for closing - 370 = 206 are left, 150 of them for the questions
    assert ten.seconds("michel", ("questions",)) == pytest.approx(48.0, abs=0.1)
    assert ten.seconds("scaling", ("michel", "questions")) == pytest.approx(206 - 48 - 150, abs=0.1)
    assert ten.seconds("questions") == pytest.approx(150.0, abs=0.1)
    ten.began -= 100.0
    assert ten.seconds("scaling", ("questions",)) == 0.0
    assert ten.seconds("questions") == pytest.approx(106.0, abs=0.1)
    without = Budget(StudyConfig(minutes=10.0, questions=False))
    assert without.seconds("crops") == pytest.approx(600 * SHARES["crops"] / 0.75)
    assert without.seconds("questions") == 0.0
    assert Budget(StudyConfig(steps=3)).seconds("crops") == 0.0


def test_a_short_study_simulates_few_events_and_skips_the_open_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [StudyConfig(minutes=minutes).events for minutes in (0.1, 1.0, 5.0, 30.0)] == [10, 20, 100, 200]
    assert StudyConfig(minutes=1.0, events=50).events == 50
    assert StudyConfig(steps=1).events == 200
    asking = [Budget(StudyConfig(minutes=minutes)).asks_questions() for minutes in (1.0, 3.9, 4.0)]
    assert asking == [False, False, True]
    assert Budget(StudyConfig(minutes=1.0)).seconds("whole") == pytest.approx(60 * SHARES["whole"] / 0.75)
    monkeypatch.setattr(comparison, "_measure", lambda job, output: run.Run(job, SimpleNamespace(predictions=[])))
    for name in ("_scale", "_record", "_michel_record", "_write"):
        monkeypatch.setattr(comparison, name, lambda *given: {})
    tiny = {name: value for name, value in TINY.items() if name != "steps"}
    comparison.study(StudyConfig(out=str(tmp_path / "out"), minutes=1.0, **tiny))
    assert "skipping the open questions: there is not enough time for them" in capsys.readouterr().err


def test_the_evaluation_stops_when_the_time_is_up() -> None:
    network = run.make_network("sparse", StudyConfig(**TINY), 3)
    image = simulate(0, 0, size=16)
    unknown = image.replace(labels=np.full(len(image), -1))
    scores, predictions, seconds = judging.judge(network, [unknown, image, image], seconds=0.0)
    assert (scores.events, len(predictions), len(seconds)) == (1, 2, 2)
    assert len(judging.judge(network, [image] * 3)[1]) == 3


def test_a_report_is_replaced_as_a_whole(finished: Path, tmp_path: Path) -> None:
    with OutputFolder(finished.parent) as output:
        (output.work / "report.json").write_text('{"files": ["report.json"]}')
        assert finished.exists()
        before = {path.name: path.read_bytes() for path in finished.parent.iterdir()}
    assert {path.name: path.read_bytes() for path in finished.parent.iterdir()} == before  # not finished
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in before.items():
        (copy / name).write_bytes(content)
    with OutputFolder(copy) as output:
        (output.work / "report.json").write_text('{"files": ["report.json"]}')
        output.keep("kept.json", {})
        output.finish()
    assert [path.name for path in copy.iterdir()] == ["report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_folder_of_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"contains other files: thesis\.tex"):
        OutputFolder(tmp_path)
    (tmp_path / "report.json").write_text('{"files": ["report.json"]}')
    with pytest.raises(ValueError, match=r"contains other files: thesis\.tex"):
        OutputFolder(tmp_path)
    (tmp_path / "report.json").write_text('{"files": ["report.json", "thesis.tex"]}')
    OutputFolder(tmp_path).__exit__()


@pytest.mark.parametrize(("runs_done", "kept"), [(0, []), (1, ["dense-of-2018-16-px-crops.json"])])
def test_ctrl_c_keeps_the_finished_runs_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_done: int, kept: list[str]
) -> None:
    done: list[Job] = []

    def run_until_interrupted(job: Job, task: Callable[[Job], Outcome]) -> Outcome:
        if len(done) == runs_done:
            raise KeyboardInterrupt
        done.append(job)
        return task(job)

    monkeypatch.setattr(comparison, "run_apart", run_until_interrupted)
    with pytest.raises(Interrupted) as caught:
        comparison.study(StudyConfig(out=str(tmp_path / "out"), **TINY))
    left = list(tmp_path.iterdir())
    assert [path.name for folder in left for path in folder.iterdir()] == kept
    if kept:
        assert f"kept in {left[0]} (dense-of-2018-16-px-crops.json)" in str(caught.value)
    else:
        assert "nothing was kept; no report was written" in str(caught.value)


def test_a_study_with_a_time_limit_gives_both_networks_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    plans: list[Any] = []
    asked: list[float] = []

    def ask(*given: Any) -> None:
        asked.append(given[-1])

    def note(job: Any, task: Callable[[Any], Any]) -> Any:
        if task is not run.run:
            plans.append(job)
            return task(replace(job, seconds=0.0))
        jobs.append(job)
        return task(replace(job, limit=Limit(0.0)))

    monkeypatch.setattr(comparison, "run_apart", note)
    monkeypatch.setattr(questions, "ask", ask)
    monkeypatch.setattr(budget, "JUDGING", 0.0)
    quick(monkeypatch)
    tiny = {name: value for name, value in TINY.items() if name != "steps"}
    page = comparison.study(StudyConfig(out=str(tmp_path / "out"), minutes=60.0, **tiny))
    assert "left open" not in page.read_text()
    networks = json.loads((page.parent / "report.json").read_text())["networks"]
    assert [network["held_out"]["events"] for network in networks] == [1, 1, 1, 1]  # there was no time for more
    assert networks[0]["held_out"]["voxels"] == networks[1]["held_out"]["voxels"] == networks[2]["held_out"]["voxels"]
    assert not (page.parent / "equal.png").exists()
    sparse, dense, large, whole, muons = (job.limit for job in jobs)
    assert sparse == dense == large
    assert sparse.steps is None
    assert sparse.seconds == pytest.approx(3600 * SHARES["crops"])
    assert 0 < whole.seconds <= 3600 * SHARES["whole"]
    assert 0 < muons.seconds <= 3600 * SHARES["michel"]
    assert 0 < plans[0].seconds <= 3600 * SHARES["scaling"]
    assert plans[0].known.keys() == {"matched", "study"}
    assert 0 < asked[0] <= 3600 * SHARES["questions"]


def test_running_mean_averages_the_last_values() -> None:
    assert curves.running_mean([1.0, 2.0, 3.0, 4.0], 2).tolist() == [1.0, 1.5, 2.5, 3.5]

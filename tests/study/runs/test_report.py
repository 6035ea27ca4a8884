"""The page of a training shows the content of its folder; another folder is refused with one line."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("lightning")
pytest.importorskip("matplotlib")
from sscn_triton import cli
from sscn_triton.common.units import percent
from sscn_triton.study.runs.report import baseline, mistake_rows, trivial_metrics
from sscn_triton.study.runs.trained import read_trained
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.trainer import train
from tests.support.browser import check_head


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny training."""
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    train(
        TrainConfig(
            out=str(folder), events=6, image=24, steps=30, filters=2, depth=2, repetitions=1, tensorboard=False,
            class_weights="sqrt", device="cpu",
        )
    )  # fmt: skip
    return folder


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_the_page_shows_the_content_of_the_folder(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(trained, folder)
    assert sscn(capsys, "report", folder) == (0, f"report: {folder / 'report.html'}\n", "")
    page = (folder / "report.html").read_text()
    check_head(page)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert page.count("<img ") == page.count("The numbers</summary>") == 3
    scores = json.loads((folder / "scores.json").read_text())
    with (folder / "steps.csv").open() as file:
        accuracies = [float(row["nonzero_accuracy"]) for row in csv.DictReader(file)]
    numbers = [scores["nonzero_accuracy"], sum(accuracies[-3:]) / 3, max(scores["class_share"])]
    for number in [*numbers, *scores["class_accuracy"], *scores["class_share"]]:
        assert f"<td>{percent(number)}</td>" in page
    for row in scores["confusion"]:
        assert all(f"<td>{count:,}</td>" in page for count in row)
    metrics = scores["voxel_metrics"]
    assert (
        f"<td>mean</td><td></td><td></td><td>{percent(metrics['mean_f1'])}</td><td>{percent(metrics['mean_iou'])}</td>"
        in page
    )
    for column in (metrics["precision"], metrics["recall"], metrics["f1"], metrics["iou"]):
        assert all(f"<td>{percent(math.nan if value is None else value)}</td>" in page for value in column)
    trivial, share = baseline(scores)
    assert page.count(f"<td>{trivial}</td>") == 1
    assert f"the trivial answer ({trivial}) is right for {percent(share)}" in page
    options, _, defaults = page.partition("Options that have their default value")
    assert "<td>class_weights</td><td>sqrt</td>" in options
    assert "<td>learning_rate</td>" not in options
    assert "<td>learning_rate</td><td>0.001</td>" in defaults
    assert sscn(capsys, "report", folder)[0] == 2  # the page exists
    assert sscn(capsys, "report", folder, "--overwrite", "true")[0] == 0


def test_the_trivial_answer_is_the_most_frequent_class() -> None:
    scores = {"classes": ["HIP", "MIP", "shower"], "class_share": [0.1, 0.4, 0.5]}
    assert baseline(scores) == ("everything shower", 0.5)
    assert baseline({"classes": ["track", "shower"], "class_share": [0.4, 0.6]}) == ("everything shower", 0.6)


def test_the_trivial_answer_has_the_measures_of_other_works() -> None:
    scores = {"classes": ["HIP", "MIP"], "class_share": [0.9, 0.1], "confusion": [[10, 20], [0, 30]]}
    assert trivial_metrics(scores) == (
        "The trivial answer (everything HIP) has a mean IoU of 25.0 % and is right for 50.0 % of the voxels."
    )


def test_mistakes_are_sorted_by_number() -> None:
    table = mistake_rows({"classes": ["a", "b", "c"], "confusion": [[5, 3, 0], [1, 9, 0], [6, 0, 0]]})
    assert table.header[0] == "mistake"
    assert table.rows == [
        ["c taken for a", "6", "100.0 %", "60.0 %"],
        ["a taken for b", "3", "37.5 %", "30.0 %"],
        ["b taken for a", "1", "10.0 %", "10.0 %"],
    ]


def test_a_training_of_two_classes_in_two_dimensions_has_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(
        TrainConfig(
            out=str(tmp_path / "flat"), events=6, image=24, steps=2, filters=2, depth=2, repetitions=1, ndim=2,
            classes="two", tensorboard=False, device="cpu",
        )
    )  # fmt: skip
    assert sscn(capsys, "report", tmp_path / "flat", "--out", tmp_path / "flat.html")[0] == 0
    assert "<td>everything " in (tmp_path / "flat.html").read_text()


BROKEN = {
    "nothing": (lambda folder: shutil.rmtree(folder), "not a folder that `sscn train` has written"),
    "unfinished": (lambda folder: (folder / "scores.json").unlink(), "the training is not finished"),
    "no steps": (lambda folder: (folder / "steps.csv").unlink(), "steps.csv: no such file"),
    "cut": (lambda folder: cut(folder / "steps.csv", 400), "expected one per step of final.ckpt, 30"),
    "words": (lambda folder: (folder / "steps.csv").write_text("step,memory\na,b\n"), "steps.csv: not the steps of"),
    "json": (
        lambda folder: cut(folder / "scores.json", 50),
        "scores.json: does not contain the scores of the network in",
    ),
    "list": (
        lambda folder: (folder / "scores.json").write_text("[]"),
        "scores.json: does not contain the scores of the network",
    ),
    "other": (
        lambda folder: edit(folder / "scores.json", classes=["a"] * 5),
        "scores.json: does not contain the scores of",
    ),
    "null": (lambda folder: edit(folder / "scores.json", loss=None), "scores.json: does not contain the scores of"),
    "network": (lambda folder: cut(folder / "final.ckpt", 99), "final.ckpt: not a checkpoint, or a damaged one"),
}


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", BROKEN)
def test_a_folder_without_a_finished_training_is_refused_with_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    spoil, message = BROKEN[name]
    folder = tmp_path / "tiny"
    shutil.copytree(trained, folder)
    spoil(folder)
    code, out, err = sscn(capsys, "report", folder)
    assert (code, out) == (2, ""), err
    assert err.startswith(f"sscn report: {folder}")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "report.html").exists()


def test_read_trained_returns_what_the_files_of_a_training_contain(trained: Path) -> None:
    found = read_trained(trained)
    assert found.config.class_weights == "sqrt"
    assert found.steps["step"] == list(range(1, 31))
    assert found.training_seconds == found.steps["wall"][-1]
    assert found.peak_memory == max(found.steps["memory"]) > 1e6
    both = [a + b for a, b in zip(found.steps["seconds_forward"], found.steps["seconds_backward"], strict=True)]
    assert found.median("seconds_forward", "seconds_backward") == pytest.approx(
        (sorted(both)[14] + sorted(both)[15]) / 2
    )
    assert found.curve["iteration"] == list(range(1, 31))

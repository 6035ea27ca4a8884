"""Short trainings of several recipes: what differs between them, their record, and what is more than chance."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sscn_triton.lartpc import create_events, open_events, simulate
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.questions import recipe
from sscn_triton.study.questions.recipe import RECIPE, VARIATIONS, Setting, Variation, main, options, run
from sscn_triton.study.questions.recipe_report import BASIC, chance, differences, recipe_rows, signed, verdict

TINY = Setting(passes=16, held_out_events=1)
SMALL = {"filters": 1, "depth": 2, "batch": 8, "shift": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("events")
    for name, seed in (("train", 1), ("held_out", 2)):
        with create_events(folder / f"{name}.h5") as out:
            for index in range(2):
                out.append(simulate(seed, index, size=48))
    return [str(folder / "train.h5"), str(folder / "held_out.h5")]


def test_a_run_that_was_stopped_continues_and_refuses_other_events(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = (
        Variation(f"{BASIC}, seed 0", SMALL),
        Variation("logarithm", SMALL, logarithm=True),
        Variation("batch 2", {**SMALL, "batch": 2}),
    )
    monkeypatch.setattr(recipe, "VARIATIONS", chosen[:1])
    out = str(tmp_path / "recipe.json")
    run(TINY, *files, out)
    monkeypatch.setattr(recipe, "VARIATIONS", chosen)
    trained: list[str] = []
    real = recipe.one_training
    monkeypatch.setattr(recipe, "one_training", lambda one, *rest: trained.append(one.name) or real(one, *rest))
    record = run(TINY, *files, out)
    assert trained == ["logarithm", "batch 2"]
    cells = record["cells"]
    assert [cells[one.name]["options"]["steps"] for one in chosen] == [2, 2, 8]
    assert {one["passes"] for one in cells.values()} == {16}
    assert cells["logarithm"]["scores"]["loss"] != cells[f"{BASIC}, seed 0"]["scores"]["loss"]
    assert record["learnt"] != record["judged"]
    assert json.loads(Path(out).read_text()) == json.loads(json.dumps(record))
    with pytest.raises(ValueError, match="was written with learnt="):
        run(TINY, files[1], files[1], out)
    with pytest.raises(ValueError, match="was written with setting="):
        run(Setting(passes=17, held_out_events=1), *files, out)


def test_every_variation_is_a_valid_training_that_differs_from_the_basic_one(tmp_path: Path) -> None:
    made = [options(one, Setting(), out="o", data="d", held_out="h") for one in VARIATIONS]
    assert len({one.name for one in VARIATIONS}) == len(VARIATIONS)
    assert len({(str(config), one.logarithm) for config, one in zip(made, VARIATIONS, strict=True)}) == len(VARIATIONS)
    for one, config in zip(VARIATIONS, made, strict=True):
        assert one.changes.items().isdisjoint(RECIPE.items()), one.name
        assert 0 <= config.steps * config.batch - 6400 * one.share < config.batch + 1, one.name
    assert sum(one.name.startswith(BASIC) for one in VARIATIONS) == 3
    assert options(VARIATIONS[0], Setting(passes=17), out="o", data="d", held_out="h").steps == 3


def test_the_copy_with_logarithms_has_the_same_voxels(files: list[str], tmp_path: Path) -> None:
    copy = recipe.with_logarithms(files[0], tmp_path / "copy.h5", 1)
    with open_events(files[0]) as before, open_events(copy) as after:
        assert len(after) == 1
        assert (before[0].coordinates == after[0].coordinates).all()
        assert (before[0].labels == after[0].labels).all()
        wanted = ENERGY_UNIT * np.log(1 + before[0].energy / ENERGY_UNIT)
        np.testing.assert_allclose(after[0].energy, wanted, rtol=1e-6)


def made_up(*basic: float, **others: float) -> dict[str, Any]:
    """A record with these accuracies in percent."""
    named = {f"{BASIC}, seed {seed}": value for seed, value in enumerate(basic)} | others
    cells = {
        name: {
            "passes": 6400,
            "cpu_seconds": 60.0,
            "training_accuracy": 0.5,
            "scores": {"nonzero_accuracy": value / 100, "class_accuracy": [0.5, 0.5], "class_share": [0.3, 0.7]},
        }
        for name, value in named.items()
    }
    return {"cells": cells, "classes": ["HIP", "MIP"]}


def test_a_difference_counts_only_beyond_the_spread_of_the_seeds() -> None:
    record = made_up(80.0, 81.0, 82.0, low=75.0, high=87.0, near=83.0, under=80.0)
    assert chance(record) == pytest.approx(4.302653 * 1.0 * math.sqrt(4 / 3), rel=1e-6)
    assert differences(record) == pytest.approx({"high": 6.0, "near": 2.0, "under": -1.0, "low": -6.0})
    assert "Better by more: high (+6.0). Worse by more: low (-6.0)." in verdict(record)
    assert "81.0 % on average over 3 seeds (80.0 to 82.0 %)" in verdict(record)
    assert "does not show which differences are chance" in verdict(made_up(80.0, high=99.0))


def test_a_difference_that_rounds_to_zero_has_no_minus_sign() -> None:
    assert [signed(value) for value in (-0.04, 0.04, -0.06, 1.0)] == ["+0.0", "+0.0", "-0.1", "+1.0"]


def test_the_table_has_the_best_constant_answer_as_its_last_row() -> None:
    rows = recipe_rows(made_up(80.0, 81.0, high=87.0)).rows
    assert [row[0] for row in rows] == [f"{BASIC}, seed 0", f"{BASIC}, seed 1", "high", "MIP everywhere"]
    assert rows[-1][4:] == ["70.0 %", "", "0.0 %", "100.0 %"]
    assert rows[2][4:6] == ["87.0 %", "+6.5"]


def test_bad_input_gets_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "no.h5"), "--held_out", "x.h5", "--out", str(tmp_path / "o.json")]) == 2
    assert "no.h5" in capsys.readouterr().err
    assert main(["--data", "a", "--held_out", "b", "--out", "o.txt"]) == 2
    assert ".json" in capsys.readouterr().err

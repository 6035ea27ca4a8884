"""Short last stages for Michel electrons: which events they show, how they are judged, and what their record says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sscn_triton.common.output import as_json
from sscn_triton.lartpc import CLASS_NAMES, create_events, open_events, simulate
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.data.sampling import Batches
from sscn_triton.study.questions import michel_trials
from sscn_triton.study.questions import michel_trials_report as report
from sscn_triton.study.questions.michel_trials import ARMS, MICHEL, RECIPE, Arm, Setting, in_order, main, options, run
from sscn_triton.study.questions.michel_trials_report import CONTROL
from sscn_triton.study.training.checkpoint import Checkpoint, save_checkpoint
from sscn_triton.study.training.config import TrainConfig
from sscn_triton.study.training.networks import NetworkSettings, make_network
from sscn_triton.study.training.optimizer import adam

TINY = Setting(passes=16, held_out_events=2)
NETWORK = NetworkSettings("sparse", filters=1, depth=2, repetitions=1)
WITH_MICHEL = (3, 17, 20, 21, 23)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A checkpoint to start from, 24 events to learn from, of which WITH_MICHEL have five Michel voxels and the others
    four, and events to judge by."""
    folder = tmp_path_factory.mktemp("michel")
    network = make_network(NETWORK, 0)
    settings = asdict(TrainConfig(data="a.h5", held_out="b.h5", filters=1, depth=2, repetitions=1))
    checkpoint = Checkpoint(
        settings, NETWORK, CLASS_NAMES, ENERGY_UNIT, 7, 56, network.state_dict(), adam(network).state_dict(), "0"
    )
    save_checkpoint(checkpoint, folder / "start.ckpt")
    for name, number in (("data", 24), ("held_out", 8)):
        with create_events(folder / f"{name}.h5") as out:
            for index in range(number):
                event = simulate(5, index, size=32)
                labels = np.where(event.labels == MICHEL, 1, event.labels)
                labels[: 5 if index in WITH_MICHEL else 4] = MICHEL
                out.append(event.replace(labels=labels))
    return [str(folder / name) for name in ("start.ckpt", "data.h5", "held_out.h5")]


@pytest.mark.parametrize("seed", [0, 1])
def test_enriched_events_come_first_and_the_others_where_the_control_has_them(seed: int) -> None:
    enriched = list(range(100, 106))
    arms = Arm(CONTROL, seed=seed), Arm("enriched", seed=seed, enriched=6 / 16)
    shown = []
    for arm in arms:
        numbers = in_order(arm, 16, enriched)
        batches = Batches(seed, 16, 8, 0, 2)
        shown.append([numbers[event] for batch in batches for event, _ in batch])
    control, found = shown
    assert sorted(control) == list(range(16))
    assert found == enriched + control[6:]


def test_events_with_a_michel_electron_have_enough_michel_voxels(files: list[str]) -> None:
    with open_events(files[1]) as events:
        assert michel_trials.michel_events(events, 0, 3) == [3, 17, 20]
        assert michel_trials.michel_events(events, 16, 4) == [17, 20, 21, 23]
        with pytest.raises(ValueError, match=r"data\.h5: 5 events with a Michel electron .* first 16, but there are 4"):
            michel_trials.michel_events(events, 16, 5)


def test_every_arm_differs_from_the_control_in_one_point() -> None:
    names = {"out": "o", "data": "d", "held_out": "h", "start": "s"}
    made = {arm.name: asdict(options(arm, Setting(), NETWORK, **names)) for arm in ARMS}
    assert len(made) == len(ARMS)
    control = made[f"{CONTROL}, seed 0"]
    assert control.items() >= {**RECIPE, "filters": 1, "depth": 2, "seed": 0}.items()
    for arm in ARMS[1:]:
        changed = {name for name, value in made[arm.name].items() if value != control[name]}
        assert len(changed) + (arm.enriched > 0) == 1, arm.name
    assert Setting().passes == control["steps"] * control["batch"]


def test_a_run_that_was_stopped_continues_with_the_same_start_and_events(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Arm(f"{CONTROL}, seed 0"), Arm("enriched", enriched=0.25)
    monkeypatch.setattr(michel_trials, "ARMS", chosen[:1])
    out = str(tmp_path / "michel.json")
    run(TINY, *files, out)
    monkeypatch.setattr(michel_trials, "ARMS", chosen)
    monkeypatch.setattr(michel_trials, "STATISTICS_BATCHES", 1)
    numbers: list[list[int]] = []
    statistics: list[tuple[str, ...]] = []
    real, estimate = michel_trials.one_training, michel_trials.estimate_statistics
    monkeypatch.setattr(michel_trials, "one_training", lambda *given: numbers.append(list(given[4])) or real(*given))
    monkeypatch.setattr(
        michel_trials,
        "estimate_statistics",
        lambda network, batches: statistics.extend(batch.names for batch in batches) or estimate(network, batches),
    )
    record = run(TINY, *files, out)
    assert [sorted(set(one) - set(range(16))) for one in numbers] == [[17, 20, 21, 23]]
    last = next(iter(Batches(0, 16, 8, 1, 2)))
    assert statistics == [tuple(f"5:{event}" for event, _ in last)]
    assert {one["passes"] for one in record["cells"].values()} == {16}
    for one in record["cells"].values():
        assert one["scores"]["events"] == 2
        assert np.sum(one["scores"]["confusion"]) == one["scores"]["voxels"]
        assert len(one["scores"]["attached"]["class_accuracy"]) == 5
    assert record["start"]["passes"] == 56
    assert Path(out).read_text() == as_json(record) + "\n"
    assert "enriched: Michel" in report.summary_text(record)
    with pytest.raises(ValueError, match="was written with learnt="):
        run(TINY, files[0], files[2], files[2], out)


def cell(accuracy: float, classes: list[float], found: float = 0.9) -> dict[str, Any]:
    michel = {
        "true": 100, "identification_efficiency": found, "identification_purity": 0.8,
        "clustering_efficiency": 0.7, "clustering_purity": 0.6,
    }  # fmt: skip
    scores = {"nonzero_accuracy": accuracy, "class_accuracy": classes, "class_share": [0.3, 0.6, 0.1], "michel": michel}
    confusion = [[5, 0, 5], [0, 9, 1], [3, 2, 15]]
    return {"passes": 16, "cpu_seconds": 60.0, "scores": {**scores, "confusion": confusion, "attached": scores}}


def record(**others: dict[str, Any]) -> dict[str, Any]:
    cells = {
        f"{CONTROL}, seed 0": cell(0.90, [0.80, 0.90, 0.50]),
        **others,
        f"{CONTROL}, seed 1": cell(0.92, [0.82, 0.90, 0.54]),
    }
    return {"cells": cells, "classes": ["HIP", "MIP", "Michel"]}


def test_the_verdict_compares_with_the_mean_and_the_spread_of_the_control() -> None:
    made = record(better=cell(0.93, [0.81, 0.85, 0.70]), same=cell(0.91, [0.85, 0.8998, 0.55]))
    said = report.verdict(made)
    assert said.startswith("By the labels of the slides, the control")
    assert "the control labels 52.0 % of the Michel voxels of an event and 91.0 % of all voxels" in said
    # t(0.975, 1) = 12.7062, times the spread of two, 4 / sqrt(2), times sqrt(1 + 1/2)
    assert "on average over 2 trainings. One more training of the control would lie within 44.0 and 22.0 points" in said
    assert "better: Michel +18.0 points, all voxels +2.0, MIP loses most (-5.0)" in said
    assert "same: Michel +3.0 points, all voxels" in said
    assert "no other class loses. Every class has such a limit; the differences beyond their limits: " in said
    assert said.endswith(": better, MIP -5.0 (limit 0.0).")
    del made["cells"][f"{CONTROL}, seed 1"]
    assert report.verdict(made).endswith("does not show which differences are chance.")


def test_the_tables_have_every_training_and_the_best_constant_answer() -> None:
    made = record(better=cell(0.93, [0.81, 0.85, 0.70], found=0.95))
    rows = report.accuracy_rows(made, "attached").rows
    assert [row[0] for row in rows] == [f"{CONTROL}, seed 0", f"{CONTROL}, seed 1", "better", "MIP everywhere"]
    assert [row[3] for row in rows] == ["", "", "+2.0", ""]
    assert rows[-1][4:] == ["60.0 %", "0.0 %", "100.0 %", "0.0 %"]
    found = report.michel_rows(made).rows
    assert found[4] == ["better", "slides", "100", "95.0 %", "80.0 %", "70.0 %", "60.0 %", "75.0 %", "71.4 %"]
    assert found[5][3:] == ["95.0 %", "80.0 %", "70.0 %", "60.0 %", "", ""]
    assert "standard error of the control's efficiency is 3.0 points" in report.limits(made)


def test_what_a_record_leaves_undefined_is_shown_as_undefined() -> None:
    made = record(none=cell(0.93, [0.81, 0.85, None], found=None))  # type: ignore[list-item,arg-type]
    assert report.accuracy_rows(made, "slides").rows[2][-1] == report.michel_rows(made).rows[4][3] == "none"
    made["cells"][f"{CONTROL}, seed 0"]["scores"]["michel"] |= {"true": 0, "identification_efficiency": None}
    assert "0 true Michel electrons: the standard error of the control's efficiency is unknown" in report.limits(made)


def test_bad_input_gets_one_error(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, data, held_out = files
    for given, message in (
        ((str(tmp_path / "no.ckpt"), data, held_out, "--passes", "16"), "no.ckpt"),
        ((start, data, held_out, "--passes", "12"), "passes must be divisible by the batch of 8, got 12"),
        ((start, data, held_out, "--passes", "32"), "data.h5: 32 events are needed, but there are 24"),
        ((start, data, held_out, "--passes", "16"), "held_out.h5: 1000 events are needed, but there are 8"),
    ):
        words = [word for name, path in zip(("--start", "--data", "--held_out"), given, strict=False)
                 for word in (name, path)]  # fmt: skip
        out = tmp_path / "out.json"
        assert main([*words, "--out", str(out), *given[3:]]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()

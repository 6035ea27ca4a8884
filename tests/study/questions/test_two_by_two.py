"""The two-by-two of norms and convolutions: its trainings, its record, and the effects computed from it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sscn_triton.study.data.batches import training_crops
from sscn_triton.study.questions import two_by_two, two_by_two_record, two_by_two_report
from sscn_triton.study.questions.two_by_two import (
    CELLS,
    Data,
    Setting,
    WithBackground,
    main,
    make,
    run,
    train_and_judge,
)
from sscn_triton.study.questions.two_by_two_effects import at_best, effects
from sscn_triton.study.questions.two_by_two_record import rate, seeds
from sscn_triton.study.questions.two_by_two_report import measures_sentence, rate_sentence, verdict
from sscn_triton.study.training.loop import estimate_statistics

TINY = Setting(
    events=3, choosing=2, judging=2, image=48, size=16, images=2, filters=1, depth=2, steps=3, trial_steps=2,
    rates=(0.01, 0.02), seeds=(0, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(TINY)


def test_a_run_that_was_stopped_continues_with_what_is_missing(tmp_path: Path, monkeypatch: Any) -> None:
    out = str(tmp_path / "cells.json")
    record = run(TINY, out)
    assert len(record["cells"]) == len(CELLS) * (len(TINY.rates) + len(TINY.seeds))
    assert json.loads(Path(out).read_text())["cells"].keys() == record["cells"].keys()
    assert "held out" in two_by_two_report.summary_text(record)
    last = list(record["cells"])[-1]
    kept = {name: one for name, one in record["cells"].items() if name != last}
    Path(out).write_text(json.dumps({**record, "cells": kept}))
    trained: list[str] = []
    real = two_by_two.train_and_judge
    monkeypatch.setattr(
        two_by_two, "train_and_judge", lambda cell, *rest: trained.append(cell.name) or real(cell, *rest)
    )
    again = run(TINY, out)
    assert trained == [CELLS[-1].name]
    assert (
        again["cells"][last]["scores"]["confusion"] == record["cells"][last]["scores"]["confusion"]
    )  # every training is repeatable
    with pytest.raises(ValueError, match="was written with other options"):
        run(replace(TINY, steps=4), out)


def test_the_sparse_network_and_its_dense_twin_alone_also_learn_for_equal_cpu_time(
    tmp_path: Path, monkeypatch: Any
) -> None:
    pair = [CELLS[0].name, CELLS[3].name]
    seconds = {pair[0]: 30.0, pair[1]: 20.0}
    real = two_by_two.train_and_judge
    monkeypatch.setattr(
        two_by_two,
        "train_and_judge",
        lambda cell, *rest: real(cell, *rest) | {"cpu_seconds": seconds[cell.name]},
    )
    setting = replace(TINY, cells=tuple(pair), equal_time=True, choose_by=("scores", "batch_scores"))
    made = run(setting, str(tmp_path / "pair.json"))
    assert {one["cell"] for one in made["cells"].values()} == set(pair)
    assert [one["steps"] for one in two_by_two_record.timed(made)] == [2, 2]  # 3 steps * 20 s / 30 s
    assert [one["seed"] for one in two_by_two_record.timed(made)] == [0, 1]
    shown = two_by_two_report.accuracy_rows(made).rows
    assert [row[0] for row in shown][2].endswith("for the CPU time of the sparse network")
    assert [row[2:4] for row in shown[:3]] == [["3", "0.5"], ["3", "0.3"], ["2", "0.5"]]
    assert [one.name for one in effects(made)] == ["both: sparse minus dense"]
    assert "both networks are at least" in verdict(made)
    assert "(2 steps of the dense twin, with a schedule of this length, against 3 of" in (
        two_by_two_report.time_sentence(made)
    )
    drawn = two_by_two_report.figure(made)
    assert len(drawn.axes) == 3
    assert drawn.axes[1].lines[0].get_xdata()[-1] == pytest.approx(0.5)  # minutes


def test_the_loss_with_a_background_class_is_over_all_voxels_of_an_event(data: Data) -> None:
    cell = CELLS[-1]
    assert cell.background
    batch = next(training_crops(data.train, TINY.size, TINY.images, 0))
    network = make(cell, 0, TINY).eval()
    logits, losses = WithBackground(network, 0.01).logits_and_losses(batch)
    image = torch.zeros(batch.images, 1, TINY.size, TINY.size)
    labels = torch.full((batch.images, TINY.size, TINY.size), 5)
    for (one, i, j), energy, label in zip(batch.coordinates.tolist(), batch.features, batch.labels, strict=True):
        image[one, 0, i, j], labels[one, i, j] = energy, label
    scores = torch.log_softmax(network(image), 1)
    for one in range(batch.images):
        known = (labels[one] >= 0).nonzero().tolist()
        mean = -sum(scores[one, labels[one, i, j], i, j] for i, j in known) / len(known)
        torch.testing.assert_close(losses[one], mean)
    one, i, j = batch.coordinates[7].tolist()
    torch.testing.assert_close(logits[7], network(image)[one, :, i, j])


def test_running_statistics_are_those_of_the_final_weights(data: Data, monkeypatch: Any) -> None:
    judged: list[torch.nn.Module] = []
    real = two_by_two.judge
    monkeypatch.setattr(
        two_by_two, "judge", lambda network, *rest: judged.append(copy.deepcopy(network)) or real(network, *rest)
    )
    train_and_judge(CELLS[0], TINY, data, 0, 0.01, TINY.steps, data.judging)
    expected = copy.deepcopy(judged[0])
    estimate_statistics(expected, list(islice(training_crops(data.train, TINY.size, TINY.images, 0), TINY.steps)))
    torch.testing.assert_close(dict(judged[0].named_buffers()), dict(expected.named_buffers()))


def test_networks_of_a_seed_start_from_the_same_weights() -> None:
    first = [np.sort(np.abs(next(make(cell, 3, TINY).parameters()).detach().numpy()).ravel()) for cell in CELLS]
    assert all(np.array_equal(one, first[0]) for one in first)


def record(accuracies: dict[str, list[float]]) -> dict[str, Any]:
    """A record with these held-out accuracies by cell and seed; by running statistics all are a tenth of them."""
    cells = {
        f"seed {seed}: {cell}": {
            "cell": cell,
            "seed": seed,
            "scores": {"nonzero_accuracy": value / 10},
            "batch_scores": {"nonzero_accuracy": value},
        }
        for cell, values in accuracies.items()
        for seed, value in enumerate(values)
    }
    return {"cells": cells}


def test_effects_are_the_differences_computed_by_hand() -> None:
    names = [cell.name for cell in CELLS]
    neither, norms, sites, both, background = (np.array(v) for v in (
        [0.50, 0.52, 0.48], [0.60, 0.61, 0.59], [0.55, 0.58, 0.49], [0.75, 0.76, 0.71], [0.4, 0.53, 0.38]
    ))  # fmt: skip
    made = record(dict(zip(names, map(list, (neither, norms, sites, both, background)), strict=True)))
    found = effects(made)
    expected = [
        ((norms - neither) + (both - sites)) / 2,
        ((sites - neither) + (both - norms)) / 2,
        (both - sites) - (norms - neither),
        both - neither,
        background - neither,
    ]
    for one, values in zip(found, expected, strict=True):
        assert one.values == pytest.approx(100 * values)
        assert one.half == pytest.approx(4.302653 * np.std(100 * values, ddof=1) / np.sqrt(3))
    assert [one.clear for one in found] == [True, True, True, True, False]
    for one, tenth in zip(found, effects(made, "scores"), strict=True):
        assert tenth.values == pytest.approx(one.values / 10)


@pytest.mark.parametrize(
    ("norms", "sites", "both", "expected"),
    [
        (
            [60, 61, 59],
            [50, 53, 48],
            [61, 62, 60],
            "the norms contribute; these seeds do not tell whether the convolutions do, too",
        ),
        (
            [51, 49, 50],
            [60, 61, 59],
            [61, 62, 60],
            "the convolutions contribute; these seeds do not tell whether the norms do, too",
        ),
        ([55, 56, 55], [56, 57, 55], [61, 62, 60], "both contribute"),
        ([40, 41, 39], [70, 71, 69], [61, 62, 60], "-9.5 come with the norms and +20.5 with the convolutions."),
        ([60, 45, 50], [45, 62, 50], [61, 62, 60], "do not tell the two apart"),
        ([60, 61, 59], [50, 53, 48], [61, 40, 60], "show no difference"),
    ],
)
def test_the_verdict_names_the_factor_that_seeds_agree_on(
    norms: list[float], sites: list[float], both: list[float], expected: str
) -> None:
    names = [cell.name for cell in CELLS]
    values = [[50.0, 51.0, 49.0], norms, sites, both, [30.0, 30.0, 30.0]]
    made = record({name: [v / 100 for v in one] for name, one in zip(names, values, strict=True)})
    for one in made["cells"].values():
        one["scores"] = one["scores"] | {"class_share": [0.1, 0.36, 0.2, 0.2, 0.14]}
        one["without_background"] = 0.4
    made |= {"classes": ["HIP", "MIP", "shower", "delta", "Michel"]}
    assert expected in verdict(made)
    assert ("all four" in verdict(made)) is (min(norms + sites + both) > 41)
    assert "not what it has learnt" not in verdict(made)
    assert "Worse than MIP everywhere, on average: norms over all voxels, dense convolution" in verdict(made, "scores")


def test_the_rate_of_a_cell_is_the_most_accurate_of_its_trials() -> None:
    one, other = CELLS[0].name, CELLS[1].name
    cells: dict[str, Any] = {
        f"rate {peak}: {cell}": {"cell": cell, "learning_rate": peak, "scores": {"nonzero_accuracy": value}}
        for cell, peak, value in ((one, 0.1, 0.5), (one, 0.2, 0.7), (one, 0.3, 0.6), (other, 0.1, 0.9))
    }
    cells[f"seed 0: {one}"] = {"cell": one, "learning_rate": 9.0, "seed": 0, "scores": {"nonzero_accuracy": 0.99}}
    made = {"cells": cells, "setting": {"rates": [0.1, 0.2, 0.3], "trial_steps": 5, "choosing": 7}}
    assert (rate(made, one), rate(made, other)) == (0.2, 0.1)
    for value, trial in zip((0.6, 0.5, 0.9), cells.values(), strict=False):
        trial["batch_scores"] = {"nonzero_accuracy": value}
    cells[f"rate 0.1: {other}"]["batch_scores"] = {"nonzero_accuracy": 0.1}
    made["setting"]["choose_by"] = ["scores", "batch_scores"]
    assert (rate(made, one), rate(made, other)) == (0.3, 0.1)
    assert "the better one of statistics of the batch and running statistics on 7 crops" in rate_sentence(made)
    del made["setting"]["choose_by"]  # as in an older record
    said = rate_sentence(made)
    assert "The lowest is the best for: norms over active voxels, dense convolution. A rate beyond" in said
    assert "highest" not in said


def test_a_run_that_was_stopped_is_reported_as_far_as_its_seeds_are_complete() -> None:
    values = {cell.name: [0.5, 0.6, 0.7] for cell in CELLS}
    values[CELLS[3].name] = [0.8, 0.8]
    values[CELLS[4].name] = [0.4]
    made = record(values)
    assert seeds(made) == [0, 1]
    found = effects(made)
    assert [list(one.values) for one in found[3:]] == [pytest.approx([30, 20]), pytest.approx([-10])]
    assert (found[4].clear, found[4].text()) == (False, "-10.0 (one seed)")
    del made["cells"][f"seed 0: {CELLS[4].name}"]
    assert len(effects(made)) == 4


def test_bad_options_are_refused_before_any_work(tmp_path: Path, capsys: Any) -> None:
    for words, message in (
        (["--out", "a.txt"], "out"),
        (["--out", str(tmp_path / "a.json"), "--size", "60"], "size must be divisible by 8 at depth 4, got 60"),
        (["--out", str(tmp_path / "a.json"), "--steps", "0"], "steps"),
        (["--out", str(tmp_path / "a.json"), "--image", "32"], "size must fit into the image of 32, got 64"),
        (["--out", str(tmp_path / "a.json"), "--cells", "dense"], "cells must be one or more different values of"),
        (["--out", str(tmp_path / "a.json"), "--cells", CELLS[0].name, "--equal_time", "true"], "must contain both"),
        (["--out", str(tmp_path / "a.json"), "--choose_by", "loss"], "choose_by must be one or more different values"),
        (["--out", str(tmp_path / "a.json"), "--rates", "0.1", "0.1"], "rates must be one or more different values"),
        (["--out", str(tmp_path / "a.json"), "--rates", "0.1", "-1"], "rates must be positive and finite"),
        (["--out", str(tmp_path / "a.json"), "--event_seeds", "1", "1", "2"], "event_seeds three different ones"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err


def test_each_network_is_compared_at_its_best_too() -> None:
    values = {cell.name: [0.5, 0.6, 0.7] for cell in CELLS}
    made = record(values)
    for one in made["cells"].values():
        if one["cell"] == CELLS[3].name:
            one["scores"] = {"nonzero_accuracy": one["batch_scores"]["nonzero_accuracy"] + 0.1}
    found = at_best(made)
    assert found.values == pytest.approx([10, 10, 10])
    assert "(running statistics for the sparse network, statistics of the batch for its dense twin)" in (
        measures_sentence(made)
    )
    assert "(the sparse network) +10.0 ± 0.0" in measures_sentence(made)


def test_without_a_training_of_equal_time_the_curves_tell_where_the_dense_twin_was() -> None:
    made = record({CELLS[0].name: [0.8], CELLS[3].name: [0.9]})
    made |= {"setting": {"cells": [CELLS[0].name, CELLS[3].name]}}
    for name, seconds, accuracy in ((CELLS[0].name, 40.0, 0.8), (CELLS[3].name, 20.0, 0.9)):
        curve = {"iteration": [1, 10, 20, 30, 40], "accuracy": [0.2, 0.3, 0.5, 0.7, accuracy]}
        made["cells"][f"seed 0: {name}"] |= {"cpu_seconds": seconds, "curve": curve}
    said = two_by_two_report.time_sentence(made)
    assert "It takes 2.0 times as long" in said
    assert "at step 20 and with its learning rate still high, it labels 50.0 % in training" in said
    assert "ends at 90.0 %" in said
    assert "+10.0 (one seed) points, which a single seed does not distinguish from chance" in measures_sentence(made)
    assert two_by_two_report.spread(np.array([80.0])) == "80.0 %"
    assert two_by_two_report.seeds_text(made) == "one seed"


@pytest.mark.parametrize(
    ("dense", "expected"),
    [
        ([0.81, 0.82, 0.83], "with every seed, by statistics of the batch: 82.0 % (81.0 to 83.0)"),
        ([0.79, 0.82, 0.83], "with 2 of 3 seeds"),
        ([0.80, 0.70, 0.75], "with no seed"),
    ],
)
def test_the_page_says_whether_the_dense_twin_has_learnt_enough(dense: list[float], expected: str) -> None:
    made = record({cell.name: dense for cell in CELLS})
    for one in made["cells"].values():
        one["curve"] = {"iteration": [1, 10, 20], "accuracy": [0.2, 0.7, one["batch_scores"]["nonzero_accuracy"]]}
    said = two_by_two_report.goal_sentence(made)
    assert expected in said
    assert ("passes this level at step 20" in said) is bool(np.mean(dense) > 0.8)
    assert ("its highest value is 75.0 %" in said) is bool(np.mean(dense) < 0.8)


@pytest.mark.parametrize(
    ("longer", "expected"),
    [
        ([0.60, 0.62, 0.61], "is +10.0 ± 0.0 points after 9 steps: the longer training confirms its sign."),
        ([0.52, 0.49, 0.51], "points after 9 steps: the longer training does not confirm it."),
    ],
)
def test_a_longer_training_confirms_a_difference_or_does_not(longer: list[float], expected: str) -> None:
    dense, sparse = CELLS[0].name, CELLS[3].name
    names = {"cells": [dense, sparse]}
    short = record({dense: [0.50, 0.52, 0.51], sparse: [0.60, 0.61, 0.62]}) | {"setting": names | {"steps": 3}}
    made = record({dense: [0.50, 0.52, 0.51], sparse: longer}) | {"setting": names | {"steps": 9}}
    assert expected in two_by_two_report.longer_sentence(short, made)


def test_a_rate_that_was_chosen_by_the_measure_that_suits_the_dense_twin_less_is_named_so() -> None:
    dense = CELLS[0].name
    made = record({cell.name: [0.5] for cell in CELLS})  # by running statistics, a tenth of it
    made["setting"] = {"rates": [0.1], "trial_steps": 5, "choosing": 7}
    trial = {"cell": dense, "learning_rate": 0.1, "scores": {"nonzero_accuracy": 0.4}}
    made["cells"][f"rate 0.1: {dense}"] = trial | {"batch_scores": {"nonzero_accuracy": 0.5}}
    assert "does better by statistics of the batch, which did not choose its rate" in rate_sentence(made)
    made["setting"]["choose_by"] = ["scores", "batch_scores"]
    assert "did not choose" not in rate_sentence(made)

"""The build computes the book's drawings: the animation, the result pages, their colours."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from sscn_ref import active_growth, convolve, submanifold_rulebook
from sscn_triton.common.units import percent
from sscn_triton.lartpc import CLASS_NAMES
from sscn_triton.study.questions import recipe_report
from sscn_triton.study.questions import two_by_two_record as factors
from sscn_triton.study.questions import two_by_two_report as report
from tests.compat.spconv import foreign_networks

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book"))
from sscn_book import (  # noqa: E402
    claims,
    front,
    image_edge,
    long_training,
    michel_trials,
    migration,
    pretrained,
    recipe,
    study,
    two_by_two,
)
from sscn_book.records import newest  # noqa: E402

RESULTS = ROOT / "book" / "results"


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    return front.track(ROOT / "tutorial" / "events.npz")


def test_the_rims_of_the_animation_equal_the_growth_of_ordinary_convolutions(track):
    counts = np.cumsum([len(ring) for ring in front.grown(track)])
    assert counts.tolist() == active_growth(track, front.LAYERS)


def test_the_influence_drawn_along_the_track_is_that_of_convolutions(track):
    layers = front.influenced(track)
    rulebook, ones = submanifold_rulebook(track, 3), np.ones((9, 1, 1))
    carried = (track == layers[0]).all(axis=1)[:, None].astype(float)
    for layer in range(front.LAYERS + 1):
        reached = {tuple(site) for new in layers[: layer + 1] for site in new.tolist()}
        assert reached == {tuple(site) for site in track[carried[:, 0] > 0].tolist()}
        carried = convolve(carried, ones, rulebook)


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb, by WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_colours_of_the_pictures_contrast_with_the_page():
    css = (ROOT / "book" / "_static" / "front.css").read_text()
    light, dark = (re.findall(r"--\w+: (#\w{6});", part) for part in css.split('[data-theme="dark"]')[:2])
    assert len(light) == len(dark) == 2
    for page, colors in (("#ffffff", light), ("#121212", dark)):
        for color in colors:
            low, high = sorted([luminance(page), luminance(color)])
            assert (high + 0.05) / (low + 0.05) >= 3, (color, page)


def test_a_missing_result_is_reported_as_not_measured(tmp_path):
    assert study.text(tmp_path).count("**not measured yet**") == len(study.WANTED)


def test_the_page_on_the_study_gives_every_claim_a_verdict():
    first, _, *rows = claims.text(ROOT / "book" / "results").splitlines()
    assert first.startswith("**Is the study replicated?** ")
    rows = rows[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cells) == 7
    assert all(len(row) == 3 and all(row) for row in cells)


def test_without_results_every_claim_is_open(tmp_path):
    first, _, *rows = claims.text(tmp_path).splitlines()
    assert "claims, 0 hold here, 0 do not hold here, and 7 hold in part or are open (" in first
    rows = rows[2:]
    assert len(rows) == 7
    assert all(row.endswith("| open |") for row in rows)
    sections = [one.text(tmp_path) for one in (long_training, image_edge, michel_trials, recipe, two_by_two)]
    assert [*sections, two_by_two.long_text(tmp_path)] == ["**Not measured yet.**"] * 6


def test_the_answer_counts_the_claims_that_hold():
    held = ["reached", "reached", "confirmed for the dense twin", "memory agrees, if", "memory agrees, if"]
    assert claims.answer([*held, "confirmed", "reached"]).startswith("**Is the study replicated?** Yes. ")
    mixed = ["not reached: 2.8 times", "reached for no class", "not confirmed for", "memory 0.47", "memory agrees"]
    said = claims.answer([*mixed, "dense: a power law; see", "efficiency reached, purity not reached"])
    assert "Not as a whole. Of its 7 claims, 1 holds here (the memory of the dense network), 2 do not hold" in said
    assert "and 4 hold in part or are open (sparse against dense, the memory of the sparse network, the growth" in said
    failed = claims.answer(["not reached", "reached for delta", "refuted", *["open"] * 4])
    assert "0 hold here, 2 do not hold here (the accuracy of the sparse network, sparse against dense), and 5" in failed


def trained(accuracy, classes=(0.9, 0.9, 0.9, 0.9, 0.9)):
    michel = {"true": 40, "identification_efficiency": 0.5, "identification_purity": None}
    score = {"nonzero_accuracy": accuracy, "class_accuracy": classes, "events": 7, "data": "a.h5", "michel": michel}
    return {"classes": list(CLASS_NAMES), "passes": 1000, "scores": [score]}


def test_verdicts_on_accuracies_compare_them_with_the_slides():
    assert claims._sparse(trained(0.98))[2] == "reached"
    assert claims._sparse(trained(0.95))[2] == "not reached: 2.5 times as many wrong voxels"
    assert "98.0 %" in claims._sparse(None)[0]
    assert "99.3 %" in claims._sparse(None)[0]
    assert claims._classes(trained(0.9))[2] == "reached for delta, Michel"
    assert claims._classes(trained(0.9, (0.5,) * 5))[2] == "reached for no class"
    assert claims._classes(trained(0.9, (1.0,) * 5))[2] == "reached"
    assert claims._michel(trained(0.9))[1:] == [
        "50.0 % of 40 Michel electrons in the held-out events, not enriched; no candidates",
        "efficiency not reached, purity not reached",
    ]  # fmt: skip
    many = trained(0.9)
    many["scores"][0]["michel"] = {"true": 40, "identification_efficiency": 0.95, "identification_purity": 0.7}
    assert claims._michel(many)[2] == "efficiency reached, purity not reached"


@pytest.mark.parametrize(
    ("sparse", "dense", "verdict"),
    [(0.9, 0.52, "not tested"), (0.9, 0.8, "confirmed"), (0.7, 0.8, "refuted")],
)
def test_a_dense_network_that_is_no_better_than_the_trivial_answer_tests_nothing(sparse, dense, verdict):
    def network(name, accuracy):
        held_out = {"nonzero_accuracy": accuracy, "class_share": [0.1, 0.4, 0.48, 0.01, 0.01]}
        return {"name": name, "whole": False, "held_out": held_out, "training_seconds": 60.0}

    networks = [network("sparse", sparse), network("dense", dense)]
    row = claims._dense({"classes": list(CLASS_NAMES), "networks": networks}, None)
    assert row[2].startswith(verdict)
    assert "shower everywhere 48.0 %" in row[1]
    networks[1]["held_out_batch"] = {"nonzero_accuracy": 0.95}
    row = claims._dense({"classes": list(CLASS_NAMES), "networks": networks}, None)
    assert row[2] == "refuted"
    assert "dense 95.0 %" in row[1]


def test_the_newest_record_is_read_with_undefined_numbers_as_nan(tmp_path):
    for day, values in ((2, [0.5, None]), (10, [0.25, None]), (1, [])):
        (tmp_path / f"2026-11-{day:02}-training.json").write_text(json.dumps({"accuracy": values, "note": None}))
    (tmp_path / "2026-12-01-other.json").write_text("{}")
    name, record = newest(tmp_path, "*-training.json")
    assert name == "2026-11-10-training.json"
    np.testing.assert_array_equal(record.pop("accuracy"), [0.25, np.nan])
    assert record == {"note": None}
    assert newest(tmp_path, "*-scaling.json") is None


def test_the_page_shows_every_network_of_the_newest_two_by_two():
    _, record = newest(RESULTS, two_by_two.PATTERN)
    shown = two_by_two.text(RESULTS).replace("\N{NO-BREAK SPACE}", " ")
    assert all(factors.NAMES[cell] in shown for cell in factors.FOUR)
    assert len(factors.seeds(record)) == 3
    for cell in factors.trained(record):
        for measure in factors.MEASURES:
            assert report.spread(factors.accuracies(record, cell, measure)) in shown
    assert "nan" not in shown.split("```{raw} html")[0]


def test_the_ten_minute_networks_stand_beside_trivial_answers_and_the_long_training():
    _, record = newest(RESULTS, long_training.PATTERN)
    lines = study.text(RESULTS).replace("\N{NO-BREAK SPACE}", " ").splitlines()
    long = [line for line in lines if line.startswith("| sparse, the long training above")]
    assert long == [f"| {' | '.join(study.long_row(record))} |"]
    assert percent(record["scores"][0]["nonzero_accuracy"]) in long[0]
    assert sum("everywhere, " in line and line.startswith("| ") for line in lines) == 2


def test_the_page_shows_every_recipe_of_the_newest_trials():
    _, record = newest(RESULTS, recipe.PATTERN)
    shown = recipe.text(RESULTS).replace("\N{NO-BREAK SPACE}", " ")
    for name, one in record["cells"].items():
        assert f"| {name} | {one['passes']:,} |" in shown
        assert percent(one["scores"]["nonzero_accuracy"]) in shown
    assert recipe_report.verdict(record) in shown
    assert len(recipe_report.basic(record)) > 1
    assert "nan" not in shown


def compared(accuracies, better=0, steps=1000, seeds=3, chosen=None):
    """A record of the two-by-two with these accuracies by cell and seed, and by running statistics 0.2, or `better`
    than by those of the batch for the sparse network."""
    cells = {
        f"seed {seed}: {cell}": {
            "cell": cell,
            "seed": seed,
            "scores": {
                "nonzero_accuracy": values[seed] + better if better and cell == factors.SPARSE else 0.2,
                "class_share": [0.1, 0.5, 0.2, 0.1, 0.1],
            },
            "batch_scores": {"nonzero_accuracy": values[seed]},
        }
        for cell, values in accuracies.items()
        for seed in range(seeds)
    }
    setting = {"size": 64, "steps": steps} | ({} if chosen is None else {"cells": chosen})
    return {"cells": cells, "classes": list(CLASS_NAMES), "setting": setting}


@pytest.mark.parametrize(
    ("sparse", "dense", "better", "verdict"),
    [
        ((0.80, 0.81, 0.79), (0.70, 0.72, 0.69), 0, "confirmed for the dense twin, after equal steps: +9.7 ± 1.4"),
        ((0.60, 0.61, 0.59), (0.70, 0.72, 0.69), 0, "refuted for the dense twin, after equal steps: -10.3 ± 1.4"),
        ((0.70, 0.73, 0.69), (0.70, 0.72, 0.69), 0, "not confirmed for the dense twin, after equal steps: +0.3 ± 1.4"),
        ((0.70, 0.73, 0.69), (0.70, 0.72, 0.69), 0.05, "depends on the norms in use, after equal steps: not confirmed"),
        ((0.80, 0.81, 0.79), (0.70, 0.72, 0.50), 0, None),
    ],
)
def test_the_two_by_two_decides_on_sparse_against_dense_once_its_networks_have_learnt(sparse, dense, better, verdict):
    others = {"norms active, sites all": sparse, "norms all, sites active": sparse, factors.BACKGROUND: (0.4, 0.4, 0.4)}
    record = compared({**others, factors.SPARSE: sparse, factors.DENSE: dense}, better)
    row = claims._dense(None, record)
    if verdict is None:
        assert row[1:] == ["not measured yet", "open"]
    else:
        assert row[2].startswith(verdict)
        assert "MIP everywhere 50.0 %" in row[1]
        assert not better or row[2].count("confirmed") == 2


@pytest.mark.parametrize(
    ("seeds", "verdict", "first"),
    [
        (3, "confirmed", "4,000 steps, 3 seeds"),
        (2, "refuted", "1,000 steps, 3 seeds"),
        (1, "refuted", "1,000 steps, 3 seeds"),
    ],
)
def test_the_longer_training_decides_if_it_has_three_seeds(seeds, verdict, first):
    low, high, same = (0.70, 0.71, 0.69), (0.80, 0.82, 0.79), (0.75, 0.75, 0.75)
    short = compared(dict.fromkeys(factors.FOUR, same) | {factors.SPARSE: low, factors.DENSE: high})
    longer = compared({factors.SPARSE: high, factors.DENSE: low}, 0, 4000, seeds, [factors.SPARSE, factors.DENSE])
    row = claims._dense(None, short, longer)
    assert row[2].startswith(verdict)
    assert row[1].startswith(f"two-dimensional crops of 64 px, {first}, held out: ")
    assert "4,000 steps, one seed, held out: sparse 80.0 %, dense twin 70.0 % by" in row[1] or seeds > 1


def test_the_verdict_begins_with_equal_time_where_it_was_measured():
    low, high = (0.70, 0.71, 0.69), (0.80, 0.82, 0.79)
    record = compared({factors.SPARSE: high, factors.DENSE: high}, 0, 4000, 3, [factors.SPARSE, factors.DENSE])
    for seed, value in enumerate(low):
        cell = record["cells"][f"seed {seed}: {factors.DENSE}"]
        record["cells"][factors.timed_name(seed)] = cell | {"batch_scores": {"nonzero_accuracy": value}}
    verdict = claims._dense(None, record)[2]
    assert verdict.startswith(
        "confirmed for the dense twin, after equal CPU time: +10.3 ± 1.4 points; not confirmed for"
    )


@pytest.mark.parametrize("path", sorted(RESULTS.glob(two_by_two.LONG)), ids=lambda path: path.stem)
def test_the_longer_two_by_two_is_shown_with_its_numbers(path):
    record = json.loads(path.read_text())
    shown = two_by_two.long_text(RESULTS).replace("\N{NO-BREAK SPACE}", " ")
    for cell in (factors.SPARSE, factors.DENSE):
        for measure in factors.MEASURES:
            assert report.spread(factors.accuracies(record, cell, measure)) in shown
    assert report.goal_sentence(record) in shown
    assert report.time_sentence(record) in shown
    assert "nan" not in shown.split("```{raw} html")[0]


@pytest.mark.parametrize("path", sorted(RESULTS.glob(michel_trials.PATTERN)), ids=lambda path: path.stem)
def test_the_trials_on_michel_electrons_are_shown_with_their_numbers(path):
    record = json.loads(path.read_text())
    shown = michel_trials.text(RESULTS).replace("\N{NO-BREAK SPACE}", " ")
    for one in record["cells"].values():
        assert percent(one["scores"]["nonzero_accuracy"]) in shown
        assert percent(one["scores"]["attached"]["nonzero_accuracy"]) in shown
        assert percent(one["scores"]["michel"]["identification_efficiency"]) in shown
    assert "nan" not in shown


@pytest.mark.parametrize(("gigabytes", "verdict"), [(4.7, "agrees, if"), (9.2, "2 times the slides' memory")])
def test_the_memory_of_the_dense_network_is_compared_with_the_slides(gigabytes, verdict):
    point = {"kind": "study", "ndim": 3, "size": 192, "images": 1}
    point |= {"forward_memory": 1e9 * gigabytes, "forward_seconds": 30.0}
    assert verdict in claims._cost({"points": [point]}, "study", "dense")[2]
    assert claims._cost({"points": [point]}, "sparse", "sparse")[1:] == ["not measured at 192 px", "open"]


def test_the_pages_of_model_cards_have_no_front_matter():
    cards = pretrained.cards()
    assert cards.startswith("## lartpc-192\n")
    assert "library_name" not in cards
    assert "\n# " not in cards


@pytest.mark.parametrize("path", sorted((ROOT / "book" / "results").glob("*-study-*.json")), ids=lambda path: path.stem)
def test_a_result_is_drawn_with_device_date_and_its_numbers(path):
    record = json.loads(path.read_text())
    text = study.text(path.parent)
    assert record["machine"]["processor"] in text
    assert record["created"][:10] in text
    for network in record["networks"]:
        assert percent(network["training_accuracy"]) in text
    purity = percent(record["michel"]["network"]["closer"]["michel"]["clustering_purity"])
    assert purity.replace(" ", "\N{NO-BREAK SPACE}") in text
    for what in (
        "How many events are needed",
        "Which receptive field",
        "Accuracy by class weights",
        "Beyond segmentation",
    ):
        assert what in text


def test_the_page_on_spconv_shows_every_network_compared_within_1e_5():
    table = migration.networks(ROOT / "book" / "results")
    compared = {
        name
        for name, (repository, _) in foreign_networks.NETWORKS.items()
        if repository not in foreign_networks.COMPARED_ELSEWHERE
    }
    for name in compared:
        (row,) = (line for line in table.splitlines() if line.startswith(f"| {name} ("))
        outputs, gradients = map(float, row.split("|")[3:5])
        assert 0 < outputs <= 1e-5
        assert 0 < gradients <= 1e-5
    assert migration.networks(ROOT / "tests") == "**Public networks have not been compared yet.**"

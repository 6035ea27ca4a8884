"""The pages on the trained network say what the records of its training and of its measurements contain."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sscn_triton.common.units import percent
from sscn_triton.study.training.model_card import training_events

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book"))
from sscn_book import image_edge, long_training, pretrained  # noqa: E402
from sscn_book.records import newest  # noqa: E402

RESULTS = ROOT / "book" / "results"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*-training-192.json")), ids=lambda path: path.stem)
def test_the_long_training_is_shown_with_its_numbers(path):
    record = json.loads(path.read_text())
    shown = long_training.text(RESULTS)
    for score in record["scores"]:
        assert percent(score["nonzero_accuracy"]).replace(" ", "\N{NO-BREAK SPACE}") in shown
    events = training_events(record)
    assert f"has seen {record['passes']:,} simulated events of 192 px ({events:,} different ones) in " in shown
    unknown = record | {"stages": [stage | {"trained_on": None} for stage in record["stages"]]}
    assert f"{record['passes']:,} simulated events of 192 px in " in long_training.sentence(unknown)
    assert shown.count("<svg") == 1


def test_the_long_training_says_what_more_events_would_give(tmp_path):
    _, record = newest(RESULTS, long_training.PATTERN)
    judged = record["scores"][0]

    def page(*wrong):
        networks = [(50_000 * 2**step, share) for step, share in enumerate(wrong)]
        record["milestones"] = [
            {"passes": passes, "training_events": 10_000, "scores": [judged | {"nonzero_accuracy": 1 - share}]}
            for passes, share in networks[:-1]
        ]
        record["passes"], judged["nonzero_accuracy"] = networks[-1][0], 1 - networks[-1][1]
        (tmp_path / "2026-12-01-training-192.json").write_text(json.dumps(record))
        return long_training.text(tmp_path)

    falling = page(0.16, 0.08, 0.04, 0.02)  # half as much at every doubling: wrong = 8000 / passes
    assert "b = 1.00 (1.00 to 1.00 at 95 %, from 4 networks)" in falling.replace("\N{NO-BREAK SPACE}", " ")
    assert "The last network has reached the slides' 98.0 %." in falling.replace("\N{NO-BREAK SPACE}", " ")
    assert falling.count("1.00") == 3 + 3  # of the law, and from each row to the next
    before = page(0.32, 0.16, 0.08, 0.04)  # wrong = 16000 / passes
    assert "would need about 800,000 events seen" in before
    assert "this training has seen 400,000" in before
    assert "The interval contains 0, so these networks do not tell how many events" in page(0.08, 0.09, 0.08, 0.09)
    assert "The error grew, so these networks do not tell" in page(0.05, 0.06, 0.07, 0.08)
    slow = page(0.9, 0.85, 0.8, 0.755)
    assert "would need more than 400,000,000 events seen" in slow
    assert "inf" not in slow[slow.index("would need") :]
    wide = page(0.2, 0.16, 0.14, 0.105)
    assert re.search(r"would need about [\d,]+ events seen \([\d,]+ to more than 400,000,000\)", wide)
    few = page(0.16, 0.08, 0.04)
    assert "What more events give" not in few
    assert "dotted" not in few
    assert "Circles: earlier networks" in few
    assert "What more events give" not in page(0.16, 0.08, 0.04, 0.0)  # the logarithm of 0 is infinite


def test_a_network_of_unknown_events_has_no_number_in_the_table_and_equal_passes_no_exponent(tmp_path):
    _, record = newest(RESULTS, long_training.PATTERN)
    score = record["scores"][0]
    record["milestones"] = [
        {"passes": passes, "training_events": None, "scores": [score | {"nonzero_accuracy": right}]}
        for passes, right in ((1000, 0.7), (2000, 0.8), (4000, 0.85), (4000, 0.86))
    ]
    (tmp_path / "2026-12-01-training-192.json").write_text(json.dumps(record))
    found = long_training.text(tmp_path)
    assert found.count("| unknown |") == 4
    assert "| 86.0\N{NO-BREAK SPACE}% | 14.00\N{NO-BREAK SPACE}% | none |" in found


def test_the_pages_leave_out_a_training_that_was_not_judged(tmp_path):
    name, record = newest(RESULTS, long_training.PATTERN)
    (tmp_path / "2026-12-31-training-192.json").write_text(json.dumps(record | {"scores": []}))
    assert long_training.text(tmp_path) == "**Not measured yet.**"
    shutil.copy(RESULTS / name, tmp_path)
    assert f"From `results/{name}`" in long_training.text(tmp_path)


def test_the_remark_on_the_few_public_events_stands_only_beside_them(tmp_path):
    _, record = newest(RESULTS, long_training.PATTERN)
    assert "no independent test" in long_training.text(RESULTS)
    record["scores"] = record["scores"][:1]
    (tmp_path / "2026-12-01-training-192.json").write_text(json.dumps(record))
    assert "no independent test" not in long_training.text(tmp_path)


def test_the_page_on_the_long_training_names_its_network(tmp_path):
    record = RESULTS / "2026-11-29-training-192.json"
    shutil.copy(record, tmp_path)
    assert "the network is in the package: [`lartpc-192`](pretrained.md)" in long_training.text(tmp_path)
    (tmp_path / record.name).rename(tmp_path / "2026-11-30-training-192.json")
    assert "the network is in the package" not in long_training.text(tmp_path)
    older = json.loads(record.read_text())
    older["stages"][-1]["steps"] -= 1  # another training had the same name
    (tmp_path / "2026-11-30-training-192.json").rename(tmp_path / record.name)
    (tmp_path / record.name).write_text(json.dumps(older))
    assert "the network is in the package" not in long_training.text(tmp_path)


def edge(gain, alone=0.95, whole=0.97, window=192):
    """The part of a record on the edge of the image that the verdict reads."""
    record = {"gain": {"nonzero": gain}, "setting": {"window": window, "whole": 384}}
    return record | {"window": {"nonzero_accuracy": alone}, "whole": {"nonzero_accuracy": whole}}


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ([0.02, 0.005, 400], "mends 40 % of the mistakes: the gain is +2.00 points (+1.02 to +2.98 at 95 %)"),
        ([0.02, 0.015, 400], "by no more than chance: the gain is +2.00 points (-0.95 to +4.95 at 95 %)"),
        ([0.02, 0.008, 4], "by no more than chance: the gain is +2.00 points (-0.55 to +4.55 at 95 %)"),
        ([0.0, 0.0, 400], "by no more than chance"),
        ([-0.02, 0.005, 400], "makes more mistakes when it sees what the window cuts off: the gain is -2.00 points"),
    ],
)
def test_the_gain_beyond_the_edge_is_compared_with_its_error(gain, told):
    found = image_edge.verdict(edge(gain)).replace("\N{NO-BREAK SPACE}", " ")
    assert told in found
    assert ("mends" in found) == ("mends" in told)


def test_what_stays_wrong_is_compared_with_the_slides_at_their_size():
    found = image_edge.verdict(edge([0.02, 0.005, 400])).replace("\N{NO-BREAK SPACE}", " ")
    assert "3.0 % of the voxels are wrong; the slides report 2.0 %" in found
    assert "does not close the distance" in found
    assert "image closes the distance" in image_edge.verdict(edge([0.04, 0.005, 400], whole=0.981))
    better = image_edge.verdict(edge([0.01, 0.001, 400], alone=0.985, whole=0.995))
    assert "slides report" in better
    assert "the distance" not in better
    assert "slides" not in image_edge.verdict(edge([0.02, 0.005, 400], window=96))


def test_a_class_that_no_window_has_shows_no_number():
    record = {"gain": {"nonzero": [0.02, 0.005, 400], "HIP": [np.nan, np.nan, 0], "MIP": [0.01, np.nan, 1]}}
    seen = {"nonzero_accuracy": 0.9, "class_accuracy": [np.nan, 0.8]}
    table = image_edge.accuracy_rows(record | {"window": seen, "whole": seen})
    assert [row[3:] for row in table.rows] == [["+2.00 ± 0.50", "400"], ["none", "0"], ["+1.00", "1"]]


def test_the_scores_by_pilarnet_conventions_leave_out_classes_without_voxels(tmp_path):
    assert pretrained.by_conventions(tmp_path) == "**Not measured yet.**"
    measures = {
        "precision": [0.5, None, 0.1],
        "recall": [0.25, None, 1.0],
        "f1": [0.3, None, 0.2],
        "iou": [0.2, None, 0.1],
    }
    scores = {"confusion": [[5, 0, 1], [0, 0, 0], [0, 0, 4000]], "events": 1700}
    scores["voxel_metrics"] = measures | {"mean_f1": 0.25, "mean_iou": 0.15}
    record = {"date": "2026-12-01T00:00", "checkpoint": "net", "data": "a.h5", "classes": ["shower", "LED", "track"]}
    record |= {"simulations": [{"seed": 900}], "counted": scores, "all": scores}

    def page(record):
        (tmp_path / "2026-12-01-conventions.json").write_text(json.dumps(record))
        return pretrained.by_conventions(tmp_path)

    found = page(record)
    assert "`net` on the 1,700 events of `a.h5` (simulated, seed 900) that have at least 1,024 points" in found
    assert "| shower | 6 | 0.500 | 0.250 | 0.300 | 0.200 | 0.500 |" in found
    assert "| track | 4,000 |" in found
    assert "0.250 over 2 classes on the left and 0.250 over 2 classes on the right" in found
    # a class without true voxels is one of the mean as soon as it is predicted
    wrong = {"confusion": [[4, 1, 1], [0, 0, 0], [0, 0, 4000]], "events": 1700}
    wrong["voxel_metrics"] = scores["voxel_metrics"] | {"precision": [0.5, 0.0, 0.1], "f1": [0.3, 0.0, 0.2]}
    predicted = page(record | {"all": wrong})
    assert "| LED | 0 | none | none | none | none | 0.000 | none | 0.000 | none |" in predicted
    assert "over 2 classes on the left and 0.250 over 3 classes on the right" in predicted
    # events that the network has learnt from are called so
    assert "seen" not in found
    shutil.copy(RESULTS / newest(RESULTS, long_training.PATTERN)[0], tmp_path)
    assert "It has not seen these events." in page(record | {"checkpoint": "lartpc-192"})
    assert "may have learnt from some" in page(record | {"checkpoint": "lartpc-192", "simulations": [{"seed": 1001}]})
    assert "seen" not in page(record | {"checkpoint": "lartpc-192", "simulations": []})
    assert "(simulated, seeds 900, 901)" in page(record | {"simulations": [{"seed": 900}, {"seed": 901}]})
    assert "LED" not in found

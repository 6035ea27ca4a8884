"""Tables of learning curves have twenty rows for each run, those of confusion a row for each class."""

from __future__ import annotations

from sscn_triton.study.runs.tables import confusion_rows, curve_rows


def test_a_curve_is_given_by_twenty_points_with_its_ends() -> None:
    steps = list(range(1, 58))
    long = {"iteration": [1000 * i for i in steps], "wall": [0.25 * i for i in steps]}
    long |= {"accuracy": [i / 100 for i in steps], "loss": [1 / i for i in steps]}
    short = {name: values[:2] for name, values in long.items()}
    table = curve_rows({"sparse": long, "dense": short})
    assert [row[0] for row in table.rows] == ["sparse"] * 20 + ["dense"] * 2
    assert table.rows[0] == ["sparse", "1,000", "0.2", "1.0 %", "1.000"]
    assert table.rows[19] == ["sparse", "57,000", "14.2", "57.0 %", "0.018"]
    assert len(table.header) == 5


def test_confusion_has_true_classes_as_rows_and_predicted_ones_as_columns() -> None:
    table = confusion_rows({"confusion": [[5000, 1], [2, 3]]}, ["track", "shower"])
    assert table.header[1:] == ["predicted track", "predicted shower"]
    assert table.rows == [["track", "5,000", "1"], ["shower", "2", "3"]]

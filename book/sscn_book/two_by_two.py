"""Section of the page on the study about norms and convolutions, from a record that
`sscn_triton.study.questions.two_by_two` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from sscn_book import study
from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.common.units import percent
from sscn_triton.study.questions import two_by_two_record as factors
from sscn_triton.study.questions import two_by_two_report as report

PATTERN = "*-two-by-two.json"
LONG = "*-two-by-two-long.json"
"""Records of the sparse network and its dense twin alone, with more steps."""


def text(results: Path) -> str:
    """Return the section on the newest two-by-two."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    return "\n\n".join([
        source(name, record),
        what(record),
        *measured(record),
        *(shown(report.effect_rows(record, measure)) for measure in get_args(factors.Measure)),
        differences(record),
        *(report.verdict(record, measure) for measure in get_args(factors.Measure)),
        report.measures_sentence(record),
        report.limits(record),
        *chosen(record),
    ])  # fmt: skip


def long_text(results: Path) -> str:
    """Return the section on the newest longer training of the sparse network and its dense twin."""
    found = newest(results, LONG)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    shorter = newest(results, PATTERN)
    return "\n\n".join([
        source(name, record),
        what(record),
        *measured(record),
        report.goal_sentence(record),
        *(shown(report.effect_rows(record, measure)) for measure in get_args(factors.Measure)),
        differences(record),
        *(report.verdict(record, measure) for measure in get_args(factors.Measure)),
        report.measures_sentence(record),
        *([] if shorter is None else [report.longer_sentence(shorter[1], record)]),
        report.time_sentence(record),
        report.limits(record),
        *chosen(record),
    ])  # fmt: skip


def source(name: str, record: dict[str, Any]) -> str:
    """The file, the machine and the time that the record took."""
    machine, (cpu, _) = record["machine"], factors.cost(record)
    return (
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}; "
        f"{cpu / 60:.0f} minutes of one thread in total, learning rates included."
    )


def measured(record: dict[str, Any]) -> list[str]:
    """Accuracies as a table, what its columns mean, and the figure."""
    several = len(factors.seeds(record)) > 1
    over = f"mean over {report.seeds_text(record)} (lowest to highest)" if several else "one seed"
    return [
        shown(report.accuracy_rows(record)),
        "Accuracy is the nonzero accuracy of the slides, the mean over events. Training: the last tenth of the steps. "
        f"Training and held out: {over}; classes: the same, for held-out crops and statistics of the batch; CPU "
        "minutes: of one training, median over seeds. Held-out crops are "
        "judged twice. Statistics of the batch: the norms "
        f"take them from the {record['setting']['images']} crops that are read together, as in training; the dense "
        "network of 2018 always worked like this. Running statistics: means over training batches, one crop at a time, "
        "as networks are used. " + report.cost_sentence(record),
        study.drawn(
            report.figure,
            record,
            "Left: nonzero accuracy of the training crops, a running mean, averaged over seeds. Right: nonzero "
            "accuracy of the held-out crops, for every seed a dot by statistics of the batch and a square by running "
            "statistics. Dotted: the best answer that is the same for every voxel.",
        ),
    ]


def differences(record: dict[str, Any]) -> str:
    """What the differences of the tables are taken between."""
    if len(factors.seeds(record)) == 1:
        return "The difference is between two trainings that share seed, initial weights and crops: it has no interval."
    return (
        "Each difference is between trainings that share seed, initial weights and crops. The interval is Student's "
        f"for the mean of {len(factors.seeds(record))} seeds; it does not contain the choice of the judging crops, "
        "which all trainings share."
    )


def chosen(record: dict[str, Any]) -> list[str]:
    """How the learning rates were chosen, with the trials."""
    return [
        "**How the learning rates were chosen**", report.rate_sentence(record), shown(report.rate_rows(record)),
    ]  # fmt: skip


def what(record: dict[str, Any]) -> str:
    """What was trained, on what, and why in two dimensions."""
    s = record["setting"]
    number, seeds = len(factors.runs(record, factors.BACKGROUND)), len(factors.seeds(record))
    only = (
        "" if number == seeds else f", trained with {number} of the {seeds} seeds," if number else ", only tried out,"
    )
    fifth = (
        f" A fifth network{only} has a sixth class for inactive voxels, and its loss is over all voxels; an active "
        "voxel that it calls background is wrong."
    )
    return (
        f"Each network has {s['filters']} filters and depth {s['depth']}, with {s['repetitions']} residual block per "
        f"side of a level, and learns for {s['steps']:,} steps of {s['images']} crops of {s['size']} px of "
        f"{s['events']:,} simulated events; it is judged on one crop of each of {s['judging']} other events. The "
        "events are projected to one plane of wires, because a dense step in three dimensions takes several times as "
        "long and the networks would hardly learn in the available time. "
        f"{percent(factors.active_share(record))} of the pixels of these crops are active. "
        "The loss of these networks is over active voxels only, as in the study."
    ) + (fifth if factors.rates(record, factors.BACKGROUND) else "")

"""Section of the page on the study about Michel electrons in short last stages, from a record that
`sscn_triton.study.questions.michel_trials` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.study.questions import michel_trials_report as report

PATTERN = "*-michel-trials.json"


def text(results: Path) -> str:
    """Return the section on the newest trials."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    machine, recipe, setting, start = record["machine"], record["recipe"], record["setting"], record["start"]
    minutes = sum(one["cpu_seconds"] for one in record["cells"].values()) / 60
    seeds = [", ".join(str(one["seed"]) for one in record[what]["simulations"]) for what in ("learnt", "judged")]
    told = "".join(f" {text}" for text in arms(record))
    return "\n\n".join([
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}; "
        f"{minutes:.0f} minutes of one thread in total.",
        f"Each training starts from the same network of {start['network']['filters']} filters and depth "
        f"{start['network']['depth']}, which is the end of a stage of constant learning rate "
        f"({start['passes']:,} events seen in that stage), and shows it {setting['passes']:,} simulated events (seeds "
        f"{seeds[0]}), each once, in batches of {recipe['batch']}, while the learning rate falls from "
        f"{recipe['learning_rate']:g} to nearly zero. The control has class weights `{recipe['class_weights']}` and "
        f"sees ordinary events.{told} All networks are judged on the same {setting['held_out_events']:,} ordinary "
        f"events (seed {seeds[1]}); their norms have the statistics of the last batches.",
        "By the labels of the slides:",
        shown(report.accuracy_rows(record, "slides")),
        report.verdict(record, "slides"),
        "By attached labels, applied to the truth and to the predictions:",
        shown(report.accuracy_rows(record, "attached")),
        report.verdict(record, "attached"),
        "Michel electrons, found as in the paper:",
        shown(report.michel_rows(record)),
        "Accuracies are means over events. Points: difference from the mean of the control. CPU minutes: of the "
        "training. The last two columns count voxels over all events.",
        report.limits(record),
    ])  # fmt: skip


def arms(record: dict[str, Any]) -> list[str]:
    """What those trainings change whose names do not say it."""
    told = []
    for name, one in record["cells"].items():
        arm = one["arm"]
        if arm["enriched"]:
            told.append(
                f"*{name}*: the events of the first {100 * arm['enriched']:g} % of the training are replaced by ones "
                "that have a Michel electron; the others are those of the control, in its order."
            )
        if arm["changes"].get("labels") == "attached":
            told.append(f"*{name}*: detached delta rays and Michel electrons count as shower in the training.")
    return told

"""Section of the page on the study about Michel electrons in short last stages, from a record that
`sscn_triton.study.questions.michel_trials` wrote."""

from __future__ import annotations

from pathlib import Path

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
    enriched = max(one["arm"]["enriched"] for one in record["cells"].values())
    return "\n\n".join([
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}; "
        f"{minutes:.0f} minutes of one thread in total.",
        f"Each training starts from the same network of {start['network']['filters']} filters and depth "
        f"{start['network']['depth']}, which is the end of a stage of constant learning rate "
        f"({start['passes']:,} events seen in that stage), and shows it {setting['passes']:,} simulated events that it "
        f"has not seen (seeds {seeds[0]}), each once, in batches of {recipe['batch']}, while the learning rate falls "
        f"from {recipe['learning_rate']:g} to nearly zero. The control has class weights `{recipe['class_weights']}` "
        "and sees ordinary events. *Michel events first*: the events of the first "
        f"{100 * enriched:g} % of the training are replaced by ones that have a Michel electron; the others are those "
        "of the control, in its order. *Attached labels*: detached delta rays and Michel electrons count as shower in "
        "the training. All networks are judged on the same "
        f"{setting['held_out_events']:,} ordinary events (seed {seeds[1]}); their norms have the statistics of the "
        "last batches.",
        "By the labels of the slides:",
        shown(report.accuracy_rows(record, "slides")),
        report.verdict(record, "slides"),
        "By attached labels, applied to truth and answer:",
        shown(report.accuracy_rows(record, "attached")),
        report.verdict(record, "attached"),
        "Michel electrons, found as in the paper:",
        shown(report.michel_rows(record)),
        "Accuracies are means over events. Points: difference from the mean of the control. CPU minutes: of the "
        "training. The last two columns count voxels over all events.",
        report.limits(record),
    ])  # fmt: skip

"""Section of the page on the study about recipes of training, from a record that `sscn_triton.study.questions.recipe`
wrote."""

from __future__ import annotations

from pathlib import Path

from sscn_book.records import newest
from sscn_book.tables import shown
from sscn_triton.study.questions import recipe_report as report

PATTERN = "*-recipe.json"


def text(results: Path) -> str:
    """Return the section on the newest trials of recipes."""
    found = newest(results, PATTERN)
    if found is None:
        return "**Not measured yet.**"
    name, record = found
    machine, recipe, setting = record["machine"], record["recipe"], record["setting"]
    minutes = sum(one["cpu_seconds"] for one in record["cells"].values()) / 60
    seeds = ", ".join(str(one["seed"]) for one in record["learnt"]["simulations"])
    return "\n\n".join([
        f"From `results/{name}`. {machine['processor']}, torch {machine['torch']}, {record['date'][:10]}; "
        f"{minutes:.0f} minutes of one thread in total.",
        f"Each network saw {setting['passes']:,} events, unless the table says otherwise, of "
        f"{record['learnt']['identity']['events']:,} simulated ones (seed {seeds}), and is judged on "
        f"{setting['held_out_events']:,} events of another seed. The basic recipe: {recipe['filters']} filters, depth "
        f"{recipe['depth']}, batches of {recipe['batch']}, a one-cycle schedule up to a learning rate of "
        f"{recipe['learning_rate']:g}, class weights `{recipe['class_weights']}`, random symmetries of the cube, and "
        f"shifts by up to {recipe['shift']} voxels. Every other recipe differs in one point. For a recipe marked "
        "*equal time*, the number of events was chosen beforehand so that it should take about as long as the basic "
        "one; the table shows how long it took.",
        shown(report.recipe_rows(record)),
        "Points: difference from the mean of the basic recipe. Training: the last tenth of the steps. Classes: held "
        "out, means over events. CPU minutes include the evaluation.",
        report.verdict(record),
        report.limits(record),
    ])  # fmt: skip

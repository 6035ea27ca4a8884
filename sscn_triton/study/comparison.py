"""The study from beginning to end: data, runs, scaling, questions, report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.common.files import write_whole
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study import machine, published, questions, scaling
from sscn_triton.study.apart import run_apart
from sscn_triton.study.budget import Budget
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data import ENERGY_UNIT, Split, held_out_crops, load
from sscn_triton.study.errors import Interrupted, RunError
from sscn_triton.study.metrics import ClassWeights
from sscn_triton.study.output import RECORD, OutputFolder, as_json
from sscn_triton.study.runs import STATISTICS_BATCHES, Job, Outcome, run
from sscn_triton.study.scaling_fit import KINDS
from sscn_triton.study.stopping import stopping_muons
from sscn_triton.study.training import Limit

SUMMARY = "summary.json"
"""The record in short, fit to be kept."""
MUON_IMAGES = 4
MUON_WEIGHTS: ClassWeights = "sqrt"
"""Of the run on stopping muons: whole images in a step, and class weights."""


def study(config: StudyConfig) -> Path:
    """Run the study and return the path of its report.

    Raises ValueError or FileNotFoundError before any work for a file or folder that will not do, RunError if a run
    fails, Interrupted on Ctrl-C.
    """
    budget = Budget(config)
    with OutputFolder(config.out, config.overwrite) as output:
        try:
            split = load(config)
            _run(config, split, stopping_muons(config, split), output, budget)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {_kept(output)}") from None
        return output.path / "report.html"


def _run(config: StudyConfig, split: Split, muons: Split, output: OutputFolder, budget: Budget) -> None:
    busy = machine.load_average()
    try:
        crops = held_out_crops(split.held_out, config.size, config.seed)
        jobs, outcomes = list[Job](), list[Outcome]()
        for job in _jobs(config, split, crops, muons, budget):
            jobs.append(job)
            outcomes.append(_measure(job, output))
        grown = _scale(config, split, budget)
        asked = None
        if config.questions:
            asked = questions.ask(config, split, muons, crops, outcomes, budget.seconds("questions"))
        record = _record(config, split, outcomes[:-1], budget.spent())
        record |= {"load_before": busy, "michel": _michel_record(muons, outcomes[-1])}
        _write(output, jobs, outcomes, record | {"scaling": grown, "questions": asked})
    except (RunError, OSError) as error:
        raise RunError(f"{error}; {_kept(output)}") from error


def _kept(output: OutputFolder) -> str:
    before = f"{output.path} is as it was" if output.path.exists() else "no report was written"
    if not output.kept:
        return f"nothing was kept, {before}"
    names = ", ".join(file.name for file in output.kept)
    return f"{before}; the finished runs are kept in {output.work} ({names})"


def _jobs(config: StudyConfig, split: Split, crops: list[Event], muons: Split, budget: Budget) -> Iterator[Job]:
    """The runs, in the order of the report; how long one may take is asked when its turn has come."""
    names = {"sparse": "sparse", "matched": "dense, matched", "study": "dense of 2018"}
    limit = Limit(budget.seconds("crops"), config.steps)
    for kind in KINDS:
        name = f"{names[kind]}, {config.size} px crops"
        yield Job(name, kind, config, split.train, crops, False, limit, config.batch)
    limit = Limit(budget.seconds("whole", ("michel", "scaling", "questions")), config.steps)
    yield Job("sparse, whole events", "sparse", config, split.train, split.held_out, True, limit, 1)
    limit = Limit(budget.seconds("michel", ("scaling", "questions")), config.steps)
    images = muons.train, muons.held_out
    yield Job("sparse, stopping muons", "sparse", config, *images, True, limit, MUON_IMAGES, MUON_WEIGHTS)


def _measure(job: Job, output: OutputFolder) -> Outcome:
    """In a process of its own."""
    outcome = run_apart(job, run)
    output.keep(job.name.replace(", ", "-").replace(" ", "-") + ".json", outcome.as_record())
    return outcome


def _scale(config: StudyConfig, split: Split, budget: Budget) -> dict[str, Any]:
    """How costs grow, on the fullest of the events to learn from."""
    seconds = budget.seconds("scaling", ("questions",))
    events = sorted(split.train, key=len, reverse=True)[: max(scaling.BATCHES)]
    memory = 1e9 * (machine.memory_gb() or 8.0)
    return run_apart(scaling.Plan("scaling", events, config.filters, config.depth, seconds, memory), scaling.run)


def _record(config: StudyConfig, split: Split, outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    return {
        "title": "Sparse and dense UResNet on liquid-argon images",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": seconds,
        "config": asdict(config),
        "machine": machine.describe(),
        "data": {
            "source": split.source,
            "energy_unit_mev": ENERGY_UNIT,
            "statistics_batches": STATISTICS_BATCHES,
            "train_events": len(split.train),
            "held_out_events": len(split.held_out),
            "train": [_event_record(event) for event in split.train],
            "held_out": [_event_record(event) for event in split.held_out],
        },
        "classes": list(CLASS_NAMES),
        "networks": [outcome.as_record() for outcome in outcomes],
        "published": published.as_record(),
    }


def _michel_record(muons: Split, outcome: Outcome) -> dict[str, Any]:
    counts = {"train": len(muons.train), "held_out": len(muons.held_out)}
    return {"source": muons.source, **counts, "network": outcome.as_record()}


def _event_record(event: Event) -> dict[str, Any]:
    counts = np.bincount(event.labels[event.labels >= 0], minlength=len(CLASS_NAMES))
    return {
        "name": event.name,
        "spatial_shape": list(event.spatial_shape),
        "voxels": len(event),
        "voxels_per_class": counts.tolist(),
    }


def _write(output: OutputFolder, jobs: list[Job], outcomes: list[Outcome], record: dict[str, Any]) -> None:
    from sscn_triton.study import figures, report, summary

    drawn = figures.draw_all(output.work, record, outcomes, [job.held_out for job in jobs])
    record["files"] = sorted([RECORD, SUMMARY, "report.html", *drawn])
    write_whole(output.work / RECORD, as_json(record))
    write_whole(output.work / SUMMARY, as_json(summary.summarise(record)) + "\n")
    write_whole(output.work / "report.html", report.html(record, output.work))
    print(report.table(record))
    output.finish()

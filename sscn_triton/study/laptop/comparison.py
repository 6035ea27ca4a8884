"""The study from beginning to end: data, runs, scaling, questions, report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.common import machine
from sscn_triton.common.errors import Interrupted, RunError
from sscn_triton.common.files import write_whole
from sscn_triton.common.output import RECORD, OutputFolder, as_json
from sscn_triton.common.processes import run_apart
from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study import published
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data.batches import ENERGY_UNIT, Split, held_out_crops, load
from sscn_triton.study.laptop.budget import LEAST_QUESTIONS, Budget
from sscn_triton.study.questions import ask
from sscn_triton.study.runs.roles import Role
from sscn_triton.study.runs.run import STATISTICS_BATCHES, Job, Outcome, Run, run
from sscn_triton.study.runs.stopping_muons import stopping_muons
from sscn_triton.study.scaling import measure
from sscn_triton.study.scaling.extrapolate import KINDS
from sscn_triton.study.training.loop import Limit
from sscn_triton.study.training.metrics import ClassWeights
from sscn_triton.study.training.networks import Kind

SUMMARY = "summary.json"
"""The file name of the short record, which is small enough to keep."""
MUON_IMAGES = 4
MUON_WEIGHTS: ClassWeights = "sqrt"
"""Whole images per step and class weights of the run on stopping muons."""


def study(config: StudyConfig) -> Path:
    """Run the study and return the path of its report.

    Raises ValueError or FileNotFoundError before any work if a file or folder is unsuitable, RunError if a run fails,
    Interrupted on Ctrl-C.
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
        crops = _shuffled(held_out_crops(split.held_out, config.size, config.seed), config.seed)
        runs = _crop_runs(config, split, crops, output, budget)
        for role, job in _whole_runs(config, split, muons, budget):
            runs[role] = _measure(job, output)
        grown = _scale(config, split, budget, runs)
        answers = None
        if budget.asks_questions() and (config.minutes is None or budget.seconds("questions") >= LEAST_QUESTIONS):
            answers = ask.ask(config, split, muons, runs["sparse"], runs["matched"], budget.seconds("questions"))
        elif config.questions:
            print("skipping the open questions: there is not enough time for them; give more minutes", file=sys.stderr)
        outcomes = [run.outcome for role, run in runs.items() if role != "muons"]
        record = _record(config, split, outcomes, budget.spent())
        record |= {"load_before": busy, "michel": _michel_record(muons, runs["muons"].outcome)}
        _write(output, runs, record | {"scaling": grown, "questions": answers})
    except (RunError, OSError) as error:
        raise RunError(f"{error}; {_kept(output)}") from error


def _kept(output: OutputFolder) -> str:
    before = f"{output.path} is unchanged" if output.path.exists() else "no report was written"
    if not output.kept:
        return f"nothing was kept; {before}"
    names = ", ".join(file.name for file in output.kept)
    return f"{before}; the finished runs are kept in {output.work} ({names})"


def _shuffled(crops: list[Event], seed: int) -> list[Event]:
    """The crops in random order, so that the first ones are representative if there is no time to judge on more."""
    return [crops[i] for i in np.random.default_rng(seed).permutation(len(crops))]


def _crop_runs(
    config: StudyConfig, split: Split, crops: list[Event], output: OutputFolder, budget: Budget
) -> dict[Role, Run]:
    """The networks on crops, in the order of the report. The largest network is trained and judged first. The others
    are judged on the crops that it had time for."""
    names = {"sparse": "sparse", "matched": "dense, matched", "study": "dense of 2018"}
    limit, judging = Limit(budget.seconds("crops"), config.steps), budget.judging()
    runs: dict[Role, Run] = {}
    for kind in KINDS[::-1]:
        name = f"{names[kind]}, {config.size} px crops"
        job = Job(name, kind, config, split.train, crops, False, limit, config.batch, judging=judging)
        runs[kind] = _measure(job, output)
        crops, judging = runs[kind].job.held_out, None
    return {kind: runs[kind] for kind in KINDS}


def _whole_runs(config: StudyConfig, split: Split, muons: Split, budget: Budget) -> Iterator[tuple[Role, Job]]:
    """The runs on whole events, in the order of the report; the budget of each is computed when the run starts."""
    judging = budget.judging()
    limit = Limit(budget.seconds("whole", ("michel", "scaling", "questions")), config.steps)
    images = split.train, split.held_out
    yield "whole", Job("sparse, whole events", "sparse", config, *images, True, limit, 1, judging=judging)
    limit = Limit(budget.seconds("michel", ("scaling", "questions")), config.steps)
    images = muons.train, muons.held_out
    name = "sparse, stopping muons"
    yield "muons", Job(name, "sparse", config, *images, True, limit, MUON_IMAGES, MUON_WEIGHTS, judging)


def _measure(job: Job, output: OutputFolder) -> Run:
    """Do a job in a separate process."""
    outcome = run_apart(job, run)
    output.keep(job.name.replace(", ", "-").replace(" ", "-") + ".json", outcome.as_record())
    return Run(replace(job, held_out=job.held_out[: len(outcome.predictions)]), outcome)


def _scale(config: StudyConfig, split: Split, budget: Budget, runs: dict[Role, Run]) -> dict[str, Any]:
    """Measure how costs grow, on the training events with the most voxels. A dense network's run on crops predicts the
    cost of its first point."""
    seconds = budget.seconds("scaling", ("questions",))
    events = sorted(split.train, key=len, reverse=True)[: max(measure.BATCHES)]
    memory = 1e9 * (machine.memory_gb() or 8.0)
    known: dict[Kind, float] = {}
    if config.minutes is not None:
        for outcome in (runs["matched"].outcome, runs["study"].outcome):
            once = outcome.step_seconds / config.batch + float(np.median(outcome.forward_seconds))
            known[outcome.kind] = once / config.size**3
    plan = measure.Plan("scaling", events, config.filters, config.depth, seconds, memory, known=known)
    return run_apart(plan, measure.run)


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


def _write(output: OutputFolder, runs: dict[Role, Run], record: dict[str, Any]) -> None:
    from sscn_triton.study.laptop import figures, report, summary

    drawn = figures.draw_all(output.work, record, runs)
    record["files"] = sorted([RECORD, SUMMARY, "report.html", *drawn])
    write_whole(output.work / RECORD, as_json(record))
    write_whole(output.work / SUMMARY, as_json(summary.summarise(record)) + "\n")
    write_whole(output.work / "report.html", report.html(record, output.work))
    print(report.table(record))
    output.finish()

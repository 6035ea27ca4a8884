"""The study from beginning to end: data, three runs, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study import machine, published, scaling
from sscn_triton.study.config import StudyConfig
from sscn_triton.study.data import ENERGY_UNIT, Split, held_out_crops, load
from sscn_triton.study.errors import Interrupted, RunError
from sscn_triton.study.output import RECORD, OutputFolder, as_json
from sscn_triton.study.runs import STATISTICS_BATCHES, Job, Outcome, run, run_apart
from sscn_triton.study.training import Limit

SHARE = 0.3
"""Of the time left when the data are ready: for the training of each network on crops, and at most for the third run.
The rest goes into starting processes, judging and drawing."""

SCALING_SHARE, SCALING_SECONDS = 0.12, 20.0
"""Of all the time, for measuring how costs grow; and how long that takes in a study that is limited by steps."""


def study(config: StudyConfig) -> Path:
    """Run the study and return the path of its report.

    Raises ValueError or FileNotFoundError before any work for a file or folder that will not do, RunError if a run
    fails, Interrupted on Ctrl-C.
    """
    clock = time.monotonic()
    with OutputFolder(config.out) as output:
        try:
            split = load(config)
            _run(config, split, output, clock)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted; {_kept(output)}") from None
        return output.path / "report.html"


def _run(config: StudyConfig, split: Split, output: OutputFolder, clock: float) -> None:
    busy = machine.load_average()
    try:
        held_out = {False: held_out_crops(split.held_out, config.size, config.seed), True: split.held_out}
        outcomes = _measure(config, split, held_out, output, clock)
        grown = _scale(config, split, clock)
        record = _record(config, split, outcomes, time.monotonic() - clock) | {"load_before": busy, "scaling": grown}
        _write(output, outcomes, record, held_out)
    except (RunError, OSError) as error:
        raise RunError(f"{error}; {_kept(output)}") from error


def _kept(output: OutputFolder) -> str:
    before = f"{output.path} is as it was" if output.path.exists() else "no report was written"
    if not output.kept:
        return f"nothing was kept, {before}"
    names = ", ".join(file.name for file in output.kept)
    return f"{before}; the finished runs are kept in {output.work} ({names})"


def _measure(
    config: StudyConfig, split: Split, held_out: dict[bool, list[Event]], output: OutputFolder, clock: float
) -> list[Outcome]:
    """The three runs, each in a process of its own; `held_out` by whether whole events are judged."""
    seconds = 60 * (config.minutes or 0.0)

    def left() -> float:
        return max(0.0, seconds - (time.monotonic() - clock))

    each = SHARE * left()
    reserve = SCALING_SHARE + 0.12  # the scaling and what comes after it
    plan: list[tuple[str, Any, bool, Callable[[], float]]] = [
        (f"sparse, {config.size} px crops", "sparse", False, lambda: each),
        (f"dense, {config.size} px crops", "dense", False, lambda: each),
        ("sparse, whole events", "sparse", True, lambda: max(0.0, min(each, left() - reserve * seconds))),
    ]
    outcomes = []
    for name, kind, whole, budget in plan:
        limit = Limit(budget(), config.steps)
        outcomes.append(run_apart(Job(name, kind, config, split.train, held_out[whole], whole, limit), run))
        output.keep(name.replace(", ", "-").replace(" ", "-") + ".json", outcomes[-1].as_record())
    return outcomes


def _scale(config: StudyConfig, split: Split, clock: float) -> dict[str, Any]:
    """How costs grow, on the fullest of the events to learn from."""
    seconds = SCALING_SECONDS
    if config.minutes is not None:
        total = 60 * config.minutes
        seconds = min(SCALING_SHARE * total, max(0.0, 0.92 * total - (time.monotonic() - clock)))
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
            "train": [_event_record(event) for event in split.train],
            "held_out": [_event_record(event) for event in split.held_out],
        },
        "classes": list(CLASS_NAMES),
        "networks": [outcome.as_record() for outcome in outcomes],
        "published": published.as_record(),
    }


def _event_record(event: Event) -> dict[str, Any]:
    counts = np.bincount(event.labels[event.labels >= 0], minlength=len(CLASS_NAMES))
    return {
        "name": event.name,
        "spatial_shape": list(event.spatial_shape),
        "voxels": len(event),
        "voxels_per_class": counts.tolist(),
    }


def _write(
    output: OutputFolder, outcomes: list[Outcome], record: dict[str, Any], held_out: dict[bool, list[Event]]
) -> None:
    from sscn_triton.study import figures, report

    drawn = figures.draw_all(output.work, record, outcomes, held_out)
    record["files"] = sorted([RECORD, "report.html", *drawn])
    (output.work / RECORD).write_text(as_json(record))
    (output.work / "report.html").write_text(report.html(record, output.work))
    print(report.table(record))
    output.finish()

"""A training in stages as one record, and its network as a small file:

    python -m sscn_triton.study.training.stages STAGE_1 STAGE_2 ... --scores SCORES.json ... --out NAME.json

A stage is the folder of a training by `sscn train`; each one after the first started from `last.ckpt` or `final.ckpt`
of the one before (`--start`). SCORES are files that `sscn evaluate --out` wrote of the last stage's network. The
command writes NAME.json, with the options, the times and one learning curve of all stages, and the folder NAME (or
that of `--network`) with the final network in half precision and its model card, for `sscn predict --checkpoint
NAME`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sscn_triton.common import machine
from sscn_triton.common.files import check_new, write_whole
from sscn_triton.common.options import check_suffix
from sscn_triton.common.output import as_json
from sscn_triton.common.results import commit
from sscn_triton.lartpc import open_events
from sscn_triton.study.data.identity import simulations
from sscn_triton.study.training.checkpoint import Checkpoint, load_checkpoint, network_of, training_options
from sscn_triton.study.training.config import FINAL, LAST, STEPS
from sscn_triton.study.training.packaging import changed_options, check_new_network, package
from sscn_triton.study.training.steplog import read_rows

PROGRAM = "python -m sscn_triton.study.training.stages"
POINTS = 200
"""Number of points of the learning curve."""


@dataclass(frozen=True)
class Stage:
    """One stage: the options of its training that are not the defaults, and the steps up to its last checkpoint.

    passes: images seen, each time counted; seconds: wall time of the steps; trained_on: the training events
    """

    options: dict[str, Any]
    steps: int
    passes: int
    seconds: float
    trained_on: dict[str, Any] | None


def read_stage(folder: Path) -> tuple[Stage, list[dict[str, str]]]:
    """A stage and its rows of steps.csv. Raises FileNotFoundError or ValueError naming the file as `load_checkpoint`
    does, and ValueError if rows are missing."""
    path = folder / LAST
    checkpoint = load_checkpoint(path)
    config = training_options(checkpoint, path)
    rows = [row for row in read_rows(folder / STEPS) if int(row["step"]) <= checkpoint.step]
    if [int(row["step"]) for row in rows] != list(range(1, checkpoint.step + 1)):
        raise ValueError(f"{folder / STEPS}: has {len(rows)} rows of the {checkpoint.step} steps of {path}")
    seconds = float(rows[-1]["wall"]) if rows else 0.0
    return Stage(changed_options(config), checkpoint.step, checkpoint.samples, seconds, checkpoint.data), rows


def simulated(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """How the training events of the stages were simulated, each file once; see `identity.simulations`. Files that are
    no longer where they were are left out."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        config = training_options(load_checkpoint(folder / LAST), folder / LAST)
        if config.data is not None and Path(config.data).exists():
            with open_events(config.data, **config.reading()) as events:
                found += [one for one in simulations(events) if one not in found]
    return found


def curve(stages: Sequence[tuple[Stage, list[dict[str, str]]]], classes: Sequence[str]) -> list[dict[str, float]]:
    """The learning curve: means over equal numbers of passes, at most POINTS of them, of all stages in their order.

    passes: number of passes at the end of the bin; learning_rate: that of its last step; loss, nonzero_accuracy and
    accuracy_CLASS: means over its steps, before the weights changed (nan if no event had the class).
    """
    names = ("loss", "nonzero_accuracy", *(f"accuracy_{name}" for name in classes))
    total = sum(stage.passes for stage, _ in stages)
    width = max(1, math.ceil(total / POINTS))
    bins: dict[int, list[dict[str, str]]] = {}
    ends: dict[int, int] = {}
    passes = 0
    for stage, rows in stages:
        each = stage.passes // max(1, stage.steps)
        for row in rows:
            passes += each
            bins.setdefault((passes - 1) // width, []).append(row)
            ends[(passes - 1) // width] = passes
    points = []
    for number, rows in bins.items():
        point = {"passes": float(ends[number]), "learning_rate": float(rows[-1]["learning_rate"])}
        points.append(point | {name: _mean([float(row[name]) for row in rows]) for name in names})
    return points


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else math.nan


def record(folders: Sequence[Path], scores: Sequence[Path]) -> dict[str, Any]:
    """The record of a training in stages, with the scores of its network.

    Raises as `read_stage` does, and ValueError if a stage has another network than the first or did not start from the
    one before it, or if a file of scores is unreadable or belongs to another step.
    """
    stages = [read_stage(folder) for folder in folders]
    checkpoints = [load_checkpoint(folder / LAST) for folder in folders]
    classes = checkpoints[0].classes
    for folder, checkpoint in zip(folders, checkpoints, strict=True):
        if (checkpoint.classes, checkpoint.network) != (classes, checkpoints[0].network):
            raise ValueError(f"{folder} has another network than {folders[0]}: they are not stages of one training")
    _check_order(folders, checkpoints)
    found = []
    for path in scores:
        try:
            judged = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not a file of `sscn evaluate --out` ({error})") from error
        if judged.get("step") != checkpoints[-1].step:
            raise ValueError(
                f"{path}: is of step {judged.get('step')}, not of step {checkpoints[-1].step}, the last one"
            )
        found.append(judged)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine.describe(),
        "network": asdict(checkpoints[0].network),
        "parameters": sum(value.numel() for value in network_of(checkpoints[0]).parameters()),
        "classes": list(classes),
        "passes": sum(stage.passes for stage, _ in stages),
        "seconds": sum(stage.seconds for stage, _ in stages),
        "simulations": simulated(folders),
        "stages": [asdict(stage) for stage, _ in stages],
        "curve": curve(stages, classes),
        "scores": found,
    }


def _check_order(folders: Sequence[Path], checkpoints: Sequence[Checkpoint]) -> None:
    """Raise ValueError unless every stage started from the last or the final checkpoint of the one before it, whose
    weights are the same, and the first from none. Folders are compared by name, because they may have been moved."""
    before: Path | None = None
    for folder, checkpoint in zip(folders, checkpoints, strict=True):
        start = training_options(checkpoint, folder / LAST).start
        given = None if start is None else Path(start).absolute()
        allowed = [(before.absolute().name, name) for name in (LAST, FINAL)] if before else [None]
        if (given and (given.parent.name, given.name)) not in allowed:
            wanted = "random weights" if before is None else f"{before / LAST}"
            raise ValueError(
                f"{folder} started from {start or 'random weights'}, not from {wanted}: give all stages in order"
            )
        before = folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="STAGE", help="folder of a stage, in order")
    parser.add_argument("--scores", nargs="+", type=Path, default=[], help="files of `sscn evaluate --out`")
    parser.add_argument("--out", required=True, metavar="NAME.json", help="new JSON file")
    parser.add_argument("--network", metavar="FOLDER", help="new folder; NAME if omitted")
    parser.add_argument(
        "--overwrite", choices=("true", "false"), default="false", help="replace existing files (default: false)"
    )
    options = parser.parse_args(arguments)
    try:
        print(join(options.folders, options.scores, options.out, options.network, options.overwrite == "true"))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


def join(
    folders: Sequence[Path], scores: Sequence[Path], out: str, network: str | None = None, overwrite: bool = False
) -> str:
    """Write the record and the network's folder; returns a line that describes them.

    Raises as `record` does, and ValueError if a file exists, unless ``overwrite``, or if the final network is of
    another step than the last checkpoint.
    """
    check_suffix("out", out, (".json",))
    check_new("out", out, overwrite)
    folder = Path(out).with_suffix("") if network is None else Path(network)
    check_new_network(folder, overwrite)
    found = record(folders, scores)
    path, steps = folders[-1] / FINAL, found["stages"][-1]["steps"]
    final = load_checkpoint(path)
    if final.step != steps:
        raise ValueError(f"{path}: is of step {final.step}, not of step {steps} as {folders[-1] / LAST}")
    package(final, found, Path(out).stem, folder, overwrite=overwrite)
    write_whole(out, f"{as_json(found)}\n", overwrite=overwrite)
    return f"{found['passes']:,} passes in {found['seconds'] / 3600:.1f} h: {out}, {folder}"


if __name__ == "__main__":
    sys.exit(main())

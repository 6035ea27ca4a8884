"""A training in stages as one record, and its network as a small file:

    python -m sscn_triton.study.training.stages STAGE_1 STAGE_2 ... --scores SCORES.json ... --out NAME.json

A stage is the folder of a training by `sscn train`; each one after the first started from `last.ckpt` or `final.ckpt`
of the one before (`--start`). SCORES are files that `sscn evaluate --out` wrote of the last stage's network. The
command writes NAME.json, with the options, the times and one learning curve of all stages, and the folder NAME (or
that of `--network`) with the final network in half precision and its model card, for `sscn predict --checkpoint
NAME`.

With `--continues RECORD.json`, the first stage started from the network that belongs to this earlier record, and the
stages of that record, whose folders are not needed, come before the new ones.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sscn_triton.common import machine
from sscn_triton.common.errors import first_line
from sscn_triton.common.files import WholeFile, check_new
from sscn_triton.common.options import check_suffix
from sscn_triton.common.output import as_json
from sscn_triton.common.results import commit
from sscn_triton.lartpc import open_events
from sscn_triton.models.pretrained import folder_of, read_folder
from sscn_triton.study.analysis.progress import summary
from sscn_triton.study.data.identity import simulations
from sscn_triton.study.training.checkpoint import Checkpoint, load_checkpoint, network_of, training_options
from sscn_triton.study.training.config import FINAL, LAST, STEPS
from sscn_triton.study.training.model_card import training_events
from sscn_triton.study.training.packaging import belongs, changed_options, check_new_network, package
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
        raise ValueError(
            f"{folder / STEPS}: has {len(rows)} rows for the {checkpoint.step} steps of {path}; "
            "expected one row per step"
        )
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


@dataclass(frozen=True)
class Point:
    """A point of a learning curve.

    end: passes at its end; weight: passes that its values are means over; values: of `learning_rate`, the last one, and
    of each quantity of the curve, nan if unknown
    """

    end: float
    weight: float
    values: dict[str, float]


def quantities(classes: Sequence[str]) -> tuple[str, ...]:
    """The names of the quantities of a learning curve."""
    return ("loss", "nonzero_accuracy", *(f"accuracy_{name}" for name in classes))


def step_points(
    stages: Sequence[tuple[Stage, list[dict[str, str]]]], classes: Sequence[str], passes: float = 0
) -> Iterable[Point]:
    """A point for each step of the stages, the first of which follows on `passes` earlier ones."""
    for stage, rows in stages:
        each = stage.passes // max(1, stage.steps)
        for row in rows:
            passes += each
            yield Point(passes, each, {name: float(row[name]) for name in ("learning_rate", *quantities(classes))})


def recorded_points(record: dict[str, Any]) -> Iterable[Point]:
    """The points of the learning curve of a record."""
    before = 0.0
    for point in record["curve"]:
        values = {name: math.nan if value is None else float(value) for name, value in point.items()}
        yield Point(values["passes"], values.pop("passes") - before, values)
        before = point["passes"]


def curve(points: Iterable[Point], total: int, classes: Sequence[str]) -> list[dict[str, float]]:
    """A learning curve of at most POINTS points: means over equal numbers of passes.

    points: of steps or of an earlier curve, in their order; one belongs to the bin in which it ends. total: all passes.

    passes: number of passes at the end of the bin; learning_rate: that of its last step; loss, nonzero_accuracy and
    accuracy_CLASS: means over its passes, before the weights changed (nan if no event had the class).
    """
    width = max(1, math.ceil(total / POINTS))
    bins: dict[int, list[Point]] = {}
    for point in points:
        bins.setdefault((int(point.end) - 1) // width, []).append(point)
    return [
        {"passes": members[-1].end, "learning_rate": members[-1].values["learning_rate"]}
        | {name: _mean([(point.values[name], point.weight) for point in members]) for name in quantities(classes)}
        for members in bins.values()
    ]


def _mean(values: Sequence[tuple[float, float]]) -> float:
    """The mean of the known values, each with its weight."""
    known = [(value, weight) for value, weight in values if value == value]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else math.nan


def record(folders: Sequence[Path], scores: Sequence[Path], earlier: Path | None = None) -> dict[str, Any]:
    """The record of a training in stages, with the scores of its network.

    earlier: the record that the stages continue, or None. Its passes and scores are kept as a milestone.

    Raises as `read_stage` and `read_record` do, and ValueError if a stage has another network than the first or did not
    start from the one before it, or if a file of scores is unreadable or belongs to another step.
    """
    before = None if earlier is None else read_record(earlier)
    stages = [read_stage(folder) for folder in folders]
    checkpoints = [load_checkpoint(folder / LAST) for folder in folders]
    classes = checkpoints[0].classes
    for folder, checkpoint in zip(folders, checkpoints, strict=True):
        if (checkpoint.classes, checkpoint.network) != (classes, checkpoints[0].network):
            raise ValueError(f"{folder} has another network than {folders[0]}: they are not stages of one training")
    if earlier is not None and before is not None:
        _check_continues(folders[0], checkpoints[0], earlier, before)
    _check_order(folders, checkpoints, before is not None)
    passes = sum(stage.passes for stage, _ in stages)
    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine.describe(),
        "network": asdict(checkpoints[0].network),
        "parameters": sum(value.numel() for value in network_of(checkpoints[0]).parameters()),
        "classes": list(classes),
        "passes": passes,
        "seconds": sum(stage.seconds for stage, _ in stages),
        "simulations": simulated(folders),
        "stages": [asdict(stage) for stage, _ in stages],
        "scores": [_scores(path, checkpoints[-1].step, classes) for path in scores],
    }
    if before is None:
        return found | {"curve": curve(step_points(stages, classes), passes, classes)}
    start = training_options(checkpoints[0], folders[0] / LAST).start
    found["stages"][0]["options"]["start"] = Path(str(start)).name
    for name in ("passes", "seconds", "stages"):
        found[name] = before[name] + found[name]
    found["simulations"] = before["simulations"] + [
        one for one in found["simulations"] if one not in before["simulations"]
    ]
    found["milestones"] = [*before.get("milestones", []), summary(before, training_events(before))]
    points = [*recorded_points(before), *step_points(stages, classes, before["passes"])]
    return found | {"curve": curve(points, found["passes"], classes)}


def _scores(path: Path, step: int, classes: Sequence[str]) -> Any:
    """A file of scores. Raises ValueError if it is unreadable or belongs to another step or other classes."""
    try:
        judged = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a file of `sscn evaluate --out` ({error})") from error
    if not isinstance(judged, dict) or "step" not in judged:
        raise ValueError(f"{path}: not a file of `sscn evaluate --out`: it has no step")
    if judged["step"] != step:
        raise ValueError(f"{path}: is of step {judged['step']}, not of step {step}, the last one")
    if judged.get("classes") != list(classes):
        raise ValueError(f"{path}: has other classes than the network, {', '.join(classes)}")
    return judged


def read_record(path: Path) -> dict[str, Any]:
    """A record that this command wrote. Raises OSError, and ValueError naming the file if it is another or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a record of {PROGRAM} ({error})") from error
    needed = ("commit", "network", "classes", "passes", "seconds", "simulations", "stages", "curve", "scores")
    missing = [name for name in needed if name not in found] if isinstance(found, dict) else needed
    if missing:
        raise ValueError(f"{path}: not a record of {PROGRAM}: it has no {', '.join(missing)}")
    try:
        passes = sum(Stage(**stage).passes for stage in found["stages"])
        curve(recorded_points(found), found["passes"], found["classes"])
        summary(found, training_events(found))
        damage = "" if passes == found["passes"] > 0 else f"passes={found['passes']}, its stages have {passes}"
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        damage = f"{type(error).__name__}: {first_line(error, 80)}"
    if damage:
        raise ValueError(f"{path}: a damaged record of {PROGRAM} ({damage})")
    return dict(found)


def _check_continues(folder: Path, checkpoint: Checkpoint, earlier: Path, before: dict[str, Any]) -> None:
    """Raise ValueError unless the stage started from the network that belongs to the record `before`, the file
    `earlier`, and has the same network and classes."""
    if (asdict(checkpoint.network), list(checkpoint.classes)) != (before["network"], before["classes"]):
        raise ValueError(f"{folder} has another network than {earlier}: it does not continue this training")
    start = training_options(checkpoint, folder / LAST).start
    trained = start is not None and Path(start).suffix not in (".ckpt", ".pt", ".pth")
    if not trained or not belongs(read_folder(folder_of(str(start))).about, before, earlier.stem):
        raise ValueError(f"{folder} started from {start or 'random weights'}, not from the network of {earlier}")


def _check_order(folders: Sequence[Path], checkpoints: Sequence[Checkpoint], continued: bool) -> None:
    """Raise ValueError unless every stage started from the last or the final checkpoint of the one before it, whose
    weights are the same, and the first from none, unless it continues an earlier record. Folders are compared by name,
    because they may have been moved."""
    before: Path | None = None
    for folder, checkpoint in zip(folders, checkpoints, strict=True):
        start = training_options(checkpoint, folder / LAST).start
        given = None if start is None else Path(start).absolute()
        allowed = [(before.absolute().name, name) for name in (LAST, FINAL)] if before else [None]
        if not (continued and before is None) and (given and (given.parent.name, given.name)) not in allowed:
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
    parser.add_argument("--continues", type=Path, metavar="RECORD.json", help="record of the stages before the first")
    parser.add_argument("--out", required=True, metavar="NAME.json", help="new JSON file")
    parser.add_argument("--network", metavar="FOLDER", help="new folder; NAME if omitted")
    parser.add_argument(
        "--overwrite", choices=("true", "false"), default="false", help="replace existing files (default: false)"
    )
    options = parser.parse_args(arguments)
    try:
        overwrite = options.overwrite == "true"
        print(join(options.folders, options.scores, options.out, options.network, overwrite, options.continues))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


def join(
    folders: Sequence[Path],
    scores: Sequence[Path],
    out: str,
    network: str | None = None,
    overwrite: bool = False,
    continues: Path | None = None,
) -> str:
    """Write the record and the network's folder; returns a line that describes them.

    continues: the record of the stages before the first, or None.

    Raises as `record` does, and ValueError if a file exists, unless ``overwrite``, or if the final network is of
    another step than the last checkpoint.
    """
    check_suffix("out", out, (".json",))
    check_new("out", out, overwrite)
    folder = Path(out).with_suffix("") if network is None else Path(network)
    check_new_network(folder, overwrite)
    found = record(folders, scores, continues)
    path, steps = folders[-1] / FINAL, found["stages"][-1]["steps"]
    final = load_checkpoint(path)
    if final.step != steps:
        raise ValueError(f"{path}: is of step {final.step}, not of step {steps} as {folders[-1] / LAST}")
    with WholeFile(out, overwrite=overwrite) as file:  # it gets its name after the network has been written
        file.write(f"{as_json(found)}\n".encode())
        file.flush()
        os.fsync(file.fileno())  # a full disk must stop it before the network is replaced
        package(final, found, Path(out).stem, folder, overwrite=overwrite)
    return f"{found['passes']:,} passes in {found['seconds'] / 3600:.1f} h: {out}, {folder}"


if __name__ == "__main__":
    sys.exit(main())

"""What teaches a trained network more Michel electrons? Short last stages that differ from one control in one point:

    python -m sscn_triton.study.questions.michel_trials --start stage-1/last.ckpt --data events \\
        --held_out held-out.h5 --out michel.json

Every training starts from the same network, the end of a stage of constant learning rate, lowers the rate to zero, and
shows the network the same number of events. The control shows it ordinary events with the class weights of the long
training. Others change the class weights or the definition of the labels, or show events with a Michel electron first
and then ordinary ones. Each network is judged on the same ordinary events, by both definitions of the labels.

The command continues after the last finished training, prints the tables when all is done, and writes one JSON file.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numba
import torch

from sscn_triton.common.options import check_least, check_suffix
from sscn_triton.common.results import Results, about
from sscn_triton.lartpc import CLASS_NAMES, EventFile, create_events, open_events
from sscn_triton.study.analysis.judging import judge
from sscn_triton.study.analysis.michel import MICHEL_VOXELS
from sscn_triton.study.analysis.predictions import Closer
from sscn_triton.study.data.batches import LEAST_VOXELS
from sscn_triton.study.data.datamodule import EventImages
from sscn_triton.study.data.labels import relabel
from sscn_triton.study.data.sampling import event_of
from sscn_triton.study.questions.michel_trials_report import CONTROL, summary_text
from sscn_triton.study.questions.recipe import described
from sscn_triton.study.runs.curves import last_tenth
from sscn_triton.study.runs.run import STATISTICS_BATCHES
from sscn_triton.study.training.checkpoint import load_checkpoint, load_network
from sscn_triton.study.training.config import FINAL, STEPS, TrainConfig
from sscn_triton.study.training.loop import estimate_statistics
from sscn_triton.study.training.networks import NetworkSettings
from sscn_triton.study.training.steplog import read_rows
from sscn_triton.study.training.trainer import train

PROGRAM = "python -m sscn_triton.study.questions.michel_trials"
MICHEL = CLASS_NAMES.index("Michel")

RECIPE: dict[str, Any] = {
    "batch": 8,
    "learning_rate": 2e-3,
    "schedule": "decay",
    "class_weights": "sqrt",
    "shift": 15,
    "average": 0.999,
}
"""The control, as options of `sscn train`: the last stage of the long training."""


@dataclass(frozen=True)
class Arm:
    """One training. changes: options that differ from the control; enriched: the share of the training, at its
    beginning, whose events all have a Michel electron."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    enriched: float = 0.0


ARMS = (
    Arm(f"{CONTROL}, seed 0"),
    Arm("Michel events first", enriched=0.4),
    Arm(f"{CONTROL}, seed 1", seed=1),
    Arm(f"{CONTROL}, seed 2", seed=2),
    Arm("class weights balanced", {"class_weights": "balanced"}),
    Arm("class weights none", {"class_weights": "none"}),
    Arm("attached labels", {"labels": "attached"}),
)
"""The trainings in the order in which they are done."""


@dataclass(frozen=True)
class Setting:
    """What all trainings have in common. passes: number of events shown, each once; held_out_events: how many judge a
    network."""

    passes: int = 3200
    held_out_events: int = 1000

    def __post_init__(self) -> None:
        check_least(self, passes=1, held_out_events=1)
        if self.passes % RECIPE["batch"]:
            raise ValueError(f"passes must be divisible by the batch of {RECIPE['batch']}, got {self.passes}")


def michel_events(events: EventFile, first: int, number: int) -> list[int]:
    """Numbers of the first `number` events, counted from number `first`, with at least MICHEL_VOXELS Michel voxels.

    Raises ValueError naming the file if it has fewer.
    """
    found: list[int] = []
    for index in range(first, len(events)):
        if len(found) == number:
            break
        if (events[index].labels == MICHEL).sum() >= MICHEL_VOXELS:
            found.append(index)
    if len(found) < number:
        raise ValueError(
            f"{events.path}: {number} events with a Michel electron are needed after the first {first}, "
            f"but there are {len(found)}"
        )
    return found


def in_order(arm: Arm, passes: int, enriched: Sequence[int]) -> list[int]:
    """Numbers of the training events of an arm, in such an order that `sscn train`, which shuffles them, shows the
    enriched ones first and then the ordinary events that the control shows at the same place."""
    numbers = list(range(passes))
    for place in range(round(arm.enriched * passes)):
        numbers[event_of(arm.seed, place, passes)] = enriched[place]
    return numbers


def options(arm: Arm, setting: Setting, network: NetworkSettings, **files: Any) -> TrainConfig:
    """The training of an arm. `sscn train` judges it on a few events only; `judged` does it on all."""
    recipe = {**RECIPE, **arm.changes, "seed": arm.seed}
    recipe |= {name: getattr(network, name) for name in ("filters", "depth", "repetitions")}
    steps = setting.passes // recipe["batch"]
    return TrainConfig(
        **recipe, **files, steps=steps, held_out_events=8, checkpoint_every=steps, tensorboard=False, device="cpu"
    )


def with_last_statistics(config: TrainConfig) -> torch.nn.Module:
    """The final network of a training, whose norms have the statistics of the last batches: `sscn train` takes those of
    the first ones, which may be enriched."""
    network = load_network(Path(config.out) / FINAL)
    images = EventImages(config)
    images.load()
    number = min(STATISTICS_BATCHES, config.steps)
    estimate_statistics(network, images.statistics_batches(number, config.steps - number))
    return network


def judged(network: torch.nn.Module, held_out: EventFile, number: int) -> dict[str, Any]:
    """Scores on the first `number` events by the labels of the file, and by both definitions as `Closer` has them."""
    closer = Closer(CLASS_NAMES, 3)
    events = (relabel(held_out[index]) for index in range(number))
    usable = (event for event in events if (event.labels >= 0).sum() >= LEAST_VOXELS)
    scores, _, _ = judge(network, usable, visit=closer.add)
    found = closer.record()
    for one in (found["michel"], found["attached"]["michel"]):
        for name in ("true_energies", "candidate_energies", "matched_energies"):
            del one[name]
    return asdict(scores) | {"michel": found["michel"], "attached": found["attached"]}


def one_training(
    arm: Arm,
    setting: Setting,
    start: str,
    events: EventFile,
    numbers: list[int],
    held_out: EventFile,
) -> dict[str, Any]:
    """Train and judge in this process; returns the scores, the accuracy at the end of the training, and the time."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.h5"
        with create_events(data, events) as out:
            for number in numbers:
                out.append(events[number])
        files = {"out": folder, "start": start, "data": str(data), "held_out": str(held_out.path)}
        config = options(arm, setting, load_checkpoint(start).network, **files)
        cpu, wall = time.process_time(), time.perf_counter()
        train(config)
        took = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
        seen = [float(row["nonzero_accuracy"]) for row in read_rows(Path(folder) / STEPS)]
        samples = load_checkpoint(Path(folder) / FINAL).samples
        scores = judged(with_last_statistics(config), held_out, setting.held_out_events)
    return {
        "arm": asdict(arm),
        "options": {name: getattr(config, name) for name in sorted({*RECIPE, *arm.changes, "seed", "steps"})},
        "passes": samples,
        "training_accuracy": last_tenth(seen),
        "scores": scores,
        **took,
    }


def run(setting: Setting, start: str, data: str, held_out: str, out: str) -> dict[str, Any]:
    """Do what is missing in the file `out`; returns its record.

    Raises ValueError before any training if there are too few events, or if the file has another setting, start or
    events, or is of another device or of other versions, and as `train` does.
    """
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    results = Results(Path(out), about("cpu"))
    told = {"setting": asdict(setting), "recipe": RECIPE, "start": begun(start)}
    told |= {"learnt": described(data), "judged": described(held_out)}
    for name, value in told.items():
        if results.record.get(name, value) != value:
            raise ValueError(f"{out} was written with {name}={results.record[name]}, not {value}: choose another out")
    missing = [arm for arm in ARMS if arm.name not in results]
    with open_events(data) as events, open_events(held_out) as others:
        _check_number(events, setting.passes)
        _check_number(others, setting.held_out_events)
        enriched = michel_events(
            events, setting.passes, round(setting.passes * max((arm.enriched for arm in missing), default=0.0))
        )
        results.note(**told, classes=list(CLASS_NAMES))
        for arm in missing:
            numbers = in_order(arm, setting.passes, enriched)
            found = one_training(arm, setting, start, events, numbers, others)
            results.add(arm.name, found)
            told_briefly = f"{100 * found['scores']['nonzero_accuracy']:.1f} %, {found['cpu_seconds']:.0f} s"
            print(f"{arm.name}: {told_briefly}", flush=True)
    return results.record


def _check_number(events: EventFile, number: int) -> None:
    if len(events) < number:
        raise ValueError(f"{events.path}: {number} events are needed, but there are {len(events)}")


def begun(start: str) -> dict[str, Any]:
    """The network from which all trainings start: its file by checksum, its size, and the stage that it ends.

    Raises FileNotFoundError or ValueError naming the file as `load_checkpoint` does.
    """
    checkpoint = load_checkpoint(start)
    return {
        "sha256": hashlib.sha256(Path(start).read_bytes()).hexdigest(),
        "network": asdict(checkpoint.network),
        "step": checkpoint.step,
        "passes": checkpoint.samples,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, text in (
        ("start", "checkpoint at the end of a stage of constant learning rate"),
        ("data", "event file, or folder of them, to learn from"),
        ("held_out", "event file to judge the networks on"),
        ("out", "JSON file, new or of the same setting, start and events"),
    ):
        parser.add_argument(f"--{name}", required=True, metavar="FILE", help=text)
    for one in fields(Setting):
        text = f"see Setting (default: {one.default})"
        parser.add_argument(f"--{one.name}", type=int, default=one.default, metavar="N", help=text)
    given = vars(parser.parse_args(arguments))
    files = [given.pop(name) for name in ("start", "data", "held_out", "out")]
    try:
        check_suffix("out", files[-1], (".json",))
        print(summary_text(run(Setting(**given), *files)))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

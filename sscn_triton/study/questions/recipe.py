"""Which recipe teaches the study's network most? Short trainings that differ from one recipe in one point each:

    python -m sscn_triton.study.questions.recipe --data events --held_out held-out.h5 --out recipe.json

Every training is one of `sscn train` on one thread, and shows the network the same number of events: with smaller
batches it takes more steps. Networks of other sizes also get the number of events that takes the same CPU time. Only
the basic recipe is trained with several seeds; their spread says which differences are more than chance.

The command continues after the last finished training, prints the table when all is done, and writes one JSON file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from sscn_triton.common.options import check_least, check_suffix
from sscn_triton.common.results import Results, about
from sscn_triton.lartpc import CLASS_NAMES, create_events, open_events
from sscn_triton.study.data.batches import ENERGY_UNIT
from sscn_triton.study.data.identity import identify, simulations
from sscn_triton.study.questions.recipe_report import BASIC, summary_text
from sscn_triton.study.runs.curves import last_tenth
from sscn_triton.study.training.checkpoint import load_checkpoint
from sscn_triton.study.training.config import FINAL, SCORES, STEPS, TrainConfig
from sscn_triton.study.training.steplog import read_rows
from sscn_triton.study.training.trainer import train

PROGRAM = "python -m sscn_triton.study.questions.recipe"

RECIPE: dict[str, Any] = {
    "batch": 8,
    "learning_rate": 3e-3,
    "schedule": "one-cycle",
    "class_weights": "sqrt",
    "shift": 15,
    "filters": 16,
    "depth": 5,
}
"""The basic recipe, as options of `sscn train`."""


@dataclass(frozen=True)
class Variation:
    """One training: what its recipe changes, its seed, its number of events as a multiple of the setting's, and whether
    the network reads the logarithm of the energies."""

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    share: float = 1.0
    logarithm: bool = False


VARIATIONS = (
    Variation(f"{BASIC}, seed 0", seed=0),
    Variation("logarithm of the energies", logarithm=True),
    Variation("class weights none", {"class_weights": "none"}),
    Variation(f"{BASIC}, seed 1", seed=1),
    Variation("batch 4", {"batch": 4}),
    Variation("learning rate 0.01", {"learning_rate": 1e-2}),
    Variation("filters 32, equal time", {"filters": 32}, share=0.45),
    Variation(f"{BASIC}, seed 2", seed=2),
    Variation("learning rate 0.001", {"learning_rate": 1e-3}),
    Variation("batch 2", {"batch": 2}),
    Variation("batch 16", {"batch": 16}),
    Variation("filters 8, equal time", {"filters": 8}, share=1.6),
    Variation("no shifts", {"shift": 0}),
    Variation("no shifts, no symmetries", {"shift": 0, "augment": False}),
    Variation("class weights balanced", {"class_weights": "balanced"}),
    Variation("averaged weights", {"average": 0.99}),
    Variation("depth 6", {"depth": 6}),
    Variation("filters 32", {"filters": 32}),
)
"""The trainings in the order in which they are done. The shares of the trainings of equal time come from the CPU time
per event of short trials; the record has the time that each took."""


@dataclass(frozen=True)
class Setting:
    """What all trainings have in common. passes: number of events shown; held_out_events: how many judge a network."""

    passes: int = 6400
    held_out_events: int = 400

    def __post_init__(self) -> None:
        check_least(self, passes=16, held_out_events=1)


def options(variation: Variation, setting: Setting, **files: Any) -> TrainConfig:
    """The training of a variation, whose last step is the first at which it has seen all its events."""
    recipe = {**RECIPE, **variation.changes, "seed": variation.seed}
    steps = -(-round(setting.passes * variation.share) // recipe["batch"])
    return TrainConfig(
        **recipe,
        **files,
        steps=steps,
        held_out_events=setting.held_out_events,
        checkpoint_every=steps,
        tensorboard=False,
        device="cpu",
    )


def with_logarithms(path: str, copy: Path, number: int | None = None) -> str:
    """Write the first `number` events of a file or folder to `copy`, with E0 * log(1 + E / E0) in place of the energy
    E, where E0 is the unit in which networks read energies. Returns the path of the copy."""
    with open_events(path) as events, create_events(copy, events) as out:
        for index in range(len(events) if number is None else min(number, len(events))):
            event = events[index]
            out.append(replace(event, energy=ENERGY_UNIT * np.log1p(event.energy / ENERGY_UNIT)))
    return str(copy)


def one_training(variation: Variation, setting: Setting, data: str, held_out: str) -> dict[str, Any]:
    """Train and judge in this process; returns the scores, the accuracy at the end of the training, and the time."""
    with tempfile.TemporaryDirectory() as folder:
        if variation.logarithm:
            data = with_logarithms(data, Path(folder) / "data.h5")
            held_out = with_logarithms(held_out, Path(folder) / "held_out.h5", setting.held_out_events)
        config = options(variation, setting, out=folder, data=data, held_out=held_out)
        cpu, wall = time.process_time(), time.perf_counter()
        train(config)
        took = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.perf_counter() - wall}
        seen = [float(row["nonzero_accuracy"]) for row in read_rows(Path(folder) / STEPS)]
        scores = json.loads((Path(folder) / SCORES).read_text(encoding="utf-8"))
        checkpoint = load_checkpoint(Path(folder) / FINAL)
    return {
        "variation": asdict(variation),
        "options": {name: getattr(config, name) for name in sorted({*RECIPE, *variation.changes, "seed", "steps"})},
        "passes": checkpoint.samples,
        "training_accuracy": last_tenth(seen),
        "scores": scores,
        **took,
    }


def run(setting: Setting, data: str, held_out: str, out: str) -> dict[str, Any]:
    """Do what is missing in the file `out`; returns its record.

    Raises ValueError if the file has another setting or was trained on other events, or is of another device or of
    other versions, and as `train` does.
    """
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    results = Results(Path(out), about("cpu"))
    told = {"setting": asdict(setting), "recipe": RECIPE}
    events = {"learnt": described(data), "judged": described(held_out)}
    for name, value in {**told, **events}.items():
        if results.record.get(name, value) != value:
            raise ValueError(f"{out} was written with {name}={results.record[name]}, not {value}: choose another out")
    results.note(**told, **events, classes=list(CLASS_NAMES))
    for variation in VARIATIONS:
        if variation.name in results:
            continue
        found = one_training(variation, setting, data, held_out)
        results.add(variation.name, found)
        accuracy = found["scores"]["nonzero_accuracy"]
        print(f"{variation.name}: {100 * accuracy:.1f} %, {found['cpu_seconds']:.0f} s", flush=True)
    return results.record


def described(path: str) -> dict[str, Any]:
    """Identity of the events of a file or folder, and how they were simulated."""
    with open_events(path) as events:
        return {"identity": identify(events), "simulations": simulations(events)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="PATH", help="event file, or folder of them, to learn from")
    parser.add_argument("--held_out", required=True, metavar="PATH", help="event file to judge the networks on")
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file, new or of the same setting and events")
    for one in fields(Setting):
        text = f"see Setting (default: {one.default})"
        parser.add_argument(f"--{one.name}", type=int, default=one.default, metavar="N", help=text)
    given = vars(parser.parse_args(arguments))
    files = [given.pop(name) for name in ("data", "held_out", "out")]
    try:
        check_suffix("out", files[-1], (".json",))
        print(summary_text(run(Setting(**given), *files)))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Why is a dense UResNet less accurate than a sparse one? Norms or convolutions, a two-by-two:

    python -m sscn_triton.study.questions.two_by_two --out two-by-two.json

Four networks with the same initial weights learn from the same crops in the same steps. They differ in whether the
statistics of batch norm are over all voxels or over the active ones, and in whether convolutions are dense or
submanifold (`active_set`). A fifth is the dense network that also learns a background class: its loss is over all
voxels. The learning rate of each network is the best of a few short trials. Images are crops of simulated events, as
one plane of wires records them in two dimensions.

The sparse network and its dense twin alone, for longer:

    python -m sscn_triton.study.questions.two_by_two --out two-by-two-long.json \\
        --cells "norms all, sites all" "norms active, sites active" --rates 0.001 0.003 0.01 0.03 0.1 \\
        --choose_by scores batch_scores --events 4000 --judging 400 --trial_steps 300 --steps 3000 --equal_time true

The command continues where it stopped, prints the tables when all is done, and writes one JSON file.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from typing import Any, get_args

import numba
import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.options import check_least, check_suffix
from sscn_triton.common.results import Results, about
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.lartpc import CLASS_NAMES, Event, project
from sscn_triton.study.analysis.judging import judge, judge_batches
from sscn_triton.study.data.batches import Batch, random_crop, simulated, training_crops
from sscn_triton.study.questions.active_set import Respect, dense_network, sparse_network
from sscn_triton.study.questions.two_by_two_record import DENSE, SPARSE, Measure, cpu_seconds, rate, timed_name
from sscn_triton.study.questions.two_by_two_report import summary_text
from sscn_triton.study.runs.curves import curve, last_tenth
from sscn_triton.study.runs.run import STATISTICS_BATCHES
from sscn_triton.study.training.loop import Limit, estimate_statistics, train_module
from sscn_triton.study.training.metrics import Tally, event_losses
from sscn_triton.study.training.segmentation import Segmentation

PROGRAM = "python -m sscn_triton.study.questions.two_by_two"
BACKGROUND = len(CLASS_NAMES)
"""The class of inactive voxels, for the network that learns one."""


@dataclass(frozen=True)
class Cell:
    """One of the networks. background: it has a sixth class, of inactive voxels, and its loss is over all voxels."""

    respect: Respect
    background: bool = False

    @property
    def name(self) -> str:
        name = f"norms {self.respect.norms}, sites {self.respect.sites}"
        return f"{name}, background" if self.background else name


CELLS = (
    Cell(Respect("all", "all")),
    Cell(Respect("active", "all")),
    Cell(Respect("all", "active")),
    Cell(Respect("active", "active")),
    Cell(Respect("all", "all"), background=True),
)


@dataclass(frozen=True)
class Setting:
    """What all networks have in common; a file of results has one setting.

    events: number of simulated events to learn from; choosing, judging: numbers of other events, of which one crop
    each chooses the learning rates and judges the trained networks; image: edge of the simulated events; size: edge of
    a crop; images: crops in a step; cells: the networks to train; rates: Adam's largest learning rates that are tried,
    each for trial_steps steps with the weights and crops of trial_seed; choose_by: the ways of judging a trial, of
    which the better one counts; equal_time: whether the dense twin also learns for as many steps as take the CPU time
    of the sparse network, with a schedule of this length.
    """

    events: int = 2000
    choosing: int = 150
    judging: int = 300
    image: int = 192
    plane: str = "y"
    size: int = 64
    images: int = 8
    filters: int = 8
    depth: int = 4
    repetitions: int = 1
    steps: int = 1200
    trial_steps: int = 300
    cells: tuple[str, ...] = tuple(cell.name for cell in CELLS)
    rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    choose_by: tuple[str, ...] = ("scores",)
    equal_time: bool = False
    trial_seed: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    event_seeds: tuple[int, int, int] = (2201, 2202, 2203)

    def __post_init__(self) -> None:
        counts = [field.name for field in fields(self) if type(field.default) is int]
        check_least(self, **{name: 0 if name == "trial_seed" else 1 for name in counts})
        if self.size % 2 ** (self.depth - 1):
            raise ValueError(
                f"size must be divisible by {2 ** (self.depth - 1)} at depth {self.depth}, got {self.size}"
            )
        if self.size > self.image:
            raise ValueError(f"size must fit into the image of {self.image}, got {self.size}")
        _check_chosen("cells", self.cells, [cell.name for cell in CELLS])
        _check_chosen("choose_by", self.choose_by, get_args(Measure))
        _check_chosen("rates", self.rates)
        _check_chosen("seeds", self.seeds)
        if not all(0 < peak < math.inf for peak in self.rates):
            raise ValueError(f"rates must be positive and finite, got {_listed(self.rates)}")
        if min(self.seeds) < 0 or min(self.event_seeds) < 0 or len(set(self.event_seeds)) != 3:
            raise ValueError(
                "seeds must be at least 0, and event_seeds three different ones, got "
                f"{_listed(self.seeds)} and {_listed(self.event_seeds)}"
            )
        if self.equal_time and not {SPARSE, DENSE} <= set(self.cells):
            raise ValueError(f"equal_time compares {SPARSE!r} and {DENSE!r}: cells must contain both")

    def record(self) -> dict[str, Any]:
        """The setting as the JSON file has it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _check_chosen(name: str, values: Sequence[Any], known: Sequence[Any] | None = None) -> None:
    """Raise ValueError unless there is a value, all differ, and all are known."""
    if not values or len(set(values)) < len(values) or not (known is None or set(values) <= set(known)):
        allowed = "" if known is None else f" of {_listed(known)}"
        raise ValueError(f"{name} must be one or more different values{allowed}, got {_listed(values) or 'none'}")


def _listed(values: Sequence[Any]) -> str:
    return "; ".join(map(str, values))


class Data:
    """Projected events and crops of a setting; those that are not needed are not simulated."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def _projected(self, which: int, number: int) -> list[Event]:
        setting = self.setting
        events = simulated(setting.event_seeds[which], number, setting.image)
        return [project(event, setting.plane) for event in events]

    def _crops(self, which: int, number: int) -> list[Event]:
        generator = np.random.default_rng(self.setting.event_seeds[which])
        return [random_crop([one], self.setting.size, generator) for one in self._projected(which, number)]

    @cached_property
    def train(self) -> list[Event]:
        return self._projected(0, self.setting.events)

    @cached_property
    def choosing(self) -> list[Event]:
        return self._crops(1, self.setting.choosing)

    @cached_property
    def judging(self) -> list[Event]:
        return self._crops(2, self.setting.judging)


class WithBackground(Segmentation):
    """Training of a dense network whose last class is the background: the loss is the mean over all voxels of an event,
    those of unknown label left out. Accuracies are of active voxels, where an answer "background" is wrong."""

    def logits_and_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        places = batch.coordinates.long().unbind(1)
        image = SparseTensor(batch.features, batch.coordinates, batch.spatial_shape, batch.images).dense()
        logits = self.network(image).movedim(1, -1)
        labels = torch.full(logits.shape[:-1], logits.shape[-1] - 1)
        labels[places] = batch.labels
        events = torch.arange(batch.images).repeat_interleave(labels[0].numel())
        losses = event_losses(logits.flatten(0, -2), labels.flatten(), events, batch.images)
        return logits[places], losses


def make(cell: Cell, seed: int, setting: Setting) -> torch.nn.Module:
    """The network of a cell; the sparse engine computes those that have no values at inactive sites."""
    maker = sparse_network if cell.respect.sites == "active" else dense_network
    classes = len(CLASS_NAMES) + cell.background
    return maker(cell.respect, seed, classes, setting.filters, setting.depth, setting.repetitions, 2)


def train_and_judge(
    cell: Cell, setting: Setting, data: Data, seed: int, peak: float, steps: int, crops: list[Event]
) -> dict[str, Any]:
    """Train a network, in this process and with one thread; returns its curve, times and scores on these crops, with
    running statistics and with those of batches of crops."""
    network = make(cell, seed, setting)
    batches = training_crops(data.train, setting.size, setting.images, seed)
    module = (WithBackground if cell.background else Segmentation)(network, peak)
    start = time.process_time()
    taken = train_module(module, batches, None, Limit(0.0, steps), peak)
    cpu = time.process_time() - start
    again = training_crops(data.train, setting.size, setting.images, seed)
    estimate_statistics(network, list(islice(again, min(STATISTICS_BATCHES, steps))))
    five = Tally(len(CLASS_NAMES))

    def visit(image: Event, scores: np.ndarray) -> None:
        five.add(torch.from_numpy(scores[:, : len(CLASS_NAMES)]), torch.from_numpy(image.labels).long())

    classes = len(CLASS_NAMES) + cell.background
    scores = judge(network, crops, classes, visit)[0]
    of_batches = judge_batches(network, crops, setting.images, classes)
    accuracy, wall, loss = ([getattr(step, name) for step in taken] for name in ("accuracy", "wall", "loss"))
    return {
        "cell": cell.name,
        "seed": seed,
        "learning_rate": peak,
        "steps": len(taken),
        "cpu_seconds": cpu,
        "wall_seconds": taken[-1].wall,
        "training_accuracy": last_tenth(accuracy),
        "curve": curve(accuracy, wall, loss),
        "scores": asdict(scores),
        "batch_scores": asdict(of_batches),
        "without_background": five.scores().nonzero_accuracy,
    }


def run(setting: Setting, out: str) -> dict[str, Any]:
    """Do what is missing in the file `out`; returns its record.

    Raises ValueError if the file has another setting, or is of another device or of other versions.
    """
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    results = Results(Path(out), about("cpu"))
    if results.record.get("setting", setting.record()) != setting.record():
        raise ValueError(f"{out} was written with other options, {results.record['setting']}: choose another out")
    results.note(setting=setting.record(), classes=list(CLASS_NAMES))
    data = Data(setting)

    def do(name: str, cell: Cell, seed: int, peak: float, steps: int, which: str) -> None:
        if name in results:
            return
        found = train_and_judge(cell, setting, data, seed, peak, steps, getattr(data, which))
        results.add(name, found)
        accuracy = found["scores"]["nonzero_accuracy"]
        print(f"{name}: rate {peak:g}, {100 * accuracy:.1f} %, {found['cpu_seconds']:.0f} s", flush=True)

    cells = [cell for cell in CELLS if cell.name in setting.cells]
    for peak, cell in product(setting.rates, cells):
        do(f"rate {peak:g}: {cell.name}", cell, setting.trial_seed, peak, setting.trial_steps, "choosing")
    for background, seed in product((False, True), setting.seeds):  # whole seeds of the two-by-two come first
        for cell in (cell for cell in cells if cell.background == background):
            peak = rate(results.record, cell.name)
            do(f"seed {seed}: {cell.name}", cell, seed, peak, setting.steps, "judging")
    for seed in setting.seeds if setting.equal_time else ():
        shorter = cpu_seconds(results.record, SPARSE) / cpu_seconds(results.record, DENSE)
        steps = max(1, round(setting.steps * shorter))
        dense = next(cell for cell in cells if cell.name == DENSE)
        do(timed_name(seed), dense, seed, rate(results.record, DENSE), steps, "judging")
    return results.record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code: 0, or 2 if the input is bad or nothing can be written."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file, new or of the same setting")
    for field in fields(Setting):
        default, option = field.default, f"--{field.name}"
        if isinstance(default, bool):
            text = f"see Setting (default: {str(default).lower()})"
            parser.add_argument(option, choices=("true", "false"), default=str(default).lower(), help=text)
        elif isinstance(default, int):
            text = f"see Setting (default: {default})"
            parser.add_argument(option, type=int, default=default, metavar="N", help=text)
        elif isinstance(default, tuple):
            text = f"see Setting (default: {_listed(default)})"
            kind: Any = type(default[0])
            parser.add_argument(option, type=kind, nargs="+", default=default, metavar="VALUE", help=text)
    given = vars(parser.parse_args(arguments))
    options: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in given.items()}
    out = options.pop("out")
    options["equal_time"] = options["equal_time"] == "true"
    try:
        check_suffix("out", out, (".json",))
        print(summary_text(run(Setting(**options), out)))
    except (ValueError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The questions that the 2018 study left open, each as an experiment that is small enough for a laptop.

The experiments share as much as possible. Networks have half the filters and half the blocks, and all are trained for
the same number of steps on the same images, those of stopping muons, with two seeds each. One experiment runs per core,
with one thread each.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Protocol

import numba
import torch

from sscn_triton.common import machine
from sscn_triton.common.processes import run_all
from sscn_triton.common.progress import Progress
from sscn_triton.lartpc import Event
from sscn_triton.study.config import IMAGE, StudyConfig
from sscn_triton.study.data.batches import LEAST_VOXELS, Split
from sscn_triton.study.data.tiling import covering
from sscn_triton.study.questions.equal_memory import Contender, crops_that_fit
from sscn_triton.study.questions.particles import ENERGIES, SPECIES, FlavourTrial, single_particles
from sscn_triton.study.questions.receptive_field import Joining
from sscn_triton.study.questions.trials import IMAGES, REPETITIONS, Trial
from sscn_triton.study.runs.run import Run
from sscn_triton.study.training.loop import Limit
from sscn_triton.study.training.metrics import ClassWeights

SEEDS = (0, 1)
FEWER = (64, 8, 1)
"""Numbers of training events: one in 64, one in 8, or all of them."""
WEIGHTS: tuple[ClassWeights, ...] = ("none", "sqrt", "balanced")
JUDGED = 100
"""Maximum number of held-out images per trial."""
SINGLES = 80, 40
"""Numbers of single particles of each species, for training and held out."""
PAIR_SHARE, SINGLES_SHARE = 0.2, 0.12
"""Shares of the time for all questions: for the two networks at equal memory, and for each seed's single particles."""
START_SECONDS, SLOWER = 10.0, 1.3
"""Seconds for starting the processes; factor by which a step may be slower when every core is busy."""


class Experiment(Protocol):
    @property
    def name(self) -> str: ...

    def run(self) -> dict[str, Any]: ...


Point = tuple[int, int, ClassWeights]
"""What distinguishes trials: number of training events, depth, class weights."""


def do(experiment: Experiment) -> dict[str, Any]:
    """Run the experiment in this process, with one thread."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    return experiment.run()


def ask(config: StudyConfig, split: Split, muons: Split, sparse: Run, dense: Run, seconds: float) -> dict[str, Any]:
    """Run all experiments and return the record of answers. sparse, dense: the study's runs of the sparse network and
    of its dense twin on crops."""
    workers = machine.cores()
    train, held_out = ([images for event in part if (images := _images(event, config))] for part in _parts(muons))
    judged = _spread([image for images in held_out for image in images], JUDGED)
    pair = _pair(config, split, sparse, dense, Limit(PAIR_SHARE * seconds, config.steps))
    singles = _singles(config, Limit(SINGLES_SHARE * seconds, config.steps))
    joining = [
        Joining(f"receptive field, depth {depth}", judged, depth, REPETITIONS) for depth in range(1, config.depth + 1)
    ]
    counts = sorted({max(1, len(train) // fewer) for fewer in FEWER})
    points = _points(counts, config.depth)
    trials = [_trial(config, train, judged, point, seed) for point in points for seed in SEEDS]
    room = seconds - START_SECONDS - PAIR_SHARE * seconds * (2 if workers == 1 else 1)
    room -= SINGLES_SHARE * seconds * len(singles) / workers
    steps = config.steps or _steps(trials[-1], room * workers / len(trials))
    trials = [replace(trial, limit=Limit(0.0, steps)) for trial in trials]
    experiments: list[Experiment] = [*pair, *singles, *joining, *trials]
    found = _run(experiments, workers)

    def of(point: Point) -> list[dict[str, Any]]:
        return [found[_name(point, seed)] for seed in SEEDS]

    everything = counts[-1]
    return {
        "workers": workers,
        "filters": trials[0].filters,
        "repetitions": REPETITIONS,
        "images": IMAGES,
        "steps": steps,
        "seeds": list(SEEDS),
        "source": muons.source,
        "judged": len(judged),
        "equal": [found[contender.name] for contender in pair],
        "events": [{"events": n, "trials": of((n, config.depth, "none"))} for n in counts],
        "depth": [
            {"depth": joined.depth, **found[joined.name], "trials": of((everything, joined.depth, "none"))}
            for joined in joining
        ],
        "weights": [{"class_weights": w, "trials": of((everything, config.depth, w))} for w in WEIGHTS],
        "particles": {
            "species": list(SPECIES),
            "energies": list(ENERGIES),
            "image": singles[0].train[0].image.spatial_shape[0],
            "train": len(singles[0].train),
            "held_out": len(singles[0].held_out),
            "trials": [found[single.name] for single in singles],
        },
    }


def _run(experiments: list[Experiment], workers: int) -> dict[str, dict[str, Any]]:
    """Run the experiments; returns their results by name."""
    with Progress("open questions", len(experiments)) as progress:

        def report(done: int) -> None:
            progress.to(done, f"{done} of {len(experiments)} experiments")

        results = run_all(experiments, do, workers, report)
    return {experiment.name: result for experiment, result in zip(experiments, results, strict=True)}


def _parts(split: Split) -> tuple[list[Event], list[Event]]:
    return split.train, split.held_out


def _images(event: Event, config: StudyConfig) -> list[Event]:
    """The images of an event: events simulated for the questions are small enough to use whole; others are cropped."""
    if config.data is None:
        return [event]
    return [tile for tile in covering(event, config.size) if (tile.labels >= 0).sum() >= LEAST_VOXELS]


def _spread(images: list[Event], number: int) -> list[Event]:
    """At most `number` of them, evenly spread."""
    return [images[i * len(images) // number] for i in range(number)] if len(images) > number else images


def _points(counts: list[int], depth: int) -> list[Point]:
    """All points of the questions on events, depth and weights, without duplicates."""
    everything = counts[-1]
    points: list[Point] = [(n, depth, "none") for n in counts]
    points += [(everything, d, "none") for d in range(1, depth)]
    return points + [(everything, depth, weights) for weights in WEIGHTS[1:]]


def _name(point: Point, seed: int) -> str:
    return f"{point[0]} events, depth {point[1]}, class weights {point[2]}, seed {seed}"


def _trial(config: StudyConfig, train: list[list[Event]], judged: list[Event], point: Point, seed: int) -> Trial:
    number, depth, weights = point
    images = [image for some in train[:number] for image in some]
    filters, limit = max(1, config.filters // 2), Limit(0.0, config.steps or 1)
    name = _name(point, seed)
    return Trial(name, images, judged, filters, depth, seed, limit, weights)


def _pair(config: StudyConfig, split: Split, sparse: Run, dense: Run, limit: Limit) -> list[Contender]:
    """The sparse network as in the study, and the dense one on crops that fit into the same memory."""
    edge, images = crops_that_fit(config, sparse.outcome, dense.outcome)
    crops = sparse.job.held_out
    return [
        Contender("sparse", "sparse", config, split.train, crops, config.size, config.batch, limit),
        Contender("dense, matched", "matched", config, split.train, crops, edge, images, limit),
    ]


def _singles(config: StudyConfig, limit: Limit) -> list[FlavourTrial]:
    """Trials on the same single particles, which are always simulated, even if the study uses events of a file."""
    edge = max(8, (config.image or IMAGE) // 2)
    train = single_particles(config.seed, SINGLES[0], edge)
    held_out = single_particles(config.seed + 1, SINGLES[1], edge)
    channels = max(1, config.filters // 2)
    return [
        FlavourTrial(f"single particles, seed {seed}", train, held_out, channels, config.learning_rate, seed, limit)
        for seed in SEEDS
    ]


def _steps(trial: Trial, seconds: float) -> int:
    """The number of steps that a trial makes in these seconds, including judging, estimated from a short trial with one
    thread."""
    threads = torch.get_num_threads(), numba.get_num_threads()
    try:
        few = replace(trial, limit=Limit(0.0, 6), held_out=trial.held_out[:5])
        do(few)  # compiles everything
        start = time.monotonic()
        answer = do(few)
        judging = max(0.0, time.monotonic() - start - 2 * answer["seconds"]) * len(trial.held_out) / 5
        return max(1, int((seconds / SLOWER - judging) / (answer["seconds"] / 6)))
    finally:
        torch.set_num_threads(threads[0])
        numba.set_num_threads(threads[1])

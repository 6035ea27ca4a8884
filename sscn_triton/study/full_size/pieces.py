"""The pieces of the study at full size: events, the pace of a training, the training, costs, scaling.

A long piece continues where it stopped: events from their files, a training from its checkpoint.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sscn_triton.common.errors import RunError
from sscn_triton.common.progress import Progress
from sscn_triton.common.results import OUT_OF_MEMORY
from sscn_triton.lartpc import CLASS_NAMES, open_events
from sscn_triton.lartpc.simulation.production import simulate_folder
from sscn_triton.study.full_size.setting import Kind, Setting
from sscn_triton.study.runs.trained import read_trained
from sscn_triton.study.scaling.measure import Job, Plan, measure
from sscn_triton.study.scaling.measure import run as run_scaling
from sscn_triton.study.training.config import FINAL, SCORES, STEPS, TrainConfig, packaged_options
from sscn_triton.study.training.networks import NetworkSettings
from sscn_triton.study.training.steplog import read_rows
from sscn_triton.study.training.trainer import train

RESERVE = 60.0
"""Seconds at the end of a call in which no work starts, because files and checkpoints must be finished."""


@dataclass(frozen=True)
class Piece:
    """One piece of the study.

    kind: what the piece does; its record contains the same word
    do: takes the available seconds; returns the piece's record, or None if it must continue in another call
    seconds: minimum time needed to make progress
    """

    name: str
    kind: Kind
    do: Callable[[float], dict[str, Any] | None]
    seconds: float


def pieces(setting: Setting, done: Mapping[str, Any]) -> list[Piece]:
    """All pieces, the most interesting first. done: records by name, because some pieces need results of others."""
    scale = setting.scale
    found: list[Piece] = []

    def add(name: str, kind: Kind, do: Callable[[float], dict[str, Any] | None], seconds: float) -> None:
        found.append(Piece(name, kind, do, seconds))

    def add_training(config: str, size: int, events: int, stream: bool = False) -> None:
        where = f"{config}: {events} events of {size} px{', streamed' if stream else ''}"
        base = _config(setting, config, size, events, stream)
        add(f"pace of {where}", "pace", lambda seconds: _pace(setting, base), 150)
        pace = done.get(f"pace of {where}", {})
        add(
            f"training {where}",
            "training",
            lambda seconds: _training(base, pace, seconds, where, size),
            2 * RESERVE + 30,
        )

    for i, (size, config) in enumerate(zip(scale.sizes, scale.configs, strict=True)):
        add(f"events of {size} px", "events", _events_piece(setting, i, scale.events), 2 * RESERVE)
        add_training(config, size, scale.events)
        add(f"costs at {size} px", "costs", _costs_piece(setting, size), 60)
        if i == 0:
            add("scaling", "scaling", lambda seconds: _scaling(setting), scale.scaling_seconds)
    for config in scale.dense:
        add_training(config, scale.sizes[0], scale.events)
    more = f"{scale.more_events} events of {scale.sizes[0]} px"
    add(more, "events", _events_piece(setting, 0, scale.more_events), 2 * RESERVE)
    add_training(scale.configs[0], scale.sizes[0], scale.more_events)
    for size, config in zip(scale.sizes[1:], scale.configs[1:], strict=True):  # streamed: too large for most disks
        add_training(config, size, scale.more_events, stream=True)
    return found


def _config(setting: Setting, name: str, size: int, events: int, stream: bool) -> TrainConfig:
    """The packaged configuration on the events of this study."""
    values = packaged_options(name) | {"workers": setting.workers}
    values |= setting.scale.changes
    source = {"data": str(setting.events(size))}
    if stream:
        source = {"data": None, "events": events, "image": size, "stream": True}  # type: ignore[dict-item]
    values |= source | {"held_out": str(setting.held_out(size)), "held_out_events": setting.scale.held_out}
    out = setting.out / f"training-{name}-{size}px-{events}"
    return TrainConfig(
        **values | {"out": str(out), "seed": setting.seed, "device": setting.device, "tensorboard": False}
    )


def _events_piece(setting: Setting, which: int, number: int) -> Callable[[float], dict[str, Any] | None]:
    size, part = setting.scale.sizes[which], setting.scale.parts[which]

    def do(seconds: float) -> dict[str, Any] | None:
        end = time.monotonic() + seconds - RESERVE
        # Two seeds, so that training and held-out events differ.
        wanted = ((setting.held_out(size), setting.scale.held_out, 1), (setting.events(size), number, 0))
        for folder, events, other in wanted:
            with Progress(f"simulating {size} px", events) as progress:
                made = simulate_folder(
                    folder,
                    events,
                    seed=2 * setting.seed + other,
                    size=size,
                    workers=setting.workers,
                    part=part,
                    seconds=max(0.0, end - time.monotonic()),
                    progress=progress.to,
                )
            if made < events:
                print(f"{made} of {events} events are in {folder}")
                return None
        return {"events": number, "held_out": setting.scale.held_out, "workers": setting.workers}

    return do


def _pace(setting: Setting, base: TrainConfig) -> dict[str, Any]:
    """The number of steps that fit into the time of a training and, for a dense network, the number of images."""
    scratch, batch = setting.out / "pace", base.batch
    while True:
        shutil.rmtree(scratch, ignore_errors=True)
        steps = setting.scale.pace_steps
        trial = _changed(base, out=str(scratch), steps=steps, batch=batch, held_out_events=1)
        try:
            train(trial)
            break
        except RunError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
            if batch == 1:
                return {"failed": OUT_OF_MEMORY}
            batch = max(1, batch // 2)
            torch.cuda.empty_cache()
    walls = [float(row["wall"]) for row in read_rows(scratch / STEPS)]
    shutil.rmtree(scratch)
    third = steps // 3
    seconds = (walls[-1] - walls[third - 1]) / (steps - third)
    wanted = int(0.97 * 60 * setting.scale.minutes / seconds)
    return {"seconds per step": seconds, "steps": max(1, min(wanted, setting.scale.most_steps)), "batch": batch}


def _changed(config: TrainConfig, **changes: Any) -> TrainConfig:
    return TrainConfig(**{**asdict(config), **changes})


def _training(base: TrainConfig, pace: dict[str, Any], seconds: float, label: str, size: int) -> dict[str, Any] | None:
    """Train for the requested time; returns the learning curve and the accuracies on held-out events.

    label: the training's name in tables and figures; size: the edge of its events in voxels.
    """
    if "failed" in pace:
        return {"failed": pace["failed"]}
    config = _changed(base, steps=pace["steps"], batch=pace["batch"])
    train(config, seconds - RESERVE)
    folder = Path(config.out)
    if not ((folder / FINAL).exists() and (folder / SCORES).exists()):
        return None
    trained = read_trained(folder)
    return {
        "label": label,
        "size": size,
        "config": {name: value for name, value in asdict(config).items() if name not in ("out", "data", "held_out")},
        "training_accuracy": trained.training_accuracy,
        "held_out": trained.scores,
        "training_seconds": trained.training_seconds,
        "images_seen": config.steps * config.batch * config.accumulate,
        "medians": {
            name: trained.median(name) for name in ("seconds_data", "seconds_forward", "seconds_backward", "voxels")
        },
        "peak_memory": trained.peak_memory,
        "curve": trained.curve,
    }


def _costs_piece(setting: Setting, size: int) -> Callable[[float], dict[str, Any]]:
    """Measure forward pass, step and memory of the sparse network on single held-out events of this size."""

    def do(seconds: float) -> dict[str, Any]:
        with open_events(setting.held_out(size)) as events:
            images = [events[i] for i in range(min(8, len(events)))]
        points = [
            asdict(measure(Job("costs", _sparse(setting), [one], size, setting.device))) for one in images if len(one)
        ]
        middle = {
            name: statistics.median(point[name] for point in points)
            for name in ("voxels", "forward_seconds", "step_seconds", "forward_memory", "step_memory")
        }
        return {"size": size, **middle, "points": points}

    return do


def _sparse(setting: Setting) -> NetworkSettings:
    changes = setting.scale.changes
    shape = {name: changes[name] for name in ("filters", "depth", "repetitions") if name in changes}
    return NetworkSettings("sparse", num_classes=len(CLASS_NAMES), **shape)


def _scaling(setting: Setting) -> dict[str, Any]:
    """Measure all networks against size, voxels and batch, on the fullest of some events of the largest size."""
    from sscn_triton.study.data.batches import simulated

    events = sorted(simulated(2 * setting.seed + 1, 8, setting.scale.sizes[-1]), key=len, reverse=True)
    network = _sparse(setting)
    memory = 4e9
    if setting.device == "cuda":
        memory = float(torch.cuda.get_device_properties(0).total_memory)
    plan = Plan(
        "scaling", events, network.filters, network.depth, setting.scale.scaling_seconds, memory, setting.device
    )
    return run_scaling(plan)

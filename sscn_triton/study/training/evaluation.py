"""`sscn evaluate`: the scores of a trained network on events that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sscn_triton.common import machine
from sscn_triton.common.files import write_whole
from sscn_triton.common.output import as_json
from sscn_triton.common.progress import Progress
from sscn_triton.common.units import percent
from sscn_triton.lartpc import CLASS_NAMES, Event, EventFile, open_events
from sscn_triton.study.analysis.judging import judge
from sscn_triton.study.analysis.predictions import Closer
from sscn_triton.study.data.batches import LEAST_VOXELS, Batch
from sscn_triton.study.data.identity import simulations
from sscn_triton.study.data.labels import Classes, class_names, project, relabel
from sscn_triton.study.data.tiling import covering
from sscn_triton.study.training.checkpoint import Checkpoint, load_checkpoint, network_of, training_options
from sscn_triton.study.training.config import EvaluateConfig, TrainConfig
from sscn_triton.study.training.metrics import Scores, voxel_metrics
from sscn_triton.study.training.networks import shape_logits, voxel_logits


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Judge the network, print the scores as JSON, write them to `out` if given, and return them.

    Raises FileNotFoundError, or ValueError naming the file, if a file cannot be used.
    """
    checkpoint = load_checkpoint(config.checkpoint)
    training = training_options(checkpoint, config.checkpoint)
    network = network_of(checkpoint)
    device = machine.device_name(config.device)
    wanted: Classes = training.classes if config.conventions is None else "shapes"
    answer = voxel_logits if training.classes == wanted else _shape_answer(checkpoint, config)
    classes = class_names(wanted)
    with open_events(config.data, **config.reading()) as events:
        number = len(events) if config.events is None else config.events
        if not len(events):
            raise ValueError(f"{config.data}: contains no events to evaluate a network on")
        if number > len(events):
            raise ValueError(f"{config.data}: has {len(events)} events, but {number} were requested")
        with Progress("evaluating events", number) as progress:
            images = _images(events, number, training, wanted, config.crop, progress)
            closer = Closer(classes, checkpoint.network.ndim)
            scores, _, _ = judge(network.to(device), images, len(classes), closer.add, answer=answer)
        simulated = simulations(events)
    record = scores_record(scores, checkpoint) | {"data": Path(config.data).name, "crop": config.crop}
    record |= {"classes": list(classes), "conventions": config.conventions, "simulations": simulated}
    record |= closer.record()
    text = as_json(record)
    if config.out is not None:
        write_whole(config.out, f"{text}\n", overwrite=config.overwrite)
    print(text)
    return record


def _images(
    events: EventFile,
    number: int,
    training: TrainConfig,
    classes: Classes,
    size: int | None,
    progress: Progress,
) -> Iterator[Event]:
    """The file's first events as the network reads them, whole or in tiles, with labels of these classes; skips
    those with too few voxels."""
    found, labels = False, training.labels if classes == training.classes else "slides"
    for i in range(number):
        event = project(relabel(events[i], classes, labels), training.ndim)
        for image in [event] if size is None else covering(event, size):
            for edge in image.spatial_shape:
                training.check_size(f"{image.name}: image", edge)
            if (image.labels >= 0).sum() >= LEAST_VOXELS:
                found = True
                yield image
        progress.to(i + 1)
    if not found:
        raise ValueError(
            f"{events.path}: no image of its {number} events has {LEAST_VOXELS} voxels of known label to evaluate a "
            "network on"
        )


def _shape_answer(checkpoint: Checkpoint, config: EvaluateConfig) -> Callable[[torch.nn.Module, Batch], torch.Tensor]:
    """Gives the logits of a network of the five types as `shape_logits`. Raises ValueError for other networks."""
    if tuple(checkpoint.classes) != CLASS_NAMES:
        raise ValueError(
            f"{config.checkpoint}: the classes are {', '.join(checkpoint.classes)}, "
            f"which conventions={config.conventions} cannot judge: use a network with classes=five or classes=shapes"
        )
    return lambda network, batch: shape_logits(voxel_logits(network, batch))


def scores_record(scores: Scores, checkpoint: Checkpoint) -> dict[str, Any]:
    """The scores as a JSON record, with the options and data that they belong to."""
    return {
        "classes": list(checkpoint.classes),
        "step": checkpoint.step,
        "network": asdict(checkpoint.network),
        **asdict(scores),
        "voxel_metrics": asdict(voxel_metrics(scores.confusion)),
    }


def summary(record: dict[str, Any]) -> str:
    """The scores in a few lines of text."""
    lines = [f"nonzero accuracy {percent(record['nonzero_accuracy'])} of {record['events']} held-out images"]
    for name, accuracy, share in zip(record["classes"], record["class_accuracy"], record["class_share"], strict=True):
        lines.append(f"  {name:<8} {percent(accuracy):>7}   {percent(share):>7} of the voxels")
    return "\n".join(lines)

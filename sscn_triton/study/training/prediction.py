"""`sscn predict`: writes a trained network's prediction for every voxel of a file, together with the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sscn_triton.common import machine
from sscn_triton.common.progress import Progress
from sscn_triton.lartpc import CLASS_NAMES, Event, Prediction, create_events, open_events, relabelling
from sscn_triton.lartpc.event import UNKNOWN_LABEL
from sscn_triton.lartpc.numbering import as_named, can_express
from sscn_triton.study.data.batches import as_batch
from sscn_triton.study.data.labels import project
from sscn_triton.study.training.checkpoint import Checkpoint, load_checkpoint, network_of, training_options
from sscn_triton.study.training.networks import voxel_logits

if TYPE_CHECKING:
    from sscn_triton.study.training.config import Predict


def predict(options: Predict) -> None:
    """Read, label and write one event after the other, then print how many voxels were right.

    Raises FileNotFoundError, or ValueError naming the file, if a file cannot be used; nothing is written then.
    """
    checkpoint = load_checkpoint(options.checkpoint)
    training = training_options(checkpoint, options.checkpoint)
    device = machine.device_name(options.device)
    network = network_of(checkpoint).to(device)
    right, known, shares = 0, 0, []
    with (
        open_events(options.file, **options.reading()) as events,
        Progress("labelling events", len(events)) as progress,
        create_events(options.out, like=events, overwrite=options.overwrite) as writer,
    ):
        for event in events:
            if event.label_names == CLASS_NAMES:
                event = relabelling.relabel(event, training.labels)
            image = project(event, training.ndim)
            for edge in image.spatial_shape:
                training.check_size(f"{options.file}: {image.name}: image", edge)
            prediction = predicted(network, image, checkpoint)
            writer.append(image.replace(prediction=prediction))
            truth = np.full(len(image), UNKNOWN_LABEL)
            if can_express(prediction.names, image.label_names):
                truth = as_named(image.labels, prediction.names, image.label_names)
            hits, labelled = int((truth == prediction.labels).sum()), int((truth >= 0).sum())
            right, known = right + hits, known + labelled
            shares += [hits / labelled] if labelled else []
            progress.to(writer.count)
    print(f"{options.out}: {writer.count} events, {_summary(right, known, shares)}")


def predicted(network: torch.nn.Module, image: Event, checkpoint: Checkpoint) -> Prediction:
    """The network's scores per voxel, and the class with the highest score. The network must be in evaluation mode."""
    device = next(network.parameters()).device
    with torch.no_grad():
        logits = voxel_logits(network, as_batch([image]).to(device))
    scores = torch.softmax(logits.float(), 1).cpu().numpy()
    return Prediction(scores.argmax(1) if len(scores) else np.zeros(0, np.int8), scores, checkpoint.classes)


def _summary(right: int, known: int, shares: list[float]) -> str:
    if not known:
        return "labels unknown"
    mean = 100 * sum(shares) / len(shares)
    return f"nonzero accuracy {mean:.2f} % (mean over events; {right} of {known} labelled voxels correct)"

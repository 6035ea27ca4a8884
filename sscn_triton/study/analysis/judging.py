"""Judging a network on images: one at a time, with its predictions and the time that it takes, or in batches, with the
statistics of the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from sscn_triton.lartpc import CLASS_NAMES, Event
from sscn_triton.study.data.batches import Batch, as_batch
from sscn_triton.study.training.metrics import Scores, Tally
from sscn_triton.study.training.networks import voxel_logits


def judge(
    network: torch.nn.Module,
    images: Iterable[Event],
    classes: int = len(CLASS_NAMES),
    visit: Callable[[Event, np.ndarray], None] | None = None,
    seconds: float | None = None,
    answer: Callable[[torch.nn.Module, Batch], torch.Tensor] = voxel_logits,
) -> tuple[Scores, list[np.ndarray], list[float]]:
    """Judge `images` one at a time; returns scores, the predicted class of each voxel, and seconds per image.

    Images go to the network's own device; the seconds include the loss. visit: called with every image and its
    probabilities [N, classes]. answer: gives the logits [N, classes]. seconds: time after which no further image is
    judged, except that at least one image with a voxel of known label is.
    """
    network.eval()
    device = next(network.parameters()).device
    end = None if seconds is None else time.perf_counter() + seconds
    tally, predictions, taken = Tally(classes), [], []
    with torch.no_grad():
        for image in images:
            batch = as_batch([image]).to(device)
            start = time.perf_counter()
            logits = answer(network, batch)
            tally.add(logits, batch.labels)
            predictions.append(logits.argmax(1).cpu().numpy().astype(np.int8))
            taken.append(time.perf_counter() - start)
            if visit is not None:
                visit(image, torch.softmax(logits.float(), 1).cpu().numpy())
            if end is not None and tally.confusions and time.perf_counter() >= end:
                break
    return tally.scores(), predictions, taken


def judge_batches(
    network: torch.nn.Module, images: Sequence[Event], together: int, classes: int = len(CLASS_NAMES)
) -> Scores:
    """Scores with the norms' statistics of the images themselves, `together` at a time as in training: the dense
    network of 2018 always worked like this. The running statistics change."""
    tally = Tally(classes)
    for first in range(0, len(images), together):
        for logits, labels in batch_logits(network, images[first : first + together]):
            tally.add(logits, labels)
    return tally.scores()


def batch_logits(network: torch.nn.Module, images: Sequence[Event]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits [N, classes] and labels [N] of each image, with the norms' statistics of all these images together."""
    batch = as_batch(list(images)).to(next(network.parameters()).device)
    network.train()
    with torch.no_grad():
        logits = voxel_logits(network, batch)
    return [(logits[batch.events == image], batch.labels[batch.events == image]) for image in range(batch.images)]

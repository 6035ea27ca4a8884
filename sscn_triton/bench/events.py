"""Batches for timing and their events, which are simulated on demand and kept in an npz file for later runs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common import machine
from sscn_triton.common.files import WholeFile
from sscn_triton.lartpc import Event, collate, simulate

THRESHOLDS = {"real": 0.0, "pilarnet": 0.13}
"""Energy in MeV below which a voxel is dropped: the simulation's own threshold, and the one that gives the density of
PILArNet-M's public benchmark."""
SEED = 4


@dataclass(frozen=True)
class BenchBatch:
    """Active voxels of several images, stacked in rows."""

    coordinates: Tensor  # [N, 1 + D] int32, image first
    features: Tensor  # [N, 1] float32, MeV
    labels: Tensor  # [N] int64, -1 unknown
    spatial_shape: tuple[int, ...]
    images: int


def as_batch(events: list[Event]) -> BenchBatch:
    """Three-dimensional images of one shape as a batch. Raises ValueError for other images."""
    shapes = {event.spatial_shape for event in events}
    if len(shapes) > 1 or len(events[0].spatial_shape) != 3:
        raise ValueError(f"a batch needs three-dimensional images of one shape, got {sorted(shapes)}")
    coordinates, energy, labels = (torch.from_numpy(array) for array in collate(events))
    return BenchBatch(coordinates, energy, labels, events[0].spatial_shape, len(events))


def kept_events() -> Path:
    """The folder that keeps events for the next run."""
    return Path(tempfile.gettempdir()) / "sscn-events"


def _simulate(size: int, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    event = simulate(SEED, index, size=size)
    return event.coordinates, event.energy, event.labels


def _events(size: int, count: int) -> list[tuple[np.ndarray, ...]]:
    if count < 4:
        return [_simulate(size, index) for index in range(count)]
    workers = min(count, machine.cores(), 16)
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            return list(pool.map(_simulate, [size] * count, range(count)))
    except BrokenProcessPool:  # fall back to one process, which is slower
        return [_simulate(size, index) for index in range(count)]


def events(size: int, count: int, folder: Path) -> list[tuple[np.ndarray, ...]]:
    """Coordinates ``[n, 3]``, energies and labels of `count` events of ``size`` px; cached in the folder."""
    path = folder / f"events-{size}px-{count}.npz"
    names = ("coordinates", "energy", "labels")
    if path.is_file():
        with np.load(path) as file:
            return [tuple(file[f"{name}{index}"] for name in names) for index in range(count)]
    made = _events(size, count)
    arrays = {f"{name}{index}": array for index, event in enumerate(made) for name, array in zip(names, event)}  # noqa: B905
    with WholeFile(path, overwrite=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return made


def batch_of(made: Sequence[tuple[np.ndarray, ...]], images: int, size: int, density: str, device: str) -> BenchBatch:
    """A batch of `images` images on a device; if there are fewer events, they are repeated."""
    sites, energies, labels = [], [], []
    for image in range(images):
        coordinates, energy, label = made[image % len(made)]
        kept = energy > THRESHOLDS[density]
        sites.append(np.column_stack([np.full(int(kept.sum()), image), coordinates[kept]]).astype(np.int32))
        energies.append(energy[kept])
        labels.append(label[kept])
    return BenchBatch(
        torch.from_numpy(np.concatenate(sites)).to(device),
        torch.from_numpy(np.concatenate(energies)).float().view(-1, 1).to(device),
        torch.from_numpy(np.concatenate(labels)).long().to(device),
        (size,) * 3,
        images,
    )

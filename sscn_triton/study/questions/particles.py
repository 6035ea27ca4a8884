"""Beyond segmentation, the slides' "flavor + energy": the particle in an image and its kinetic energy.

The layers are those of the segmentation network; it gives one answer per image instead of a class per voxel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sscn_triton import SparseTensor
from sscn_triton.lartpc import Event, Recipe, simulate
from sscn_triton.models import SparseEncoder
from sscn_triton.nn import GlobalPool
from sscn_triton.study.data.batches import as_batch
from sscn_triton.study.training.loop import Limit, train_module
from sscn_triton.study.training.optimizer import adam
from sscn_triton.study.training.segmentation import Seen

SPECIES = {"electron": 11, "photon": 22, "muon": 13, "pion": 211, "proton": 2212}
ENERGIES = (50.0, 300.0)
"""Kinetic energy in MeV."""
IMAGES = 16
"""Images per step."""
LEAST_VOXELS = 10


@dataclass(frozen=True)
class Single:
    """An image of one particle: its index in SPECIES, its initial kinetic energy and its visible energy (MeV)."""

    image: Event
    species: int
    energy: float
    visible: float


def single_particles(seed: int, number: int, edge: int) -> list[Single]:
    """`number` particles per species, species by species; each starts inside the image and may leave it."""
    singles = []
    for index in range(number * len(SPECIES)):
        species = index % len(SPECIES)
        pdg = list(SPECIES.values())[species]
        recipe = Recipe((1, 1), (pdg,), rain=0, energy=ENERGIES, hadron_energy=ENERGIES)
        image = simulate(seed, index, edge, recipe=recipe, minimum_voxels=LEAST_VOXELS)
        first = image.particles[0]
        mass = np.sqrt(max(0.0, first["energy_init"] ** 2 - (first["momentum"] ** 2).sum()))
        singles.append(Single(image, species, float(first["energy_init"] - mass), float(image.energy.sum(dtype=float))))
    return singles


class Flavour(nn.Module):
    """`SparseEncoder`, the mean and the maximum of its features over an image, and one linear layer.

    Returns scores of the species [B, 5] and the logarithm of kinetic over visible energy [B].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = SparseEncoder(channels)
        self.mean, self.max = GlobalPool("mean"), GlobalPool("max")
        self.head = nn.Linear(16 * channels, len(SPECIES) + 1)

    def forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(x)
        answer = self.head(torch.cat([self.mean(features), self.max(features)], 1))
        return answer[:, :-1], answer[:, -1]


class FlavourModule(lightning.LightningModule):
    """`Flavour`, its loss and its optimiser."""

    def __init__(self, network: Flavour, learning_rate: float) -> None:
        super().__init__()
        self.network, self.learning_rate = network, learning_rate
        self.seen: Seen | None = None

    def training_step(self, batch: list[Single], batch_index: int) -> Tensor:
        start = time.perf_counter()
        scores, ratio = self.network(_tensor(batch))
        value = loss(scores, ratio, batch)
        true = torch.tensor([single.species for single in batch])
        right, events = float((scores.argmax(1) == true).sum()), float(len(batch))
        voxels = float(self.voxels_of(batch))
        seconds = time.perf_counter() - start
        self.seen = Seen(float(value.detach()) * events, right, events, voxels, (), (), seconds)
        return value

    def voxels_of(self, batch: list[Single]) -> int:
        """Active voxels of a batch."""
        return sum(len(single.image) for single in batch)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch unchanged, because `training_step` turns images into tensors."""
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adam(self.network, self.learning_rate)


@dataclass(frozen=True)
class FlavourTrial:
    """One training of `Flavour`. seed: of the weights and of the order; the particles are the same for all seeds."""

    name: str
    train: list[Single]
    held_out: list[Single]
    channels: int
    learning_rate: float
    seed: int
    limit: Limit

    def run(self) -> dict[str, Any]:
        torch.manual_seed(self.seed)
        network = Flavour(self.channels)
        module = FlavourModule(network, self.learning_rate)
        steps = len(train_module(module, self._batches(), None, self.limit, self.learning_rate))
        with torch.no_grad():
            for batch in islice(self._batches(), min(64, steps)):  # enough for momentum 0.1 to forget the start
                network(_tensor(batch))
        species, energies = self._judge(network.eval())
        true = [single.species for single in self.held_out]
        confusion = np.zeros((len(SPECIES), len(SPECIES)), dtype=int)
        np.add.at(confusion, (true, species), 1)
        return {
            "seed": self.seed,
            "steps": steps,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "confusion": confusion.tolist(),
            "energy_error": typical_error(energies, [single.energy for single in self.held_out]),
            "energy_error_of_sum": typical_error(
                summed_energies(self.train, self.held_out), [single.energy for single in self.held_out]
            ),
            "accuracy": float(np.trace(confusion) / confusion.sum()),
            "energy": [single.energy for single in self.held_out],
            "species": true,
            "found_energy": energies,
            "summed_energy": summed_energies(self.train, self.held_out),
        }

    def _batches(self) -> Iterator[list[Single]]:
        generator = np.random.default_rng(self.seed)
        while True:
            yield [self.train[i] for i in generator.integers(len(self.train), size=IMAGES)]

    def _judge(self, network: Flavour) -> tuple[list[int], list[float]]:
        species, energies = list[int](), list[float]()
        with torch.no_grad():
            for i in range(0, len(self.held_out), IMAGES):
                batch = self.held_out[i : i + IMAGES]
                scores, ratio = network(_tensor(batch))
                species += scores.argmax(1).tolist()
                energies += (torch.tensor([single.visible for single in batch]) * ratio.exp()).tolist()
        return species, energies


def _tensor(batch: list[Single]) -> SparseTensor:
    images = as_batch([single.image for single in batch])
    return SparseTensor(images.features, images.coordinates, images.spatial_shape, images.images)


def loss(scores: Tensor, ratio: Tensor, batch: list[Single]) -> Tensor:
    """The loss of `Flavour`: cross-entropy of the species plus the mean absolute error of the energy's logarithm."""
    wanted = torch.tensor([np.log(single.energy / single.visible) for single in batch], dtype=torch.float32)
    return F.cross_entropy(scores, torch.tensor([single.species for single in batch])) + F.l1_loss(ratio, wanted)


def summed_energies(train: list[Single], held_out: list[Single]) -> list[float]:
    """The estimate with a single parameter: visible energy times the median of kinetic over visible energy in the
    training particles."""
    scale = float(np.median([single.energy / single.visible for single in train]))
    return [scale * single.visible for single in held_out]


def typical_error(found: list[float], true: list[float]) -> float:
    """Median absolute relative error."""
    return float(np.median(np.abs(np.array(found) / np.array(true) - 1)))

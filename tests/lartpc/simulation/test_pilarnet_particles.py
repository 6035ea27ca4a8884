"""Particles of PILArNet, simulated again from their start and momentum, deposit the energy that they have there.

The tests use only events 0 and 1. The loss of a track depends on its energy, and each of these events has one track
that can be measured, so the test compares it with the same particle and not with an average.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sscn_triton.lartpc import Event, read_larcv
from sscn_triton.lartpc.numbers.track_shapes import track_shapes
from sscn_triton.lartpc.simulation import world
from sscn_triton.lartpc.simulation.cascade import follow
from sscn_triton.lartpc.simulation.imaging import make_image
from sscn_triton.lartpc.simulation.random_stream import new_rng

PROTON, PION, ELECTRON = (0, 2212), (1, -211), (1, 11)
SIZE, EDGE = 192, 57.6


def pilarnet_particle(path: Path, which: tuple[int, int]) -> tuple[Event, np.void]:
    """The event, and its only particle of that kind that deposited energy in the image."""
    event = read_larcv(path)[which[0]]
    (row,) = np.flatnonzero((event.particles["pdg"] == which[1]) & (event.particles["num_voxels"] > 0))
    return event, event.particles[row]


def again(event: Event, particle: np.void, count: int) -> list[Event]:
    """The particle alone, `count` times, at its own place in the image."""
    kind = world.PDG.index(int(particle["pdg"]))
    kinetic = float(particle["energy_init"] - world.MASSES[kind])
    place = (particle["start"] - event.origin) / 10
    direction = particle["momentum"] / np.linalg.norm(particle["momentum"])
    made = []
    for index in range(count):
        volume = world.new_world(new_rng(17, index), EDGE, np.array([-90.0, -90.0, -90.0, 230.0]), 1 << 17)
        world.add_particle(volume, kind, -1, world.PRIMARY, int(world.LABELS[kind]), *place, *direction, kinetic)
        follow(volume)
        assert volume.counts[3] == 0
        image = make_image(
            volume.deposits[: volume.counts[2]], volume.particles["label"][: volume.counts[1]], SIZE, world.VOXEL
        )
        sites = np.column_stack(np.unravel_index(image.voxels, (SIZE,) * 3, order="F"))
        particles = event.particles[[0]].copy()
        particles["pdg"] = particle["pdg"]
        clusters = np.where(image.rows == 0, 0, -1)
        shape = event.spatial_shape
        made.append(Event(sites, image.energy, image.labels, particles, 3.0, event.origin, shape, "", clusters))
    return made


@pytest.mark.parametrize("which", [PROTON, PION])
def test_a_simulated_track_loses_as_much_energy_as_that_of_pilarnet(
    pilarnet_file: Path, which: tuple[int, int]
) -> None:
    """MeV/cm along tracks of at least half the length of PILArNet's. The median is within 5 % of the loss there, and
    the median of voxels per length within 10 %."""
    event, particle = pilarnet_particle(pilarnet_file, which)
    (theirs,) = (shape for shape in track_shapes(event) if shape.pdg == abs(which[1]))
    tracks = [shape for other in again(event, particle, 100) for shape in track_shapes(other)]
    tracks = [shape for shape in tracks if shape.length > 0.5 * theirs.length]
    assert len(tracks) > 50
    losses = np.array([shape.energy / shape.length for shape in tracks]) / 0.3
    spread = np.percentile(losses, [16, 50, 84]).round(2)
    print(f"\nPILArNet {theirs.energy / theirs.length / 0.3:.2f} MeV/cm, ours {spread}")
    assert np.median(losses) == pytest.approx(theirs.energy / theirs.length / 0.3, rel=0.05)
    assert np.median([shape.voxels / shape.length for shape in tracks]) == pytest.approx(
        theirs.voxels / theirs.length, rel=0.1
    )


def test_a_simulated_electron_starts_with_the_energy_loss_of_that_of_pilarnet(pilarnet_file: Path) -> None:
    """The energy that it deposits in its first two and next two cm lies in the central nine tenths of ours. Otherwise
    a network could learn to distinguish electrons from muons by a loss that electrons of PILArNet do not have."""
    event, particle = pilarnet_particle(pilarnet_file, ELECTRON)
    theirs = beginning(event, particle)
    simulated = np.array([beginning(other, particle) for other in again(event, particle, 300)])
    low, middle, high = np.percentile(simulated, [5, 50, 95], axis=0)
    print(f"\nPILArNet {theirs.round(2)} MeV/cm, ours {low.round(2)} to {high.round(2)}, median {middle.round(2)}")
    assert (low < theirs).all()
    assert (theirs < high).all()


def beginning(event: Event, particle: np.void) -> np.ndarray:
    """An electron's MeV/cm within 2.5 cm of its initial direction, from 0 to 2 and from 2 to 4 cm."""
    direction = particle["momentum"] / np.linalg.norm(particle["momentum"])
    away = ((event.coordinates + 0.5) * event.voxel_size + event.origin - particle["start"]) / 10
    along = away @ direction
    near = np.linalg.norm(away - np.outer(along, direction), axis=1) < 2.5
    return np.array([event.energy[near & (along > low) & (along <= low + 2)].sum() / 2 for low in (0, 2)])

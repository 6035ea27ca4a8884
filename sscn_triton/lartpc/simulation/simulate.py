"""Simulate events: draw particles as in the public data set, follow them through liquid argon, make the image."""

from __future__ import annotations

import dataclasses
import operator

import numpy as np

from sscn_triton.common.options import check_size
from sscn_triton.lartpc.event import PARTICLE_DTYPE, Event
from sscn_triton.lartpc.simulation.cascade import follow
from sscn_triton.lartpc.simulation.imaging import Image, make_image
from sscn_triton.lartpc.simulation.random_stream import between, isotropic, new_rng, uniform
from sscn_triton.lartpc.simulation.world import (
    LABELS,
    MASSES,
    NEUTRON,
    PDG,
    PION_MINUS,
    PION_PLUS,
    PION_ZERO,
    PRIMARY,
    PROCESSES,
    PROTON,
    VOXEL,
    World,
    add_particle,
    new_world,
)

VOXEL_SIZE = 3.0
"""Edge of a voxel, mm."""

_SPECIES = {pdg: kind for kind, pdg in enumerate(PDG) if kind != NEUTRON}
_HADRONS = (PION_MINUS, PION_PLUS, PION_ZERO, PROTON)
_ATTEMPTS = 100


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The composition of an event; the defaults are those of the public data set as far as they are known.

    One vertex inside the image with `vertex_particles` (least, most) of `vertex_species`, and `rain` single particles
    of `rain_species` anywhere in the volume, all in independent directions. Species are PDG numbers among 11, -11, 22,
    13, -13, 211, -211, 111, 2212; one that is listed twice is twice as likely. Kinetic energies in MeV are flat between
    `energy`, those of protons and pions between `hadron_energy`. The frequency of each species is not published: the
    defaults reproduce the published mean class shares.
    """

    vertex_particles: tuple[int, int] = (1, 6)
    vertex_species: tuple[int, ...] = (11, 13, -13, 22, 2212, 211, -211, 111)
    rain: int = 10
    rain_species: tuple[int, ...] = (11, 11, 11, 13, 13, -13, -13, 2212, 2212)
    energy: tuple[float, float] = (50.0, 1000.0)
    hadron_energy: tuple[float, float] = (50.0, 400.0)

    def __post_init__(self) -> None:
        least, most = self.vertex_particles
        if not 0 <= least <= most:
            raise ValueError(f"vertex_particles must be (least, most), 0 or more, got {self.vertex_particles}")
        if self.rain < 0:
            raise ValueError(f"rain must be 0 or more particles, got {self.rain}")
        unknown = [pdg for pdg in (*self.vertex_species, *self.rain_species) if pdg not in _SPECIES]
        if unknown or not self.vertex_species or not self.rain_species:
            raise ValueError(f"species must be PDG numbers among {sorted(_SPECIES)}, got {unknown or 'none'}")
        for name in ("energy", "hadron_energy"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= 100_000:
                raise ValueError(f"{name} must be (low, high) in MeV, above 0 and at most 100000, got {(low, high)}")


def simulate(
    seed: int, index: int, size: int = 192, *, recipe: Recipe | None = None, minimum_voxels: int = 100
) -> Event:
    """Event `index` of the endless sequence of `seed`: the same regardless of other events simulated before or with it.

    The image has `size` voxels of 3 mm per axis. Particles are followed in a cube around it with four times its edge,
    but at most 768 voxels (230 cm) unless the image is larger; the image's place in the cube is random. An attempt that
    leaves fewer than `minimum_voxels` active is discarded and the event is drawn again, from (seed, index, attempt);
    after 100 such attempts, raises ValueError.

    Energies are in MeV, positions in mm with the image's lower corner at 0. Voxels are ordered by number, x fastest.
    Labels, clusters and particles are the truth: electrons knocked out with less than 2 MeV of total energy belong to
    the particle that knocked them out.
    """
    seed, index, size = operator.index(seed), operator.index(index), operator.index(size)
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be 0 or more, got seed={seed}, index={index}")
    check_size(size)
    recipe = Recipe() if recipe is None else recipe
    for attempt in range(_ATTEMPTS):
        world, image = _attempt(seed, index, attempt, size, recipe)
        if len(image.voxels) >= minimum_voxels:
            return _event(world, image, size, f"{seed}:{index}")
    raise ValueError(
        f"event {index} of seed {seed}: none of {_ATTEMPTS} attempts has the required minimum_voxels={minimum_voxels}"
    )


def _attempt(seed: int, index: int, attempt: int, size: int, recipe: Recipe) -> tuple[World, Image]:
    capacity = 1 << 15
    while True:
        rng = new_rng(seed, index, attempt)
        world = new_world(rng, size * VOXEL, _place_cube(rng, size), capacity)
        _draw_primaries(world, recipe)
        follow(world)
        if world.counts[3] == 0:
            break
        capacity *= 4
    _, particles, deposits, _ = world.counts
    return world, make_image(world.deposits[:deposits], world.particles["label"][:particles], size, VOXEL)


def _place_cube(rng: np.ndarray, size: int) -> np.ndarray:
    """Lower corner and edge, cm, of the volume, with the image at a random place in it."""
    edge = max(size, min(4 * size, 768))
    corner = [-between(rng, 0.0, float(edge - size)) * VOXEL for _ in range(3)]
    return np.array([*corner, edge * VOXEL])


def _draw_primaries(world: World, recipe: Recipe) -> None:
    rng = world.rng
    vertex = [between(rng, 0.0, world.size) for _ in range(3)]
    least, most = recipe.vertex_particles
    for _ in range(least + int(uniform(rng) * (most - least + 1))):
        _add_primary(world, recipe, recipe.vertex_species, vertex)
    corner, edge = world.cube[:3], float(world.cube[3])
    for _ in range(recipe.rain):
        place = [float(low) + between(rng, 0.0, edge) for low in corner]
        _add_primary(world, recipe, recipe.rain_species, place)


def _add_primary(world: World, recipe: Recipe, species: tuple[int, ...], place: list[float]) -> None:
    rng = world.rng
    kind = _SPECIES[species[int(uniform(rng) * len(species))]]
    kinetic = between(rng, *(recipe.hadron_energy if kind in _HADRONS else recipe.energy))
    u, v, w = isotropic(rng)
    x, y, z = place
    add_particle(world, kind, -1, PRIMARY, int(LABELS[kind]), x, y, z, u, v, w, kinetic)


def _event(world: World, image: Image, size: int, name: str) -> Event:
    shape = (size, size, size)
    coordinates = np.column_stack(np.unravel_index(image.voxels, shape, order="F"))
    particles = _truth(world.particles[: world.counts[1]], image)
    return Event(coordinates, image.energy, image.labels, particles, VOXEL_SIZE, np.zeros(3), shape, name, image.rows)


def _truth(rows: np.ndarray, image: Image) -> np.ndarray:
    particles = np.zeros(len(rows), PARTICLE_DTYPE)
    own = np.arange(len(rows))
    parent = np.where(rows["parent"] < 0, own, rows["parent"])
    mass = MASSES[rows["kind"]]
    pdg = np.array(PDG)[rows["kind"]]
    particles["track_id"], particles["parent_track_id"] = own + 1, parent + 1
    particles["pdg"], particles["parent_pdg"] = pdg, pdg[parent]
    particles["process"] = np.array(PROCESSES)[rows["process"]]
    particles["label"] = rows["label"]
    particles["energy_init"] = rows["kinetic"] + mass
    momentum = np.sqrt(rows["kinetic"] * (rows["kinetic"] + 2 * mass))
    particles["momentum"] = momentum[:, None] * np.column_stack([rows[axis] for axis in "uvw"])
    for field, prefix in (("start", ""), ("first_step", "first_"), ("last_step", "last_"), ("end", "end_")):
        particles[field] = np.column_stack([rows[prefix + axis] for axis in "xyz"]) * 10.0
    particles["energy_deposit"], particles["num_voxels"] = image.deposited, image.touched
    return particles

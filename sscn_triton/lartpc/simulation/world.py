"""The state of a simulated event: tracks still to follow, particles, energy deposits. Lengths in cm, energies in MeV.

Arrays have fixed capacities. Entries that do not fit are counted and dropped; the caller sees the count, raises the
capacity and simulates the event again from the same seed, so the result is the same.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sscn_triton.common.numba_cache import njit
from sscn_triton.lartpc.simulation import argon

ELECTRON, POSITRON, PHOTON, MUON, ANTIMUON, PION_MINUS, PION_PLUS, PROTON, PION_ZERO, NEUTRON = range(10)
PDG = (11, -11, 22, 13, -13, -211, 211, 2212, 111, 2112)
MASSES = np.array(
    [argon.ELECTRON_MASS] * 2
    + [0.0]
    + [argon.MUON_MASS] * 2
    + [argon.PION_MASS] * 2
    + [argon.PROTON_MASS, argon.NEUTRAL_PION_MASS, argon.NEUTRON_MASS]
)
HIP, MIP, SHOWER, DELTA, MICHEL = range(5)
LABELS = np.array([SHOWER, SHOWER, SHOWER, MIP, MIP, MIP, MIP, HIP, MIP, MIP])  # of particles, by kind alone

PRIMARY, DECAY, CAPTURE_DECAY, MUON_IONISATION, HADRON_IONISATION, PROTON_INELASTIC, PION_INELASTIC, ABSORBED = range(8)
NEUTRON_INELASTIC, CAPTURED_NEUTRON = 8, 9
PROCESSES = (
    "primary",
    "Decay",
    "muMinusCaptureAtRest",
    "muIoni",
    "hIoni",
    "protonInelastic",
    "pionInelastic",
    "hBertiniCaptureAtRest",
    "neutronInelastic",
    "nCapture",
)

TRACK = np.dtype(
    [(name, np.float64) for name in ("x", "y", "z", "u", "v", "w", "kinetic")]
    + [(name, np.int64) for name in ("row", "kind")]
)
DEPOSIT = np.dtype([("x", np.float64), ("y", np.float64), ("z", np.float64), ("energy", np.float64), ("row", np.int64)])
PARTICLE = np.dtype(
    [(name, np.int64) for name in ("kind", "parent", "process", "label", "seen")]
    + [(name, np.float64) for name in ("kinetic", "x", "y", "z", "u", "v", "w")]
    + [(name, np.float64) for name in ("first_x", "first_y", "first_z", "last_x", "last_y", "last_z")]
    + [(name, np.float64) for name in ("end_x", "end_y", "end_z")]
)
"""kind to label: as above; seen: whether it has left energy; u, v, w: direction."""

VOXEL = 0.3  # edge, cm
MARGIN = 0.65  # deposits up to this far outside the image still smear into it
TRACKED = 0.1  # slower electrons deposit their energy at once: their range is below 0.2 mm


class World(NamedTuple):
    """rng: see `random_stream`. size: edge of the image, whose lower corner is 0. cube: lower corner and edge of the
    volume in which particles are followed. counts: tracks, particles, deposits, dropped."""

    rng: np.ndarray
    size: float
    cube: np.ndarray
    tracks: np.ndarray
    particles: np.ndarray
    deposits: np.ndarray
    counts: np.ndarray


def new_world(rng: np.ndarray, size: float, cube: np.ndarray, capacity: int) -> World:
    tracks = np.zeros(max(64, capacity // 64), TRACK)
    particles = np.zeros(max(64, capacity // 64), PARTICLE)
    return World(rng, size, cube, tracks, particles, np.zeros(capacity, DEPOSIT), np.zeros(4, np.int64))


@njit(cache=True)
def outside(world: World, x: float, y: float, z: float) -> float:
    """Distance to the image, 0 inside."""
    a = max(-x, x - world.size, 0.0)
    b = max(-y, y - world.size, 0.0)
    c = max(-z, z - world.size, 0.0)
    return math.sqrt(a * a + b * b + c * c)


@njit(cache=True)
def escaped(world: World, x: float, y: float, z: float) -> bool:
    """Whether a place is outside the volume."""
    cube = world.cube
    away = x < cube[0] or y < cube[1] or z < cube[2]
    return away or x > cube[0] + cube[3] or y > cube[1] + cube[3] or z > cube[2] + cube[3]


@njit(cache=True)
def push(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    """Add a track to follow, of a particle already added."""
    depth = world.counts[0]
    if depth == len(world.tracks):
        world.counts[3] += 1
        return
    track = world.tracks[depth]
    track.kind, track.row, track.kinetic = kind, row, kinetic
    track.x, track.y, track.z = x, y, z
    track.u, track.v, track.w = u, v, w
    world.counts[0] = depth + 1


@njit(cache=True)
def add_particle(
    world: World,
    kind: int,
    parent: int,
    process: int,
    label: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    kinetic: float,
) -> int:
    """Add a particle and push its track; return its row. The parent of a primary is -1."""
    row = world.counts[1]
    if row == len(world.particles):
        world.counts[3] += 1
        return row - 1
    particle = world.particles[row]
    particle.kind, particle.parent, particle.process, particle.label = kind, parent, process, label
    particle.kinetic, particle.seen = kinetic, 0
    particle.x, particle.y, particle.z = x, y, z
    particle.u, particle.v, particle.w = u, v, w
    particle.end_x, particle.end_y, particle.end_z = x, y, z
    world.counts[1] = row + 1
    push(world, kind, row, x, y, z, u, v, w, kinetic)
    return row


@njit(cache=True)
def deposit(world: World, row: int, x: float, y: float, z: float, energy: float) -> None:
    """Deposit energy of particle `row` at a place."""
    particle = world.particles[row]
    if particle.seen == 0:
        particle.seen = 1
        particle.first_x, particle.first_y, particle.first_z = x, y, z
    particle.last_x, particle.last_y, particle.last_z = x, y, z
    if outside(world, x, y, z) > MARGIN:
        return
    count = world.counts[2]
    if count > 0 and _same_voxel(world.deposits[count - 1], row, x, y, z):
        world.deposits[count - 1].energy += energy
        return
    if count == len(world.deposits):
        world.counts[3] += 1
        return
    place = world.deposits[count]
    place.x, place.y, place.z, place.energy, place.row = x, y, z, energy, row
    world.counts[2] = count + 1


@njit(cache=True)
def _same_voxel(place: Any, row: int, x: float, y: float, z: float) -> bool:
    near = math.floor(place.x / VOXEL) == math.floor(x / VOXEL) and math.floor(place.y / VOXEL) == math.floor(y / VOXEL)
    return near and place.row == row and math.floor(place.z / VOXEL) == math.floor(z / VOXEL)


@njit(cache=True)
def deposit_along(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, step: float, energy: float
) -> None:
    """Deposit energy evenly along a step that begins at a place: each voxel gets the share of the path inside it."""
    if outside(world, x, y, z) > step + MARGIN:
        deposit(world, row, x + 0.5 * step * u, y + 0.5 * step * v, z + 0.5 * step * w, energy)
        return
    path = 0.0
    while path < step:
        here = path + 1e-9
        ahead = min(_to_border(x + here * u, u), _to_border(y + here * v, v), _to_border(z + here * w, w))
        piece = min(ahead + 1e-9, step - path)
        along = path + 0.5 * piece
        deposit(world, row, x + along * u, y + along * v, z + along * w, energy * piece / step)
        path += piece


@njit(cache=True)
def _to_border(place: float, direction: float) -> float:
    """Path to the next border between voxels along one axis."""
    if direction > 0.0:
        return (VOXEL * (math.floor(place / VOXEL) + 1.0) - place) / direction
    if direction < 0.0:
        return (VOXEL * math.floor(place / VOXEL) - place) / direction
    return math.inf


@njit(cache=True)
def rotated(u: float, v: float, w: float, cosine: float, phi: float) -> tuple[float, float, float]:
    """A direction rotated by an angle of given cosine, at azimuth phi."""
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    across = math.sqrt(u * u + v * v)
    a, b = sine * math.cos(phi), sine * math.sin(phi)
    if across < 1e-9:
        sign = 1.0 if w > 0 else -1.0
        return a, b, cosine * sign
    x = u * cosine + (u * w * a - v * b) / across
    y = v * cosine + (v * w * a + u * b) / across
    z = w * cosine - across * a
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length

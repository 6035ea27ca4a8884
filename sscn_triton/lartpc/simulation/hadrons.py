"""Interactions of hadrons with argon by a simple model, described here; also neutral pions and neutrons.

Above 30 MeV a proton or charged pion interacts after 85 cm on average. 2 in 10 interactions are elastic: the particle
continues, slightly deflected. In the others a proton shares its energy among 2 to 4 nucleons; a pion is absorbed (3 in
10), scattered (5 in 10), or becomes a neutral pion (2 in 10). Each nucleon costs 8 MeV of binding energy, is a proton
with probability 0.45 (0.25 if a negative pion was absorbed at rest), and goes forward if it is fast. The remaining
nucleus, also after the capture of a negative muon or pion, emits on average two photons of 1.5 MeV on average, which
count as part of the particle.

A neutron above 20 MeV shares its energy among nucleons after 60 cm on average. A slower one travels 20 cm between
collisions, which make its direction isotropic; one in five excites a nucleus to its first level, 1.46 MeV, the others
cost up to a tenth of the energy. Below 1 MeV it is captured about a metre away (as in the public data set), and
the nucleus emits 6.1 MeV in three photons.
"""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.common.numba_cache import njit
from sscn_triton.lartpc.simulation import argon
from sscn_triton.lartpc.simulation.random_stream import between, exponential, isotropic, normal, uniform
from sscn_triton.lartpc.simulation.world import (
    CAPTURED_NEUTRON,
    DECAY,
    HIP,
    MIP,
    NEUTRON,
    NEUTRON_INELASTIC,
    PHOTON,
    PION_INELASTIC,
    PION_ZERO,
    PROTON,
    PROTON_INELASTIC,
    SHOWER,
    World,
    add_particle,
    escaped,
    push,
    rotated,
)

ELASTIC = 0.2  # share of interactions
_BINDING = 8.0
_FAST, _SLOW = 20.0, 1.0  # kinetic energies of neutrons
_FAST_PATH, _SLOW_PATH = 60.0, 20.0
_FIRST_LEVEL = 1.46
_CAPTURE_SPREAD = 100.0  # cm along each axis
_CAPTURE_ENERGY = 6.1


@njit(cache=False)
def interact(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    rng = world.rng
    deexcite(world, row, x, y, z)
    if kind == PROTON:
        share_out(world, row, PROTON_INELASTIC, 2 + int(3.0 * uniform(rng)), 0.45, x, y, z, u, v, w, kinetic)
        return
    chance = uniform(rng)
    if chance < 0.3:
        available = kinetic + argon.PION_MASS
        share_out(world, row, PION_INELASTIC, 2 + int(3.0 * uniform(rng)), 0.45, x, y, z, u, v, w, available)
        return
    kept = kinetic * between(rng, 0.3, 1.0)
    a, b, c = rotated(u, v, w, forward(rng, 3.0), between(rng, 0.0, 2.0 * math.pi))
    scatters = chance < 0.8
    new = kind if scatters else PION_ZERO
    add_particle(world, new, row, PION_INELASTIC, MIP, x, y, z, a, b, c, kept)
    share_out(world, row, PION_INELASTIC, 1, 0.45, x, y, z, u, v, w, kinetic - kept)


@njit(cache=False)
def deexcite(world: World, row: int, x: float, y: float, z: float) -> None:
    rng = world.rng
    passed = exponential(rng)
    while passed < 2.0:
        u, v, w = isotropic(rng)
        push(world, PHOTON, row, x, y, z, u, v, w, min(1.5 * exponential(rng), 10.0))
        passed += exponential(rng)


@njit(cache=False)
def forward(rng: np.ndarray, slope: float) -> float:
    """Cosine of an angle, drawn from exp(slope cosine)."""
    return 1.0 + math.log(1.0 - uniform(rng) * (1.0 - math.exp(-2.0 * slope))) / slope


@njit(cache=False)
def share_out(
    world: World,
    row: int,
    process: int,
    count: int,
    protons: float,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    available: float,
) -> None:
    """Share energy at random among nucleons, of which the share `protons` are protons, and follow them."""
    rng = world.rng
    shares = np.empty(count)
    for i in range(count):
        shares[i] = exponential(rng)
    shares *= max(available - _BINDING * count, 0.0) / shares.sum()
    for kinetic in shares:
        kind = PROTON if uniform(rng) < protons else NEUTRON
        cosine = forward(rng, 3.0) if kinetic > 50.0 else between(rng, -1.0, 1.0)
        a, b, c = rotated(u, v, w, cosine, between(rng, 0.0, 2.0 * math.pi))
        add_nucleon(world, kind, row, process, x, y, z, a, b, c, kinetic)


@njit(cache=False)
def add_nucleon(
    world: World,
    kind: int,
    row: int,
    process: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    kinetic: float,
) -> None:
    """Add a proton or neutron, unless it is too slow to leave energy."""
    if kinetic > (2.0 if kind == PROTON else _SLOW):
        add_particle(world, kind, row, process, HIP if kind == PROTON else MIP, x, y, z, u, v, w, kinetic)


@njit(cache=False)
def follow_neutron(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    rng = world.rng
    while kinetic > _SLOW:
        path = (_FAST_PATH if kinetic > _FAST else _SLOW_PATH) * exponential(rng)
        x, y, z = x + path * u, y + path * v, z + path * w
        if escaped(world, x, y, z):
            return
        if kinetic > _FAST:
            deexcite(world, row, x, y, z)
            share_out(world, row, NEUTRON_INELASTIC, 2, 0.45, x, y, z, u, v, w, kinetic)
            return
        if uniform(rng) < 0.2 and kinetic > _FIRST_LEVEL:
            u, v, w = isotropic(rng)
            add_particle(world, PHOTON, row, NEUTRON_INELASTIC, SHOWER, x, y, z, u, v, w, _FIRST_LEVEL)
            kinetic -= _FIRST_LEVEL
        else:
            kinetic *= 1.0 - 0.1 * uniform(rng)
        u, v, w = isotropic(rng)
    x, y, z = (
        x + _CAPTURE_SPREAD * normal(rng),
        y + _CAPTURE_SPREAD * normal(rng),
        z + _CAPTURE_SPREAD * normal(rng),
    )
    if escaped(world, x, y, z):
        return
    first, second = uniform(rng), uniform(rng)
    low, high = min(first, second), max(first, second)
    for share in (low, high - low, 1.0 - high):
        u, v, w = isotropic(rng)
        add_particle(world, PHOTON, row, CAPTURED_NEUTRON, SHOWER, x, y, z, u, v, w, share * _CAPTURE_ENERGY)


@njit(cache=False)
def decay_neutral_pion(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    """Emit two photons, isotropic at rest, boosted."""
    rng, mass = world.rng, argon.NEUTRAL_PION_MASS
    gamma = 1.0 + kinetic / mass
    beta = math.sqrt(1.0 - 1.0 / (gamma * gamma))
    rest = between(rng, -1.0, 1.0)
    phi = between(rng, 0.0, 2.0 * math.pi)
    for side in (1.0, -1.0):
        energy = 0.5 * mass * gamma * (1.0 + beta * rest * side)
        cosine = (rest * side + beta) / (1.0 + beta * rest * side)
        a, b, c = rotated(u, v, w, cosine, phi if side > 0 else phi + math.pi)
        add_particle(world, PHOTON, row, DECAY, SHOWER, x, y, z, a, b, c, energy)

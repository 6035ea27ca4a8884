"""Muons, charged pions and protons: ionisation, delta rays, scattering, decay at rest, a simple hadronic model.

Hadronic model: above 30 MeV a proton or pion interacts after 85 cm on average. A proton shares its energy among 2 to 4
nucleons; a pion is absorbed (3 in 10), scattered (5 in 10), or gives a neutral pion (2 in 10). Each nucleon costs 8 MeV
of binding, is a proton with probability 0.45, and goes forward when fast. Neutrons carry their energy away. The nucleus
left behind by an interaction, or by the capture of a negative muon or pion, emits photons of 1.5 MeV on average, two of
them on average, which count as the particle's own.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from . import argon
from .argon import ELECTRON_MASS
from .showers import add_electron, knock_on, knock_on_cut, scattered, step_length
from .stream import between, exponential, isotropic, uniform
from .world import (
    ABSORBED,
    ANTIMUON,
    CAPTURE_DECAY,
    DECAY,
    DELTA,
    ELECTRON,
    HADRON_IONISATION,
    HIP,
    MASSES,
    MICHEL,
    MIP,
    MUON,
    MUON_IONISATION,
    PHOTON,
    PION_INELASTIC,
    PION_MINUS,
    PION_PLUS,
    PION_ZERO,
    POSITRON,
    PROTON,
    PROTON_INELASTIC,
    SHOWER,
    World,
    add_particle,
    deposit,
    deposit_along,
    escaped,
    outside,
    push,
    turned,
)

OWN_DELTA = 3.5  # total energy from which a knocked-out electron is a particle of its own, labelled delta
INTERACTING = 30.0
CAPTURED = 0.75  # share of negative muons that argon captures
MICHEL_ENDPOINT = 52.83
_BINDING = 8.0
_MUON_FROM_PION = 4.12


@njit(cache=False)
def follow_track(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    stream, mass = world.stream, MASSES[kind]
    hadron = kind >= PION_MINUS
    stopped = 1e-3 * mass
    alive = True
    while kinetic > stopped and alive:
        distance = outside(world, x, y, z)
        if escaped(world, x, y, z):
            break
        cut = knock_on_cut(distance)
        count, carried = argon.delta_rays(kinetic, mass, cut)
        loss = argon.stopping_power(kinetic, mass) - carried
        step = step_length(distance, kinetic, loss, 0.1)
        halfway = max(kinetic - 0.5 * loss * step, stopped)
        loss = argon.stopping_power(halfway, mass) - argon.delta_rays(halfway, mass, cut)[1]
        spent = min(loss * step, kinetic)
        deposit_along(world, row, x, y, z, u, v, w, step, spent)
        x, y, z = x + 0.5 * step * u, y + 0.5 * step * v, z + 0.5 * step * w
        kinetic = _knock_out(world, kind, row, x, y, z, u, v, w, kinetic - spent, count * step, cut)
        x, y, z = x + 0.5 * step * u, y + 0.5 * step * v, z + 0.5 * step * w
        if hadron and kinetic > INTERACTING and uniform(stream) < step / argon.INTERACTION_LENGTH:
            _interact(world, kind, row, x, y, z, u, v, w, kinetic)
            alive = False
        elif kinetic > stopped:
            u, v, w = scattered(stream, u, v, w, kinetic, mass, step)
    if alive and kinetic <= stopped:
        if kinetic > 0.0:
            deposit(world, row, x, y, z, kinetic)
        _at_rest(world, kind, row, x, y, z)
    particle = world.particles[row]
    particle.end_x, particle.end_y, particle.end_z = x, y, z


@njit(cache=False)
def _knock_out(
    world: World,
    kind: int,
    row: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    kinetic: float,
    expected: float,
    cut: float,
) -> float:
    """Delta rays of one step, `expected` on average; gives the energy left."""
    stream, mass = world.stream, MASSES[kind]
    passed = exponential(stream)
    while passed < expected and argon.largest_transfer(kinetic, mass) > cut:
        energy, cosine = knock_on(stream, kinetic, mass, cut)
        kinetic -= energy
        a, b, c = turned(u, v, w, cosine, between(stream, 0.0, 2.0 * math.pi))
        if energy + ELECTRON_MASS < OWN_DELTA:
            add_electron(world, row, x, y, z, a, b, c, energy)
        else:
            process = MUON_IONISATION if kind <= ANTIMUON else HADRON_IONISATION
            add_particle(world, ELECTRON, row, process, DELTA, x, y, z, a, b, c, energy)
        passed += exponential(stream)
    return kinetic


@njit(cache=False)
def _at_rest(world: World, kind: int, row: int, x: float, y: float, z: float) -> None:
    stream = world.stream
    u, v, w = isotropic(stream)
    if kind == ANTIMUON or (kind == MUON and uniform(stream) >= CAPTURED):
        electron = POSITRON if kind == ANTIMUON else ELECTRON
        process = DECAY if kind == ANTIMUON else CAPTURE_DECAY
        kinetic = max(MICHEL_ENDPOINT * _michel(stream) - ELECTRON_MASS, 0.0)
        add_particle(world, electron, row, process, MICHEL, x, y, z, u, v, w, kinetic)
    elif kind == PION_PLUS:
        add_particle(world, ANTIMUON, row, DECAY, MIP, x, y, z, u, v, w, _MUON_FROM_PION)
    elif kind == MUON:
        _deexcite(world, row, x, y, z)
    elif kind == PION_MINUS:
        _deexcite(world, row, x, y, z)
        _nucleons(world, row, ABSORBED, 4, x, y, z, u, v, w, 100.0)


@njit(cache=False)
def _michel(stream: np.ndarray) -> float:
    """Energy of a decay electron over its largest, from x2 (3 - 2x)."""
    for _ in range(1000):
        share = uniform(stream)
        if uniform(stream) < share * share * (3.0 - 2.0 * share):
            return share
    return 1.0


@njit(cache=False)
def _interact(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    stream = world.stream
    _deexcite(world, row, x, y, z)
    if kind == PROTON:
        _nucleons(world, row, PROTON_INELASTIC, 2 + int(3.0 * uniform(stream)), x, y, z, u, v, w, kinetic)
        return
    chance = uniform(stream)
    if chance < 0.3:
        available = kinetic + argon.PION_MASS
        _nucleons(world, row, PION_INELASTIC, 2 + int(3.0 * uniform(stream)), x, y, z, u, v, w, available)
        return
    kept = kinetic * between(stream, 0.3, 1.0)
    a, b, c = turned(u, v, w, _forward(stream), between(stream, 0.0, 2.0 * math.pi))
    scatters = chance < 0.8
    new = kind if scatters else PION_ZERO
    add_particle(world, new, row, PION_INELASTIC, MIP, x, y, z, a, b, c, kept)
    _nucleons(world, row, PION_INELASTIC, 1, x, y, z, u, v, w, kinetic - kept)


@njit(cache=False)
def _deexcite(world: World, row: int, x: float, y: float, z: float) -> None:
    stream = world.stream
    passed = exponential(stream)
    while passed < 2.0:
        u, v, w = isotropic(stream)
        push(world, PHOTON, row, x, y, z, u, v, w, min(1.5 * exponential(stream), 10.0))
        passed += exponential(stream)


@njit(cache=False)
def _forward(stream: np.ndarray) -> float:
    """Cosine of an angle, drawn from exp(3 cosine)."""
    return 1.0 + math.log(1.0 - uniform(stream) * (1.0 - math.exp(-6.0))) / 3.0


@njit(cache=False)
def _nucleons(
    world: World,
    row: int,
    process: int,
    count: int,
    x: float,
    y: float,
    z: float,
    u: float,
    v: float,
    w: float,
    available: float,
) -> None:
    """Shares energy among nucleons at random and follows the protons."""
    stream = world.stream
    shares = np.empty(count)
    for i in range(count):
        shares[i] = exponential(stream)
    shares *= max(available - _BINDING * count, 0.0) / shares.sum()
    for kinetic in shares:
        is_proton = uniform(stream) < 0.45
        cosine = _forward(stream) if kinetic > 50.0 else between(stream, -1.0, 1.0)
        a, b, c = turned(u, v, w, cosine, between(stream, 0.0, 2.0 * math.pi))
        if is_proton and kinetic > 2.0:
            add_particle(world, PROTON, row, process, HIP, x, y, z, a, b, c, kinetic)


@njit(cache=False)
def decay_neutral_pion(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    """Two photons, isotropic at rest, boosted."""
    stream, mass = world.stream, argon.NEUTRAL_PION_MASS
    gamma = 1.0 + kinetic / mass
    beta = math.sqrt(1.0 - 1.0 / (gamma * gamma))
    rest = between(stream, -1.0, 1.0)
    phi = between(stream, 0.0, 2.0 * math.pi)
    for side in (1.0, -1.0):
        energy = 0.5 * mass * gamma * (1.0 + beta * rest * side)
        cosine = (rest * side + beta) / (1.0 + beta * rest * side)
        a, b, c = turned(u, v, w, cosine, phi if side > 0 else phi + math.pi)
        add_particle(world, PHOTON, row, DECAY, SHOWER, x, y, z, a, b, c, energy)

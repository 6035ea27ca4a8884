"""Simulate muons, charged pions and protons: ionisation, delta rays, scattering, decay and capture at rest."""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.common.numba_cache import njit
from sscn_triton.lartpc.simulation import argon
from sscn_triton.lartpc.simulation.argon import ELECTRON_MASS
from sscn_triton.lartpc.simulation.hadrons import ELASTIC, add_nucleon, deexcite, forward, interact, share_out
from sscn_triton.lartpc.simulation.random_stream import between, exponential, isotropic, uniform
from sscn_triton.lartpc.simulation.showers import add_electron, knock_on, knock_on_cut, scattered, step_length
from sscn_triton.lartpc.simulation.world import (
    ABSORBED,
    ANTIMUON,
    CAPTURE_DECAY,
    DECAY,
    DELTA,
    ELECTRON,
    HADRON_IONISATION,
    MASSES,
    MICHEL,
    MIP,
    MUON,
    MUON_IONISATION,
    NEUTRON,
    PION_MINUS,
    PION_PLUS,
    POSITRON,
    World,
    add_particle,
    deposit,
    deposit_along,
    escaped,
    outside,
    rotated,
)

OWN_DELTA = 2.0  # total energy from which a knocked-out electron is a separate particle, labelled delta
INTERACTING = 30.0
CAPTURED = 0.75  # share of negative muons that argon captures
MICHEL_ENDPOINT = 52.83
_MUON_FROM_PION = 4.12


@njit(cache=False)
def follow_track(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    rng, mass = world.rng, MASSES[kind]
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
        if hadron and kinetic > INTERACTING and uniform(rng) < step / argon.INTERACTION_LENGTH:
            if uniform(rng) < ELASTIC:
                u, v, w = rotated(u, v, w, forward(rng, 12.0), between(rng, 0.0, 2.0 * math.pi))
            else:
                interact(world, kind, row, x, y, z, u, v, w, kinetic)
                alive = False
        elif kinetic > stopped:
            u, v, w = scattered(rng, u, v, w, kinetic, mass, step)
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
    """Delta rays of one step, `expected` on average; returns the energy left."""
    rng, mass = world.rng, MASSES[kind]
    passed = exponential(rng)
    while passed < expected and argon.largest_transfer(kinetic, mass) > cut:
        energy, cosine = knock_on(rng, kinetic, mass, cut)
        kinetic -= energy
        a, b, c = rotated(u, v, w, cosine, between(rng, 0.0, 2.0 * math.pi))
        if energy + ELECTRON_MASS < OWN_DELTA:
            add_electron(world, row, x, y, z, a, b, c, energy)
        else:
            process = MUON_IONISATION if kind <= ANTIMUON else HADRON_IONISATION
            add_particle(world, ELECTRON, row, process, DELTA, x, y, z, a, b, c, energy)
        passed += exponential(rng)
    return kinetic


@njit(cache=False)
def _at_rest(world: World, kind: int, row: int, x: float, y: float, z: float) -> None:
    rng = world.rng
    u, v, w = isotropic(rng)
    if kind == ANTIMUON or (kind == MUON and uniform(rng) >= CAPTURED):
        electron = POSITRON if kind == ANTIMUON else ELECTRON
        process = DECAY if kind == ANTIMUON else CAPTURE_DECAY
        kinetic = max(MICHEL_ENDPOINT * _michel(rng) - ELECTRON_MASS, 0.0)
        add_particle(world, electron, row, process, MICHEL, x, y, z, u, v, w, kinetic)
    elif kind == PION_PLUS:
        add_particle(world, ANTIMUON, row, DECAY, MIP, x, y, z, u, v, w, _MUON_FROM_PION)
    elif kind == MUON:
        deexcite(world, row, x, y, z)
        add_nucleon(world, NEUTRON, row, CAPTURE_DECAY, x, y, z, u, v, w, 5.0 * exponential(rng))
    elif kind == PION_MINUS:
        deexcite(world, row, x, y, z)
        share_out(world, row, ABSORBED, 4, 0.25, x, y, z, u, v, w, 100.0)


@njit(cache=False)
def _michel(rng: np.ndarray) -> float:
    """Energy of a decay electron over its maximum, from x2 (3 - 2x)."""
    for _ in range(1000):
        share = uniform(rng)
        if uniform(rng) < share * share * (3.0 - 2.0 * share):
            return share
    return 1.0

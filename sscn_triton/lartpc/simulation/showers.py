"""Simulate electrons, positrons and photons one by one.

Ionisation, knock-on electrons, bremsstrahlung and multiple scattering; pairs, Compton and photoelectric effect.
"""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.common.numba_cache import njit
from sscn_triton.lartpc.simulation import argon
from sscn_triton.lartpc.simulation.argon import ELECTRON_MASS
from sscn_triton.lartpc.simulation.random_stream import between, exponential, isotropic, normal, uniform
from sscn_triton.lartpc.simulation.world import (
    ELECTRON,
    MARGIN,
    PHOTON,
    POSITRON,
    TRACKED,
    World,
    deposit,
    deposit_along,
    escaped,
    outside,
    push,
    rotated,
)

SOFTEST_PHOTON = 0.01  # softer photons deposit their energy at once
SOFTEST_RADIATED = 0.05  # softer bremsstrahlung photons are part of the continuous loss
STEP = 0.1  # a third of a voxel
_SOFT_RADIATION = 4.0 / 3.0 * SOFTEST_RADIATED / argon.RADIATION_LENGTH


@njit(cache=False)
def step_length(distance: float, kinetic: float, loss: float, share: float) -> float:
    """A step that is fine near the image, coarse far away, and costs at most the given share of the energy."""
    step = STEP if distance <= MARGIN else min(STEP + 0.3 * (distance - MARGIN), 2.0)
    return max(min(step, share * kinetic / loss), 0.003)


@njit(cache=False)
def knock_on_cut(distance: float) -> float:
    """The smallest energy of a knocked-out electron that is followed separately."""
    return 0.05 if distance <= MARGIN else 1.0


@njit(cache=False)
def knock_on(rng: np.ndarray, kinetic: float, mass: float, cut: float) -> tuple[float, float]:
    """Energy of a knocked-out electron above `cut`, and the cosine of its angle."""
    most = argon.largest_transfer(kinetic, mass)
    height = 2.25 if mass < 1.0 else 1.0
    energy = most
    for _ in range(1000):
        energy = cut / (1.0 - uniform(rng) * (1.0 - cut / most))
        if height * uniform(rng) < argon.delta_ray_shape(energy, kinetic, mass):
            break
    total = kinetic + mass
    along = energy * (total + ELECTRON_MASS)
    cosine = along / (argon.momentum(kinetic, mass) * argon.momentum(energy, ELECTRON_MASS))
    return energy, min(cosine, 1.0)


@njit(cache=False)
def scattered(
    rng: np.ndarray, u: float, v: float, w: float, kinetic: float, mass: float, step: float
) -> tuple[float, float, float]:
    """The direction after multiple scattering over a step."""
    width = argon.scattering_angle(kinetic, mass, step)
    a, b = width * normal(rng), width * normal(rng)
    angle = min(math.sqrt(a * a + b * b), math.pi)
    return rotated(u, v, w, math.cos(angle), math.atan2(b, a))


@njit(cache=False)
def add_electron(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    """Follow an electron, or deposit its energy at once if its range is negligible."""
    if kinetic < TRACKED:
        deposit(world, row, x, y, z, kinetic)
    else:
        push(world, ELECTRON, row, x, y, z, u, v, w, kinetic)


@njit(cache=False)
def follow_electron(
    world: World, kind: int, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float
) -> None:
    rng = world.rng
    while kinetic >= TRACKED:
        distance = outside(world, x, y, z)
        if escaped(world, x, y, z) or distance > kinetic / 1.7 + 2.0 * argon.RADIATION_LENGTH:
            return
        cut = knock_on_cut(distance)
        count, carried = argon.delta_rays(kinetic, ELECTRON_MASS, cut)
        loss = argon.stopping_power(kinetic, ELECTRON_MASS) - carried + _SOFT_RADIATION
        step = step_length(distance, kinetic, loss, 0.2)
        spent = min(loss * step, kinetic)
        deposit_along(world, row, x, y, z, u, v, w, step, spent)
        x, y, z = x + 0.5 * step * u, y + 0.5 * step * v, z + 0.5 * step * w
        kinetic -= spent
        if kinetic > 2.0 * cut and uniform(rng) < count * step:
            energy, cosine = knock_on(rng, kinetic, ELECTRON_MASS, cut)
            a, b, c = rotated(u, v, w, cosine, between(rng, 0.0, 2.0 * math.pi))
            add_electron(world, row, x, y, z, a, b, c, energy)
            kinetic -= energy
        if kinetic > SOFTEST_RADIATED:
            kinetic = _radiate(world, row, x, y, z, u, v, w, kinetic, step)
        x, y, z = x + 0.5 * step * u, y + 0.5 * step * v, z + 0.5 * step * w
        if kinetic >= TRACKED:
            u, v, w = scattered(rng, u, v, w, kinetic, ELECTRON_MASS, step)
    deposit(world, row, x, y, z, kinetic)
    if kind == POSITRON:
        u, v, w = isotropic(rng)
        push(world, PHOTON, row, x, y, z, u, v, w, ELECTRON_MASS)
        push(world, PHOTON, row, x, y, z, -u, -v, -w, ELECTRON_MASS)


@njit(cache=False)
def _radiate(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, kinetic: float, step: float
) -> float:
    """Emit at most one photon in a step; return the energy left. Photons are proposed with the spectrum 4/3 dk/k."""
    rng = world.rng
    decades = math.log(kinetic / SOFTEST_RADIATED)
    if uniform(rng) >= 4.0 / 3.0 * decades * step / argon.RADIATION_LENGTH:
        return kinetic
    energy = SOFTEST_RADIATED * math.exp(decades * uniform(rng))
    if 4.0 / 3.0 * uniform(rng) >= argon.bremsstrahlung(kinetic, energy):
        return kinetic
    angle = min(ELECTRON_MASS / (kinetic + ELECTRON_MASS) * exponential(rng), math.pi)
    a, b, c = rotated(u, v, w, math.cos(angle), between(rng, 0.0, 2.0 * math.pi))
    push(world, PHOTON, row, x, y, z, a, b, c, energy)
    return kinetic - energy


@njit(cache=False)
def follow_photon(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, energy: float
) -> None:
    rng = world.rng
    while energy >= SOFTEST_PHOTON:
        pairs, scatters = argon.pair_production(energy), argon.compton(energy)
        total = pairs + scatters + argon.photoelectric(energy)
        path = exponential(rng) / total
        x, y, z = x + path * u, y + path * v, z + path * w
        if escaped(world, x, y, z):
            return
        chance = uniform(rng) * total
        if chance < pairs:
            _convert(world, row, x, y, z, u, v, w, energy)
            return
        if chance >= pairs + scatters:
            add_electron(world, row, x, y, z, u, v, w, energy)
            return
        energy, u, v, w = _scatter_photon(world, row, x, y, z, u, v, w, energy)
    deposit(world, row, x, y, z, energy)


@njit(cache=False)
def _convert(world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, energy: float) -> None:
    """Make a pair: flat shares of the energy, angles of the order of mass over energy."""
    rng = world.rng
    available = energy - 2.0 * ELECTRON_MASS
    share = uniform(rng)
    for kind, kinetic in ((ELECTRON, share * available), (POSITRON, (1.0 - share) * available)):
        angle = min(ELECTRON_MASS / (kinetic + ELECTRON_MASS) * exponential(rng), math.pi)
        a, b, c = rotated(u, v, w, math.cos(angle), between(rng, 0.0, 2.0 * math.pi))
        push(world, kind, row, x, y, z, a, b, c, kinetic)


@njit(cache=False)
def _scatter_photon(
    world: World, row: int, x: float, y: float, z: float, u: float, v: float, w: float, energy: float
) -> tuple[float, float, float, float]:
    """Compton scattering by Klein and Nishina (Butcher and Messel's sampling): knock out an electron, return the
    photon's new energy and direction."""
    rng = world.rng
    k = energy / ELECTRON_MASS
    least = 1.0 / (1.0 + 2.0 * k)
    first, second = -math.log(least), 0.5 * (1.0 - least * least)
    share, cosine = 1.0, 1.0
    for _ in range(1000):
        if uniform(rng) * (first + second) < first:
            share = math.exp(-first * uniform(rng))
        else:
            share = math.sqrt(least * least + (1.0 - least * least) * uniform(rng))
        cosine = 1.0 - (1.0 - share) / (k * share)
        sine2 = 1.0 - cosine * cosine
        if uniform(rng) < 1.0 - share * sine2 / (1.0 + share * share):
            break
    a, b, c = rotated(u, v, w, cosine, between(rng, 0.0, 2.0 * math.pi))
    left = share * energy
    p, q, r = energy * u - left * a, energy * v - left * b, energy * w - left * c
    length = max(math.sqrt(p * p + q * q + r * r), 1e-12)
    add_electron(world, row, x, y, z, p / length, q / length, r / length, energy - left)
    return left, a, b, c

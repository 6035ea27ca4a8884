"""Energy loss of charged particles and photons in liquid argon. Lengths in cm; energies in MeV, kinetic unless stated.

Sources: Particle Data Group, Passage of particles through matter (Bethe, Sternheimer's density effect, Highland, delta
rays, bremsstrahlung); Rossi and ICRU 37 for the loss of electrons; Moller; Klein and Nishina.
"""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.common.numba_cache import njit

ELECTRON_MASS = 0.51099895
MUON_MASS = 105.6583755
PION_MASS = 139.57039
NEUTRAL_PION_MASS = 134.9768
PROTON_MASS = 938.27208816
NEUTRON_MASS = 939.56542052

DENSITY = 1.396  # g/cm3
Z_OVER_A = 18 / 39.948
MEAN_EXCITATION = 188e-6
RADIATION_LENGTH = 14.0
INTERACTION_LENGTH = 85.0
_K = 0.307075  # MeV cm2/mol
_AVOGADRO = 6.02214076e23
_CLASSICAL_RADIUS = 2.8179403262e-13
_SCREENING = math.log(183.0 / 18.0 ** (1.0 / 3.0))
_ELECTRONS = _AVOGADRO * Z_OVER_A * DENSITY  # per cm3

# Pair production relative to the asymptotic cross-section 7/9 X0 at these photon energies, from tables for argon.
_PAIR_ENERGY = np.log([1.022, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0])
_PAIR_SHARE = np.array([0.0, 0.012, 0.045, 0.135, 0.31, 0.48, 0.67, 0.79, 0.87, 0.94, 0.97])


@njit(cache=True)
def momentum(kinetic: float, mass: float) -> float:
    return math.sqrt(kinetic * (kinetic + 2.0 * mass))


@njit(cache=True)
def beta_squared(kinetic: float, mass: float) -> float:
    return kinetic * (kinetic + 2.0 * mass) / (kinetic + mass) ** 2


@njit(cache=True)
def density_effect(beta_gamma: float) -> float:
    """Sternheimer's delta, with the parameters of liquid argon."""
    x = math.log10(beta_gamma)
    if x < 0.2:
        return 0.0
    delta = 2.0 * math.log(10.0) * x - 5.2146
    return delta + 0.19559 * (3.0 - x) ** 3 if x < 3.0 else delta


@njit(cache=True)
def largest_transfer(kinetic: float, mass: float) -> float:
    """The most energy that a collision gives to an electron at rest; of two electrons the slower is the target."""
    if mass < 1.0:
        return 0.5 * kinetic
    gamma = 1.0 + kinetic / mass
    ratio = ELECTRON_MASS / mass
    return 2.0 * ELECTRON_MASS * (gamma * gamma - 1.0) / (1.0 + 2.0 * gamma * ratio + ratio * ratio)


@njit(cache=True)
def stopping_power(kinetic: float, mass: float) -> float:
    """Mean collision loss, MeV/cm: Bethe's formula, and Rossi's for electrons (mass below 1 MeV)."""
    beta2 = beta_squared(kinetic, mass)
    beta_gamma = momentum(kinetic, mass) / mass
    delta = density_effect(beta_gamma)
    if mass < 1.0:
        tau = kinetic / ELECTRON_MASS
        shape = 1.0 - beta2 + (tau * tau / 8.0 - (2.0 * tau + 1.0) * math.log(2.0)) / (tau + 1.0) ** 2
        logarithm = math.log(0.5 * tau * tau * (tau + 2.0) * (ELECTRON_MASS / MEAN_EXCITATION) ** 2)
        return 0.5 * _K * Z_OVER_A * DENSITY / beta2 * (logarithm + shape - delta)
    most = largest_transfer(kinetic, mass)
    argument = 2.0 * ELECTRON_MASS * beta_gamma**2 * most / MEAN_EXCITATION**2
    return _K * Z_OVER_A * DENSITY / beta2 * (0.5 * math.log(argument) - beta2 - 0.5 * delta)


@njit(cache=True)
def delta_rays(kinetic: float, mass: float, cut: float) -> tuple[float, float]:
    """Electrons knocked out with more than `cut`: (number per cm, their energy in MeV per cm), from the spectrum
    K/2 Z/A rho / (beta2 T2) of the transferred energy T, times `delta_ray_shape`."""
    most = largest_transfer(kinetic, mass)
    if most <= cut:
        return 0.0, 0.0
    beta2 = beta_squared(kinetic, mass)
    strength = 0.5 * _K * Z_OVER_A * DENSITY / beta2
    if mass < 1.0:
        square, mixed = _moller(kinetic)
        left, logarithm = kinetic - cut, math.log((kinetic - cut) / cut)
        count = 1.0 / cut - 1.0 / left + (square * (most - cut) / kinetic - mixed * logarithm) / kinetic
        carried = math.log(most / cut) + (1.0 + mixed) * math.log(most / left) + 2.0 - kinetic / left
        return strength * count, strength * (carried + 0.5 * square * (most**2 - cut**2) / kinetic**2)
    logarithm = math.log(most / cut)
    count = strength * (1.0 / cut - 1.0 / most - beta2 / most * logarithm)
    return count, strength * (logarithm - beta2 * (1.0 - cut / most))


@njit(cache=True)
def _moller(kinetic: float) -> tuple[float, float]:
    """Moller's ((gamma - 1) / gamma)2 and (2 gamma - 1) / gamma2."""
    gamma = 1.0 + kinetic / ELECTRON_MASS
    return (1.0 - 1.0 / gamma) ** 2, (2.0 * gamma - 1.0) / gamma**2


@njit(cache=True)
def delta_ray_shape(transfer: float, kinetic: float, mass: float) -> float:
    """The factor of the spectrum of transferred energies T besides 1 / T2: 1 - beta2 T/Tmax, and for electrons, which
    are indistinguishable from their targets, Moller's 1 + y2 + (T tau / (E gamma))2 - y (2 gamma - 1) / gamma2 with
    y = T / (E - T); at most 2.25."""
    if mass < 1.0:
        square, mixed = _moller(kinetic)
        ratio = transfer / (kinetic - transfer)
        return 1.0 + ratio**2 + square * (transfer / kinetic) ** 2 - mixed * ratio
    return 1.0 - beta_squared(kinetic, mass) * transfer / largest_transfer(kinetic, mass)


@njit(cache=True)
def bremsstrahlung(kinetic: float, photon: float) -> float:
    """Photons of energy `photon` radiated by an electron, k dN/dk per radiation length: (4/3 - 4/3 y + y2), y = k / E,
    with complete screening, or less if Bethe and Heitler's unscreened logarithm is smaller."""
    total = kinetic + ELECTRON_MASS
    left = total - photon
    y = photon / total
    logarithm = math.log(2.0 * total * left / (ELECTRON_MASS * photon)) - 0.5
    return (4.0 / 3.0 * (1.0 - y) + y * y) * max(min(logarithm / _SCREENING, 1.0), 0.0)


@njit(cache=True)
def scattering_angle(kinetic: float, mass: float, path: float) -> float:
    """Highland's width of the projected angle after `path`. The logarithm is that of a tenth of a radiation length, so
    that many short steps add up to a long one."""
    correction = 1.0 + 0.038 * math.log(0.1)
    speed_momentum = beta_squared(kinetic, mass) * (kinetic + mass)
    return 13.6 / speed_momentum * math.sqrt(path / RADIATION_LENGTH) * correction


@njit(cache=True)
def pair_production(energy: float) -> float:
    """Conversions of a photon per cm."""
    if energy <= 2.0 * ELECTRON_MASS:
        return 0.0
    return 7.0 / 9.0 / RADIATION_LENGTH * np.interp(math.log(energy), _PAIR_ENERGY, _PAIR_SHARE)


@njit(cache=True)
def compton(energy: float) -> float:
    """Compton scatterings of a photon per cm: Klein and Nishina's total cross-section."""
    k = energy / ELECTRON_MASS
    logarithm = math.log(1.0 + 2.0 * k)
    first = (1.0 + k) / k**2 * (2.0 * (1.0 + k) / (1.0 + 2.0 * k) - logarithm / k)
    total = first + logarithm / (2.0 * k) - (1.0 + 3.0 * k) / (1.0 + 2.0 * k) ** 2
    return _ELECTRONS * 2.0 * math.pi * _CLASSICAL_RADIUS**2 * total


@njit(cache=True)
def photoelectric(energy: float) -> float:
    """Photoelectric absorptions per cm: 0.052 cm2/g at 0.1 MeV, falling with the third power."""
    return DENSITY * 0.052 * (0.1 / energy) ** 3


def ranges(kinetic: np.ndarray, mass: float) -> np.ndarray:
    """Range, cm, of a heavy charged particle in the continuous slowing-down approximation: the integral of 1 / (dE/dx)
    from 0.1 % of the mass, below which the path is under 0.02 mm."""
    result = np.zeros(len(kinetic))
    for i, energy in enumerate(kinetic):
        grid = np.geomspace(1e-3 * mass, energy, 2000)
        inverse = np.array([1.0 / stopping_power(value, mass) for value in grid])
        result[i] = np.sum(0.5 * (inverse[1:] + inverse[:-1]) * np.diff(grid))
    return result

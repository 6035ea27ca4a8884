"""Random numbers that depend only on (seed, event, attempt).

A generator is an array of one uint64: the state of splitmix64 (Steele, Lea and Flood 2014), a counter whose values are
mixed. It is the same in Python and in compiled code and does not change with the version of a library, so event i of
seed s is the same wherever, whenever and in whatever order it is simulated (to the last bit if the C library's log
and cos agree).
"""

from __future__ import annotations

import math

import numpy as np

from sscn_triton.common.numba_cache import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def new_rng(seed: int, index: int, attempt: int = 0) -> np.ndarray:
    """The generator for one attempt at event `index` of `seed`, all 0 or more."""
    return np.random.SeedSequence((seed, index, attempt)).generate_state(1, np.uint64)


@njit(cache=True)
def uniform(rng: np.ndarray) -> float:
    """A number in [0, 1) with 53 random bits."""
    rng[0] += _STEP
    z = rng[0]
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return ((z ^ (z >> _31)) >> _11) * 2.0**-53


@njit(cache=True)
def between(rng: np.ndarray, low: float, high: float) -> float:
    return low + (high - low) * uniform(rng)


@njit(cache=True)
def exponential(rng: np.ndarray) -> float:
    """A number from the exponential distribution of mean 1."""
    return -math.log(1.0 - uniform(rng))


@njit(cache=True)
def normal(rng: np.ndarray) -> float:
    """A number from the standard normal distribution (the first of Box and Muller's pair)."""
    radius = math.sqrt(2.0 * exponential(rng))
    return radius * math.cos(2.0 * math.pi * uniform(rng))


@njit(cache=True)
def isotropic(rng: np.ndarray) -> tuple[float, float, float]:
    """A direction, (u, v, w) of length 1."""
    w = between(rng, -1.0, 1.0)
    phi = 2.0 * math.pi * uniform(rng)
    sine = math.sqrt(max(0.0, 1.0 - w * w))
    return sine * math.cos(phi), sine * math.sin(phi), w

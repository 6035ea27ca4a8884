"""From energy deposits to the voxels of an image: smeared, summed, cut, labelled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from .world import DEPOSIT

SMEARING = 0.55  # width of the Gaussian, voxels
THRESHOLD = 0.010  # MeV
_REACH = 2  # voxels to each side that a deposit smears into
_HASH = np.uint64(0x9E3779B97F4A7C15)


class Image(NamedTuple):
    """voxels [N], ascending numbers z nx ny + y nx + x; energy [N], MeV; labels [N]; rows [N], the particle with most
    of a voxel's energy; and by particle the energy in active voxels and their number."""

    voxels: np.ndarray
    energy: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    deposited: np.ndarray
    touched: np.ndarray


def make_image(deposits: np.ndarray, labels: np.ndarray, size: int, voxel: float) -> Image:
    """The image of `size` voxels an axis, each `voxel` cm, of deposits [M] of DEPOSIT. `labels` [P]: each particle's
    class.

    A voxel is active from 0.010 MeV on. Its class is the one with the largest part of its energy.
    """
    assert deposits.dtype == DEPOSIT
    count = max(len(labels), 1)
    capacity = 1024
    while True:
        keys, energies = np.full(capacity, -1), np.zeros(capacity)
        if _spread(deposits, size, voxel, count, keys, energies):
            break
        capacity *= 4
    filled = np.flatnonzero(keys >= 0)
    filled = filled[np.argsort(keys[filled])]
    voxels, rows = np.divmod(keys[filled], count)
    return _resolve(voxels, rows, energies[filled], np.asarray(labels, dtype=np.int64))


def _resolve(voxels: np.ndarray, rows: np.ndarray, energies: np.ndarray, labels: np.ndarray) -> Image:
    """From parts (voxel, particle, energy) ordered by voxel to voxels."""
    unique, place = np.unique(voxels, return_inverse=True)
    total = np.bincount(place, energies, minlength=len(unique))
    by_class = np.zeros((len(unique), 5))
    np.add.at(by_class, (place, labels[rows]), energies)
    order = np.lexsort((-energies, place))
    largest = rows[order[np.searchsorted(place[order], np.arange(len(unique)))]]
    active = total >= THRESHOLD
    seen = active[place]
    deposited = np.bincount(rows[seen], energies[seen], minlength=len(labels))
    touched = np.bincount(rows[seen], minlength=len(labels))
    return Image(unique[active], total[active], by_class.argmax(1)[active], largest[active], deposited, touched)


@njit(cache=True)
def _spread(deposits: np.ndarray, size: int, voxel: float, count: int, keys: np.ndarray, energies: np.ndarray) -> bool:
    """Smears deposits into a table of (voxel, particle) by open addressing; False when the table is half full."""
    weights = np.empty((3, 2 * _REACH + 1))
    low = np.empty(3, np.int64)
    used = 0
    for i in range(len(deposits)):
        place = deposits[i]
        _weigh(place.x / voxel, weights[0], low, 0)
        _weigh(place.y / voxel, weights[1], low, 1)
        _weigh(place.z / voxel, weights[2], low, 2)
        if used + weights.shape[1] ** 3 > len(keys) // 2:
            return False
        for c in range(max(0, -low[2]), min(weights.shape[1], size - low[2])):
            for b in range(max(0, -low[1]), min(weights.shape[1], size - low[1])):
                across = place.energy * weights[2, c] * weights[1, b]
                row = ((low[2] + c) * size + low[1] + b) * size + low[0]
                for a in range(max(0, -low[0]), min(weights.shape[1], size - low[0])):
                    used += _add(keys, energies, (row + a) * count + place.row, across * weights[0, a])
    return True


@njit(cache=True)
def _weigh(position: float, weights: np.ndarray, low: np.ndarray, axis: int) -> None:
    """Shares of a Gaussian in the voxels around its centre; they add up to 1."""
    low[axis] = math.floor(position) - _REACH
    scale = 1.0 / (math.sqrt(2.0) * SMEARING)
    below = math.erf((low[axis] - position) * scale)
    first = below
    for i in range(len(weights)):
        above = math.erf((low[axis] + i + 1 - position) * scale)
        weights[i] = above - below
        below = above
    weights /= below - first


@njit(cache=True)
def _add(keys: np.ndarray, energies: np.ndarray, key: int, energy: float) -> int:
    """Adds to a key's energy; 1 if the key is new."""
    mask = np.uint64(len(keys) - 1)
    slot = ((np.uint64(key) * _HASH) >> np.uint64(24)) & mask
    while keys[slot] != key:
        if keys[slot] < 0:
            keys[slot] = key
            energies[slot] = energy
            return 1
        slot = (slot + np.uint64(1)) & mask
    energies[slot] += energy
    return 0

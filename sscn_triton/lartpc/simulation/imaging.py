"""Convert energy deposits to the voxels of an image: smear, sum, cut, label."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sscn_triton.common.numba_cache import njit
from sscn_triton.lartpc.simulation.world import DEPOSIT

SMEARING = 3.0**-0.5
"""Width, in voxels, of the Gaussian whose values at integer distances, exp(-3/2 d2), share out a voxel's energy, two
voxels to each side. Determined from isolated deposits of the public data set, which show its 1 : 0.2231 : 0.0498."""

THRESHOLD = 0.010  # MeV
_HASH = np.uint64(0x9E3779B97F4A7C15)
_REACH = 2
_GAUSSIAN = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / SMEARING) ** 2)
_SHARES = _GAUSSIAN / _GAUSSIAN.sum()
_NEGLIGIBLE = 1e-5  # MeV; smaller shares are dropped


class Image(NamedTuple):
    """voxels [N], ascending numbers z nx ny + y nx + x; energy [N], MeV; labels [N]; rows [N], the particle with most
    of a voxel's energy; deposited and touched: each particle's energy in active voxels, and their number."""

    voxels: np.ndarray
    energy: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    deposited: np.ndarray
    touched: np.ndarray


def make_image(deposits: np.ndarray, labels: np.ndarray, size: int, voxel: float) -> Image:
    """The image of `size` voxels per axis, each `voxel` cm, of deposits [M] of DEPOSIT. `labels` [P]: each particle's
    class.

    Energies are summed by voxel, then smeared. A voxel is active from 0.010 MeV. Its class is the one with the
    largest part of its energy.
    """
    assert deposits.dtype == DEPOSIT
    count = max(len(labels), 1)
    keys, energies = _fill(lambda keys, energies: _collect(deposits, size, voxel, count, keys, energies))
    keys, energies = _fill(lambda wider, smeared: _spread(keys, energies, size, count, wider, smeared))
    order = np.argsort(keys)
    voxels, rows = np.divmod(keys[order], count)
    return _resolve(voxels, rows, energies[order], np.asarray(labels, dtype=np.int64))


def _fill(work: Callable[[np.ndarray, np.ndarray], bool]) -> tuple[np.ndarray, np.ndarray]:
    """Keys and energies of a table that `work` fills; it is enlarged as long as `work` returns False."""
    capacity = 4096
    while True:
        keys, energies = np.full(capacity, -1), np.zeros(capacity)
        if work(keys, energies):
            filled = np.flatnonzero(keys >= 0)
            return keys[filled], energies[filled]
        capacity *= 4


def _resolve(voxels: np.ndarray, rows: np.ndarray, energies: np.ndarray, labels: np.ndarray) -> Image:
    """Combine parts (voxel, particle, energy) into voxels."""
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
def _collect(deposits: np.ndarray, size: int, voxel: float, count: int, keys: np.ndarray, energies: np.ndarray) -> bool:
    """Sum deposits by (voxel, particle) in an image with a border of `_REACH`; False once the table is half full."""
    used, wide = 0, size + 2 * _REACH
    for i in range(len(deposits)):
        place = deposits[i]
        x = math.floor(place.x / voxel) + _REACH
        y = math.floor(place.y / voxel) + _REACH
        z = math.floor(place.z / voxel) + _REACH
        if min(x, y, z) < 0 or max(x, y, z) >= wide:
            continue
        used += _add(keys, energies, ((z * wide + y) * wide + x) * count + place.row, place.energy)
        if used > len(keys) // 2:
            return False
    return True


@njit(cache=True)
def _spread(
    sources: np.ndarray, amounts: np.ndarray, size: int, count: int, keys: np.ndarray, energies: np.ndarray
) -> bool:
    """Share the result of `_collect` with the neighbours inside the image; False once the table is half full."""
    used, wide = 0, size + 2 * _REACH
    for i in range(len(sources)):
        row = sources[i] % count
        x = sources[i] // count % wide - 2 * _REACH
        y = sources[i] // (count * wide) % wide - 2 * _REACH
        z = sources[i] // (count * wide * wide) - 2 * _REACH
        if used + len(_SHARES) ** 3 > len(keys) // 2:
            return False
        for c in range(max(0, -z), min(len(_SHARES), size - z)):
            for b in range(max(0, -y), min(len(_SHARES), size - y)):
                across = amounts[i] * _SHARES[c] * _SHARES[b]
                if across < _NEGLIGIBLE:
                    continue
                line = ((z + c) * size + y + b) * size + x
                for a in range(max(0, -x), min(len(_SHARES), size - x)):
                    share = across * _SHARES[a]
                    if share >= _NEGLIGIBLE:
                        used += _add(keys, energies, (line + a) * count + row, share)
    return True


@njit(cache=True)
def _add(keys: np.ndarray, energies: np.ndarray, key: int, energy: float) -> int:
    """Add to the energy of a key; return 1 if the key is new."""
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

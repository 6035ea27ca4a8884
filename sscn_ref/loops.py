"""The loops of `sscn_ref.jit`, compiled by Numba: each does row by row what NumPy does with whole arrays.

They check nothing (`sscn_ref.jit` does) and call only functions of this file, because Numba's cache notices changes
only in the file of the function it cached.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sscn_ref.numba_cache import njit

FIBONACCI = np.uint64(11400714819323198485)  # 2^64 / golden ratio; see sscn_ref.hashtable

Ints = NDArray[np.int64]
Sites = NDArray[np.integer]
Reals = NDArray[np.floating]


@njit(cache=True)
def pack(site: Sites, low: Ints, extent: Ints) -> np.int64:
    """The key of one site in the box (low, extent), or -1 if it is outside."""
    key = np.int64(0)
    for column in range(len(site)):
        digit = np.int64(site[column]) - low[column]
        if digit < 0 or digit >= extent[column]:
            return np.int64(-1)
        key = key * extent[column] + digit
    return key


@njit(cache=True)
def pack_all(sites: Sites, low: Ints, extent: Ints) -> Ints:
    """The key of each site, -1 where it is outside the box."""
    keys = np.empty(len(sites), np.int64)
    for row in range(len(sites)):
        keys[row] = pack(sites[row], low, extent)
    return keys


@njit(cache=True)
def slot_of(slot_keys: Ints, slot_rows: Ints, shift: np.uint64, key: np.int64) -> np.int64:
    """The slot that holds `key` or where it can be stored: search from its home to the right, wrapping around."""
    capacity = len(slot_keys)
    slot = np.int64((np.uint64(key) * FIBONACCI) >> shift)
    while slot_rows[slot] >= 0 and slot_keys[slot] != key:
        slot = (slot + 1) % capacity
    return slot


@njit(cache=True)
def build_table(keys: Ints, bits: int) -> tuple[Ints, Ints, Ints]:
    """Build a hash table of 2^bits slots: keys and rows by slot (row -1: empty), and the first row of each key."""
    slot_keys, slot_rows = np.zeros(1 << bits, np.int64), np.full(1 << bits, -1, np.int64)
    first = np.empty(len(keys), np.int64)
    shift = np.uint64(64 - bits)
    for row in range(len(keys)):
        slot = slot_of(slot_keys, slot_rows, shift, keys[row])
        if slot_rows[slot] < 0:
            slot_keys[slot], slot_rows[slot] = keys[row], row
        first[row] = slot_rows[slot]
    return slot_keys, slot_rows, first


@njit(cache=True)
def number_first(first: Ints) -> tuple[Ints, Ints]:
    """The rows where a site occurs first, and for each row the number of its site among those."""
    rows, number = np.empty(len(first), np.int64), np.empty(len(first), np.int64)
    count = 0
    for row in range(len(first)):
        if first[row] == row:
            rows[count], number[row] = row, count
            count += 1
        else:
            number[row] = number[first[row]]
    return rows[:count].copy(), number


@njit(cache=True)
def match_tap(
    coarse: Sites, stride: Ints, offset: Ints, low: Ints, extent: Ints, slot_keys: Ints, slot_rows: Ints, bits: int
) -> tuple[Ints, Ints]:
    """The (fine row, coarse row) pairs of one tap: fine = stride * coarse + offset, looked up in the table."""
    rows_fine, rows_coarse = np.empty(len(coarse), np.int64), np.empty(len(coarse), np.int64)
    wanted = np.empty(len(low), np.int64)
    shift = np.uint64(64 - bits)
    count = 0
    for row in range(len(coarse)):
        wanted[0] = coarse[row, 0]
        for axis in range(len(stride)):
            wanted[1 + axis] = stride[axis] * coarse[row, 1 + axis] + offset[axis]
        key = pack(wanted, low, extent)
        if key < 0:
            continue
        found = slot_rows[slot_of(slot_keys, slot_rows, shift, key)]
        if found >= 0:
            rows_fine[count], rows_coarse[count] = found, row
            count += 1
    return rows_fine[:count].copy(), rows_coarse[:count].copy()


@njit(cache=True)
def fine_sites(coarse: Sites, stride: Ints, offsets: Ints, shape: Ints) -> Ints:
    """Every fine site = stride * coarse + offset; if shape is not empty, only 0 <= fine < shape."""
    reached = np.empty((len(coarse) * len(offsets), coarse.shape[1]), np.int64)
    count = 0
    for row in range(len(coarse)):
        for tap in range(len(offsets)):
            keep = True
            reached[count, 0] = coarse[row, 0]
            for axis in range(len(stride)):
                x = stride[axis] * coarse[row, 1 + axis] + offsets[tap, axis]
                reached[count, 1 + axis] = x
                keep = keep and (len(shape) == 0 or 0 <= x < shape[axis])
            count += keep
    return reached[:count].copy()


@njit(cache=True)
def coarse_sites(fine: Sites, stride: Ints, offsets: Ints, shape: Ints) -> Ints:
    """Every integer coarse site = (fine - offset) / stride; if shape is not empty, only 0 <= coarse < shape."""
    reached = np.empty((len(fine) * len(offsets), fine.shape[1]), np.int64)
    count = 0
    for row in range(len(fine)):
        for tap in range(len(offsets)):
            keep = True
            reached[count, 0] = fine[row, 0]
            for axis in range(len(stride)):
                position = fine[row, 1 + axis] - offsets[tap, axis]
                u = position // stride[axis]
                reached[count, 1 + axis] = u
                keep = keep and position == u * stride[axis] and (len(shape) == 0 or 0 <= u < shape[axis])
            count += keep
    return reached[:count].copy()


@njit(cache=True)
def reduce_rows(values: NDArray, number: Ints, result: NDArray, how: int) -> None:
    """Reduce the rows of each site into its row of result, initially zeros; how: 0 sum, 1 max, 2 first, 3 last."""
    seen = np.zeros(len(result), np.bool_)
    for row in range(len(values)):
        site = number[row]
        for channel in range(values.shape[1]):
            value = values[row, channel]
            if how == 0:
                result[site, channel] += value
            elif how == 3 or not seen[site] or (how == 1 and (value > result[site, channel] or np.isnan(value))):
                result[site, channel] = value
        seen[site] = True


@njit(cache=True)
def multiply_tap(f: Reals, w: Reals, rows_in: Ints, rows_out: Ints, h: Reals) -> None:
    """For every rule (in, out), add the product of f[in] and the tap's matrix w [G, I, O] to h[out]."""
    groups, width_in, width_out = w.shape
    for rule in range(len(rows_in)):
        row_in, row_out = rows_in[rule], rows_out[rule]
        for g in range(groups):
            for i in range(width_in):
                value = f[row_in, g * width_in + i]
                for o in range(width_out):
                    h[row_out, g * width_out + o] += value * w[g, i, o]


@njit(cache=True)
def outer_tap(f: Reals, grad: Reals, rows_in: Ints, rows_out: Ints, grad_w: Reals) -> None:
    """For every rule (in, out), add the outer product of f[in] and grad[out] to grad_w [G, I, O]."""
    groups, width_in, width_out = grad_w.shape
    for rule in range(len(rows_in)):
        row_in, row_out = rows_in[rule], rows_out[rule]
        for g in range(groups):
            for i in range(width_in):
                value = f[row_in, g * width_in + i]
                for o in range(width_out):
                    grad_w[g, i, o] += value * grad[row_out, g * width_out + o]


@njit(cache=True)
def add_rows(f: NDArray, rows_in: Ints, rows_out: Ints, h: NDArray) -> None:
    """For every rule (in, out), add f[in] to h[out]."""
    for rule in range(len(rows_in)):
        for channel in range(f.shape[1]):
            h[rows_out[rule], channel] += f[rows_in[rule], channel]


@njit(cache=True)
def largest_rows(f: NDArray, rows_in: Ints, rows_out: Ints, h: NDArray, winners: Ints) -> None:
    """For every rule (in, out), store f[in] in h[out] and the row in in winners[out] where f[in] is the largest yet."""
    for rule in range(len(rows_in)):
        row_in, row_out = rows_in[rule], rows_out[rule]
        for channel in range(f.shape[1]):
            value = f[row_in, channel]
            if winners[row_out, channel] < 0 or value > h[row_out, channel] or np.isnan(value):
                h[row_out, channel], winners[row_out, channel] = value, row_in


@njit(cache=True)
def give_rows(g: NDArray, winners: Ints, rows_in: Ints, rows_out: Ints, grad_f: NDArray) -> None:
    """For every rule (in, out), add g[out] to grad_f[in] where in is the winner of out."""
    for rule in range(len(rows_in)):
        row_in, row_out = rows_in[rule], rows_out[rule]
        for channel in range(g.shape[1]):
            if winners[row_out, channel] == row_in:
                grad_f[row_in, channel] += g[row_out, channel]


@njit(cache=True)
def statistics(f: Reals) -> tuple[Reals, Reals]:
    """Mean and biased variance of each channel over the rows of f, in float64; zeros if f has no rows."""
    rows, channels = f.shape
    mean, variance = np.zeros(channels), np.zeros(channels)
    for row in range(rows):
        for channel in range(channels):
            mean[channel] += f[row, channel] / rows
    for row in range(rows):
        for channel in range(channels):
            variance[channel] += (f[row, channel] - mean[channel]) ** 2 / rows
    return mean, variance


@njit(cache=True)
def normalize_rows(f: Reals, mean: Reals, variance: Reals, w: Reals, b: Reals, eps: float, h: Reals) -> None:
    """h = (f - mean) / sqrt(variance + eps) * w + b."""
    for row in range(len(f)):
        for channel in range(f.shape[1]):
            z = (f[row, channel] - mean[channel]) / np.sqrt(variance[channel] + eps)
            h[row, channel] = z * w[channel] + b[channel]


@njit(cache=True)
def normalize_backward(g: Reals, f: Reals, w: Reals, eps: float, grad_f: Reals) -> tuple[Reals, Reals]:
    """Write dL/df of batch norm into grad_f; return dL/dweight and dL/dbias in float64."""
    rows, channels = f.shape
    mean, variance = statistics(f)
    grad_w, grad_b = np.zeros(channels), np.zeros(channels)
    for row in range(rows):
        for channel in range(channels):
            z = (f[row, channel] - mean[channel]) / np.sqrt(variance[channel] + eps)
            grad_w[channel] += g[row, channel] * z
            grad_b[channel] += g[row, channel]
    for row in range(rows):
        for channel in range(channels):
            scale = 1 / np.sqrt(variance[channel] + eps)
            z = (f[row, channel] - mean[channel]) * scale
            rest = g[row, channel] - grad_b[channel] / rows - z * grad_w[channel] / rows
            grad_f[row, channel] = w[channel] * rest * scale
    return grad_w, grad_b


@njit(cache=True)
def dense_positions(shape_in: Ints, shape_out: Ints, stride: Ints, offset: Ints) -> Ints:
    """For one tap, the flat input position of every flat output position, -1 in the padding; the last axis fastest."""
    count = np.int64(1)
    for n in shape_out:
        count *= n
    positions = np.zeros(count, np.int64)
    for flat in range(count):
        rest, step = flat, np.int64(1)
        for axis in range(len(shape_out) - 1, -1, -1):
            x = stride[axis] * (rest % shape_out[axis]) + offset[axis]
            if x < 0 or x >= shape_in[axis]:
                positions[flat] = -1
                break
            positions[flat] += step * x
            rest, step = rest // shape_out[axis], step * shape_in[axis]
    return positions

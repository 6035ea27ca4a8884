"""The data of the widgets, computed by `sscn_ref`: plain numbers and lists, ready for JSON."""

from __future__ import annotations

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sscn_ref import (
    HashTable,
    Rulebook,
    active_growth,
    convolve,
    pack_keys,
    strided_rulebook,
    submanifold_rulebook,
    taps,
    unique_sites,
)
from sscn_ref.hashtable import MULTIPLIER
from sscn_triton.lartpc import open_events

EVENTS = Path(__file__).parents[3] / "tutorial" / "events.npz"
STEPS = 5
CORNER, EXTENT = (96, 48), 96  # of the window of event 0 that is shown: a vertex, delta rays, a Michel electron
HOOK = [(0, 1), (1, 1), (1, 2), (2, 3), (3, 3), (4, 3), (4, 4), (5, 0)]
EXTENT_2D = 6
TILES = (16, 32, 64)
LINE = [0, 1, 2, 0, 3, 0, 4, 5]  # values of inputs; 0 is no value but an inactive site
WEIGHTS = [1, 10, 100]
SETTINGS = {"s": (1, 3), "d": (1, 3), "p": (0, 3)}
FIVE = [(0, 0), (1, 1), (2, 1), (3, 1), (3, 2)]  # the pixels that chapters 3 to 8 follow, with the values 1 to 5
FIVE_SHAPE = (4, 3)
Numbers = dict[str, Any]


@cache
def event_sites() -> NDArray[np.int32]:
    """Return the sites [N, 4] of the first simulated event of the tutorials."""
    coordinates = open_events(EVENTS)[0].coordinates
    return np.insert(np.asarray(coordinates, np.int32), 0, 0, axis=1)


def relation() -> Numbers:
    """Return five values on a line and, for each stride, dilation and padding, the outputs (position, sum) of a layer.

    The weights of the taps are 1, 10 and 100, so that the digits of a sum are the values that each tap brought.
    """
    sites = np.insert(np.argwhere(LINE), 0, 0, axis=1)
    values = np.array([[float(value)] for value in LINE if value])
    weight = np.array(WEIGHTS, float).reshape(-1, 1, 1)
    layers = {}
    for s, d, p in itertools.product(*(range(low, high + 1) for low, high in SETTINGS.values())):
        size = (len(LINE) + 2 * p - d * (len(WEIGHTS) - 1) - 1) // s + 1
        book = strided_rulebook(sites, len(WEIGHTS), s, p, d, spatial_shape=len(LINE))
        sums = convolve(values, weight, book)[:, 0]
        outputs = zip(book.output_coordinates[:, 1].tolist(), map(int, sums), strict=True)
        layers[f"{s},{d},{p}"] = {"size": size, "outputs": list(outputs)}
    return {
        "extent": len(LINE),
        "values": LINE,
        "weights": WEIGHTS,
        "most": {name: high for name, (_, high) in SETTINGS.items()},
        "widest": max(layer["size"] for layer in layers.values()),
        "layers": layers,
    }


def numbers() -> Numbers:
    """Return five pixels with values, and the rules of two layers: kernel 3 with stride 1, and kernel 2 with stride 2.

    `rules` are those of the sparse layer, and `everywhere` those of the dense one, whose sites are all pixels.
    """
    sites = np.insert(np.array(FIVE), 0, 0, axis=1)
    everywhere = np.insert(np.argwhere(np.ones(FIVE_SHAPE)), 0, 0, axis=1)
    fixed, strided = submanifold_rulebook(sites, 3), strided_rulebook(sites, 2, 2)
    kernels = [
        one_kernel("3 × 3, stride 1", fixed, 3, FIVE_SHAPE),
        one_kernel("2 × 2, stride 2", strided, 2, (2, 2)),
    ]
    kernels[0]["everywhere"] = rules_of(submanifold_rulebook(everywhere, 3))
    return {
        "shape": FIVE_SHAPE,
        "pixels": FIVE,
        "everywhere": everywhere[:, 1:].tolist(),
        "values": list(range(1, len(FIVE) + 1)),
        "most": 9,
        "kernels": kernels,
    }


def one_kernel(name: str, book: Rulebook, size: int, shape: tuple[int, int]) -> Numbers:
    """Return the taps, the outputs inside `shape` and the rules of a layer with a square kernel."""
    return {
        "name": name,
        "size": size,
        "taps": taps((size, size)).tolist(),
        "outputs": book.output_coordinates[:, 1:].tolist(),
        "shape": shape,
        "rules": rules_of(book),
    }


def rules_of(book: Rulebook) -> list[list[list[int]]]:
    """Return the pairs [input row, output row] of each tap."""
    return [np.stack(rules, axis=1).tolist() for rules in book.rules]


def dilation() -> Numbers:
    """Return the pixels (x, y) that become active in each step, and counts of pixels, rules and the event's voxels."""
    window = event_sites()[:, :3] - np.array([0, *CORNER])
    inside = ((window[:, 1:] >= 0) & (window[:, 1:] < EXTENT)).all(axis=1)
    active, _ = unique_sites(window[inside])
    fixed = submanifold_rulebook(active, 3)
    seen = np.full((EXTENT, EXTENT), STEPS + 1)
    seen[tuple(active.T[1:])] = 0
    sites, rules = [len(active)], []
    for step in range(1, STEPS + 1):
        layer = strided_rulebook(active, 3, 1, padding=1, spatial_shape=EXTENT)
        active = layer.output_coordinates
        x, y = active.T[1:]
        seen[x, y] = np.minimum(seen[x, y], step)
        sites.append(len(active))
        rules.append(layer.number_of_rules)
    return {
        "extent": EXTENT,
        "pixels": [np.argwhere(seen == step).tolist() for step in range(STEPS + 1)],
        "sites": sites,
        "rules": rules,
        "fixed": {"sites": len(fixed.output_coordinates), "rules": fixed.number_of_rules},
        "event": active_growth(event_sites(), STEPS),
    }


def rulebook() -> Numbers:
    """Return three convolutions of the same eight pixels: sites in row order, rules per tap."""
    sites = np.insert(np.array(HOOK), 0, 0, axis=1)
    books = {
        "submanifold 3 × 3": (submanifold_rulebook(sites, 3), 3, EXTENT_2D),
        "strided 3 × 3, stride 2, padding 1": (strided_rulebook(sites, 3, 2, 1, spatial_shape=EXTENT_2D), 3, 3),
        "strided 2 × 2, stride 2": (strided_rulebook(sites, 2, 2, spatial_shape=EXTENT_2D), 2, 3),
    }
    return {"extent": EXTENT_2D, "books": [one_book(name, *book) for name, book in books.items()]}


def one_book(name: str, book: Rulebook, kernel: int, extent: int) -> Numbers:
    """Return a rulebook in the form that the widget reads; `extent` is that of the output."""
    return {
        "name": name,
        "kernel": kernel,
        "taps": taps((kernel, kernel)).tolist(),
        "inputs": book.input_coordinates[:, 1:].tolist(),
        "outputs": book.output_coordinates[:, 1:].tolist(),
        "extent": extent,
        "rules": rules_of(book),
    }


def hashing() -> Numbers:
    """Return the keys of some sites, and a table that contains the first of them."""
    sites = np.insert(np.array(HOOK), 0, 0, axis=1)
    keys = pack_keys(sites, np.zeros(3, np.int64), np.array([1, EXTENT_2D, EXTENT_2D])).tolist()
    table = HashTable(16)
    started = 5
    for row, key in enumerate(keys[:started]):
        table.insert(key, row)
    return {
        "capacity": table.capacity,
        "multiplier": str(MULTIPLIER),
        "keys": [str(key) for key in keys],
        "sites": HOOK,
        "started": started,
        "slots": [
            None if row < 0 else [str(key), row]
            for key, row in zip(table.keys.tolist(), table.rows.tolist(), strict=True)
        ],
    }


def tiles() -> Numbers:
    """Return the neighbour mask of every row of an event: bit t is set if tap t finds an active site."""
    book = submanifold_rulebook(event_sites(), 3)
    masks = np.zeros(len(book.output_coordinates), np.int64)
    for tap, (_, rows_out) in enumerate(book.rules):
        masks[rows_out] |= 1 << tap
    return {"taps": len(book.rules), "sizes": list(TILES), "masks": masks.tolist()}


def gray_rank(masks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each mask in a Gray code, in which successive masks differ by one bit."""
    rank = masks.copy()
    for power in range(6):
        rank ^= rank >> (1 << power)
    return rank


def orders(masks: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return three orders of the rows: original, by mask, and by the mask's position in a Gray code (the library's)."""
    return {
        "in the original order": np.arange(len(masks)),
        "sorted by mask": np.argsort(masks, kind="stable"),
        "in a Gray code's order": np.argsort(gray_rank(masks), kind="stable"),
    }


def occupancy(masks: NDArray[np.int64], size: int, taps: int) -> NDArray[np.int64]:
    """Count the rows of each tile that have each tap: [tiles, taps]."""
    bits = masks[:, None] >> np.arange(taps) & 1
    padded = np.zeros((math.ceil(len(masks) / size) * size, taps), np.int64)
    padded[: len(masks)] = bits
    return padded.reshape(-1, size, taps).sum(axis=1)


def waste(counts: NDArray[np.int64], size: int) -> float:
    """Return the share of products computed for rows without the tap.

    A tile multiplies all its rows by every tap that one of them has.
    """
    return 1 - counts.sum() / (size * np.count_nonzero(counts))

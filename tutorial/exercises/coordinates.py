"""Exercises of chapter 4: keys by hand, the right neighbour, points in a voxel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sscn_ref import pack_keys, reduce_duplicates

from checker import Case, check, check_numbers, explain_array

Pair = tuple[np.ndarray, np.ndarray]


def check_counted(answer: Callable[[], tuple[int, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    low, extent = np.array([0, -2, 10]), np.array([2, 6, 10])
    keys = int(extent.prod())
    (key,) = pack_keys(np.array([[1, 0, 12]]), low, extent)
    x, y = np.unravel_index(37, extent)[1:] + low[1:]
    check_numbers(answer, (keys, key, x, y, (keys - 1).bit_length()))


def check_right(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `right(keys, extent)`."""

    def expected(keys: np.ndarray, extent: int) -> np.ndarray:
        rows = {int(key): row for row, key in enumerate(keys)}
        found = [rows.get(int(k) + 1, -1) if (k + 1) % extent else -1 for k in keys]
        return np.array(found)

    lists = [([3], 5), ([3, 4], 5), ([4, 5], 5), ([0, 1, 2, 5, 6, 9], 3), ([0, 7], 4)]
    cases = [{"keys": np.array(keys), "extent": extent} for keys, extent in lists]
    drawn = np.flatnonzero(np.random.default_rng(1).random(60) < 0.5)
    check(answer, expected, [*cases, {"keys": drawn, "extent": 6}], explain_array)


def check_merged(answer: Callable[..., Pair]) -> None:
    """Check a student's `merged(coordinates, features)`."""

    def expected(coordinates: np.ndarray, features: np.ndarray) -> Pair:
        return reduce_duplicates(coordinates, features, "sum")

    check(answer, expected, points(), explain_pair)


def points() -> Iterator[Case]:
    """Points on few sites: in order, out of order, in two images, with two channels."""
    for sites, channels in (
        ([(0, 1), (0, 2)], 1),
        ([(0, 1), (0, 1)], 1),
        ([(0, 5), (0, 2), (0, 5)], 1),
        ([(1, 2), (0, 2), (1, 2), (0, 2)], 2),
        ([(0, -1, 3), (0, 3, -1), (0, -1, 3)], 2),
    ):
        features = 2.0 ** np.arange(len(sites) * channels).reshape(len(sites), channels)
        yield {"coordinates": np.array(sites), "features": features}


def explain_pair(wanted: Pair, got: Any) -> str:
    """Say what is wrong with sites and features; "" for right ones."""
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return "    should return two arrays, sites and features"
    for name, right, given in zip(("sites", "features"), wanted, got, strict=True):
        if complaint := explain_array(right, given):
            return f"    {name}:\n{complaint}"
    return ""

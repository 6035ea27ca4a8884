"""Exercises of chapter 4: keys by hand, the right neighbour, points in a voxel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sscn_ref import pack_keys, reduce_duplicates

from checker import Case, check, check_numbers, explain_array, is_whole, shown

Pair = tuple[np.ndarray, np.ndarray]


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (3, 6, 2))


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


def halved(sites: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The voxels (x, y) of an image whose voxels are twice as wide."""
    return {(int(x / 2), int(y / 2)) for x, y in sites}


def check_failing(answer: Callable[..., Any]) -> None:
    """Check a student's `failing(suspect)`: sites for which `halved` is wrong."""

    def explain(example: Any, got: Any) -> str:
        if not 1 <= len(got) <= 5:
            return f"    should return one to five sites, not {shown(got)}"
        sites = {tuple(site) for site in got}
        for site in sites:
            if len(site) != 2 or not all(is_whole(x) for x in site):
                return f"    a site is a pair of integers, not {shown(site)}"
        if halved(sites) == {(x // 2, y // 2) for x, y in sites}:
            return f"    halved({shown(got)}) is right"
        return ""

    check(answer, lambda suspect: {(0, 0)}, [{"suspect": halved}], explain)

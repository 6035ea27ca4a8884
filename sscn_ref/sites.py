"""Sites: find the distinct ones, and the row in which a site is stored.

A site is a row (batch, x, y, ...) of integers; `coordinates` are N of them, [N, 1 + D]. To compare sites
quickly, each is packed into one integer, its *key*: the digits of a number in which every place has its own
base,

    key = ((batch - low_0) * extent_1 + (x - low_1)) * extent_2 + (y - low_2) ...

where low_a <= c_a < low_a + extent_a for every site c. Keys are ordered like sites: by batch, then x, then y.
(Knuth, The Art of Computer Programming 2, 4.1: mixed radix.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.relation import MAX_NDIM

Sites = NDArray[np.int32]  # [N, 1 + D]
Keys = NDArray[np.int64]  # [N]
Rows = NDArray[np.int64]  # row numbers

REDUCTIONS = ("sum", "mean", "max", "first", "last")


def as_sites(coordinates: ArrayLike) -> Sites:
    """Checked coordinates, [N, 1 + D] int32, with the batch index first.

    Raises TypeError if they are not integers; ValueError for a wrong shape, a negative batch index, or a
    number that does not fit in int32.
    """
    array = np.asarray(coordinates)
    if array.ndim != 2 or not 2 <= array.shape[1] <= 1 + MAX_NDIM:
        given = list(array.shape)
        raise ValueError(f"coordinates must have shape [N, 1 + D] with D from 1 to {MAX_NDIM}, not {given}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"coordinates must be integers, not {array.dtype}")
    if len(array):
        allowed = np.iinfo(np.int32)
        lowest, highest = int(array.min()), int(array.max())
        if lowest < allowed.min or highest > allowed.max:
            raise ValueError(
                f"coordinates from {lowest} to {highest} do not fit in int32, {allowed.min} to {allowed.max}"
            )
        if array[:, 0].min() < 0:
            raise ValueError(f"batch indices (column 0 of coordinates) must not be negative: {array[:, 0].min()}")
    return array.astype(np.int32)


def key_box(sites: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The smallest box around `sites`: (low, extent), both [1 + D].

    Raises ValueError, with the range of every column, if the box has more positions than an int64 can number.
    """
    if len(sites) == 0:
        return np.zeros(sites.shape[1], np.int64), np.ones(sites.shape[1], np.int64)
    low, high = sites.min(axis=0).astype(np.int64), sites.max(axis=0).astype(np.int64)
    positions = math.prod(
        int(h) - int(lo) + 1 for lo, h in zip(low, high, strict=True)
    )  # Python's integers do not overflow
    if positions >= 2**63:
        names = ["batch", *(f"axis {a}" for a in range(len(low) - 1))]
        ranges = ", ".join(f"{name} {lo}..{h}" for name, lo, h in zip(names, low, high, strict=True))
        raise ValueError(
            f"sites spread too far for an int64 key: {ranges} make {positions:.1e} positions, but int64 numbers 9.2e18"
        )
    return low, high - low + 1


def pack_keys(
    sites: NDArray[np.integer], low: NDArray[np.int64] | None = None, extent: NDArray[np.int64] | None = None
) -> Keys:
    """One int64 key per site, [N], unique and in the sites' lexicographic order within the box (low, extent).

    The default box is the smallest around `sites`. Raises ValueError if a site lies outside the box.

    >>> pack_keys(np.array([[0, 1, 5], [0, 1, 6], [0, 2, 5]])).tolist()
    [0, 1, 2]
    """
    if low is None or extent is None:
        low, extent = key_box(sites)
    digits = sites.astype(np.int64) - low
    outside = ((digits < 0) | (digits >= extent)).any(axis=1)
    if outside.any():
        site = sites[outside][0].tolist()
        raise ValueError(f"site {site} lies outside the box from {low.tolist()} to {(low + extent - 1).tolist()}")
    keys = np.zeros(len(sites), np.int64)
    for column in range(sites.shape[1]):
        keys = keys * extent[column] + digits[:, column]
    return keys


def unpack_keys(keys: Keys, low: NDArray[np.int64], extent: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sites [N, 1 + D] of keys that `pack_keys` made in the box (low, extent)."""
    sites = np.empty((len(keys), len(extent)), np.int64)
    for column in reversed(range(len(extent))):
        keys, sites[:, column] = np.divmod(keys, extent[column])
    return sites + low


class SiteIndex:
    """Finds the row of a site by sorting the keys once and searching among them.

    Raises ValueError if a site occurs twice, because its row would be ambiguous.
    """

    def __init__(self, sites: Sites) -> None:
        self.low, self.extent = key_box(sites)
        keys = pack_keys(sites, self.low, self.extent)
        self.keys, self.rows, which = np.unique(keys, return_index=True, return_inverse=True)  # sorted
        refuse_duplicates(sites, self.rows[which])

    def find(self, wanted: NDArray[np.integer]) -> Rows:
        """The row of each wanted site [M, 1 + D], or -1 if it is not stored: [M]."""
        rows = np.full(len(wanted), -1, np.int64)
        inside = np.flatnonzero(((wanted >= self.low) & (wanted < self.low + self.extent)).all(axis=1))
        if len(self.keys) == 0 or len(inside) == 0:
            return rows
        keys = pack_keys(wanted[inside], self.low, self.extent)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = self.keys[place] == keys
        rows[inside[found]] = self.rows[place[found]]
        return rows


def sorted_sites(candidates: NDArray[np.int64]) -> Sites:
    """The distinct sites among candidates [M, 1 + D], in lexicographic order (batch, x, y, ...)."""
    sites = as_sites(candidates)
    low, extent = key_box(sites)
    return unpack_keys(np.unique(pack_keys(sites, low, extent)), low, extent).astype(np.int32)


def unique_sites(coordinates: ArrayLike) -> tuple[Sites, Rows]:
    """The distinct sites [M, 1 + D] in order of first appearance, and for each given row its site's row in them [N]."""
    sites = as_sites(coordinates)
    _, first, inverse = np.unique(pack_keys(sites), return_index=True, return_inverse=True)
    appearance = np.argsort(first)  # keys are sorted; this is the order of first appearance
    renumbered = np.empty_like(appearance)
    renumbered[appearance] = np.arange(len(appearance))
    return sites[first[appearance]], renumbered[inverse]


def reduce_duplicates(coordinates: ArrayLike, features: ArrayLike, how: str) -> tuple[Sites, NDArray]:
    """One row per site: duplicates reduced by "sum", "mean" or "max", or only the "first" or "last" of them kept.

    coordinates [N, 1 + D], features [N, C]. Returns the sites [M, 1 + D] in the order of their first
    appearance and their features [M, C]. Raises ValueError for an unknown `how`.
    """
    values = reduction_arguments(coordinates, features, how)
    sites, row_of = unique_sites(coordinates)
    if how in ("sum", "mean"):
        result = np.zeros((len(sites), values.shape[1]), values.dtype)
        np.add.at(result, row_of, values)
        if how == "mean":
            count = np.bincount(row_of, minlength=len(sites))[:, np.newaxis]
            result = (result / count).astype(np.result_type(values, np.float32))
        return sites, result
    result = np.empty((len(sites), values.shape[1]), values.dtype)
    result[row_of[::-1]] = values[::-1]  # the last write to a place wins, so writing backwards keeps the first
    if how == "last":
        result[row_of] = values
    if how == "max":
        np.maximum.at(result, row_of, values)
    return sites, result


def reduction_arguments(coordinates: ArrayLike, features: ArrayLike, how: str) -> NDArray:
    """Checked features [N, C] for `reduce_duplicates`."""
    if how not in REDUCTIONS:
        raise ValueError(f"how must be one of {', '.join(REDUCTIONS)}, not {how!r}")
    return as_features(features, len(as_sites(coordinates)), "coordinates")


def refuse_duplicates(sites: Sites, first: Rows) -> None:
    """Raise ValueError if a site occurs twice; first [N] is, for each row, the first row with the same site."""
    again = np.flatnonzero(first != np.arange(len(sites)))
    if len(again):
        row = int(again[0])
        raise ValueError(
            f"rows {int(first[row])} and {row} of coordinates are the same site {sites[row].tolist()}: "
            "reduce_duplicates makes sites unique"
        )


def as_features(features: ArrayLike, rows: int, of: str) -> NDArray:
    """Checked features [N, C]: one row for each of the `rows` rows of `of`."""
    array = np.asarray(features)
    if array.ndim != 2 or len(array) != rows:
        raise ValueError(f"features must have shape [{rows}, C], a row for each row of {of}, not {list(array.shape)}")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"features must be real numbers, not {array.dtype}")
    return array


def check_inside(sites: Sites, spatial_shape: Sequence[int]) -> None:
    """Raise ValueError if a site lies outside 0 <= x < spatial_shape."""
    outside = ((sites[:, 1:] < 0) | (sites[:, 1:] >= np.asarray(spatial_shape))).any(axis=1)
    if outside.any():
        raise ValueError(
            f"site {sites[outside][0].tolist()} (batch first) lies outside spatial_shape {tuple(spatial_shape)}"
        )

"""A warning if the numbers suggest that the first column of coordinates is not the batch index.

Most sites of an image have a neighbour one voxel further along a spatial axis. Along the batch index they have one
only by chance, because the next event is another image.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

MANY = 16  # a batch index with at least this many values is suspect; fewer are accepted without a warning
HEAD, SAMPLE, LEAST = 16384, 256, 64  # rows examined; rows sampled to look for their neighbour; the fewest to judge by
SHARE = 0.4  # least suspect share of sites with a neighbour; along spatial axes images have 0.6-0.9
ABOVE_CHANCE = 2.0  # the share must be this many times the filled fraction of the sites' bounding box
COPIES = 0.995  # from this share of neighbours along the batch index on, all events are copies of one

_warned: set[str] = set()  # each warning is given once per process


def doubt_batch_column(coordinates: Tensor, low: Sequence[int], high: Sequence[int]) -> None:
    """Warn, once, if the batch index seems to be missing or to be the last column of coordinates ``[N, 1 + D]``.

    ``low`` and ``high`` are the smallest and largest value of every column. They suffice to accept most batches; rows
    are examined only on the CPU, so that the host never waits for a GPU.
    """
    if high[0] - low[0] < MANY - 1 or len(coordinates) < LEAST or coordinates.device.type != "cpu":
        return
    extents = [b - a + 2 for a, b in zip(low, high, strict=True)]  # with room for the last site's neighbour
    if math.prod(extents) >= 2**63:
        return
    share = _share_of_neighbours(coordinates[:HEAD], low, extents)
    chance = len(coordinates) / math.prod(extent - 1 for extent in extents)
    if not max(SHARE, ABOVE_CHANCE * chance) <= share < COPIES:
        return
    column = (
        f"{share:.0%} of {len(coordinates)} sites have a neighbour along column 0, the batch index, "
        "as along a spatial axis"
    )
    last = coordinates[:, -1]
    if low[-1] == 0 and 1 <= high[-1] < high[0] and bool((last[1:] >= last[:-1]).all()):
        _warn("last", f"{column}, and the last column ascends from 0 to {high[-1]}, as a batch index does")
    else:
        _warn("missing", f"{column}: the batch index seems to be missing")


def _share_of_neighbours(rows: Tensor, low: Sequence[int], extents: Sequence[int]) -> float:
    """The share of rows whose site is also active in the next event, without the rows of the last two events, because
    the head of the rows may contain only part of them."""
    radix = torch.tensor([math.prod(extents[column + 1 :]) for column in range(len(extents))])
    keys = ((rows.long() - torch.tensor(low)) * radix).sum(1)
    sampled = keys[rows[:, 0] < rows[:, 0].max() - 1]
    if len(sampled) < LEAST:
        return 0.0
    sampled = sampled[:: -(-len(sampled) // SAMPLE)]
    return float(torch.isin(sampled + radix[0], keys).double().mean())


def _warn(kind: str, seen: str) -> None:
    if kind in _warned:
        return
    _warned.add(kind)
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "sscn_triton":
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{seen}. Coordinates are [N, 1 + D], batch index first; if these are right, pass batch_size to silence this "
        "warning",
        stacklevel=level,
    )

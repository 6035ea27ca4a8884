"""Operators on sites: who are they, and which rules join them.

Each takes ``coordinates`` ``[N, 1 + D]`` int32 (batch first) and returns tensors on the same device. Rules come as
three tensors, sorted by tap, then by output row: ``input_rows`` and ``output_rows`` ``[R]`` int32, and ``starts``
``[V + 1]`` int64 on the host: the rules of tap v are ``starts[v]:starts[v + 1]``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.relation import submanifold_padding, taps


class _Keys:
    """One int64 key per site, in lexicographic order; -1 for a site outside the box of the given ones."""

    def __init__(self, coordinates: Tensor) -> None:
        if len(coordinates):
            low, high = coordinates.amin(0).long(), coordinates.amax(0).long()
        else:
            low = coordinates.new_zeros(coordinates.shape[1], dtype=torch.int64)
            high = low
        extents = (high - low + 1).tolist()
        radix = [1]
        for extent in reversed(extents[1:]):
            radix.append(radix[-1] * extent)
        if radix[-1] * extents[0] >= 2**63:
            ranges = ", ".join(f"{a}..{b}" for a, b in zip(low.tolist(), high.tolist(), strict=True))
            raise ValueError(
                f"coordinates span {ranges} (batch first): more than 2**63 sites, which no int64 key can number"
            )
        self.low, self.high = low, high
        self.radix = torch.tensor(radix[::-1], device=coordinates.device)

    def __call__(self, coordinates: Tensor) -> Tensor:
        inside = ((coordinates >= self.low) & (coordinates <= self.high)).all(1)
        return torch.where(inside, ((coordinates - self.low) * self.radix).sum(1), -1)

    def unpack(self, keys: Tensor) -> Tensor:
        columns = []
        for radix in self.radix.tolist():
            columns.append(keys // radix)
            keys = keys % radix
        return (torch.stack(columns, 1) + self.low).int()


def _find(sorted_keys: Tensor, keys: Tensor) -> Tensor:
    """Position of each key in ``sorted_keys``, -1 where it is not there."""
    if not len(sorted_keys):
        return torch.full_like(keys, -1)
    position = torch.searchsorted(sorted_keys, keys).clamp_(max=len(sorted_keys) - 1)
    return torch.where((sorted_keys[position] == keys) & (keys >= 0), position, -1)


def _compact(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Join each tap's (input rows, output rows) to the three tensors of rules."""
    input_rows = torch.cat([i for i, _ in pairs]).int()
    output_rows = torch.cat([o for _, o in pairs]).int()
    starts = torch.tensor([0] + [len(i) for i, _ in pairs]).cumsum(0)
    return input_rows, output_rows, starts


@torch.library.custom_op("sscn::unique_sites", mutates_args=(), device_types="cpu")
def unique_sites(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """``(first, inverse)``: the row where each distinct site first appears (ascending), and for every row the
    position of its site in ``first``; int64."""
    _, inverse = torch.unique(_Keys(coordinates)(coordinates), return_inverse=True)
    count = int(inverse.max()) + 1 if len(inverse) else 0
    rows = torch.arange(len(inverse))
    first = torch.full((count,), len(inverse)).scatter_reduce(0, inverse, rows, "amin")
    first, order = first.sort()
    return first, torch.empty_like(order).scatter(0, order, torch.arange(count))[inverse]


@torch.library.custom_op("sscn::submanifold_rules", mutates_args=(), device_types="cpu")
def submanifold_rules(
    coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Rules from the sites to themselves, stride 1, the kernel centred (`relation.submanifold_padding`)."""
    key = _Keys(coordinates)
    sorted_keys, order = key(coordinates).sort()
    padding = submanifold_padding(tuple(kernel_size), tuple(dilation))
    pairs = []
    for tap in taps(tuple(kernel_size)):
        offset = [0] + [d * t - p for d, t, p in zip(dilation, tap, padding, strict=True)]
        found = _find(sorted_keys, key(coordinates.long() + torch.tensor(offset)))
        output_rows = (found >= 0).nonzero()[:, 0]
        pairs.append((order[found[output_rows]], output_rows))
    return _compact(pairs)


@torch.library.custom_op("sscn::strided_rules", mutates_args=(), device_types="cpu")
def strided_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rules to every site that some input reaches: ``output = (input - dilation * tap + padding) / stride``.

    Returns ``(output_coordinates, *rules)``, the sites in lexicographic order. ``bounds``, if not empty, keeps the
    outputs in ``0 <= output < bounds``.
    """
    rows, reached = [], []
    for tap in taps(tuple(kernel_size)):
        offset = torch.tensor([0] + [p - d * t for d, t, p in zip(dilation, tap, padding, strict=True)])
        moved = coordinates.long() + offset
        divisor = torch.tensor([1, *stride])
        output = moved.div(divisor, rounding_mode="floor")
        keep = (output * divisor == moved).all(1)
        rows.append(keep)
        reached.append(output)
    return _collect(coordinates, rows, reached, bounds)


@torch.library.custom_op("sscn::transposed_rules", mutates_args=(), device_types="cpu")
def transposed_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rules to every site reached by the relation read backwards: ``output = stride * input + dilation * tap -
    padding``. Returns as `strided_rules` does."""
    rows, reached = [], []
    for tap in taps(tuple(kernel_size)):
        offset = torch.tensor([0] + [d * t - p for d, t, p in zip(dilation, tap, padding, strict=True)])
        reached.append(coordinates.long() * torch.tensor([1, *stride]) + offset)
        rows.append(torch.ones(len(coordinates), dtype=torch.bool))
    return _collect(coordinates, rows, reached, bounds)


def _collect(
    coordinates: Tensor, rows: list[Tensor], reached: list[Tensor], bounds: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if bounds:
        limit = torch.tensor(list(bounds))
        rows = [
            keep & ((sites[:, 1:] >= 0) & (sites[:, 1:] < limit)).all(1)
            for keep, sites in zip(rows, reached, strict=True)
        ]
    sites = torch.cat([sites[keep] for keep, sites in zip(rows, reached, strict=True)])
    key = _Keys(sites)
    sorted_keys = torch.unique(key(sites))
    pairs = []
    for keep, where in zip(rows, reached, strict=True):
        input_rows = keep.nonzero()[:, 0]
        output_rows, by_output = _find(sorted_keys, key(where[input_rows])).sort()
        pairs.append((input_rows[by_output], output_rows))
    return key.unpack(sorted_keys), *_compact(pairs)

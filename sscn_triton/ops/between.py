"""Rules between two given sets of sites, for any list of taps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.cpu import sites
from sscn_triton.ops.cpu.keys import check_count, radix_of
from sscn_triton.ops.registration import operator


def _on_cpu(coordinates: Tensor, targets: Tensor, offsets: Sequence[int]) -> list[Tensor]:
    return list(sites.rules_of_table(_table(coordinates, targets, offsets).numpy(), len(coordinates)))


@operator(check=checks.between_rules, cpu=_on_cpu)
def between_rules(coordinates: Tensor, targets: Tensor, offsets: Sequence[int]) -> list[Tensor]:
    """Rules by which tap v joins the output ``u`` with the input ``u + offsets[v]``, in the form of
    `sscn_triton.ops.sites`.

    ``coordinates`` ``[N, 1 + D]`` and ``targets`` ``[M, 1 + D]`` int32 are distinct sites; ``offsets`` contains D
    numbers per tap.
    """
    from sscn_triton.ops.triton import sites as triton

    return triton.rules_of_table(_table(coordinates, targets, offsets), len(coordinates))


def _table(coordinates: Tensor, targets: Tensor, offsets: Sequence[int]) -> Tensor:
    """``[V, M]`` int32: the row of the site at ``targets[u] + offsets[v]``, or -1."""
    ndim = coordinates.shape[1] - 1
    check_count(max(len(coordinates), len(targets)))
    shifts = torch.nn.functional.pad(torch.tensor(offsets, dtype=torch.int64).reshape(-1, ndim), (1, 0))
    table = torch.full((len(shifts), len(targets)), -1, dtype=torch.int32, device=coordinates.device)
    if not table.numel() or not len(coordinates):
        return table
    low, high = (bound.long() for bound in coordinates.aminmax(dim=0))
    least, most = (bound.to(low.device) for bound in shifts.aminmax(dim=0))
    near = ((targets >= low - most) & (targets <= high - least)).all(1).nonzero()[:, 0]  # the others have no neighbour
    wanted = targets[near].long()
    if not len(near):
        return table
    # Keys have room for every site looked up, so a tap's offset never carries into another column.
    low, high = torch.minimum(low, wanted.amin(0) + least), torch.maximum(high, wanted.amax(0) + most)
    radix = torch.from_numpy(radix_of(low.tolist(), high.tolist(), [0] * (1 + ndim)))
    steps = (shifts * radix).sum(1).tolist()
    keys, rows = _sorted_keys("coordinates", coordinates.long() - low, radix)
    wanted_keys, order = _sorted_keys("targets", wanted - low, radix)
    places, rows = near[order], rows.int()
    for tap, step in enumerate(steps):
        moved = wanted_keys + step
        found = torch.searchsorted(keys, moved).clamp_(max=len(keys) - 1)
        table[tap, places] = torch.where(keys[found] == moved, rows[found], -1)
    return table


def _sorted_keys(name: str, sites: Tensor, radix: Tensor) -> tuple[Tensor, Tensor]:
    """The sites' keys in ascending order, and their rows. Raises ValueError if a site is repeated."""
    keys, rows = torch.sort((sites * radix.to(sites.device)).sum(1))
    if (keys[1:] == keys[:-1]).any():
        raise ValueError(f"{name} hold duplicate sites")
    return keys, rows

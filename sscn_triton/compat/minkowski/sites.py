"""Layers that choose sites: pruning, union, interpolation at points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, expect
from sscn_triton.compat.minkowski.maps.fields import gathered
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.sparse_tensor import spread


class MinkowskiPruning(MinkowskiModuleBase):
    """Keep the sites where a bool mask ``[N]`` is true, on a new map."""

    def forward(self, input: Any, mask: Values) -> Any:
        """Prune a sparse tensor."""
        x = expect(self, input, floats=False)
        rows = kept_rows(mask, len(x), x.device)
        key = x.coordinate_manager.pruned(x.coordinate_map_key, rows)
        return x.on(x.F.index_select(0, rows), key)


def kept_rows(mask: Any, count: int, device: torch.device) -> Values:
    """The rows where a mask is true. Raises unless the mask is bool ``[count]``."""
    if not isinstance(mask, Values) or mask.dtype != torch.bool or mask.shape != (count,):
        given = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Values) else repr(mask)
        raise ValueError(f"mask must be a bool tensor [{count}], got {given}")
    return mask.to(device).nonzero()[:, 0]


class MinkowskiUnion(torch.nn.Module):
    """Add tensors of one tensor stride on the union of their sites."""

    def forward(self, *inputs: Any) -> Any:
        """Add at least two sparse tensors of one manager."""
        if len(inputs) < 2:
            raise ValueError("MinkowskiUnion takes at least two tensors")
        x = [expect(self, given) for given in inputs]
        manager = x[0].coordinate_manager
        if any(other.coordinate_manager is not manager for other in x):
            raise ValueError("all tensors must have the same coordinate manager")
        key = manager.joined([other.coordinate_map_key for other in x])
        return x[0].on(united([other.F for other in x], manager, [other.coordinate_map_key for other in x], key), key)


def united(
    features: list[Values], manager: CoordinateManager, keys: list[CoordinateMapKey], key: CoordinateMapKey
) -> Values:
    """The sum of features of several maps, on a map of all their sites."""
    size = manager.size(key)
    total, *others = (spread(rows, *manager.common(own, key), size) for rows, own in zip(features, keys, strict=True))
    for other in others:
        total = total + other
    return total


class MinkowskiInterpolation(MinkowskiModuleBase):
    """Features at points, interpolated linearly between sites; inactive sites count as zeros.

    Args:
        return_kernel_map: also return ``(rows, points)``: the sites that contribute to each point.
        return_weights: also return their weights.
    """

    def __init__(self, return_kernel_map: bool = False, return_weights: bool = False) -> None:
        super().__init__()
        self.return_kernel_map, self.return_weights = return_kernel_map, return_weights

    def forward(self, input: Any, tfield: Values) -> Any:
        """Features ``[M, C]`` at points ``[M, 1 + D]``, batch index first."""
        x = expect(self, input)
        rows, points, weights = x.coordinate_manager.corners(x.coordinate_map_key, tfield)
        features = gathered(x.F, (rows, points, weights), len(tfield))
        more: list[Any] = [(rows, points)] if self.return_kernel_map else []
        more += [weights] if self.return_weights else []
        return (features, *more) if more else features

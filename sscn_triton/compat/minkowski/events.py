"""Reductions over the sites of each event, and events' rows joined to their sites."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, expect, expect_any
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey
from sscn_triton.compat.minkowski.maps.manager import CoordinateManager
from sscn_triton.compat.minkowski.settings import BroadcastMode, PoolingMode, expect_choice
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor
from sscn_triton.compat.minkowski.tensor_field import TensorField
from sscn_triton.functional import Reduction
from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import largest_of_events, sort_events, spread_events, sum_events


class MinkowskiGlobalPooling(MinkowskiModuleBase):
    """One row per event that has a site or point, at its origin, of tensor stride 0.

    Args:
        mode: a global reduction; its name includes MinkowskiEngine's algorithm, which has no effect.
    """

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_AVG_POOLING_PYTORCH_INDEX) -> None:
        super().__init__()
        self.pooling_mode = global_mode("mode", mode)

    def forward(self, input: Any, coordinates: Any = None) -> Any:
        """Pool a sparse tensor or a field; ``coordinates`` must be None."""
        x = expect_any(self, input)
        if coordinates is not None:
            raise ValueError("coordinates must be None: a global pooling leads to the origins of the events")
        manager = x.coordinate_manager
        batch = x.C[:, 0].floor().long() if isinstance(x, TensorField) else x.C[:, 0].long()
        features, events = reduced(x.F, batch, self.pooling_mode.reduction)
        count = int(events[-1]) + 1 if len(events) else 0
        if isinstance(x, SparseTensor):
            return x.on(features, manager.origin_of(x.coordinate_map_key))
        key = manager.origin_at(events, count)
        return SparseTensor(features, coordinate_map_key=key, coordinate_manager=manager)

    def extra_repr(self) -> str:
        return self.pooling_mode.name


class MinkowskiGlobalSumPooling(MinkowskiGlobalPooling):
    """The sum of each event."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_SUM_POOLING_PYTORCH_INDEX) -> None:
        super().__init__(mode)


class MinkowskiGlobalAvgPooling(MinkowskiGlobalPooling):
    """The mean of each event."""


class MinkowskiGlobalMaxPooling(MinkowskiGlobalPooling):
    """The largest value of each event."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_MAX_POOLING_PYTORCH_INDEX) -> None:
        super().__init__(mode)


def global_mode(name: str, mode: PoolingMode) -> PoolingMode:
    """Return ``mode``; raise ValueError naming the argument unless it is that of a pooling of whole events."""
    if expect_choice(name, mode, PoolingMode).name.startswith("LOCAL"):
        raise ValueError(f"{name} must be a global PoolingMode, got {mode.name}")
    return mode


def reduced(features: Values, batch: Values, how: Reduction) -> tuple[Values, Values]:
    """One row per event with rows, and the events, ascending."""
    events, place = batch.unique(return_inverse=True)
    rows = sort_events(place, len(events))
    if how == "max":
        winners = spread_events(largest_of_events(features.detach(), rows), rows)
        numbers = torch.arange(len(features), device=features.device)
        return sum_events(torch.where(winners == numbers[:, None], features, 0), rows), events
    wide = widened(features)
    total = sum_events(wide, rows)
    if how == "mean":
        total = total / sum_events(torch.ones_like(wide[:, :1]), rows)
    return total.to(features.dtype), events


def spread_to_sites(
    pooled: Values, manager: CoordinateManager, key: CoordinateMapKey, pooled_key: CoordinateMapKey
) -> Values:
    """``[N, C]``: for each site of a map, its event's row of a global pooling.

    Raises ValueError if an event has no row.
    """
    batch, given = manager.sites(key)[:, 0].long(), manager.sites(pooled_key)[:, 0].long()
    most = int(torch.cat([batch, given]).max()) + 1 if len(batch) + len(given) else 1
    row_of = given.new_full((most,), -1).index_copy(0, given, torch.arange(len(given), device=given.device))
    rows = row_of[batch]
    if (rows < 0).any():
        raise ValueError(f"there is no row for events {batch[rows < 0].unique().tolist()} to broadcast")
    return spread_events(pooled, sort_events(rows, len(pooled)))


class _Broadcast(MinkowskiModuleBase, ABC):
    """Join each event's row of a global pooling to all of the event's sites."""

    @abstractmethod
    def _join(self, features: Values, spread: Values) -> Values:
        """The output of the sites, from their features and their events' rows."""

    def forward(self, input: Any, input_glob: Any) -> Any:
        """Join ``input_glob``, a global pooling on a map of the same manager, to ``input``."""
        x, pooled = expect(self, input), expect(self, input_glob)
        if pooled.coordinate_manager is not x.coordinate_manager:
            raise ValueError("both tensors must have the same coordinate manager")
        spread = spread_to_sites(pooled.F, x.coordinate_manager, x.coordinate_map_key, pooled.coordinate_map_key)
        return x.on(self._join(x.F, spread))


class MinkowskiBroadcastBase(_Broadcast):
    """Add each event's row to its sites, or multiply them by it, as ``operation_type`` says."""

    def __init__(self, operation_type: BroadcastMode) -> None:
        super().__init__()
        self.operation_type = expect_choice("operation_type", operation_type, BroadcastMode)

    def _join(self, features: Values, spread: Values) -> Values:
        return joined(features, spread, self.operation_type)


def joined(features: Values, spread: Values, mode: BroadcastMode) -> Values:
    """The sum or the product."""
    return features + spread if mode is BroadcastMode.ELEMENTWISE_ADDITON else features * spread


class MinkowskiBroadcastAddition(MinkowskiBroadcastBase):
    """Add each event's row to its sites."""

    def __init__(self) -> None:
        super().__init__(BroadcastMode.ELEMENTWISE_ADDITON)


class MinkowskiBroadcastMultiplication(MinkowskiBroadcastBase):
    """Multiply an event's sites by its row."""

    def __init__(self) -> None:
        super().__init__(BroadcastMode.ELEMENTWISE_MULTIPLICATION)


class MinkowskiBroadcast(_Broadcast):
    """Copy each event's row to its sites."""

    def _join(self, features: Values, spread: Values) -> Values:
        return spread


class MinkowskiBroadcastConcatenation(MinkowskiBroadcast):
    """Append each event's row to the channels of its sites."""

    def _join(self, features: Values, spread: Values) -> Values:
        return torch.cat([features, spread], 1)

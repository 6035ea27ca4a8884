"""Pooling, broadcasting and pruning as in MinkowskiEngine."""

from __future__ import annotations

from enum import Enum
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.compat.spine.tensor import BackendTensor, expect
from sscn_triton.compat.spine.windows import SpatialArg, Windowed
from sscn_triton.core.grid import Step
from sscn_triton.relation import volume


class PoolingMode(Enum):
    """The reduction of a global pooling: SUM, AVG or MAX; MinkowskiEngine's names also include the algorithm."""

    GLOBAL_SUM_POOLING_DEFAULT = 3
    GLOBAL_AVG_POOLING_DEFAULT = 4
    GLOBAL_MAX_POOLING_DEFAULT = 5
    GLOBAL_SUM_POOLING_KERNEL = 6
    GLOBAL_AVG_POOLING_KERNEL = 7
    GLOBAL_MAX_POOLING_KERNEL = 8
    GLOBAL_SUM_POOLING_PYTORCH_INDEX = 9
    GLOBAL_AVG_POOLING_PYTORCH_INDEX = 10
    GLOBAL_MAX_POOLING_PYTORCH_INDEX = 11

    @property
    def reduction(self) -> functional.Reduction:
        """The library's name of the reduction."""
        words: dict[str, functional.Reduction] = {"SUM": "sum", "AVG": "mean", "MAX": "max"}
        return words[self.name.split("_")[1]]


class _Pooling(Windowed):
    def __init__(
        self,
        kernel_size: SpatialArg = -1,
        stride: SpatialArg = 1,
        dilation: SpatialArg = 1,
        kernel_generator: Any = None,
        dimension: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, dimension)
        self.pool_step = self._tiles() if self.kernel_size == self.stride else self.step()

    def _tiles(self) -> Step:
        """Adjacent windows, which MinkowskiEngine starts at multiples of the stride even if they are odd."""
        if volume(self.dilation) != 1:
            raise ValueError(
                f"dilation must be 1 if kernel_size equals stride, got {self.dilation}: MinkowskiEngine would ignore it"
            )
        return self.step(padding=(0,) * self.dimension)

    def _pooled(self, x: SparseTensor, **geometry: Any) -> SparseTensor:
        raise NotImplementedError

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, dimension=self.dimension)
        manager, key = x.coordinate_manager, x.coordinate_map_key
        target_key = manager.strided(key, self.stride)
        pooled = self._pooled(x.sparse(), **sizes(self.pool_step))
        return x.on(manager.onto(pooled.features, pooled.grid, manager.grid(target_key)), target_key)


class MaxPooling(_Pooling):
    """The largest active value under the pool, at the sites ``floor(input / stride)``; zeros where the pool is empty.

    An odd kernel is centred on its site; an even one starts there, and so does an odd one that equals the stride.

    Args:
        kernel_size, stride, dilation: one number or one per axis.
        kernel_generator: must be None.
        dimension: number of spatial axes.
    """

    def _pooled(self, x: SparseTensor, **geometry: Any) -> SparseTensor:
        return functional.max_pool(x, **geometry)


class AvgPooling(_Pooling):
    """The mean of the active values under the pool. Arguments and sites: `MaxPooling`."""

    def _pooled(self, x: SparseTensor, **geometry: Any) -> SparseTensor:
        return functional.average_pool(x, **geometry, count="active")


class SumPooling(_Pooling):
    """The sum of the active values under the pool. Arguments and sites: `MaxPooling`."""

    def _pooled(self, x: SparseTensor, **geometry: Any) -> SparseTensor:
        mean = functional.average_pool(x, **geometry, count="volume")
        return mean.replace(mean.features * volume(self.kernel_size))


class PoolingTranspose(_Pooling):
    """Give each site the sum of its pools: sites as in `ConvolutionTranspose`.

    Args:
        expand_coordinates: use every site reached, even if there is a map of the finer tensor stride. Others:
            `MaxPooling`.
    """

    def __init__(
        self,
        kernel_size: SpatialArg,
        stride: SpatialArg,
        dilation: SpatialArg = 1,
        kernel_generator: Any = None,
        expand_coordinates: bool = False,
        dimension: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, dilation, kernel_generator, dimension)
        self.expand_coordinates = expand_coordinates

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input, dimension=self.dimension)
        manager, key, step = x.coordinate_manager, x.coordinate_map_key, self.pool_step
        fine_key = manager.finer(key, step, self.expand_coordinates)
        fine = manager.grid(fine_key)
        _, reached = fine.step(step)
        given = manager.onto(x.F, manager.grid(key), reached)
        y = functional.unpool(SparseTensor.on(given, reached, ((fine, step),)), **sizes(step))
        return x.on(y.features, fine_key)


class GlobalPooling(torch.nn.Module):
    """One row per event that has a site, at its origin, of tensor stride 0.

    Args:
        mode: the reduction.
    """

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_AVG_POOLING_PYTORCH_INDEX) -> None:
        super().__init__()
        if not isinstance(mode, PoolingMode):
            raise TypeError(f"mode must be a PoolingMode, got {mode!r}")
        self.pooling_mode = mode

    def forward(self, input: BackendTensor) -> BackendTensor:
        x = expect(self, input)
        key = x.coordinate_manager.origin(x.coordinate_map_key)
        events = x.coordinate_manager.grid(key).coordinates[:, 0].long()
        return x.on(functional.global_pool(x.sparse(), self.pooling_mode.reduction)[events], key)

    def extra_repr(self) -> str:
        return self.pooling_mode.name


class GlobalAvgPooling(GlobalPooling):
    """The mean of each event."""


class GlobalSumPooling(GlobalPooling):
    """The sum of each event."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_SUM_POOLING_PYTORCH_INDEX) -> None:
        super().__init__(mode)


class GlobalMaxPooling(GlobalPooling):
    """The largest value of each event."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_MAX_POOLING_PYTORCH_INDEX) -> None:
        super().__init__(mode)


class Broadcast(torch.nn.Module):
    """Copy each event's row of a global pooling to all of the event's sites."""

    def forward(self, input: BackendTensor, input_glob: BackendTensor) -> BackendTensor:
        x = expect(self, input)
        return x.on(self._spread(x, expect(self, input_glob)))

    def _spread(self, x: BackendTensor, pooled: BackendTensor) -> Tensor:
        events, wanted = pooled.C[:, 0].long(), x.C[:, 0].long()
        most = int(torch.cat([events, wanted]).max()) + 1 if len(wanted) else 1
        rows = events.new_full((most,), -1).index_copy(0, events, torch.arange(len(events), device=events.device))
        if (rows[wanted] < 0).any():
            raise ValueError(f"there is no row for events {wanted[rows[wanted] < 0].unique().tolist()} to broadcast")
        return pooled.F[rows[wanted]]


class BroadcastMultiplication(Broadcast):
    """Multiply features by their event's row of a global pooling."""

    def forward(self, input: BackendTensor, input_glob: BackendTensor) -> BackendTensor:
        x = expect(self, input)
        return x.on(x.F * self._spread(x, expect(self, input_glob)))


class Pruning(torch.nn.Module):
    """Keep the sites where a bool mask ``[N]`` is true, on a new map."""

    def forward(self, input: BackendTensor, mask: Tensor) -> BackendTensor:
        x = expect(self, input)
        kept = functional.prune(x.sparse(), mask)
        return x.on(kept.features, x.coordinate_manager.insert(kept.grid, x.coordinate_map_key.stride, "pruned"))


def sizes(step: Step) -> dict[str, Any]:
    """The geometry of a step as arguments of `functional`."""
    return {name: getattr(step, name) for name in ("kernel_size", "stride", "padding", "dilation")}

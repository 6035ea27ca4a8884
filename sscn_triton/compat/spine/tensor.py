"""The tensor inside SPINE's own tensor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sscn_triton import SparseTensor
from sscn_triton.compat.missing import Hinted
from sscn_triton.compat.spine.coordinates import CoordinateManager, CoordinateMapKey, divided, merged
from sscn_triton.core import rulebook
from sscn_triton.core.value import value
from sscn_triton.relation import per_axis

REDUCTIONS = ("sum", "mean", "first")


@value("features", "coordinate_map_key", "coordinate_manager", features="F")
class BackendTensor(Hinted):
    """Features on the sites of a coordinate map.

    Args:
        features: ``[N, C]``, floating point.
        coordinates: ``[N, 1 + D]``, batch index first, multiples of ``tensor_stride``; fractions are
            rounded down. Sites are in order of first appearance.
        tensor_stride: one number or one per axis.
        coordinate_map_key: a map of ``coordinate_manager``, in place of coordinates.
        coordinate_manager: the manager that keeps the maps; by default a new one.
        duplicate_reduction: how to merge rows that share a site: "sum", "mean", or "first" (also for None).
    """

    INSTEAD: ClassVar = {
        "coordinates_at": "C[C[:, 0] == event, 1:]",
        "features_at": "F[C[:, 0] == event]",
        "coordinates_and_features_at": "C and F, chosen by C[:, 0] == event",
        "decomposed_coordinates": "C[C[:, 0] == event, 1:]",
        "decomposed_features": "F[C[:, 0] == event]",
        "decomposed_coordinates_and_features": "C and F, chosen by C[:, 0] == event",
        "decomposition_permutations": "(C[:, 0] == event).nonzero()",
        "coordinate_key": "coordinate_map_key",
        "coords_man": "coordinate_manager",
        "dense": "sparse().dense()",
        "interpolate": "features_at_coordinates(queries)",
        **dict.fromkeys(("slice", "cat_slice"), "F[inverse_mapping] of the tensor that was given rows"),
        **dict.fromkeys(("to", "cpu", "cuda", "double", "float", "half"), "create_tensor of features and coordinates"),
        **dict.fromkeys(("feats", "feature"), "F"),
        **dict.fromkeys(("coords", "indices"), "C"),
        **dict.fromkeys(("requires_grad", "requires_grad_", "grad"), "F"),
    }

    def __init__(
        self,
        features: Tensor,
        coordinates: Tensor | None = None,
        tensor_stride: int | Sequence[int] = 1,
        coordinate_map_key: CoordinateMapKey | None = None,
        coordinate_manager: CoordinateManager | None = None,
        duplicate_reduction: str | None = None,
    ) -> None:
        if duplicate_reduction not in (None, *REDUCTIONS):
            raise ValueError(
                f"Unknown duplicate reduction {duplicate_reduction!r}: it must be {', '.join(REDUCTIONS)} or None"
            )
        self.unique_index: Tensor | None = None
        self.inverse_mapping: Tensor | None = None
        if (coordinates is None) == (coordinate_map_key is None):
            raise ValueError("pass either coordinates, or a coordinate_map_key with its coordinate_manager")
        if coordinates is not None:
            ndim = coordinates.shape[1] - 1 if coordinates.ndim == 2 else 0
            stride = per_axis(tensor_stride, ndim, "tensor_stride", 0)
            x, self.unique_index, self.inverse_mapping = merged(
                features, divided(coordinates, stride), duplicate_reduction or "first"
            )
            self.coordinate_manager = coordinate_manager or CoordinateManager(ndim)
            self.coordinate_map_key = self.coordinate_manager.insert(x.grid, stride)
            features = x.features
        else:
            if not isinstance(coordinate_manager, CoordinateManager) or coordinate_map_key is None:
                raise TypeError("a coordinate_map_key needs its CoordinateManager as coordinate_manager")
            self.coordinate_manager, self.coordinate_map_key = coordinate_manager, coordinate_map_key
            size = coordinate_manager.size(coordinate_map_key)
            if features.ndim != 2 or len(features) != size:
                raise ValueError(f"features must be [{size}, C], one row per site, got {tuple(features.shape)}")
        self.F = features

    def on(self, features: Tensor, key: CoordinateMapKey | None = None) -> BackendTensor:
        """New features on the same sites, or on those of another map of the same manager."""
        key = self.coordinate_map_key if key is None else key
        return BackendTensor(features, coordinate_map_key=key, coordinate_manager=self.coordinate_manager)

    def sparse(self) -> SparseTensor:
        """The library's tensor, in units of the tensor stride."""
        return SparseTensor.on(self.F, self.coordinate_manager.grid(self.coordinate_map_key))

    @property
    def C(self) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first, multiples of the tensor stride."""
        return self.coordinate_manager.get_coordinates(self.coordinate_map_key)

    @property
    def features(self) -> Tensor:
        """``[N, C]``."""
        return self.F

    @property
    def coordinates(self) -> Tensor:
        """`C`."""
        return self.C

    @property
    def tensor_stride(self) -> list[int]:
        """One number per axis."""
        return self.coordinate_map_key.get_tensor_stride()

    @property
    def D(self) -> int:
        """Number of spatial axes."""
        return self.coordinate_manager.D

    @property
    def dimension(self) -> int:
        """`D`."""
        return self.D

    @property
    def dtype(self) -> torch.dtype:
        """Type of the features."""
        return self.F.dtype

    @property
    def device(self) -> torch.device:
        """The device of the features."""
        return self.F.device

    @property
    def shape(self) -> torch.Size:
        """The shape of the features."""
        return self.F.shape

    def size(self) -> torch.Size:
        """The shape of the features."""
        return self.F.shape

    def detach(self) -> BackendTensor:
        """The same tensor without gradient."""
        return self.on(self.F.detach())

    def features_at_coordinates(self, queries: Tensor) -> Tensor:
        """Features ``[M, C]`` at points ``[M, 1 + D]``, batch index first, of any real numbers.

        They are interpolated linearly on each axis between sites; inactive sites count as zeros.
        """
        if queries.ndim != 2 or queries.shape[1] != 1 + self.D:
            raise ValueError(f"queries must be [M, {1 + self.D}], batch index first, got {tuple(queries.shape)}")
        grid = self.coordinate_manager.grid(self.coordinate_map_key)
        places = queries.to(self.device, torch.promote_types(self.dtype, torch.float32))
        unit = torch.tensor(self.tensor_stride, device=self.device)
        low = (places[:, 1:] / unit).floor()
        share = places[:, 1:] / unit - low
        result = self.F.new_zeros(len(queries), self.F.shape[1])
        for corner in itertools.product((0, 1), repeat=self.D):
            there = torch.tensor(corner, device=self.device)
            weight = torch.where(there == 1, share, 1 - share).prod(1)
            if not weight.any():
                continue
            sites = torch.cat([places[:, :1].round(), low + there], 1).int()
            _, place = rulebook.unique(torch.cat([grid.coordinates, sites]))
            rows = place[len(grid) :]
            found = (rows < len(grid)).nonzero()[:, 0]
            parts = self.F[rows[found]] * weight[found, None].to(self.dtype)
            result = result.index_add(0, found, parts)
        return result

    def _joined(self, other: Any, join: Callable[[Tensor, Tensor], Tensor]) -> BackendTensor:
        """Apply ``join`` site by site.

        On different sites, as in MinkowskiEngine: a site that only the first tensor has keeps its features; one that
        only the second has is ``join(0, second)``.
        """
        if not isinstance(other, BackendTensor):
            return self.on(join(self.F, other))
        manager = self.coordinate_manager
        if other.coordinate_manager is not manager:
            raise ValueError(
                "tensors to join must share a coordinate manager: create the second with that of the first"
            )
        if other.coordinate_map_key == self.coordinate_map_key:
            return self.on(join(self.F, other.F))
        key = manager.union(self.coordinate_map_key, other.coordinate_map_key)
        grids = [manager.grid(k) for k in (self.coordinate_map_key, other.coordinate_map_key, key)]
        start = manager.onto(self.F, grids[0], grids[2])
        _, _, given, wanted = manager.common(grids[1], grids[2])
        return self.on(start.index_copy(0, wanted, join(start[wanted], other.F[given])), key)

    def __add__(self, other: Any) -> BackendTensor:
        return self._joined(other, torch.add)

    def __sub__(self, other: Any) -> BackendTensor:
        return self._joined(other, torch.sub)

    def __mul__(self, other: Any) -> BackendTensor:
        return self._joined(other, torch.mul)

    def __truediv__(self, other: Any) -> BackendTensor:
        return self._joined(other, torch.div)

    def __len__(self) -> int:
        return len(self.F)

    def __repr__(self) -> str:
        return (
            f"BackendTensor({len(self)} sites, {self.F.shape[1]} channels, tensor_stride={self.tensor_stride}, "
            f"dtype={self.dtype}, device={self.device})"
        )


def expect(layer: torch.nn.Module, x: Any, channels: int | None = None, dimension: int | None = None) -> BackendTensor:
    """Return ``x``; raise unless it is a tensor with these numbers of channels and axes, if they are given."""
    name = type(layer).__name__
    if not isinstance(x, BackendTensor):
        raise TypeError(f"{name} takes a tensor made by create_tensor, got {type(x).__name__}")
    if dimension is not None and dimension != x.D:
        raise ValueError(f"{name} has dimension {dimension}, but the tensor has {x.D}")
    if channels is not None and x.F.shape[1] != channels:
        raise ValueError(f"{name} takes {channels} channels, but the tensor has {x.F.shape[1]}")
    return x

"""MinkowskiEngine's coordinate manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor
from sscn_triton.compat.minkowski.maps.fields import Fields
from sscn_triton.compat.minkowski.maps.grids import floored
from sscn_triton.compat.minkowski.maps.kernels import KernelGenerator, cube
from sscn_triton.compat.minkowski.maps.keys import CoordinateMapKey, StrideType, checked_dimension, integers
from sscn_triton.compat.minkowski.maps.weights import by_tap
from sscn_triton.compat.minkowski.settings import (
    CoordinateMapType,
    GPUMemoryAllocatorType,
    MinkowskiAlgorithm,
    RegionType,
    expect_choice,
)
from sscn_triton.relation import one_integer

MapAndInverse = tuple[CoordinateMapKey, tuple[Tensor, Tensor]]


class CoordinateManager(Fields):
    """The maps of the tensors of one network, and the correspondence of their rows.

    Args:
        D: number of spatial axes.
        num_threads: -1 or a positive number; has no effect, because PyTorch's number of threads counts.
        coordinate_map_type: if given, coordinates on another kind of device are refused.
        allocator_type: has no effect; memory is PyTorch's.
        minkowski_algorithm: has no effect; there is one algorithm.
    """

    def __init__(
        self,
        D: int = 0,
        num_threads: int = -1,
        coordinate_map_type: CoordinateMapType | None = None,
        allocator_type: GPUMemoryAllocatorType | None = None,
        minkowski_algorithm: MinkowskiAlgorithm | None = None,
    ) -> None:
        super().__init__(checked_dimension(D))
        one_integer(num_threads, "num_threads", -1)
        self._map_type = expect_choice("coordinate_map_type", coordinate_map_type, CoordinateMapType, True)
        expect_choice("allocator_type", allocator_type, GPUMemoryAllocatorType, True)
        given = expect_choice("minkowski_algorithm", minkowski_algorithm, MinkowskiAlgorithm, True)
        self.minkowski_algorithm = MinkowskiAlgorithm.DEFAULT if given is None else given

    def insert_and_map(self, coordinates: Tensor, tensor_stride: StrideType = 1, string_id: str = "") -> MapAndInverse:
        """A new map of the distinct sites among ``coordinates``, in order of first appearance.

        Args:
            coordinates: ``[N, 1 + D]`` int32, batch index first.
            tensor_stride: the tensor stride of the map.
            string_id: the word of its key; another one if there is such a map.

        Returns:
            The key, and ``(rows, sites)``: the first row of each site, and the site of each row.
        """
        stride = integers(tensor_stride, self.D, "tensor_stride", 0)
        sites, first, inverse, batch_size = self.distinct(coordinates)
        return self.insert_sites(sites, stride, batch_size, string_id), (first, inverse)

    def stride(self, coordinate_map_key: CoordinateMapKey, stride: StrideType, string_id: str = "") -> CoordinateMapKey:
        """The map of ``floor(coordinate / stride)``: the existing map of that key, or a new one."""
        return self.strided(coordinate_map_key, integers(stride, self.D, "stride", 1), string_id)

    def origin(self) -> CoordinateMapKey:
        """The map of the origins of the events of all maps, of tensor stride 0."""
        if not self._maps:
            raise ValueError("there is no coordinate map")
        events = torch.cat([self.sites(key)[:, 0] for key in self._maps]).unique()
        return self.origin_at(events, max(grid.batch_size for grid, _ in self._maps.values()))

    def size(self, coordinate_map_key: CoordinateMapKey) -> int:
        """Number of sites of a map."""
        return len(self.grid(coordinate_map_key))

    def get_coordinates(self, coords_key_or_tensor_strides: CoordinateMapKey | StrideType) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first, of a map given by its key or by its tensor stride; a copy."""
        return self.sites(self._get_coordinate_map_key(coords_key_or_tensor_strides)).clone()

    def _get_coordinate_map_key(self, key_or_tensor_strides: CoordinateMapKey | StrideType) -> CoordinateMapKey:
        """The key itself, or that of the first map of a tensor stride."""
        if isinstance(key_or_tensor_strides, CoordinateMapKey):
            return key_or_tensor_strides
        stride = integers(key_or_tensor_strides, self.D, "tensor_stride", 0)
        for key in self._maps:
            if key.stride == stride:
                return key
        raise ValueError(f"there is no coordinate map of tensor stride {list(stride)}")

    def number_of_unique_batch_indices(self) -> int:
        """Number of events that have a site in a map."""
        return self.size(self.origin())

    def get_unique_coordinate_map_key(self, tensor_stride: StrideType) -> CoordinateMapKey:
        """A key of this tensor stride that names no map."""
        return self.free_key(integers(tensor_stride, self.D, "tensor_stride", 0))

    def kernel_map(
        self,
        in_key: CoordinateMapKey | StrideType,
        out_key: CoordinateMapKey | StrideType,
        stride: StrideType = 1,
        kernel_size: StrideType = 3,
        dilation: StrideType = 1,
        region_type: RegionType | int = RegionType.HYPER_CUBE,
        region_offset: Tensor | None = None,
        is_transpose: bool = False,
        is_pool: bool = False,
    ) -> dict[int, Tensor]:
        """For each tap that joins rows, ``[2, R]`` int32: the rows of the input map and those of the output map.

        Args:
            in_key, out_key: the maps, each by its key or by its tensor stride.
            stride: used only for a pooling, whose windows tile space if it equals ``kernel_size``.
            kernel_size, dilation, region_type, region_offset: as in `KernelGenerator`.
            is_transpose: the rules of the layer from the output map to the input map, read backwards.
            is_pool: the rules of a pooling.
        """
        source, target = self._get_coordinate_map_key(in_key), self._get_coordinate_map_key(out_key)
        offsets = None if region_offset is None or not len(region_offset) else region_offset
        shape = KernelGenerator(
            kernel_size, stride, dilation, region_type=RegionType(region_type), region_offsets=offsets, dimension=self.D
        )
        region = shape.region
        if is_pool and shape.kernel_size == shape.kernel_stride:
            region = cube(tuple(shape.kernel_size), tuple(shape.kernel_dilation), centred=False)
        fine, coarse = (target, source) if is_transpose else (source, target)
        book, native = self.rules(fine, coarse, region)
        pairs = (book.transposed() if is_transpose else book).pairs()
        names: list[int] = torch.arange(len(pairs)).tolist()
        if native:
            names = by_tap(torch.arange(len(pairs)), region.box).tolist()
        found = {name: torch.stack(rows).int() for name, rows in zip(names, pairs, strict=True) if len(rows[0])}
        return dict(sorted(found.items()))

    get_kernel_map = kernel_map

    def origin_map(self, key: CoordinateMapKey) -> tuple[Tensor, list[Tensor]]:
        """The events that have a site, and for every event up to the last one its rows in a map, ascending."""
        return events_of(self.sites(key)[:, 0])

    def stride_map(self, in_key: CoordinateMapKey, stride_key: CoordinateMapKey) -> tuple[Tensor, Tensor]:
        """Rows of a map and of a coarser one whose site contains theirs; rows without such a site are left out."""
        rows = self.rows_of(stride_key, floored(self.sites(in_key), stride_key.stride))
        found = (rows >= 0).nonzero()[:, 0]
        return found, rows[found]

    def union_map(self, in_keys: Sequence[CoordinateMapKey], out_key: CoordinateMapKey) -> list[Tensor]:
        """For each map ``[2, N]``: its rows, and the rows of its sites in the map of all sites, which ``out_key``
        names afterwards."""
        if out_key.is_key_set():
            raise ValueError(f"out_key must not be set, but it is {out_key}")
        joined = self.joined(in_keys)
        out_key.set_key(*joined.get_key())
        return [torch.stack(self.common(key, joined)) for key in in_keys]

    def interpolation_map_weight(self, key: CoordinateMapKey, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of a map, points and weights by which its features are interpolated linearly at ``[M, 1 + D]`` points,
        batch index first: three tensors of one length."""
        return self.corners(key, samples)

    def sparse(self, features: Tensor, key: CoordinateMapKey) -> SparseTensor:
        """The library's tensor, in the unit of the map."""
        return SparseTensor.on(features, self.grid(key))

    def check_device(self, coordinates: Tensor) -> None:
        """Raise ValueError if coordinates are on another kind of device than ``coordinate_map_type`` says."""
        if self._map_type is not None and coordinates.is_cuda != (self._map_type is CoordinateMapType.CUDA):
            raise ValueError(f"coordinates are on {coordinates.device}, coordinate_map_type is {self._map_type.name}")

    def __repr__(self) -> str:
        held = "".join(f"\n    {key.stride} {key.name!r}: {len(grid)} sites" for key, (grid, _) in self._maps.items())
        return f"CoordinateManager(D={self.D}){held}"


class CoordsManager:
    """The manager's name in MinkowskiEngine 0.4; refused, as there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("CoordsManager is the name in MinkowskiEngine 0.4: use CoordinateManager")


def events_of(batch: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The events in a column of batch indices, ascending, and for every event up to the last one its rows."""
    events = batch.long().unique()
    if len(events) and int(events[0]) < 0:
        raise ValueError(f"batch indices must not be negative, but the least is {int(events[0])}")
    order = torch.argsort(batch, stable=True)
    counts = torch.bincount(batch.long()).tolist() if len(batch) else []
    return events, list(order.split(counts)) if counts else []

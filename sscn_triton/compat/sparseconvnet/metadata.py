"""The active sites at each spatial size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton import Grid
from sscn_triton.compat.sparseconvnet.sizes import SizeError, axes
from sscn_triton.relation import MAX_NDIM, Axes


class InputRows(NamedTuple):
    """How the rows of an input layer became sites: the rows ``rows`` are read back from the sites ``sites``."""

    shape: tuple[int, ...]  # [N], or [batch, length] of a BLInputLayer
    rows: Tensor
    sites: Tensor


class Metadata:
    """The grids that the layers of a network share, one per spatial size, as in SparseConvNet.

    Args:
        dimension: number of spatial axes, 1 to 4.
    """

    def __init__(self, dimension: int) -> None:
        if dimension not in range(1, MAX_NDIM + 1):
            raise ValueError(f"dimension must be 1 to {MAX_NDIM}, got {dimension!r}")
        self.dimension = dimension
        self.input: InputRows | None = None
        self._grids: dict[Axes, Grid] = {}

    def grid(self, spatial_size: Tensor, device: torch.device | None = None) -> Grid:
        """The sites of this size, with their rulebooks, on ``device`` (by default where they are)."""
        size = axes(spatial_size)
        if size not in self._grids:
            raise SizeError(
                f"there are no sites of spatial size {size}, only of {', '.join(map(str, self._grids)) or 'none'}"
            )
        if device is not None and device.type != "meta":
            self._grids[size] = self._grids[size].to(device)
        return self._grids[size]

    def add(self, grid: Grid) -> None:
        """Store ``grid`` under its spatial size.

        Raises SizeError if other sites have that size, because layers that look up sites by size could not distinguish
        them.
        """
        assert grid.spatial_shape is not None
        known = self._grids.setdefault(grid.spatial_shape, grid)
        if not same_sites(known, grid):
            raise SizeError(
                f"two layers lead to spatial size {grid.spatial_shape} with different sites, but each size can occur "
                "only once in a network: use the same filter_size and filter_stride on every path to it, and "
                "SubmanifoldConvolution to keep the size"
            )

    def sizes(self) -> list[Axes]:
        """The known spatial sizes, the input's first."""
        return list(self._grids)

    def getSpatialLocations(self, spatial_size: Tensor) -> Tensor:
        """``[N, dimension + 1]`` int64 on the CPU, batch index last."""
        return self.grid(spatial_size).coordinates.roll(-1, 1).long().cpu()

    def getBatchSize(self, spatial_size: Tensor) -> int:
        """Number of events, empty ones included."""
        return self.grid(spatial_size).batch_size

    def getNActive(self, spatial_size: Tensor) -> int:
        """Number of sites."""
        return len(self.grid(spatial_size))


def same_sites(one: Grid, other: Grid) -> bool:
    """Whether two grids contain the same sites in the same order."""
    if one is other:
        return True
    return torch.equal(one.coordinates, other.coordinates.to(one.coordinates.device))

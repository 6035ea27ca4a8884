"""Which sites are active at each spatial size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton import Grid
from sscn_triton.compat.sparseconvnet.sizes import SizeError, axes
from sscn_triton.relation import MAX_NDIM, Axes


class InputRows(NamedTuple):
    """How the rows given to an input layer became sites: rows ``rows`` are read back from the sites ``sites``."""

    shape: tuple[int, ...]  # [N], or [batch, length] of a BLInputLayer
    rows: Tensor
    sites: Tensor


class Metadata:
    """The grids that the layers of a network share, one for each spatial size, as SparseConvNet keeps them.

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
        """The sites of this size, with their rulebooks, on ``device`` (where they are, unless given)."""
        size = axes(spatial_size)
        if size not in self._grids:
            raise SizeError(
                f"no sites of spatial size {size} here, only of {', '.join(map(str, self._grids)) or 'none'}"
            )
        if device is not None and device.type != "meta":
            self._grids[size] = self._grids[size].to(device)
        return self._grids[size]

    def add(self, grid: Grid) -> None:
        """Keep ``grid`` under its spatial size.

        Raises SizeError if other sites have that size: layers that look sites up by their size could not tell them
        apart.
        """
        assert grid.spatial_shape is not None
        known = self._grids.setdefault(grid.spatial_shape, grid)
        if not same_sites(known, grid):
            raise SizeError(
                f"two layers lead to spatial size {grid.spatial_shape} with different sites; each size can occur once "
                "in a network: use the same filter_size and filter_stride on every way to it, and "
                "SubmanifoldConvolution where the size stays"
            )

    def sizes(self) -> list[Axes]:
        """The spatial sizes there are, the input's first."""
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
    """Whether two grids hold the same sites in the same order."""
    if one is other:
        return True
    return torch.equal(one.coordinates, other.coordinates.to(one.coordinates.device))

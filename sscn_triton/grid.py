"""Grids: the sites of one resolution, with the rulebooks built on them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton import rulebook
from sscn_triton.ops.events import sort_events
from sscn_triton.relation import Axes
from sscn_triton.rulebook import Rulebook


class Step(NamedTuple):
    """A layer that changes the grid: what it is, and its geometry (one number per axis)."""

    kind: str  # "strided" or "transposed"
    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes
    output_padding: Axes

    def __str__(self) -> str:
        shown = (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
        )
        return f"{self.kind}({shown})"


class Grid:
    """The sites of one resolution, with the rulebooks built on it.

    Tensors on one grid share it by identity, so a rulebook is built once and every layer that asks for it again, in
    this or a later pass, finds it. A grid holds the coarser grids made from it, never the finer one it came from.

    Attributes:
        coordinates: ``[N, 1 + D]`` int32, batch index first.
        spatial_shape: extent of each axis in voxels, or None where coordinates are unbounded and may be negative.
        batch_size: number of events, empty ones included.
    """

    def __init__(self, coordinates: Tensor, spatial_shape: Axes | None, batch_size: int) -> None:
        self.coordinates = coordinates
        self.spatial_shape = spatial_shape
        self.batch_size = batch_size
        self._submanifold: dict[tuple[Axes, Axes], Rulebook] = {}
        self._steps: dict[Step, tuple[Rulebook, Grid]] = {}
        self._events: list[Tensor] | None = None

    def __len__(self) -> int:
        return self.coordinates.shape[0]

    @property
    def ndim(self) -> int:
        """Number of spatial axes D."""
        return self.coordinates.shape[1] - 1

    def submanifold(self, kernel_size: Axes, dilation: Axes) -> Rulebook:
        """The rulebook from this grid to itself."""
        key = (kernel_size, dilation)
        if key not in self._submanifold:
            self._submanifold[key] = rulebook.submanifold(self.coordinates, kernel_size, dilation)
        return self._submanifold[key]

    def step(self, step: Step) -> tuple[Rulebook, Grid]:
        """The rulebook of ``step`` and the grid it leads to."""
        if step not in self._steps:
            geometry = (step.kernel_size, step.stride, step.padding, step.dilation)
            if step.kind == "strided":
                rules, reached, shape = rulebook.strided(self.coordinates, self.spatial_shape, *geometry)
            else:
                rules, reached, shape = rulebook.transposed(
                    self.coordinates, self.spatial_shape, *geometry, step.output_padding
                )
            self._steps[step] = rules, Grid(reached, shape, self.batch_size)
        return self._steps[step]

    def events(self) -> list[Tensor]:
        """Which rows belong to which event, as the operators of `sscn_triton.ops.events` want it."""
        if self._events is None:
            self._events = sort_events(self.coordinates[:, 0], self.batch_size)
        return self._events

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Grid:
        """This grid on ``device``; rulebooks are built again there."""
        coordinates = self.coordinates.to(device, non_blocking=non_blocking)
        if coordinates is self.coordinates:
            return self
        return Grid(coordinates, self.spatial_shape, self.batch_size)

    def pin_memory(self) -> Grid:
        """This grid, of the CPU, with its coordinates in pinned memory; its rulebooks are left behind."""
        return Grid(self.coordinates.pin_memory(), self.spatial_shape, self.batch_size)

    def __repr__(self) -> str:
        return (
            f"Grid({len(self)} sites, ndim={self.ndim}, spatial_shape={self.spatial_shape}, "
            f"batch_size={self.batch_size}, {len(self._submanifold) + len(self._steps)} rulebooks)"
        )

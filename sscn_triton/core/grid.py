"""Grids: the sites of one resolution, with the rulebooks built on them."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._functorch import pyfunctorch

from sscn_triton.core import rulebook
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.ops.events import sort_events
from sscn_triton.relation import MAX_NDIM, Axes


class Step(NamedTuple):
    """A layer that changes the grid: its kind and its geometry (one number per axis)."""

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
    """The sites of one resolution, with the rulebooks built on them.

    Tensors on one grid share it by identity, so a rulebook is built once and reused by every layer that needs it, in
    the same or a later pass and in any thread. A grid keeps the coarser grids made from it, never the finer grid it was
    made from. Unpickling restores the sites and the coarser grids; the copy builds its rulebooks again when they are
    needed.

    Args:
        coordinates: ``[N, 1 + D]`` int32, batch index first, each site once. They must not be changed in place,
            because rulebooks are built from them when a layer first needs one. Layers refuse a grid that was changed.
        spatial_shape: extent of each axis in voxels, or None if coordinates are unbounded and may be negative.
        batch_size: number of events, empty ones included.
    """

    def __init__(self, coordinates: Tensor, spatial_shape: Axes | None, batch_size: int) -> None:
        _check_sites(coordinates, spatial_shape, batch_size)
        with _plain_tensors():
            self._coordinates = coordinates.clone() if coordinates.is_inference() else coordinates.contiguous()
        self._spatial_shape, self._batch_size = spatial_shape, batch_size
        self._prepare_cache()

    def _prepare_cache(self) -> None:
        self._written = self._coordinates._version
        self._building = threading.RLock()
        self._submanifold: dict[tuple[Axes, Axes], Rulebook] = {}
        self._steps: dict[Step, tuple[Rulebook, Grid]] = {}
        self._reached: dict[Step, Grid] = {}  # from a pickle: coarser grids whose rulebooks are not built yet
        self._events: list[Tensor] | None = None

    @property
    def coordinates(self) -> Tensor:
        """``[N, 1 + D]`` int32, batch index first."""
        return self._coordinates

    @property
    def spatial_shape(self) -> Axes | None:
        """Extent of each axis in voxels, or None if coordinates are unbounded and may be negative."""
        return self._spatial_shape

    @property
    def batch_size(self) -> int:
        """Number of events, empty ones included."""
        return self._batch_size

    def __len__(self) -> int:
        return self._coordinates.shape[0]

    @property
    def ndim(self) -> int:
        """Number of spatial axes D."""
        return self._coordinates.shape[1] - 1

    def submanifold(self, kernel_size: Axes, dilation: Axes) -> Rulebook:
        """The rulebook from this grid to itself."""
        self._check_unchanged()
        found = self._submanifold.get((kernel_size, dilation))
        return found if found is not None else self._build_submanifold(kernel_size, dilation)

    def step(self, step: Step) -> tuple[Rulebook, Grid]:
        """The rulebook of ``step`` and the grid that it leads to."""
        self._check_unchanged()
        found = self._steps.get(step)
        return found if found is not None else self._build_step(step)

    def events(self) -> list[Tensor]:
        """The rows of each event, in the form that the operators of `sscn_triton.ops.events` take."""
        self._check_unchanged()
        return self._events if self._events is not None else self._build_events()

    def _check_unchanged(self) -> None:
        """Raise RuntimeError if the coordinates were written to. A compiled graph skips this check."""
        if not torch.compiler.is_compiling() and self._coordinates._version != self._written:
            raise RuntimeError(
                "the coordinates of this grid were changed in place, but its rulebooks belong to the old ones: "
                "change a copy of the coordinates, and make a new SparseTensor from it"
            )

    def _build_submanifold(self, kernel_size: Axes, dilation: Axes) -> Rulebook:
        key = (kernel_size, dilation)
        with self._to_build(f"submanifold(kernel_size={kernel_size}, dilation={dilation})"):
            if key not in self._submanifold:
                self._submanifold[key] = rulebook.submanifold(self._coordinates, kernel_size, dilation)
            return self._submanifold[key]

    def _build_step(self, step: Step) -> tuple[Rulebook, Grid]:
        with self._to_build(str(step)):
            if step not in self._steps:
                geometry = (step.kernel_size, step.stride, step.padding, step.dilation)
                if step.kind == "strided":
                    rules, reached, shape = rulebook.strided(self._coordinates, self._spatial_shape, *geometry)
                else:
                    rules, reached, shape = rulebook.transposed(
                        self._coordinates, self._spatial_shape, *geometry, step.output_padding
                    )
                known = self._reached.pop(step, None)
                if known is None or not torch.equal(known.coordinates, reached):
                    known = Grid(reached, shape, self._batch_size)
                self._steps[step] = rules, known
            return self._steps[step]

    def _build_events(self) -> list[Tensor]:
        with self._to_build("events()"):
            if self._events is None:
                self._events = sort_events(self._coordinates[:, 0], self._batch_size)
            return self._events

    @contextlib.contextmanager
    def _to_build(self, what: str) -> Iterator[None]:
        """Inside, one thread builds what every later pass will use: plain tensors, in whatever mode the caller is."""
        if torch.compiler.is_compiling():
            raise RuntimeError(
                f"{what} is not built on this grid, and a compiled graph or torch.export cannot build it: call "
                "sscn_triton.prepare(model, tensor) first"
            )
        with self._building, _plain_tensors():
            yield

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Grid:
        """This grid on ``device``, where its rulebooks are built again."""
        coordinates = self._coordinates.to(device, non_blocking=non_blocking)
        if coordinates is self._coordinates:
            return self
        return Grid(coordinates, self._spatial_shape, self._batch_size)

    def __deepcopy__(self, memo: dict[int, Any]) -> Grid:
        """An independent grid; rulebooks are shared, because nothing writes to them."""
        twin = memo[id(self)] = Grid(self._coordinates.clone(), self._spatial_shape, self._batch_size)
        twin._submanifold = dict(self._submanifold)
        twin._steps = {step: (rules, copy.deepcopy(grid, memo)) for step, (rules, grid) in self._steps.items()}
        twin._reached = {step: copy.deepcopy(grid, memo) for step, grid in self._reached.items()}
        twin._events = self._events
        return twin

    def __getstate__(self) -> dict[str, Any]:
        reached = {**self._reached, **{step: grid for step, (_, grid) in self._steps.items()}}
        sites = {"coordinates": self._coordinates, "spatial_shape": self._spatial_shape, "batch_size": self._batch_size}
        return {**sites, "reached": reached}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle, which may be untrusted: its content is checked like arguments."""
        self.__init__(state["coordinates"], state["spatial_shape"], state["batch_size"])  # type: ignore[misc]
        reached = state.get("reached", {})
        if not all(isinstance(step, Step) and isinstance(grid, Grid) for step, grid in reached.items()):
            raise TypeError("the coarser grids of a pickled Grid must be Grids by Step")
        self._reached = dict(reached)

    def pin_memory(self) -> Grid:
        """This CPU grid with its coordinates in pinned memory, without its rulebooks."""
        return Grid(self.coordinates.pin_memory(), self.spatial_shape, self.batch_size)

    def __repr__(self) -> str:
        return (
            f"Grid({len(self)} sites, ndim={self.ndim}, spatial_shape={self.spatial_shape}, "
            f"batch_size={self.batch_size}, {len(self._submanifold) + len(self._steps)} rulebooks)"
        )


def _check_sites(coordinates: object, spatial_shape: object, batch_size: object) -> None:
    if not isinstance(coordinates, Tensor) or coordinates.dtype != torch.int32 or coordinates.layout != torch.strided:
        given = coordinates.dtype if isinstance(coordinates, Tensor) else type(coordinates).__name__
        raise TypeError(f"the coordinates of a grid must be an int32 tensor [N, 1 + D], got {given}")
    if coordinates.ndim != 2 or not 2 <= coordinates.shape[1] <= 1 + MAX_NDIM:
        raise ValueError(
            f"the coordinates of a grid must be [N, 1 + D], batch index first, D from 1 to {MAX_NDIM}, "
            f"got shape {tuple(coordinates.shape)}"
        )
    if coordinates.is_meta:
        raise ValueError("the coordinates of a grid are on meta, which has no values, but sites must be known")
    ndim = coordinates.shape[1] - 1
    if spatial_shape is not None and not _are_extents(spatial_shape, ndim):
        raise ValueError(f"the spatial_shape of a grid must be None or {ndim} positive ints, got {spatial_shape!r}")
    if not isinstance(batch_size, int) or batch_size < 0:
        raise ValueError(f"the batch_size of a grid must be an int of at least 0, got {batch_size!r}")


def _are_extents(shape: object, ndim: int) -> bool:
    return isinstance(shape, tuple) and len(shape) == ndim and all(isinstance(n, int) and n >= 1 for n in shape)


@contextlib.contextmanager
def _plain_tensors() -> Iterator[None]:
    """Inside, PyTorch makes tensors that any later pass can use: no tensors of inference mode, which no backward pass
    may save, and none of a `torch.func` transform, which end with it."""
    with contextlib.ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch._C._functorch.peek_interpreter_stack() is not None:
            stack.enter_context(pyfunctorch.temporarily_clear_interpreter_stack())
        yield

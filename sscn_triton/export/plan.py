"""Which rulebooks a network reads, and how they enter an exported program as plain tensors.

A program cannot build rulebooks, because their sizes depend on the sites. It therefore takes them as arguments: one
nested dictionary per grid, as `rules_of` returns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from sscn_triton.core.grid import Grid, Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.ops.rules import KINDS
from sscn_triton.relation import Axes


class GridPlan(NamedTuple):
    """What a network reads of one grid and of the coarser ones.

    spatial_shape: that of the example, None if it had none.
    submanifold: the (kernel_size, dilation) of each rulebook from the grid to itself.
    steps: each layer that leaves the grid, with the plan of the grid that it reaches.
    events: whether the rows of each event are read, as global pooling does.
    """

    spatial_shape: Axes | None
    submanifold: tuple[tuple[Axes, Axes], ...]
    steps: tuple[tuple[Step, GridPlan], ...]
    events: bool

    def as_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        steps = [{"step": list(step), "reached": reached.as_json()} for step, reached in self.steps]
        return {**self._asdict(), "steps": steps}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GridPlan:
        """The plan that `as_json` wrote."""
        shape = values["spatial_shape"]
        return cls(
            None if shape is None else tuple(shape),
            tuple((tuple(kernel), tuple(dilation)) for kernel, dilation in values["submanifold"]),
            tuple(
                (Step(kind, *map(tuple, geometry)), cls.from_json(reached))
                for (kind, *geometry), reached in ((entry["step"], entry["reached"]) for entry in values["steps"])
            ),
            values["events"],
        )


def rules_of(grid: Grid, plan: GridPlan) -> dict[str, Any]:
    """The sites of a grid and its rulebooks, which are built if they are missing, as plain tensors.

    Returns a dictionary:

    - ``"sites"``: ``[N, 1 + D]`` int32, batch index first;
    - ``"submanifold"``: a list with one dictionary of rules per entry of the plan: ``"input_rows"`` and
      ``"output_rows"`` ``[R]`` int32, ``"spans"`` ``[V, 2]`` int64 (the rules of tap v are
      ``spans[v, 0]:spans[v, 1]``), and for rules that are not symmetric ``"outputs_by_input"`` and
      ``"inputs_by_input"`` ``[R]`` int32, the same rules sorted by input;
    - ``"steps"``: a list with, per entry of the plan, ``"rules"`` as above and ``"reached"``, such a dictionary of the
      grid reached;
    - ``"events"``: ``[event [N], order [N], starts [B + 1]]`` int64, or an empty list if the network does not
      read them.
    """
    steps = []
    for step, reached in plan.steps:
        rulebook, coarser = grid.step(step)
        steps.append({"rules": rulebook.rules._asdict(), "reached": rules_of(coarser, reached)})
    return {
        "sites": grid.coordinates,
        "submanifold": [grid.submanifold(*key).rules._asdict() for key in plan.submanifold],
        "steps": steps,
        "events": list(grid.events()) if plan.events else [],
    }


class RecordingGrid(Grid):
    """A grid that notes what a network reads of it."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid.coordinates, grid.spatial_shape, grid.batch_size)
        self._kernels: dict[tuple[Axes, Axes], None] = {}
        self._taken: dict[Step, tuple[Rulebook, RecordingGrid]] = {}
        self._reads_events = False

    def submanifold(self, kernel_size: Axes, dilation: Axes) -> Rulebook:
        self._kernels[kernel_size, dilation] = None
        return super().submanifold(kernel_size, dilation)

    def step(self, step: Step) -> tuple[Rulebook, Grid]:
        if step not in self._taken:
            rulebook, reached = super().step(step)
            self._taken[step] = rulebook, RecordingGrid(reached)
        return self._taken[step]

    def events(self) -> list[Tensor]:
        self._reads_events = True
        return super().events()

    def plan(self) -> GridPlan:
        """What has been read until now."""
        steps = tuple((step, reached.plan()) for step, (_, reached) in self._taken.items())
        return GridPlan(self.spatial_shape, tuple(self._kernels), steps, self._reads_events)


class GivenGrid(Grid):
    """A grid inside a program: its sites and rulebooks are the arguments, so it has no sizes but theirs."""

    def __init__(self, plan: GridPlan, given: Mapping[str, Any]) -> None:
        super().__init__(given["sites"], plan.spatial_shape, 0)  # batch_size is below
        count, self._given_events = given["sites"].shape[0], given["events"]
        self._rulebooks = {
            key: Rulebook(_rules(tensors), count, count)
            for key, tensors in zip(plan.submanifold, given["submanifold"], strict=True)
        }
        self._taken: dict[Step, tuple[Rulebook, Grid]] = {}
        for (step, coarser), entry in zip(plan.steps, given["steps"], strict=True):
            reached = GivenGrid(coarser, entry["reached"])
            self._taken[step] = Rulebook(_rules(entry["rules"]), count, reached.coordinates.shape[0]), reached

    @property
    def batch_size(self) -> int:
        """Raises ValueError if the program does not read the rows of each event."""
        if not self._given_events:
            raise ValueError("this network reads the number of events of its input, which no exported program takes")
        return self._given_events[2].shape[0] - 1

    def submanifold(self, kernel_size: Axes, dilation: Axes) -> Rulebook:
        return self._rulebooks[kernel_size, dilation]

    def step(self, step: Step) -> tuple[Rulebook, Grid]:
        return self._taken[step]

    def events(self) -> list[Tensor]:
        return self._given_events


def _rules(tensors: Mapping[str, Tensor]) -> Any:
    return KINDS[len(tensors)](**tensors)

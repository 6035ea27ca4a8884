"""Rules as each engine reads them, as named values. PyTorch's operators take and return them as plain lists of tensors.

Each value begins with the rules themselves:

    input_rows, output_rows   ``[R]`` int32, sorted by tap, then by output row, ascending
    spans                     ``[V, 2]`` int64: the rules of tap v are ``spans[v, 0]:spans[v, 1]``

A convolution reads them forwards. Its input gradient and an inverse convolution read them backwards, with inputs and
outputs exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class MirroredRules(NamedTuple):
    """Rules on the CPU from the sites to themselves, for a kernel whose taps lie opposite each other.

    Tap V - 1 - v contains the rules of tap v with inputs and outputs exchanged. Reading these rules backwards therefore
    gives the same rules with the taps in reverse order.
    """

    input_rows: Tensor
    output_rows: Tensor
    spans: Tensor

    def read_backwards(self) -> MirroredRules:
        """The same rules with inputs and outputs exchanged."""
        return self._replace(spans=self.spans.flip(0))


class SortedRules(NamedTuple):
    """Rules on the CPU, sorted by output row and again by input row.

    ``outputs_by_input`` and ``inputs_by_input`` are the same rules, sorted by tap, then by input row, ascending.
    """

    input_rows: Tensor
    output_rows: Tensor
    spans: Tensor
    outputs_by_input: Tensor
    inputs_by_input: Tensor

    def read_backwards(self) -> SortedRules:
        """The same rules with inputs and outputs exchanged."""
        return SortedRules(
            input_rows=self.outputs_by_input,
            output_rows=self.inputs_by_input,
            spans=self.spans,
            outputs_by_input=self.input_rows,
            inputs_by_input=self.output_rows,
        )


class Reading(NamedTuple):
    """One reading of the rules on a GPU, as the kernels take it.

    ``mirrored``: line V - 1 - v of the table contains tap v.
    """

    table: Tensor
    order: Tensor
    masks: Tensor
    mirrored: bool


class TableRules(NamedTuple):
    """Rules on a GPU, with a table for each reading (`sscn_triton.ops.triton.layout`).

    ``table``, ``order`` and ``masks`` read from inputs to outputs, for the convolution; ``table_back``, ``order_back``
    and ``masks_back`` read from outputs to inputs, for its input gradient. If one table is the other with its taps
    reversed, it is left empty.
    """

    input_rows: Tensor
    output_rows: Tensor
    spans: Tensor
    table: Tensor
    order: Tensor
    masks: Tensor
    table_back: Tensor
    order_back: Tensor
    masks_back: Tensor

    def read_backwards(self) -> TableRules:
        """The same rules with inputs and outputs exchanged; they stay sorted by the old output row."""
        return TableRules(
            input_rows=self.output_rows,
            output_rows=self.input_rows,
            spans=self.spans,
            table=self.table_back,
            order=self.order_back,
            masks=self.masks_back,
            table_back=self.table,
            order_back=self.order,
            masks_back=self.masks,
        )


Rules = MirroredRules | SortedRules | TableRules
KINDS: dict[int, type[Rules]] = {len(kind._fields): kind for kind in (MirroredRules, SortedRules, TableRules)}


def as_rules(tensors: Sequence[Tensor]) -> Rules:
    """The named value of a list that a PyTorch operator took or returned.

    Raises ValueError if no engine makes lists of this length.
    """
    kind = KINDS.get(len(tensors))
    if kind is None:
        raise ValueError(f"rules must be 3 or 5 tensors on the CPU, 9 on a GPU, got {len(tensors)}")
    return kind(*tensors)


def read_backwards(tensors: Sequence[Tensor]) -> Rules:
    """`as_rules` of the list with inputs and outputs exchanged."""
    return as_rules(tensors).read_backwards()


def read_forward(rules: Rules) -> Reading:
    """The reading from inputs to outputs."""
    assert isinstance(rules, TableRules)
    if rules.table.shape[0] == 0:
        return Reading(rules.table_back, rules.order_back, rules.masks_back, True)
    return Reading(rules.table, rules.order, rules.masks, False)


def read_backward(rules: Rules) -> Reading:
    """The reading from outputs to inputs."""
    return read_forward(rules.read_backwards())

"""Rulebooks: the rules of one convolution, in the form that the operators take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sscn_triton.ops import sites
from sscn_triton.ops.between import between_rules
from sscn_triton.ops.registration import direct
from sscn_triton.ops.rules import Rules, as_rules
from sscn_triton.relation import Axes, output_shape, transposed_output_shape

_submanifold_rules, _unique_sites = direct(sites.submanifold_rules), direct(sites.unique_sites)
_strided_rules, _transposed_rules = direct(sites.strided_rules), direct(sites.transposed_rules)


@dataclass(frozen=True, eq=False)
class Rulebook:
    """All rules of a convolution from ``input_count`` rows to ``output_count`` rows.

    ``rules`` are tensors with names, for the engine of their device (`sscn_triton.ops.rules`); operators take them as a
    list.
    """

    rules: Rules
    input_count: int
    output_count: int

    def transposed(self) -> Rulebook:
        """The same rules read backwards, from outputs to inputs."""
        return Rulebook(self.rules.read_backwards(), self.output_count, self.input_count)

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """For each tap, its (input rows, output rows), int64."""
        rules = self.rules
        return [(rules.input_rows[a:b].long(), rules.output_rows[a:b].long()) for a, b in rules.spans.tolist()]

    @property
    def rule_count(self) -> int:
        """Number of rules over all taps."""
        return self.rules.input_rows.shape[0]


def submanifold(coordinates: Tensor, kernel_size: Axes, dilation: Axes) -> Rulebook:
    """Rules from the sites ``[N, 1 + D]`` to themselves."""
    rules = _submanifold_rules(coordinates, kernel_size, dilation)
    return Rulebook(as_rules(rules), len(coordinates), len(coordinates))


def strided(
    coordinates: Tensor, shape: Axes | None, kernel_size: Axes, stride: Axes, padding: Axes, dilation: Axes
) -> tuple[Rulebook, Tensor, Axes | None]:
    """Rules to every site that some input reaches, those sites in lexicographic order, and their spatial shape."""
    bounds = None if shape is None else output_shape(shape, kernel_size, stride, padding, dilation)
    reached, *rules = _strided_rules(coordinates, kernel_size, stride, padding, dilation, bounds or ())
    return Rulebook(as_rules(rules), len(coordinates), len(reached)), reached, bounds


def transposed(
    coordinates: Tensor,
    shape: Axes | None,
    kernel_size: Axes,
    stride: Axes,
    padding: Axes,
    dilation: Axes,
    output_padding: Axes,
) -> tuple[Rulebook, Tensor, Axes | None]:
    """Rules to every site that the relation read backwards reaches, those sites, and their spatial shape."""
    bounds = None
    if shape is not None:
        bounds = transposed_output_shape(shape, kernel_size, stride, padding, dilation, output_padding)
    reached, *rules = _transposed_rules(coordinates, kernel_size, stride, padding, dilation, bounds or ())
    return Rulebook(as_rules(rules), len(coordinates), len(reached)), reached, bounds


def between(coordinates: Tensor, targets: Tensor, offsets: Sequence[Axes]) -> Rulebook:
    """Rules by which tap v joins the site ``u`` of ``targets`` with the input site ``u + offsets[v]``."""
    rules = between_rules(coordinates, targets, [step for offset in offsets for step in offset])
    return Rulebook(as_rules(rules), len(coordinates), len(targets))


def unique(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """``(first, inverse)``: where each distinct site first appears, and for every row the position of its site."""
    return _unique_sites(coordinates)

"""Count what a convolution costs.

Each rule multiplies one row of C_in channels by one matrix: C_in * C_out / groups multiply-adds. A dense
convolution has a rule for every tap at every output position, whether or not the input there is active (taps that
fall into the padding are counted too, because dense code multiplies them).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sscn_ref.relation import PerAxis, per_axis
from sscn_ref.rulebook import Rulebook


class Operations(NamedTuple):
    """The number of rules and of multiply-adds (each multiply-add is two floating-point operations)."""

    rules: int
    multiply_adds: int


def count_operations(rulebook: Rulebook, in_channels: int, out_channels: int, groups: int = 1) -> Operations:
    """The cost of one forward pass over a rulebook; each of the two gradients costs the same again."""
    return _operations(rulebook.number_of_rules, in_channels, out_channels, groups)


def count_dense_operations(
    spatial_shape: tuple[int, ...],
    kernel_size: PerAxis,
    in_channels: int,
    out_channels: int,
    groups: int = 1,
    batch_size: int = 1,
) -> Operations:
    """The cost of one forward pass of a dense convolution whose output has the given spatial shape."""
    kernel = per_axis(kernel_size, len(spatial_shape), "kernel_size")
    rules = batch_size * math.prod(spatial_shape) * math.prod(kernel)
    return _operations(rules, in_channels, out_channels, groups)


def _operations(rules: int, in_channels: int, out_channels: int, groups: int) -> Operations:
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(f"groups must divide in_channels {in_channels} and out_channels {out_channels}, not {groups}")
    return Operations(rules, rules * in_channels * out_channels // groups)

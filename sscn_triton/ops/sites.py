"""Operators on sites: find distinct sites and build the rules between them.

Each operator takes ``coordinates`` ``[N, 1 + D]`` int32 (batch first). It returns rules as a list of tensors;
`sscn_triton.ops.rules.as_rules` turns the list into a named value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from sscn_triton.ops import checks
from sscn_triton.ops.cpu import keys, sites
from sscn_triton.ops.registration import operator


def _on_cpu(build: Callable[..., Iterable[Tensor]]) -> Callable[..., list[Tensor]]:
    """Wrap a function of NumPy coordinates and numbers as a function of tensors."""

    def built(coordinates: Tensor, *geometry: Sequence[int]) -> list[Tensor]:
        return list(build(coordinates.numpy(), *geometry))

    return built


def _unique_on_cpu(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    first, inverse = keys.unique_sites(coordinates.numpy())
    return torch.from_numpy(first), torch.from_numpy(inverse)


@operator(check=checks.unique_sites, cpu=_unique_on_cpu)
def unique_sites(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """``(first, inverse)``: the row of each distinct site's first appearance (ascending), and every row's position of
    its site in ``first``; int64."""
    from sscn_triton.ops.triton import sites as triton

    return triton.unique_sites(coordinates)


@operator(check=checks.submanifold_rules, cpu=_on_cpu(sites.submanifold_rules))
def submanifold_rules(coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[Tensor]:
    """Rules from the sites to themselves for stride 1 and a centred kernel (`relation.submanifold_padding`)."""
    from sscn_triton.ops.triton import sites as triton

    return triton.submanifold_rules(coordinates, kernel_size, dilation)


@operator(check=checks.window_rules, cpu=_on_cpu(sites.strided_rules))
def strided_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """Rules to every site that some input reaches: ``output = (input - dilation * tap + padding) / stride``.

    Returns ``[output_coordinates, *rules]``, with the sites in lexicographic order. ``bounds``, if not empty, restricts
    the outputs to ``0 <= output < bounds``.
    """
    from sscn_triton.ops.triton import sites as triton

    return triton.strided_rules(coordinates, kernel_size, stride, padding, dilation, bounds)


@operator(check=checks.window_rules, cpu=_on_cpu(sites.transposed_rules))
def transposed_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """Rules to every site reached by the relation read backwards, ``output = stride * input + dilation * tap -
    padding``. Returns the same list as `strided_rules`."""
    from sscn_triton.ops.triton import sites as triton

    return triton.transposed_rules(coordinates, kernel_size, stride, padding, dilation, bounds)

"""Operators on sites: who are they, and which rules join them.

Each takes ``coordinates`` ``[N, 1 + D]`` int32 (batch first). Rules come as a list of tensors, which the operators of
`sscn_triton.ops.convolution` take as it is:

    input_rows, output_rows   ``[R]`` int32, by tap, then in ascending order of the output row
    spans                     ``[V, 2]`` int64: the rules of tap v are ``spans[v, 0]:spans[v, 1]``

Read backwards, rules are wanted in ascending order of the input row. Those of a kernel whose taps lie opposite each
other, from the sites to themselves, are their own mirror image: tap V - 1 - v holds tap v with inputs and outputs
exchanged, so the list ends here. Other rules are held in that order too:

    output_rows, input_rows   ``[R]`` int32, by tap, then in ascending order of the input row

That is the list on the CPU. On a GPU the first three are followed by the six of `sscn_triton.ops.triton.layout`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sscn_triton.ops.cpu import keys, sites


def _tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@torch.library.custom_op("sscn::unique_sites", mutates_args=())
def unique_sites(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """``(first, inverse)``: the row where each distinct site first appears (ascending), and for every row the
    position of its site in ``first``; int64."""
    from sscn_triton.ops.triton import sites as triton

    return triton.unique_sites(coordinates)


@unique_sites.register_kernel("cpu")
def _(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    first, inverse = keys.unique_sites(coordinates.numpy())
    return torch.from_numpy(first), torch.from_numpy(inverse)


@torch.library.custom_op("sscn::submanifold_rules", mutates_args=())
def submanifold_rules(coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[Tensor]:
    """Rules from the sites to themselves, stride 1, the kernel centred (`relation.submanifold_padding`)."""
    from sscn_triton.ops.triton import sites as triton

    return triton.submanifold_rules(coordinates, kernel_size, dilation)


@submanifold_rules.register_kernel("cpu")
def _(coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[Tensor]:
    return _tensors(*sites.submanifold_rules(coordinates.numpy(), kernel_size, dilation))


@torch.library.custom_op("sscn::strided_rules", mutates_args=())
def strided_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """Rules to every site that some input reaches: ``output = (input - dilation * tap + padding) / stride``.

    Returns ``[output_coordinates, *rules]``, the sites in lexicographic order. ``bounds``, if not empty, keeps the
    outputs in ``0 <= output < bounds``.
    """
    from sscn_triton.ops.triton import sites as triton

    return triton.strided_rules(coordinates, kernel_size, stride, padding, dilation, bounds)


@strided_rules.register_kernel("cpu")
def _(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    return _tensors(*sites.strided_rules(coordinates.numpy(), kernel_size, stride, padding, dilation, bounds))


@torch.library.custom_op("sscn::transposed_rules", mutates_args=())
def transposed_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """Rules to every site reached by the relation read backwards: ``output = stride * input + dilation * tap -
    padding``. Returns as `strided_rules` does."""
    from sscn_triton.ops.triton import sites as triton

    return triton.transposed_rules(coordinates, kernel_size, stride, padding, dilation, bounds)


@transposed_rules.register_kernel("cpu")
def _(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    return _tensors(*sites.transposed_rules(coordinates.numpy(), kernel_size, stride, padding, dilation, bounds))

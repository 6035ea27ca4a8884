"""spconv's functions on sizes, sites and counts, and the names of its algorithms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.spconv.core import AlgoHint, ConvAlgo
from sscn_triton.compat.spconv.pytorch.convolution import centred_rules, step_of
from sscn_triton.compat.spconv.pytorch.core import (
    SparseConvTensor,
    check_algo,
    expand_nd,
    pair_table,
    rule_counts,
    rules_by_tap,
)

__all__ = [
    "AlgoHint",
    "ConvAlgo",
    "get_conv_output_size",
    "get_deconv_output_size",
    "get_indice_pairs",
    "global_pool_rearrange",
    "maximum_value_int_",
]


def get_conv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """``(in + 2 padding - dilation (kernel - 1) - 1) // stride + 1`` on every axis of ``input_size``.

    A ``kernel_size`` of -1 is the whole axis, which leaves 1.
    """
    sizes = (kernel_size, stride, padding, dilation)
    _check_axes(input_size, *sizes)
    axes = zip(input_size, *sizes, strict=False)  # as in spconv, there may be more sizes than axes
    return [1 if k == -1 else (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]


def get_deconv_output_size(
    input_size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    output_padding: Sequence[int],
) -> list[int]:
    """``(in - 1) stride - 2 padding + kernel + output_padding`` on every axis of ``input_size``.

    ``dilation`` is not used, as in spconv. Raises ValueError for a ``kernel_size`` of -1.
    """
    sizes = (kernel_size, stride, padding, output_padding)
    _check_axes(input_size, *sizes)
    axes = list(zip(input_size, *sizes, strict=False))
    if any(k == -1 for _, k, *_ in axes):
        raise ValueError(f"kernel_size must not be -1 in a transposed layer, got {list(kernel_size)}")
    return [(n - 1) * s - 2 * p + k + extra for n, k, s, p, extra in axes]


def get_indice_pairs(
    indices: Tensor,
    batch_size: int,
    spatial_shape: Sequence[int],
    algo: ConvAlgo,
    ksize: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    out_padding: Sequence[int],
    subm: bool = False,
    transpose: bool = False,
    num_out_act_bound: int = -1,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sites after a layer, and its rules.

    Args:
        indices: ``[N, 1 + D]`` int32, batch index first.
        batch_size: number of events.
        spatial_shape: extent of each axis.
        algo: has no effect; there is one algorithm.
        ksize, stride, padding, dilation, out_padding: the layer's, one number per axis.
        subm, transpose: whether the layer keeps the sites, or is a transposed one.
        num_out_act_bound: must be -1: the number of output sites is not bounded.

    Returns:
        ``[M, 1 + D]`` int32, the sites in lexicographic order or, with ``subm``, ``indices`` itself; ``[2, V, N]``
        int32, for every tap its input rows and its output rows, padded with -1; ``[V]`` int32, the number of rules of
        every tap.
    """
    if num_out_act_bound != -1:
        raise ValueError(f"num_out_act_bound must be -1, got {num_out_act_bound}: there is no bound here")
    check_algo(algo)
    rows = indices.new_zeros((len(indices), 0), dtype=torch.float32)
    grid = SparseConvTensor(rows, indices, spatial_shape, batch_size).sites()
    sizes = [expand_nd(grid.ndim, size) for size in (ksize, stride, padding, dilation, out_padding)]
    if subm:
        rules, taps = centred_rules(grid, sizes[0], sizes[3])
        reached = indices
    else:
        taps = None
        rules, after = grid.step(step_of(transpose, *sizes))
        reached = after.coordinates.clone()
    pairs = rules_by_tap(rules, taps)
    return reached, pair_table(pairs, indices), rule_counts(pairs, indices)


def global_pool_rearrange(coords: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """The rows of every event ``[B, N]`` int32, ascending, padded with -1; and their number ``[B]`` int32.

    Args:
        coords: ``[N, 1 + D]`` int32, batch index first.
        batch_size: number of events B.
    """
    events = coords[:, 0].long()
    counts = torch.bincount(events, minlength=batch_size)
    if len(counts) > batch_size:
        raise ValueError(f"coords have batch indices up to {len(counts) - 1}, but batch_size is {batch_size}")
    rows = torch.argsort(events, stable=True)
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[events[rows]]
    result = torch.full((batch_size, len(coords)), -1, dtype=torch.int32, device=coords.device)
    result[events[rows], place] = rows.int()
    return result, counts.int()


def maximum_value_int_(ten: Tensor, value: int) -> None:
    """Raise the numbers of ``ten`` to at least ``value``, in place."""
    ten.clamp_(min=value)


def _check_axes(input_size: Sequence[int], *sizes: Sequence[int]) -> None:
    """Raise unless every size has one number per axis."""
    if any(len(size) < len(input_size) for size in sizes):
        raise ValueError(f"every size needs {len(input_size)} numbers, one per axis, got {[*map(list, sizes)]}")


_PAIRS = "get_indice_pairs, or the pair_fwd and pair_bwd of the data that a layer stores under its key"
_LAYERS = "the layers, or sscn_triton.functional"
_POOLS = "SparseMaxPool and SparseAvgPool"
__getattr__ = names(
    __name__,
    {
        "ConvGemmOps": _LAYERS,
        "InferenceOps": _LAYERS,
        "_HashData": "spconv.pytorch.hash.HashTable",
        "fused_indice_conv": _LAYERS,
        "get_indice_pairs_implicit_gemm": _PAIRS,
        "implicit_gemm": _LAYERS,
        "implicit_gemm_backward": _LAYERS,
        "indice_avgpool_implicit_gemm": _POOLS,
        "indice_avgpool_implicit_gemm_backward": _POOLS,
        "indice_conv": _LAYERS,
        "indice_conv_backward": _LAYERS,
        "indice_maxpool": _POOLS,
        "indice_maxpool_backward": _POOLS,
        "indice_maxpool_implicit_gemm": _POOLS,
        "indice_maxpool_implicit_gemm_backward": _POOLS,
        "nms": "torchvision.ops.nms",
    },
    again=(
        "sscn_triton.compat.spconv.constants",
        "sscn_triton.compat.spconv.cppconstants",
        "sscn_triton.compat.spconv.core",
        "sscn_triton.compat.spconv.tools",
        "sscn_triton.compat.spconv.pytorch.core",
        "sscn_triton.compat.spconv.pytorch.cppcore",
        "sscn_triton.compat.spconv.utils",
    ),
)

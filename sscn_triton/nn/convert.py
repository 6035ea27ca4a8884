"""Convert convolution layers to PyTorch's and back.

Taps are ordered with the last axis fastest and the relation is PyTorch's, so a weight ``[V, groups, in, out]`` is
PyTorch's ``[groups * out, in, *kernel]`` (transposed: ``[groups * in, out, *kernel]``) with its axes moved, none
reversed. On an image that is zero at inactive sites, both layers give the same results at every site of the sparse
output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.nn.convolution import (
    Convolution,
    InverseConv,
    SparseConv,
    StridedConvolution,
    SubmanifoldConv,
    TransposedConv,
)
from sscn_triton.relation import is_mirrored, submanifold_padding

_CONV: dict[int, Any] = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}


def from_torch(layer: torch.nn.Module, kind: type[Convolution] | None = None) -> Convolution:
    """The sparse layer of a `torch.nn.Conv1d` to ``Conv3d`` or ``ConvTranspose1d`` to ``ConvTranspose3d``.

    Args:
        layer: its weights are copied, with their type and device. Its padding mode must be zeros.
        kind: `SparseConv` (the default) or `SubmanifoldConv` for a convolution; `TransposedConv` (the default) or
            `InverseConv` for a transposed one (the grid knows the output's extent, so ``output_padding`` is dropped).
            A submanifold layer is the default if padding is "same", and is also possible if stride is 1 and the numbers
            of the padding amount to "same".

    Raises:
        TypeError: for any other layer or kind.
        ValueError: if the sparse layer would not give the same results as PyTorch's.
    """
    transposed = isinstance(layer, tuple(_TRANSPOSED.values()))
    if not transposed and not isinstance(layer, tuple(_CONV.values())):
        raise TypeError(f"layer must be a torch.nn.Conv1d to 3d or ConvTranspose1d to 3d, got {type(layer).__name__}")
    dense: Any = layer
    if dense.padding_mode != "zeros":
        raise ValueError(f"padding_mode must be 'zeros', because inactive sites are zero, got {dense.padding_mode!r}")
    if kind is None:
        kind = TransposedConv if transposed else SubmanifoldConv if dense.padding == "same" else SparseConv
    if not issubclass(kind, (TransposedConv, InverseConv) if transposed else (SparseConv, SubmanifoldConv)):
        raise TypeError(f"{type(dense).__name__} cannot become {kind.__name__}")
    geometry = _submanifold(dense) if issubclass(kind, SubmanifoldConv) else _strided(dense, kind)
    settings = {"dilation": dense.dilation, "groups": dense.groups, "bias": dense.bias is not None, **geometry}
    sparse = kind(dense.in_channels, dense.out_channels, dense.kernel_size, **settings)
    sparse.to(dense.weight.device, dense.weight.dtype)
    weight = dense.weight.detach().flatten(2).unflatten(0, (dense.groups, -1))  # [groups, first, second, V]
    _fill(sparse, weight.permute(3, 0, 1, 2) if transposed else weight.permute(3, 0, 2, 1), dense.bias)
    return sparse.train(dense.training)


def to_torch(layer: Convolution) -> torch.nn.Module:
    """The `torch.nn.ConvNd` or ``ConvTransposeNd`` of a sparse layer, its weights copied.

    A `SubmanifoldConv` becomes one with padding "same". An `InverseConv` becomes a transposed one without output
    padding: if the fine extent differs from what that gives, pass it to PyTorch's forward as ``output_size``.

    Raises TypeError for any other layer, ValueError for four axes, because PyTorch has no such convolution.
    """
    if not isinstance(layer, Convolution):
        raise TypeError(f"layer must be a convolution of sscn_triton.nn, got {type(layer).__name__}")
    if layer.ndim not in _CONV:
        raise ValueError(f"PyTorch's convolutions have 1 to 3 axes, this layer has {layer.ndim}")
    transposed = isinstance(layer, TransposedConv | InverseConv)
    settings: dict[str, Any] = {"dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias is not None}
    if isinstance(layer, StridedConvolution):
        settings |= {"stride": layer.stride, "padding": layer.padding}
    else:
        settings["padding"] = "same"
    if isinstance(layer, TransposedConv):
        settings["output_padding"] = layer.output_padding
    kind = (_TRANSPOSED if transposed else _CONV)[layer.ndim]
    dense = kind(layer.in_channels, layer.out_channels, layer.kernel_size, **settings)
    dense.to(layer.weight.device, layer.weight.dtype)
    weight = layer.weight.detach().permute(1, 2, 3, 0) if transposed else layer.weight.detach().permute(1, 3, 2, 0)
    _fill(dense, weight.flatten(0, 1).unflatten(2, layer.kernel_size), layer.bias)
    return dense.train(layer.training)


def _submanifold(layer: Any) -> dict[str, Any]:
    """Nothing to add, if the layer's outputs are at its inputs; raises ValueError otherwise."""
    same = submanifold_padding(layer.kernel_size, layer.dilation)
    exact = layer.padding == same and is_mirrored(layer.kernel_size, same, layer.dilation)
    if any(s != 1 for s in layer.stride) or not (layer.padding == "same" or exact):
        raise ValueError(
            "a submanifold convolution has stride 1 and padding 'same', "
            f"got stride {layer.stride} and padding {layer.padding!r}"
        )
    return {}


def _strided(layer: Any, kind: type[Convolution]) -> dict[str, Any]:
    """Stride and padding in numbers, and the other settings of the kind."""
    padding = layer.padding
    if padding == "valid":
        padding = (0,) * len(layer.kernel_size)
    elif padding == "same":
        padding = submanifold_padding(layer.kernel_size, layer.dilation)
        if not is_mirrored(layer.kernel_size, padding, layer.dilation):
            raise ValueError(
                f"padding 'same' of kernel_size {layer.kernel_size} and dilation {layer.dilation} differs between "
                "the two ends: only a SubmanifoldConv supports that"
            )
    geometry = {"stride": layer.stride, "padding": padding}
    if issubclass(kind, TransposedConv):
        return {**geometry, "output_padding": layer.output_padding}
    return geometry


def _fill(layer: Any, weight: Tensor, bias: Tensor | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)

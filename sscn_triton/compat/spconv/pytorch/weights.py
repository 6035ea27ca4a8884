"""How layers read their weights, and weights in other layouts."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.spconv import constants
from sscn_triton.relation import Axes, volume


def matrix(features: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    """Multiply every row by one matrix per group of channels.

    spconv reads the weight ``[out, 1, ..., in]`` of such a layer as if it were ``[in, out]``, so its weights are stored
    that way.
    """
    rows = features.unflatten(1, (groups, -1))
    matrices = weight.reshape(groups, weight.shape[-1], weight.shape[0] // groups)
    product = torch.einsum("ngi,gio->ngo", rows, matrices).flatten(1)
    return product if bias is None else product + bias.to(product.dtype)  # which autocast may have narrowed


def odd_window(kernel_size: list[int]) -> tuple[Axes, list[int] | None]:
    """The odd window that contains an even one, whose last tap is then the site below, and the taps that it uses."""
    window = tuple(size + 1 - size % 2 for size in kernel_size)
    if list(window) == kernel_size:
        return window, None
    taps = torch.arange(volume(window)).reshape(window)
    for axis, size in enumerate(kernel_size):
        taps = taps.narrow(axis, 0, size)
    return window, taps.flatten().tolist()


def as_krsc(weight: Tensor, shape: torch.Size, conv1x1: bool, by_shape: bool) -> Tensor:
    """A saved weight as ``[out, *kernel, in]``, converted if its name or shape shows that it has another layout."""
    ndim = weight.ndim - 2
    layout = constants.SAVED_WEIGHT_LAYOUT
    if not layout and by_shape:
        layout = "RSCK" if weight.shape != shape and weight.shape == (*shape[1:], shape[0]) else "KRSC"
    if layout == "RSCK" and conv1x1:
        return weight.reshape(shape).contiguous()  # it is read as [in, out]
    if layout == "RSCK":
        return weight.permute(ndim + 1, *range(ndim), ndim).contiguous()
    return weight.permute(ndim, *range(ndim), ndim + 1).contiguous() if layout == "RSKC" else weight

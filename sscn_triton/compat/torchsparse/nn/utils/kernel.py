"""The order in which torchsparse numbers the taps of a kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton.compat.minkowski.maps.weights import by_tap
from sscn_triton.compat.torchsparse.utils.utils import three
from sscn_triton.relation import Axes, taps, volume


def kernel_taps(kernel_size: Axes) -> list[Axes]:
    """The positions of the taps, from 0: the first axis fastest if their number is odd, else the last axis."""
    if volume(kernel_size) % 2 == 0:
        return taps(kernel_size)
    return [tap[::-1] for tap in taps(kernel_size[::-1])]


def in_library_order(kernel: Tensor, kernel_size: Axes) -> Tensor:
    """A kernel ``[V, ...]`` in torchsparse's order, with the last axis fastest."""
    return by_tap(kernel, kernel_size) if volume(kernel_size) % 2 else kernel


def in_torchsparses_order(kernel: Tensor, kernel_size: Axes) -> Tensor:
    """The opposite of `in_library_order`."""
    return by_tap(kernel, kernel_size[::-1]) if volume(kernel_size) % 2 else kernel


def get_kernel_offsets(size: Any, stride: Any = 1, dilation: Any = 1, device: Any = "cpu") -> Tensor:
    """``[V, 3]`` int32: the offset of every tap, ``stride * dilation`` times ``-((size - 1) // 2)`` to ``size // 2`` on
    each axis, in torchsparse's order."""
    kernel = three(size, "size", 1)
    steps = torch.tensor(three(stride, "stride", 1)) * torch.tensor(three(dilation, "dilation", 1))
    middle = torch.tensor([(k - 1) // 2 for k in kernel])
    return ((torch.tensor(kernel_taps(kernel)) - middle) * steps).int().to(device)

"""PyTorch's initialisers for the weight of a convolution, whose first axis is the taps.

`torch.nn.init` assumes a weight ``[out, in, *kernel]``, so it computes the wrong fans for ``[V, groups, in / groups,
out / groups]`` without any warning. The functions here have the same names and arguments, and fill a weight with the
values that PyTorch's functions give a `torch.nn.Conv3d` of the same shape, from the same generator: ``fan_in`` is
``V * in / groups``, ``fan_out`` is ``V * out``, for convolutions of every kind. `sscn_triton.nn.Linear` has PyTorch's
own weight, so PyTorch's functions work for it.

Each fills ``weight``, ``[V, in, out]`` or ``[V, groups, in / groups, out / groups]``, in place and returns it. Raises
TypeError if it is not a tensor, ValueError for another shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Generator, Tensor

Fan = Literal["fan_in", "fan_out"]


def kaiming_normal_(
    weight: Tensor,
    a: float = 0,
    mode: Fan = "fan_in",
    nonlinearity: Any = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of standard deviation ``gain / sqrt(fan)``; arguments: `torch.nn.init.kaiming_normal_`."""
    return _fill(weight, torch.nn.init.kaiming_normal_, a=a, mode=mode, nonlinearity=nonlinearity, generator=generator)


def kaiming_uniform_(
    weight: Tensor,
    a: float = 0,
    mode: Fan = "fan_in",
    nonlinearity: Any = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform numbers of standard deviation ``gain / sqrt(fan)``; arguments: `torch.nn.init.kaiming_uniform_`."""
    return _fill(weight, torch.nn.init.kaiming_uniform_, a=a, mode=mode, nonlinearity=nonlinearity, generator=generator)


def xavier_normal_(weight: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Normal numbers of variance ``2 gain**2 / (fan_in + fan_out)``; arguments: `torch.nn.init.xavier_normal_`."""
    return _fill(weight, torch.nn.init.xavier_normal_, gain=gain, generator=generator)


def xavier_uniform_(weight: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Uniform numbers of variance ``2 gain**2 / (fan_in + fan_out)``; arguments: `torch.nn.init.xavier_uniform_`."""
    return _fill(weight, torch.nn.init.xavier_uniform_, gain=gain, generator=generator)


def orthogonal_(weight: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthogonal output channels, as rows of ``[out, V * in / groups]``; arguments: `torch.nn.init.orthogonal_`."""
    return _fill(weight, torch.nn.init.orthogonal_, gain=gain, generator=generator)


def _fill(weight: Tensor, function: Callable[..., Any], **settings: Any) -> Tensor:
    """Fill a weight by a function of PyTorch, which sees it as ``[out, in / groups, V]``."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be the tensor of a convolution, layer.weight, got {type(weight).__name__}")
    if weight.ndim not in (3, 4):
        raise ValueError(
            "weight must be that of a convolution, [taps, in, out] or [taps, groups, in / groups, out / groups]; "
            f"torch.nn.init has functions for others. Got shape {tuple(weight.shape)}"
        )
    with torch.no_grad():
        ours = weight if weight.ndim == 4 else weight.unsqueeze(1)
        taps, groups, channels_in, channels_out = ours.shape
        pytorchs = function(weight.new_empty(groups * channels_out, channels_in, taps), **settings)
        ours.copy_(pytorchs.unflatten(0, (groups, channels_out)).permute(3, 0, 2, 1))
    return weight

"""Initial weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Draw a kernel ``[V, in, out]`` from a normal distribution of width ``gain / sqrt(fan)`` (He et al. 2015).

    ``mode``: the fan, "fan_in" is ``V in``, "fan_out" is ``V out``. A matrix is taken as ``[out, in]``, as in
    MinkowskiEngine, also if it is a kernel of one tap ``[in, out]``.
    """
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be fan_in or fan_out, got {mode!r}")
    if tensor.ndim not in (2, 3):
        raise ValueError(f"tensor must have 2 or 3 axes, got {tuple(tensor.shape)}")
    taps = tensor.shape[0] if tensor.ndim == 3 else 1
    first, second = tensor.shape[-2:] if tensor.ndim == 3 else reversed(tensor.shape)
    fan = taps * (first if mode == "fan_in" else second)
    with torch.no_grad():
        gain = torch.nn.init.calculate_gain(nonlinearity, a)  # type: ignore[arg-type]
        return tensor.normal_(0, gain / math.sqrt(fan))

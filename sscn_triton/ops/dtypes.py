"""Tensors as the compiled loops on the CPU want them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray


def arrays(*tensors: Tensor) -> list[Array]:
    """Contiguous NumPy views; a tensor that was contiguous can be written through its own."""
    return [t.detach().contiguous().numpy() for t in tensors]


def widened(features: Tensor) -> Tensor:
    """The features in float32, or float64 if that is what they are: the types that are summed in."""
    if features.dtype is torch.float32 or features.dtype is torch.float64:
        return features
    return features.to(torch.promote_types(features.dtype, torch.float32))

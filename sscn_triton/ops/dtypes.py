"""Conversions of tensors to what the compiled CPU loops expect."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray


def arrays(*tensors: Tensor) -> list[Array]:
    """Contiguous NumPy arrays of the tensors; the array of a contiguous tensor is a view and writes through to it."""
    return [t.detach().contiguous().numpy() for t in tensors]


def widened(features: Tensor) -> Tensor:
    """The features in the type used for sums: float64 if they are float64, else float32."""
    if features.dtype is torch.float32 or features.dtype is torch.float64:
        return features
    return features.to(torch.promote_types(features.dtype, torch.float32))

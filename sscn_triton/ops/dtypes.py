"""Conversions of tensors to what the compiled CPU loops expect."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray


def arrays(*tensors: Tensor) -> list[Array]:
    """Contiguous NumPy arrays of the tensors; the array of a contiguous tensor is a view and writes through to it."""
    return [t.detach().contiguous().numpy() for t in tensors]


def sum_type(features: Tensor) -> torch.dtype:
    """The type used for sums: float64 if the features are float64, else float32."""
    return torch.float64 if features.dtype is torch.float64 else torch.float32


def widened(features: Tensor) -> Tensor:
    """The features in the type used for sums."""
    kind = sum_type(features)
    return features if features.dtype is kind else features.to(kind)


def of_type(tensor: Tensor, kind: torch.dtype) -> Tensor:
    """The tensor in this type and contiguous; itself, if it is both."""
    return tensor if tensor.dtype is kind and tensor.is_contiguous() else tensor.to(kind).contiguous()

"""PyTorch's comparison of gradients with differences, for functions that are called by ``.apply(...)``."""

from __future__ import annotations

from typing import Any

import torch


def gradcheck(func: Any, inputs: Any, **settings: Any) -> bool:
    """`torch.autograd.gradcheck` of ``func.apply``."""
    return torch.autograd.gradcheck(func.apply, inputs, **settings)

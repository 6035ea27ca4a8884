"""What every launch shares."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

BLOCK = 1024  # elements of a program that works element by element


def ceil_div(value: int, divisor: int) -> int:
    """``value / divisor``, rounded up."""
    return -(-value // divisor)


def is_interpreted(tensor: Tensor) -> bool:
    """Whether kernels on this tensor run under Triton's interpreter: nothing else takes CPU tensors."""
    return tensor.device.type == "cpu"


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel on the device of its first argument, if there is anything to do."""
    if 0 not in grid:
        with _device_of(arguments[0]):
            kernel[grid](*arguments, **options)


def _device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()

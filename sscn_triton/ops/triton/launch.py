"""Helpers that launch kernels and list launches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK = 1024  # elements per program in elementwise kernels


def ceil_div(value: int, divisor: int) -> int:
    """``value / divisor``, rounded up."""
    return -(-value // divisor)


def is_interpreted(tensor: Tensor) -> bool:
    """Whether kernels on this tensor run in Triton's interpreter; only the interpreter accepts CPU tensors."""
    return tensor.device.type == "cpu"


class Launch(NamedTuple):
    """A kernel that was launched, and the bytes of its tensor arguments."""

    kernel: str
    memory: int


_listed: list[Launch] | None = None
_skipped = False


@contextmanager
def count_launches(skip: bool = False) -> Iterator[list[Launch]]:
    """List this library's kernel launches inside the context. With ``skip`` the kernels do not run, and results contain
    whatever was in memory."""
    global _listed, _skipped
    before = _listed, _skipped
    _listed, _skipped = [], skip
    try:
        yield _listed
    finally:
        _listed, _skipped = before


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel on the device of its first argument, unless its grid is empty."""
    if 0 in grid:
        return
    if _listed is not None:
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
        _listed.append(Launch(kernel.fn.__name__, sum(tensor.numel() * tensor.element_size() for tensor in tensors)))
    if not _skipped:
        with _device_of(arguments[0]):
            kernel[grid](*arguments, **options)


def _device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()

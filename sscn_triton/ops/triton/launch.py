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


def power_of_two(value: int) -> int:
    """The least power of two that is not below ``value``, for a positive value.

    `triton.next_power_of_2` is written for kernels and takes eight times as long on the host.
    """
    return 1 << (value - 1).bit_length()


def is_interpreted(tensor: Tensor) -> bool:
    """Whether kernels on this tensor run in Triton's interpreter; only the interpreter accepts CPU tensors."""
    return tensor.device.type == "cpu"


class Launch(NamedTuple):
    """A kernel that was launched, and the bytes of its tensor arguments."""

    kernel: str
    memory: int


_listed: list[Launch] | None = None
_skipped = False
_NOTHING: AbstractContextManager[Any] = nullcontext()


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


def launch(kernel: Any, grid: tuple[int, ...], **arguments: Any) -> None:
    """Run a kernel on the device of its first tensor, unless its grid is empty.

    ``arguments`` are the kernel's own, and Triton's options ``num_warps`` and ``num_stages``.
    """
    if 0 in grid:
        return
    if _listed is not None:
        tensors = [argument for argument in arguments.values() if isinstance(argument, Tensor)]
        _listed.append(Launch(kernel.fn.__name__, sum(tensor.numel() * tensor.element_size() for tensor in tensors)))
    if not _skipped:
        for argument in arguments.values():
            if isinstance(argument, Tensor):
                break
        with _device_of(argument):
            kernel[grid](**arguments)


def _device_of(tensor: Tensor) -> AbstractContextManager[Any]:
    """A context in which the tensor's device is the current one; Triton launches on that."""
    if not tensor.is_cuda or tensor.device.index == torch.cuda.current_device():
        return _NOTHING
    return torch.cuda.device(tensor.device)

"""What differs between the versions of PyTorch that the library supports."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch

_VERSION = tuple(int(number) for number in torch.__version__.split(".")[:2])

is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", lambda: False)
"""Whether `torch.export` is tracing; PyTorch 2.5 and 2.6 do not say."""


def check_export() -> None:
    """Raise ValueError if this PyTorch cannot export a network for any number of voxels: it must be 2.8 or newer."""
    if _VERSION < (2, 8):
        raise ValueError(f"exporting a network and loading one need PyTorch 2.8 or newer, this is {torch.__version__}")


def _any_requires_grad(*arguments: Any) -> bool:
    return any(
        isinstance(value, torch.Tensor) and value.requires_grad
        for argument in arguments
        for value in (argument if isinstance(argument, (list, tuple)) else (argument,))
    )


any_requires_grad: Callable[..., bool] = getattr(torch._C, "_any_requires_grad", _any_requires_grad)
"""Whether one of the tensors among the arguments requires a gradient; PyTorch 2.5 has no such function."""


def infer_schema(function: Callable[..., Any], mutates: tuple[str, ...]) -> str:
    """The schema of an operator, from the annotations of its function.

    PyTorch 2.5 and 2.6 know a result that is a list of tensors as ``List[Tensor]`` only.
    """
    signature = inspect.signature(function)
    if _VERSION < (2, 7) and signature.return_annotation == "list[Tensor]":

        @functools.wraps(function)
        def spelled(*arguments: Any) -> Any:
            return function(*arguments)

        spelled.__signature__ = signature.replace(return_annotation="List[Tensor]")  # type: ignore[attr-defined]
        function = spelled
    return torch.library.infer_schema(function, mutates_args=mutates)

"""Refuse arguments that a layer does not take, by name, and say what to use instead."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch

from sscn_triton.core.counterparts import refused_arguments


def check_arguments(layer: type[torch.nn.Module]) -> None:
    """Make the layer raise a TypeError that names it, its arguments, and the counterpart of an unknown one."""
    init = layer.__init__
    bare = init is torch.nn.Module.__init__  # accepts any arguments by its signature, but refuses them all
    takes = inspect.Signature() if bare else inspect.signature(layer)

    @functools.wraps(init)
    def __init__(self: torch.nn.Module, *args: Any, **kwargs: Any) -> None:
        try:
            takes.bind(*args, **kwargs)
        except TypeError as error:
            made = type(self)
            name = (made if made.__module__.startswith("sscn_triton.nn") else layer).__name__
            raise refused_arguments(name, takes, args, kwargs, error) from None
        init(self, *args, **kwargs)

    layer.__init__ = __init__  # type: ignore[method-assign]

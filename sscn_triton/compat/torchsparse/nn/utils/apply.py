"""Functions of the features alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.core.arguments import kind


def fapply(input: SparseTensor, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> SparseTensor:
    """A tensor on the same sites whose features are ``fn(feats, *args, **kwargs)``."""
    return expect(input, "fapply").on(fn(input.feats, *args, **kwargs))


def expect(x: Any, layer: str) -> SparseTensor:
    """Return ``x``. Raises TypeError, naming ``layer``, unless it is a sparse tensor."""
    if not isinstance(x, SparseTensor):
        raise TypeError(f"{layer} takes a SparseTensor, got {kind(x)}")
    return x

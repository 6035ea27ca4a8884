"""Kernel maps and sites that the tensors of one network share."""

from __future__ import annotations

from enum import Enum
from typing import Any

from torch import Tensor

from sscn_triton.relation import Axes


class TensorCacheMode(Enum):
    """Whether each given tensor starts a cache of its own, or all tensors share one."""

    SEPARATE_TENSOR_CACHE = 0
    GLOBAL_TENSOR_CACHE = 1


class TensorCache:
    """What the tensors made from one given tensor share.

    Attributes:
        cmaps: by stride, the coordinates and the spatial range of the tensors with that stride.
        kmaps: by (stride of the finer tensor, kernel size, stride, dilation), the kernel map of the layer.
        hashmaps: by stride, the library's grid of those coordinates.
    """

    def __init__(self) -> None:
        self.cmaps: dict[Axes, tuple[Tensor, tuple[int, ...] | None]] = {}
        self.kmaps: dict[tuple[Axes, Axes, Axes, Axes], Any] = {}
        self.hashmaps: dict[Axes, Any] = {}


_mode = TensorCacheMode.SEPARATE_TENSOR_CACHE
_shared: TensorCache | None = None


def set_tensor_cache_mode(mode: TensorCacheMode) -> None:
    """Choose the mode of tensors made from now on. A shared cache must be cleared after every pass."""
    global _mode
    if not isinstance(mode, TensorCacheMode):
        raise TypeError(f"mode must be a TensorCacheMode, got {mode!r}")
    _mode = mode


def get_tensor_cache_mode() -> TensorCacheMode:
    """The mode."""
    return _mode


def get_global_tensor_cache() -> TensorCache | None:
    """The shared cache, None if it was cleared."""
    return _shared


def set_global_tensor_cache(tensor_cache: TensorCache | None) -> None:
    """Let tensors share this cache."""
    global _shared
    _shared = tensor_cache


def clear_global_tensor_cache() -> None:
    """Forget the shared cache; tensors that exist keep it."""
    set_global_tensor_cache(None)


def new_cache() -> TensorCache:
    """The cache of a given tensor, by the mode."""
    if _mode is TensorCacheMode.SEPARATE_TENSOR_CACHE:
        return TensorCache()
    if _shared is None:
        set_global_tensor_cache(TensorCache())
    assert _shared is not None
    return _shared

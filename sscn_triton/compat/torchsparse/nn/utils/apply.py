"""Functions of the features alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from sscn_triton.compat.torchsparse.tensor import SparseTensor
from sscn_triton.compat.torchsparse.utils.utils import check_sites
from sscn_triton.core.arguments import kind


def fapply(input: SparseTensor, fn: Callable[..., Tensor], *args: Any, **kwargs: Any) -> SparseTensor:
    """A tensor on the same sites whose features are ``fn(feats, *args, **kwargs)``."""
    return expect(input, "fapply").on(fn(input.feats, *args, **kwargs))


def expect(x: Any, layer: str, channels: int | None = None) -> SparseTensor:
    """Return ``x``. Raises TypeError or ValueError, naming ``layer``, unless it is a sparse tensor with one row of
    features per site, of ``channels`` if they are given."""
    if not isinstance(x, SparseTensor):
        raise TypeError(f"{layer} takes a SparseTensor, got {kind(x)}")
    if not isinstance(x.feats, Tensor) or not isinstance(x.coords, Tensor):
        raise TypeError(f"{layer} takes tensors as feats and coords, got {kind(x.feats)} and {kind(x.coords)}")
    if channels is not None and (x.feats.ndim != 2 or x.feats.shape[1] != channels):
        raise ValueError(f"{layer} takes {channels} channels, but the tensor has feats {tuple(x.feats.shape)}")
    if x.feats.shape[:1] != x.coords.shape[:1]:
        raise ValueError(f"feats must have one row per site, {len(x.coords)}, got {tuple(x.feats.shape)}")
    return x


def expect_events(x: Any, layer: str, channels: int | None = None) -> SparseTensor:
    """`expect`, for a layer that reads the batch index without further checks of the coordinates."""
    given = expect(x, layer, channels)
    check_sites(given.coords, layer)
    if len(given.coords) and int(given.coords[:, 0].min()) < 0:
        raise ValueError(f"batch indices must be at least 0, got {int(given.coords[:, 0].min())}")
    return given

"""Checks of a layer's input, made before any work."""

from __future__ import annotations

import torch

from sscn_triton.core.tensor import SparseTensor


def expect(layer: torch.nn.Module, x: SparseTensor, channels: int | None = None, ndim: int | None = None) -> None:
    """Raise unless ``x`` is a sparse tensor, with this number of channels and of spatial axes if they are given."""
    if (
        isinstance(x, SparseTensor)
        and (ndim is None or x.grid.ndim == ndim)
        and (channels is None or x.features.shape[1] == channels)
    ):
        return
    name = type(layer).__name__
    if not isinstance(x, SparseTensor):
        way = "SparseTensor(features, coordinates), or SparseTensor.from_dense(image)"
        raise TypeError(f"{name} takes a SparseTensor, got {type(x).__name__}: make one with {way}")
    if ndim is not None and x.ndim != ndim:
        raise ValueError(
            f"{name} has ndim={ndim}, but the tensor has {x.ndim} spatial axes: its coordinates are [N, {1 + x.ndim}], "
            "batch index first"
        )
    raise ValueError(f"{name} takes {channels} channels, but the tensor has {x.features.shape[1]}")

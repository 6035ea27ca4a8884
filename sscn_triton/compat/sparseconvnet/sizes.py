"""Spatial sizes: int64 tensors ``[dimension]``, as in SparseConvNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Size = int | Sequence[int] | Tensor


class SizeError(ValueError, AssertionError):
    """Sizes that do not match. SparseConvNet asserts them, so code may expect an AssertionError."""


def toLongTensor(dimension: int, x: Size) -> Tensor:
    """One number, or one per axis, as an int64 tensor ``[dimension]``."""
    given = x if isinstance(x, Tensor) else torch.tensor(x)
    if given.is_floating_point() or given.dtype == torch.bool or given.numel() not in (1, dimension):
        raise SizeError(f"must be one integer, or one per axis for {dimension} axes, got {x!r}")
    return given.detach().cpu().long().reshape(-1).expand(dimension).clone()


def axes(size: Tensor) -> tuple[int, ...]:
    """The numbers of an int64 tensor ``[dimension]``."""
    return tuple(size.tolist())


def shown(filter_size: Tensor, filter_stride: Tensor | None = None) -> str:
    """``3/2`` or, if axes differ, ``(3,2)/(2,2)``."""
    parts = [axes(part) for part in (filter_size, filter_stride) if part is not None]
    if all(len(set(part)) == 1 for part in parts):
        return "/".join(str(part[0]) for part in parts)
    return "/".join(f"({','.join(map(str, part))})" for part in parts)


def size_after(spatial_size: Tensor, filter_size: Tensor, filter_stride: Tensor) -> Tensor:
    """``(in - filter) / stride + 1``, which must be an integer.

    Raises SizeError otherwise.
    """
    span = spatial_size - filter_size
    if (span < 0).any() or (span % filter_stride != 0).any():
        raise SizeError(
            f"spatial size {axes(spatial_size)} does not fit filters of {axes(filter_size)} with stride "
            f"{axes(filter_stride)}: (size - filter) must be a non-negative multiple of the stride on every axis; "
            "input_spatial_size() of the network gives the input size for an output size"
        )
    return span // filter_stride + 1


def size_before(spatial_size: Tensor, filter_size: Tensor, filter_stride: Tensor) -> Tensor:
    """``(in - 1) * stride + filter``: the size that the filters cover exactly."""
    return (spatial_size - 1) * filter_stride + filter_size

"""MinkowskiEngine's operations on several tensors, and conversions from and to images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor as Values

from sscn_triton.compat.minkowski.layers import MinkowskiModuleBase, expect, expect_any
from sscn_triton.compat.minkowski.sparse_tensor import SparseTensor
from sscn_triton.compat.minkowski.tensor import Tensor
from sscn_triton.compat.minkowski.tensor_field import TensorField


def _rowwise(tensors: tuple[Any, ...], reduce: Callable[[list[Values]], Values], least: int = 2) -> Any:
    """Reduce the features of tensors on one map, given one by one or as one list."""
    given = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], list | tuple) else list(tensors)
    if len(given) < least or not all(isinstance(x, Tensor) for x in given):
        raise ValueError(f"this takes at least {least} SparseTensors or TensorFields, got {len(given)} values")
    first = given[0]
    for other in given[1:]:
        first._check_same(other)
    return first.on(reduce([x.F for x in given]))


def cat(*sparse_tensors: Any) -> Any:
    """Concatenate the channels of tensors on one map; also takes one list of tensors."""
    return _rowwise(sparse_tensors, lambda rows: torch.cat(rows, 1))


def _sum(*sparse_tensors: Any) -> Any:
    """The sum of tensors on one map; also takes one list of tensors."""
    return _rowwise(sparse_tensors, lambda rows: torch.stack(rows).sum(0))


def mean(*sparse_tensors: Any) -> Any:
    """The mean of tensors on one map; also takes one list of tensors."""
    return _rowwise(sparse_tensors, lambda rows: torch.stack(rows).mean(0))


def var(*sparse_tensors: Any) -> Any:
    """The variance of tensors on one map, divided by their number; also takes one list of tensors."""
    return _rowwise(sparse_tensors, lambda rows: torch.stack(rows).var(0, correction=0))


def dense_coordinates(shape: Sequence[int]) -> Values:
    """``[N, 1 + D]`` int32: every place of an image ``[B, C, *extents]``, batch index first."""
    if len(shape) < 3:
        raise ValueError(f"shape must be [B, C, *extents], got {list(shape)}")
    axes = [torch.arange(int(extent), dtype=torch.int32) for extent in (shape[0], *shape[2:])]
    return torch.cartesian_prod(*axes)


def to_sparse(x: Values, format: str | None = None, coordinates: None = None, device: Any = None) -> Any:
    """The sites of an image where any channel is nonzero.

    Args:
        x: an image.
        format: one letter per axis: B (first), C, and X for each spatial one; by default "BCX...X".
        coordinates: must be None; `to_sparse_all` takes coordinates.
        device: where the tensor is put; by default that of the image.
    """
    if coordinates is not None:
        raise ValueError("coordinates must be None: to_sparse_all takes coordinates")
    if x.ndim < 3:
        raise ValueError(f"x must be an image of at least 3 axes, got {tuple(x.shape)}")
    letters = "BC" + "X" * (x.ndim - 2) if format is None else format
    if len(letters) != x.ndim or letters[0] != "B" or sorted(letters) != sorted("BC" + "X" * (x.ndim - 2)):
        raise ValueError(f"format must be B, then one C and {x.ndim - 2} X in any order, got {format!r}")
    rows = x.movedim(letters.index("C"), -1)
    sites = (rows.detach() != 0).any(-1).nonzero()
    return SparseTensor(rows[sites.unbind(1)], sites.int(), device=x.device if device is None else device)


def to_sparse_all(dense_tensor: Values, coordinates: Values | None = None) -> Any:
    """All places of an image ``[B, C, *extents]``, or those of ``coordinates`` ``[N, 1 + D]``."""
    every = dense_coordinates(dense_tensor.shape)
    sites = every if coordinates is None else coordinates
    rows = dense_tensor.movedim(1, -1)
    if coordinates is None or torch.equal(sites.cpu(), every):
        features = rows.flatten(0, -2)
    else:
        features = rows[sites.long().to(rows.device).unbind(1)]
    return SparseTensor(features, sites.to(dense_tensor.device))


class MinkowskiToSparseTensor(MinkowskiModuleBase):
    """A field, or an image ``[B, C, *extents]``, as a sparse tensor.

    Args:
        remove_zeros: with coordinates, keep only those where a channel is nonzero. Without, all places of an image
            are kept in any case, as in MinkowskiEngine.
        coordinates: the places to keep, ``[N, 1 + D]``, for example `dense_coordinates` of the shape, made once.
    """

    def __init__(self, remove_zeros: bool = True, coordinates: Values | None = None) -> None:
        super().__init__()
        self.remove_zeros, self.coordinates = remove_zeros, coordinates

    def forward(self, input: Any) -> Any:
        if isinstance(input, TensorField):
            return input.sparse()
        if not isinstance(input, Values):
            raise TypeError(f"MinkowskiToSparseTensor takes a TensorField or an image, got {type(input).__name__}")
        if not self.remove_zeros or self.coordinates is None:
            return to_sparse_all(input, self.coordinates)
        there = (input.detach() != 0).any(1)[self.coordinates.long().to(input.device).unbind(1)]
        return to_sparse_all(input, self.coordinates[there.to(self.coordinates.device)])


class MinkowskiToDenseTensor(MinkowskiModuleBase):
    """A sparse tensor as an image ``[B, C, *extents]``, from the origin on.

    Args:
        shape: the shape of the image; its number of channels is not used. By default the smallest.
    """

    def __init__(self, shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, input: Any) -> Values:
        return expect(self, input, floats=False).dense(self.shape)[0]


class MinkowskiToFeature(MinkowskiModuleBase):
    """The features of a sparse tensor or a field."""

    def forward(self, x: Any) -> Values:
        return expect_any(self, x, floats=False).F


class MinkowskiStackCat(torch.nn.Sequential):
    """Concatenate the channels of the modules' outputs."""

    def forward(self, x: Any) -> Any:
        return cat([module(x) for module in self])


class MinkowskiStackSum(torch.nn.Sequential):
    """Add the modules' outputs."""

    def forward(self, x: Any) -> Any:
        return _sum([module(x) for module in self])


class MinkowskiStackMean(torch.nn.Sequential):
    """The mean of the modules' outputs."""

    def forward(self, x: Any) -> Any:
        return mean([module(x) for module in self])


class MinkowskiStackVar(torch.nn.Sequential):
    """The variance of the modules' outputs."""

    def forward(self, x: Any) -> Any:
        return var([module(x) for module in self])

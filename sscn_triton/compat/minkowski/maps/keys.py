"""The names of coordinate maps, and numbers per axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sscn_triton.relation import MAX_NDIM, Axes, one_integer, per_axis

StrideType = int | Sequence[int] | np.ndarray | torch.Tensor
"""One number, or one per axis."""


class CoordinateMapKey:
    """The name of a map: its tensor stride, and a word, usually empty.

    Args:
        size_or_stride: the tensor stride, one number per axis; or the number of axes plus one, for a key that is set
            later.
        name: the word.
    """

    def __init__(self, size_or_stride: int | Sequence[int], name: str = "") -> None:
        self._key: tuple[Axes, str] | None = None
        if isinstance(size_or_stride, int):
            self._size = one_integer(size_or_stride, "the number of axes plus one", 2)
        else:
            self._size = len(size_or_stride) + 1
            self.set_key(size_or_stride, name)

    def set_key(self, stride: Sequence[int], name: str = "") -> None:
        """Give an unset key its tensor stride and word. Raises ValueError for a key that has others."""
        key = per_axis(tuple(stride), self._size - 1, "tensor_stride", 0), name
        if self._key is not None and self._key != key:
            raise ValueError(f"this key is {self} already")
        self._key = key

    def is_key_set(self) -> bool:
        """Whether the key names a map."""
        return self._key is not None

    def _known(self) -> tuple[Axes, str]:
        if self._key is None:
            raise ValueError("this CoordinateMapKey is not set: a layer sets it when it makes the map")
        return self._key

    @property
    def stride(self) -> Axes:
        """The tensor stride, one number per axis."""
        return self._known()[0]

    @property
    def name(self) -> str:
        """The word."""
        return self._known()[1]

    def get_tensor_stride(self) -> list[int]:
        """One number per axis."""
        return list(self.stride)

    def get_key(self) -> tuple[list[int], str]:
        """Stride and name."""
        return list(self.stride), self.name

    def get_coordinate_size(self) -> int:
        """Number of spatial axes plus one."""
        return self._size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CoordinateMapKey):
            return NotImplemented
        return self is other or (self._key is not None and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._known())

    def __repr__(self) -> str:
        if self._key is None:
            return f"CoordinateMapKey({self._size}), not set"
        return f"CoordinateMapKey({list(self.stride)}, {self.name!r})"


def integers(value: StrideType, ndim: int, name: str, minimum: int) -> Axes:
    """One integer per axis; tensors and arrays are accepted. Raises as `relation.per_axis` does."""
    if isinstance(value, torch.Tensor | np.ndarray):
        value = value.tolist()
    return per_axis(value, ndim, name, minimum)


def checked_dimension(dimension: Any, kernel_size: Any = None) -> int:
    """The number of spatial axes, from 1 to 4; by default the length of ``kernel_size`` if that is a sequence."""
    if dimension in (None, -1) and isinstance(kernel_size, Sequence):
        dimension = len(kernel_size)
    if dimension is None or one_integer(dimension, "dimension", -1) > MAX_NDIM or dimension < 1:
        raise ValueError(f"dimension must be 1 to {MAX_NDIM}, got {dimension}")
    return int(dimension)


def convert_to_int_list(arg: StrideType, dimension: int) -> list[int]:
    """One integer per axis."""
    return list(integers(arg, dimension, "arg", -1))


def convert_to_int_tensor(arg: StrideType, dimension: int) -> torch.Tensor:
    """``[dimension]`` int32: one integer per axis."""
    return torch.tensor(convert_to_int_list(arg, dimension), dtype=torch.int32)

"""Count the loads and stores of interpreted Triton kernels; stop those out of bounds.

It replaces the part of Triton's interpreter that accesses memory, so it needs
TRITON_INTERPRET=1 in the environment before triton is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch


class Meter:
    """Counts of the numbers loaded and stored.

    `loads` and `stores` are totals; `loaded(tensor)` and `stored(tensor)` count the
    accesses to each number of a tensor, in the tensor's shape.
    """

    def __init__(self, memory: Any, tensors: tuple[torch.Tensor, ...]) -> None:
        self._memory = memory
        self._counts = [
            {
                tensor.data_ptr(): np.zeros(tensor.numel(), np.int64)
                for tensor in tensors
            }
            for _ in range(2)
        ]
        self._tensors = tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)

    def load(self, places: np.ndarray, mask: np.ndarray, *rest: Any) -> Any:
        """Called by the interpreter for `tl.load`."""
        self._count(places, mask, self._counts[0], "loads from")
        return self._memory.load(places, mask, *rest)

    def store(self, places: np.ndarray, values: np.ndarray, mask: np.ndarray) -> Any:
        """Called by the interpreter for `tl.store`."""
        self._count(places, mask, self._counts[1], "stores to")
        return self._memory.store(places, values, mask)

    def _count(
        self, places: np.ndarray, mask: np.ndarray, counts: Any, what: str
    ) -> None:
        active = np.asarray(mask, bool)
        addresses = np.broadcast_to(places, active.shape)[active].astype(np.int64)
        outside = len(addresses)
        for tensor in self._tensors:
            number, rest = np.divmod(
                addresses - tensor.data_ptr(), tensor.element_size()
            )
            inside = (number >= 0) & (number < tensor.numel()) & (rest == 0)
            np.add.at(counts[tensor.data_ptr()], number[inside], 1)
            outside -= int(inside.sum())
        if outside:
            raise IndexError(f"{outside} {what} addresses outside every tensor")

    @property
    def loads(self) -> int:
        """Total of numbers loaded."""
        return sum(int(count.sum()) for count in self._counts[0].values())

    @property
    def stores(self) -> int:
        """Total of numbers stored."""
        return sum(int(count.sum()) for count in self._counts[1].values())

    def loaded(self, tensor: torch.Tensor) -> np.ndarray:
        """How often each number of a tensor was loaded."""
        return self._counts[0][tensor.data_ptr()].reshape(tensor.shape)

    def stored(self, tensor: torch.Tensor) -> np.ndarray:
        """How often each number of a tensor was stored."""
        return self._counts[1][tensor.data_ptr()].reshape(tensor.shape)


@contextmanager
def metered(*tensors: torch.Tensor) -> Iterator[Meter]:
    """Count the accesses of kernels, which may use only these tensors."""
    from triton.runtime import interpreter

    meter = Meter(interpreter._interpreter, tensors)
    with mock.patch.object(interpreter, "_interpreter", meter):
        yield meter

"""Count the loads and stores of interpreted Triton kernels; stop those out of bounds.

It replaces the part of Triton's interpreter that accesses memory, so it needs
TRITON_INTERPRET=1 in the environment before triton is imported. Where a masked load has
no `other`, a GPU leaves the value undefined, while the interpreter alone returns zeros;
here it is NaN, or a large integer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch


class Meter:
    """Counts of the numbers loaded and stored; an atomic operation is both.

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

    def atomic_rmw(
        self,
        operation: Any,
        places: np.ndarray,
        values: np.ndarray,
        mask: np.ndarray,
        *rest: Any,
    ) -> Any:
        """Called by the interpreter for `tl.atomic_add` and the like."""
        for counts in self._counts:
            self._count(places, mask, counts, "atomic operations at")
        return self._memory.atomic_rmw(operation, places, values, mask, *rest)

    def atomic_cas(self, places: np.ndarray, *rest: Any) -> Any:
        """Called by the interpreter for `tl.atomic_cas`, which has no mask."""
        for counts in self._counts:
            everywhere = np.ones(np.shape(places), bool)
            self._count(places, everywhere, counts, "atomic operations at")
        return self._memory.atomic_cas(places, *rest)

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
            program = program_number()
            raise IndexError(
                f"program {program}: {outside} {what} addresses outside every tensor"
            )

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


def program_number() -> int:
    """The number of the program that the interpreter runs, along the first axis."""
    from triton.runtime import interpreter

    return int(interpreter.interpreter_builder.grid_idx[0])


def undefined(kind: np.dtype[Any]) -> Any:
    """What stands for an undefined number: NaN, or an integer that is no row."""
    if kind.kind == "f":
        return np.nan
    if kind.kind == "b":
        return True
    return kind.type(min(1 << 20, np.iinfo(kind).max))


@contextmanager
def metered(*tensors: torch.Tensor) -> Iterator[Meter]:
    """Count the accesses of kernels, which may use only these tensors."""
    from triton.runtime import interpreter

    masked_load = interpreter.InterpreterBuilder.create_masked_load

    def strict_load(self: Any, places: Any, mask: Any, other: Any, *rest: Any) -> Any:
        if other is None:
            element = places.get_element_ty()
            kind = np.dtype(interpreter._get_np_dtype(element))
            unknown = np.full(np.shape(places.data), undefined(kind), kind)
            other = interpreter.TensorHandle(unknown, element)
        return masked_load(self, places, mask, other, *rest)

    meter = Meter(interpreter._interpreter, tensors)
    with (
        mock.patch.object(interpreter, "_interpreter", meter),
        mock.patch.object(
            interpreter.InterpreterBuilder, "create_masked_load", strict_load
        ),
    ):
        yield meter

"""spconv's hash table, implemented by sorting: for every device, in a fixed order, of any size."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.missing import names

_KEYS = (torch.int32, torch.int64)
_VALUES = (torch.int32, torch.int64, torch.float32, torch.float64)


class HashTable:
    """Values by integer keys. Wherever an order is visible, keys are ascending.

    Args:
        device: device of keys and values.
        key_dtype: torch.int32 or torch.int64.
        value_dtype: torch.int32, int64, float32 or float64.
        max_size: if positive, the largest number of keys; the table grows up to it.
    """

    def __init__(
        self, device: torch.device, key_dtype: torch.dtype, value_dtype: torch.dtype, max_size: int = -1
    ) -> None:
        if key_dtype not in _KEYS:
            raise TypeError(f"key_dtype must be torch.int32 or torch.int64, got {key_dtype}")
        if value_dtype not in _VALUES:
            raise TypeError(f"value_dtype must be {', '.join(map(str, _VALUES))}, got {value_dtype}")
        self.is_cpu = torch.device(device).type == "cpu"
        self.key_dtype, self.value_dtype = key_dtype, value_dtype
        self.max_size = max_size
        self.keys_data = torch.zeros(0, dtype=key_dtype, device=device)
        self.values_data = torch.zeros(0, dtype=value_dtype, device=device)

    def insert(self, keys: Tensor, values: Tensor | None = None) -> None:
        """Add keys ``[N]`` with values ``[N]``, or 0. An existing key keeps its value; of equal keys the first
        counts.

        Raises ValueError, and leaves the table unchanged, if there would be more than ``max_size`` keys.
        """
        self._check(keys, values)
        if values is None:
            values = torch.zeros(len(keys), dtype=self.value_dtype, device=keys.device)
        every = torch.cat([self.keys_data, keys])
        distinct, place = torch.unique(every, return_inverse=True)
        if 0 < self.max_size < len(distinct):
            raise ValueError(f"the table can hold max_size = {self.max_size} keys, but {len(distinct)} were given")
        first = torch.full((len(distinct),), len(every), device=place.device)
        first = first.scatter_reduce(0, place, torch.arange(len(every), device=place.device), "amin")
        self.keys_data, self.values_data = distinct, torch.cat([self.values_data, values])[first]

    def query(self, keys: Tensor, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The values of keys ``[N]``, 0 for missing keys, and which keys are missing ``[N]`` bool.

        ``values``, if given, is filled for existing keys, and returned.
        """
        self._check(keys, values)
        place, found = self._find(keys)
        if values is None:
            values = torch.zeros(len(keys), dtype=self.value_dtype, device=keys.device)
        values[found] = self.values_data[place[found]]
        return values, ~found

    def insert_exist_keys(self, keys: Tensor, values: Tensor) -> Tensor:
        """Assign values ``[N]`` to those of the keys ``[N]`` that exist; 1 ``[N]`` uint8 for missing ones.

        Of equal keys the last counts.
        """
        self._check(keys, values)
        place, found = self._find(keys)
        rows = torch.arange(len(keys), device=keys.device)
        last = torch.full((len(self.keys_data),), -1, device=keys.device)
        last = last.scatter_reduce(0, place[found], rows[found], "amax")
        self.values_data = (
            torch.where(last >= 0, values[last.clamp(min=0)], self.values_data) if len(keys) else (self.values_data)
        )
        return (~found).to(torch.uint8)

    def assign_arange_(self) -> Tensor:
        """Assign to every key its position in the order of `items`; returns the number of keys ``[1]`` int64."""
        if self.value_dtype.is_floating_point:
            raise TypeError(f"assign_arange_ needs integer values, value_dtype is {self.value_dtype}")
        count = len(self.keys_data)
        self.values_data = torch.arange(count, dtype=self.value_dtype, device=self.keys_data.device)
        return torch.tensor([count], device=self.keys_data.device)

    def items(self, max_size: int = -1) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values, at most ``max_size`` of them unless it is -1, and their number ``[1]`` int64."""
        most = len(self.keys_data) if max_size == -1 else max_size
        keys, values = self.keys_data[:most], self.values_data[:most]
        return keys.clone(), values.clone(), torch.tensor([len(keys)], device=keys.device)

    def _find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """For every key, its place in the table, and whether it exists."""
        if not len(self.keys_data):
            return torch.zeros(len(keys), dtype=torch.int64, device=keys.device), torch.zeros_like(
                keys, dtype=torch.bool
            )
        place = torch.searchsorted(self.keys_data, keys).clamp(max=len(self.keys_data) - 1)
        return place, self.keys_data[place] == keys

    def _check(self, keys: Tensor, values: Tensor | None) -> None:
        if keys.dtype != self.key_dtype or keys.ndim != 1:
            raise TypeError(f"keys must be {self.key_dtype} [N], got {keys.dtype} {tuple(keys.shape)}")
        if values is not None and (values.dtype != self.value_dtype or values.shape != keys.shape):
            raise TypeError(
                f"values must be {self.value_dtype} {tuple(keys.shape)}, got {values.dtype} {tuple(values.shape)}"
            )
        for name, given in (("keys", keys), ("values", values)):
            if given is not None and given.device.type != self.keys_data.device.type:
                raise ValueError(f"{name} are on {given.device}, but the table is on {self.keys_data.device}")


__getattr__ = names(
    __name__, {"main": "HashTable", "_HashTable": "HashTable"}, again=("sscn_triton.compat.spconv.pytorch.cppcore",)
)

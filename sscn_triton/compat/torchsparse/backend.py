"""The part of torchsparse's compiled backend that programs use by themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn.functional.hash import check_int32
from sscn_triton.compat.torchsparse.nn.functional.query import sphashquery
from sscn_triton.compat.torchsparse.nn.utils.kernel import kernel_taps
from sscn_triton.compat.torchsparse.utils.utils import make_divisible, three
from sscn_triton.core import rulebook
from sscn_triton.relation import volume


class GPUHashTable:
    """Rows found by their hash or by their coordinates; works on any device.

    Args:
        table_keys, table_vals: ``[capacity]``, memory of torchsparse's table, int64 and int32. They are not written to.
    """

    def __init__(self, table_keys: Tensor, table_vals: Tensor) -> None:
        if table_keys.shape != table_vals.shape or table_keys.ndim != 1:
            raise ValueError(
                f"table_keys and table_vals must be [capacity], got {tuple(table_keys.shape)} and "
                f"{tuple(table_vals.shape)}"
            )
        self._capacity = len(table_keys)
        self._rows: Tensor | None = None

    def _insert(self, rows: Tensor) -> None:
        if self._rows is not None:
            raise ValueError("the table is filled already: make another one")
        if len(rows) > self._capacity:
            raise ValueError(f"the table has a capacity of {self._capacity}, which {len(rows)} rows exceed")
        self._rows = rows

    def _inserted(self, function: str, ndim: int) -> Tensor:
        if self._rows is None or self._rows.ndim != ndim:
            raise ValueError(f"call {function} of this table first: tables do not share what was inserted")
        return self._rows

    def insert_vals(self, keys: Tensor) -> None:
        """Insert hashes ``[N]`` int64; the value of each is its row plus 1."""
        if keys.dtype != torch.int64 or keys.ndim != 1:
            raise TypeError(f"keys must be int64 hashes [N], got {keys.dtype} {tuple(keys.shape)}")
        self._insert(keys)

    def lookup_vals(self, keys: Tensor) -> Tensor:
        """The values of hashes ``[M]``, 0 for one that is not there; int32, padded with 0 to a multiple of 128 rows."""
        found = (sphashquery(keys, self._inserted("insert_vals", 1)) + 1).int()
        return torch.nn.functional.pad(found, (0, make_divisible(len(found), 128) - len(found)))

    def insert_coords(self, coords: Tensor) -> None:
        """Insert distinct sites ``[N, 4]`` int32, batch index last; the value of each is its row plus 1."""
        check_int32("coords", coords, 4)
        self._insert(coords.roll(1, 1).contiguous())

    def lookup_coords(self, coords: Tensor, kernel_sizes: Tensor, tensor_strides: Tensor, kernel_volume: int) -> Tensor:
        """The values of the sites at the taps of a kernel around ``coords * tensor_strides``.

        Args:
            coords: ``[M, 4]`` int32, batch index last.
            kernel_sizes, tensor_strides: ``[3]`` integers.
            kernel_volume: the product of ``kernel_sizes``.

        Returns:
            ``[M, kernel_volume]`` int32, padded with 0 to a multiple of 128 rows; 0 where there is no site. Taps as in
            `get_kernel_offsets`.
        """
        check_int32("coords", coords, 4)
        known, kernel = self._inserted("insert_coords", 2), three(kernel_sizes, "kernel_sizes", 1)
        if volume(kernel) != kernel_volume:
            raise ValueError(f"kernel_volume must be {volume(kernel)}, that of {kernel}, got {kernel_volume}")
        sites = coords.roll(1, 1) * coords.new_tensor((1, *three(tensor_strides, "tensor_strides", 1)))
        first, inverse = rulebook.unique(sites)
        offsets = [tuple(n - (k - 1) // 2 for n, k in zip(tap, kernel, strict=True)) for tap in kernel_taps(kernel)]
        book = rulebook.between(known, sites[first], offsets)
        found = torch.zeros(len(first), len(offsets), dtype=torch.int32, device=coords.device)
        for tap, (rows, places) in enumerate(book.pairs()):
            found[places, tap] = (rows + 1).int()
        return torch.nn.functional.pad(found[inverse], (0, 0, 0, make_divisible(len(sites), 128) - len(sites)))


__getattr__ = names(__name__, {})

__all__ = ["GPUHashTable"]

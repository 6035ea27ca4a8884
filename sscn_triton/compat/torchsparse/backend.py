"""The part of torchsparse's compiled backend that programs use by themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.compat.missing import names
from sscn_triton.compat.torchsparse.nn.functional.query import sphashquery
from sscn_triton.compat.torchsparse.nn.utils.kernel import kernel_taps
from sscn_triton.compat.torchsparse.utils.utils import make_divisible
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
        self._capacity, self._rows = len(table_keys), torch.empty(0)

    def _insert(self, rows: Tensor) -> None:
        if len(self._rows):
            raise ValueError("the table is filled already: make another one")
        if len(rows) > self._capacity:
            raise ValueError(f"the table has a capacity of {self._capacity}, which {len(rows)} rows exceed")
        self._rows = rows

    def insert_vals(self, keys: Tensor) -> None:
        """Insert hashes ``[N]`` int64; the value of each is its row plus 1."""
        self._insert(keys)

    def lookup_vals(self, keys: Tensor) -> Tensor:
        """The values of hashes ``[M]``, 0 for one that is not there; int32, padded with 0 to a multiple of 128 rows."""
        found = (sphashquery(keys, self._rows) + 1).int()
        return torch.nn.functional.pad(found, (0, make_divisible(len(found), 128) - len(found)))

    def insert_coords(self, coords: Tensor) -> None:
        """Insert distinct sites ``[N, 4]`` int32, batch index last; the value of each is its row plus 1."""
        self._insert(coords.roll(1, 1))

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
        kernel = tuple(int(k) for k in kernel_sizes.tolist())
        if volume(kernel) != kernel_volume:
            raise ValueError(f"kernel_volume must be {volume(kernel)}, that of {kernel}, got {kernel_volume}")
        sites = coords.roll(1, 1) * torch.nn.functional.pad(tensor_strides.to(coords), (1, 0), value=1)
        first, inverse = rulebook.unique(sites.int())
        offsets = [tuple(n - (k - 1) // 2 for n, k in zip(tap, kernel, strict=True)) for tap in kernel_taps(kernel)]
        book = rulebook.between(self._rows.int().contiguous(), sites[first].int(), offsets)
        found = torch.zeros(len(first), len(offsets), dtype=torch.int32, device=coords.device)
        for tap, (rows, places) in enumerate(book.pairs()):
            found[places, tap] = (rows + 1).int()
        return torch.nn.functional.pad(found[inverse], (0, 0, 0, make_divisible(len(sites), 128) - len(sites)))


__getattr__ = names(__name__, {})

__all__ = ["GPUHashTable"]

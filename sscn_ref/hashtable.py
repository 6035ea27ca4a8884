"""A hash table that can be followed by hand: open addressing with linear probing.

    home(key) = the top bits of (key * 11400714819323198485 mod 2^64)

The multiplier is 2^64 divided by the golden ratio, which spreads neighbouring keys far apart (Knuth, The Art
of Computer Programming 3, 6.4: Fibonacci hashing). A key is stored in its home slot or, if that is taken, in
the next free slot to the right, wrapping around at the end. A search takes the same path and stops at the key or at
an empty slot.

The NumPy rulebooks sort and search instead (`sscn_ref.sites.SiteIndex`); their Numba twins use this table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MULTIPLIER = 11400714819323198485
EMPTY = -1  # not a valid row number


def capacity_for(keys: int, load: float = 0.5) -> int:
    """The smallest capacity, a power of two of at least 2, of which `keys` keys fill at most the fraction `load`."""
    if not 0 < load <= 1:
        raise ValueError(f"load must be above 0 and at most 1, not {load!r}")
    capacity = 2
    while keys > load * capacity:
        capacity *= 2
    return capacity


class Probe(NamedTuple):
    """One look at a slot: its number, and the key stored there or None."""

    slot: int
    occupant: int | None


class HashTable:
    """A map from int64 keys to row numbers.

    >>> table = HashTable(8)
    >>> table.insert(40, row=0), table.insert(42, row=1), table.insert(40, row=2)
    (0, 1, 0)
    >>> table.lookup(42), table.lookup(41)
    (1, -1)
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 2 or capacity & (capacity - 1):
            raise ValueError(f"capacity must be a power of two and at least 2, not {capacity!r}")
        self.capacity = capacity
        self.keys = np.zeros(capacity, np.int64)  # valid where rows is not EMPTY
        self.rows = np.full(capacity, EMPTY, np.int64)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.rows != EMPTY))

    @property
    def load(self) -> float:
        """The fraction of slots in use."""
        return len(self) / self.capacity

    def home(self, key: int) -> int:
        """The slot where a search for `key` begins."""
        bits = self.capacity.bit_length() - 1
        return (int(key) * MULTIPLIER % 2**64) >> (64 - bits)

    def trace(self, key: int) -> list[Probe]:
        """Every slot that a search for `key` looks at, in order: up to the key, an empty slot, or all of them."""
        probes = []
        for step in range(self.capacity):
            slot = (self.home(key) + step) % self.capacity
            occupant = None if self.rows[slot] == EMPTY else int(self.keys[slot])
            probes.append(Probe(slot, occupant))
            if occupant is None or occupant == key:
                break
        return probes

    def insert(self, key: int, row: int) -> int:
        """Store `row` under `key` and return it; if the key is already stored, return its row and change nothing.

        Raises ValueError for a negative row, OverflowError if every slot is taken.
        """
        if row < 0:
            raise ValueError(f"a row number must not be negative: {row}")
        slot, occupant = self.trace(key)[-1]
        if occupant == key:
            return int(self.rows[slot])
        if occupant is not None:
            raise OverflowError(f"all {self.capacity} slots are taken: use a larger table")
        self.keys[slot], self.rows[slot] = key, row
        return row

    def lookup(self, key: int) -> int:
        """The row stored under `key`, or -1."""
        slot, occupant = self.trace(key)[-1]
        return int(self.rows[slot]) if occupant == key else -1

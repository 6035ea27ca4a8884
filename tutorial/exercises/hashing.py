"""Exercises of chapter 5: a hash table by hand, searching it and building it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from checker import Case, check, check_numbers, explain_array, is_whole, shown


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (512, 256.5))


def check_probed(answer: Callable[[], tuple[int, ...]]) -> None:
    """Check the four numbers of exercise 1."""
    keys = np.array([3, 11, 4, 19, 12])
    rows = fill(keys, keys % 8, 8)

    def walk(key: int, rows: np.ndarray) -> tuple[int, int]:
        looks, slot = 1, key % 8
        while rows[slot] >= 0 and keys[rows[slot]] != key:
            looks, slot = looks + 1, (slot + 1) % 8
        return looks, slot

    emptied = rows.copy()
    emptied[walk(11, rows)[1]] = -1
    left = sum(emptied[walk(key, emptied)[1]] >= 0 for key in (3, 4, 19, 12))
    check_numbers(
        answer, (walk(12, rows)[1], walk(12, rows)[0], walk(27, rows)[0], left)
    )


def check_found(answer: Callable[..., int]) -> None:
    """Check a student's `found(slot_keys, slot_rows, home, key)`."""

    def expected(
        slot_keys: np.ndarray, slot_rows: np.ndarray, home: int, key: int
    ) -> int:
        for slot in [*range(home, len(slot_keys)), *range(home)]:
            if slot_rows[slot] < 0 or slot_keys[slot] == key:
                return int(slot_rows[slot])
        return -1

    check(answer, expected, searches(), explain_row)


def searches() -> Iterator[Case]:
    """Keys at home, further on, around the end; a full table; an emptied slot."""
    for keys, capacity in (
        ([5], 4),
        ([5, 9], 4),
        ([6, 2, 14], 8),
        ([7, 15, 23, 6, 14], 8),
        ([4, 8, 12, 16], 4),
        ([0, 1], 4),
    ):
        homes = np.array(keys) % capacity
        rows = fill(np.array(keys), homes, capacity)
        slot_keys = np.where(rows >= 0, np.array(keys)[rows], 0)
        for key in (*keys, 0, 22, 31):
            yield {
                "slot_keys": slot_keys,
                "slot_rows": rows,
                "home": key % capacity,
                "key": key,
            }
    emptied = np.array([-1, -1, -1, 0, -1, 2, 3, 4])  # slot 4 held key 11
    for key in (3, 4, 19, 12):
        yield {
            "slot_keys": np.array([0, 0, 0, 3, 0, 4, 19, 12]),
            "slot_rows": emptied,
            "home": 3 if key in (3, 19) else 4,
            "key": key,
        }


def check_built(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `built(keys, homes, capacity)`."""
    lists = [
        ([1], 2),
        ([1, 5], 4),
        ([3, 7, 11], 4),
        ([2, 2, 3], 4),
        ([6, 14, 6, 7, 22, 14], 8),
        ([4, 8, 12, 16], 4),
        ([5, 9, 5, 13, 17], 4),
    ]
    cases = [
        {
            "keys": np.array(keys),
            "homes": np.array(keys) % capacity,
            "capacity": capacity,
        }
        for keys, capacity in lists
    ]
    check(answer, fill, cases, explain_array)


def fill(keys: np.ndarray, homes: np.ndarray, capacity: int) -> np.ndarray:
    """Return the row of each slot after inserting the keys in order."""
    rows = np.full(capacity, -1)
    for row, home in enumerate(homes):
        for slot in [*range(home, capacity), *range(home)]:
            if rows[slot] < 0:
                rows[slot] = row
            if keys[rows[slot]] == keys[row]:
                break
    return rows


def explain_row(wanted: int, got: Any) -> str:
    """Say what is wrong with a row number; "" for the right one."""
    if not is_whole(got):
        return f"    should return a row number, not {shown(got)}"
    return "" if int(got) == wanted else f"    wanted row {wanted}, got {got}"

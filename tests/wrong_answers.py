"""What students get wrong: for each exercise, changes to its solution that its checker must notice."""

from __future__ import annotations

from typing import NamedTuple


class Exercise(NamedTuple):
    """An exercise of a notebook: the name of its function, and wrong answers, (right words, wrong words) by name."""

    notebook: str
    function: str
    wrong: dict[str, tuple[str, str]]


EXERCISES = [
    Exercise(
        "02_dense",
        "counted",
        {
            "no padding": ("10 + 2 - 2 - 1", "10 - 2 - 1"),
            "an output too many": ("// 2 + 1", "// 2 + 2"),
            "one axis": ("b = a**2", "b = a"),
            "one channel": ("9 * 4 * 8", "9 * 4"),
            "corner counted twice": ("15**2 - 14**2", "2 * 15"),
            "a list": ("return a, b, c, d", "return [a, b, c, d]"),
            "nothing": ("return a, b, c, d", "return None"),
        },
    ),
    Exercise(
        "02_dense",
        "shifted",
        {
            "an output too few": ("// stride + 1", "// stride"),
            "dilation forgotten": ("first = dilation * tap", "first = tap"),
            "x[u + t]": (": stride]", "]"),
            "taps from the end": ("@ weight[tap]", "@ weight[-1 - tap]"),
            "off by one tap": ("range(kernel)", "range(kernel - 1)"),
            "the last tap alone": ("y += block", "y = block"),
            "whole numbers only": ("np.zeros((outputs, weight.shape[2]))", "np.zeros((outputs, 1))"),
        },
    ),
    Exercise(
        "04_coordinates",
        "counted",
        {
            "one image": ("a = 2 * 6 * 10", "a = 6 * 10"),
            "last minus first": ("2 * 6 * 10", "2 * 5 * 9"),
            "low forgotten": ("(1 * 6 + 2) * 10 + 2", "(1 * 6 + 0) * 10 + 12"),
            "first place fastest": ("37 // 10 - 2", "37 % 6 - 2"),
            "digit for coordinate": ("37 % 10 + 10", "37 % 10"),
            "six bits": ("e = 7", "e = 6"),
        },
    ),
    Exercise(
        "04_coordinates",
        "right",
        {
            "over the end of the line": ("there & inside", "there"),
            "first of a line has no neighbour": ("wanted % extent != 0", "keys % extent != 0"),
            "off by one line": ("wanted % extent != 0", "wanted % (extent + 1) != 0"),
            "not looked whether it is there": ("there & inside", "inside"),
            "its key, not its row": ("place, -1)", "wanted, -1)"),
            "left": ("wanted = keys + 1", "wanted = keys - 1"),
            "0 for none": ("place, -1)", "place, 0)"),
        },
    ),
    Exercise(
        "04_coordinates",
        "merged",
        {
            "the last stays": ("sums[row_of[key]] += feature", "sums[row_of[key]] = feature"),
            "the batch forgotten": ("key = tuple(site)", "key = tuple(site[1:])"),
            "order of the axes forgotten": ("key = tuple(site)", "key = tuple(sorted(site))"),
            "sorted": (
                "return np.array(sites), np.array(sums)",
                "order = np.lexsort(np.array(sites).T[::-1])\n    return np.array(sites)[order], np.array(sums)[order]",
            ),
            "features alone": ("return np.array(sites), np.array(sums)", "return np.array(sums)"),
            "one channel": ("np.zeros(len(feature))", "np.zeros(1)"),
        },
    ),
    Exercise(
        "05_hashing",
        "probed",
        {
            "a slot too far": ("a = 7", "a = 8"),
            "steps, not looks": ("b = 4 ", "b = 3 "),
            "stops at the end of the array": ("c = 6 ", "c = 5 "),
            "every other key is found": ("d = 1 ", "d = 4 "),
        },
    ),
    Exercise(
        "05_hashing",
        "found",
        {
            "not around the end": ("(home + step) % len(slot_keys)", "min(home + step, len(slot_keys) - 1)"),
            "an error at the end": ("(home + step) % len(slot_keys)", "home + step"),
            "home alone": ("range(len(slot_keys))", "range(1)"),
            "last slot forgotten": ("range(len(slot_keys))", "range(len(slot_keys) - 1)"),
            "its slot, not its row": ("return slot_rows[slot]", "return slot"),
            "key 0 for empty": ("if slot_rows[slot] < 0", "if slot_keys[slot] == 0"),
            "yes or no": ("return slot_rows[slot]", "return True"),
        },
    ),
    Exercise(
        "05_hashing",
        "built",
        {
            "over the end": ("(slot + 1) % capacity", "slot + 1"),
            "the last row stays": ("        if rows[slot] < 0:\n    ", ""),
            "collisions overwrite": ("while rows[slot] >= 0 and keys[rows[slot]] != key", "while False"),
            "a key twice": (" and keys[rows[slot]] != key", ""),
            "keys for rows": ("rows[slot] = row", "rows[slot] = key"),
            "to the left": ("(slot + 1) %", "(slot - 1) %"),
        },
    ),
]

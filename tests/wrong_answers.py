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
]

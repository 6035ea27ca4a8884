"""Exercises of chapter 2: sizes of a convolution; a convolution as shifted products."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sscn_ref import dense_convolution

from checker import Case, check, check_numbers, explain_array


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (4, 5, 2))


def check_counted(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the four numbers of exercise 1."""
    outputs, products = 5, 0
    for u in range(outputs):
        for v in range(outputs):
            for tap in np.ndindex(3, 3):
                x, y = 2 * u + tap[0] - 1, 2 * v + tap[1] - 1
                products += not (0 <= x < 10 and 0 <= y < 10)
    check_numbers(answer, (outputs, outputs**2, outputs**2 * 9 * 4 * 8, products))


def check_shifted(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `shifted(f, weight, stride, dilation)`."""
    check(answer, expected, cases(), explain_array)


def expected(
    f: np.ndarray, weight: np.ndarray, stride: int, dilation: int
) -> np.ndarray:
    """The reference's result."""
    return dense_convolution(f[np.newaxis], weight, stride, 0, dilation)[0]


def cases() -> Iterator[Case]:
    """Cases of integers, starting with few positions and channels."""
    rng = np.random.default_rng(0)
    sizes = [
        (3, 1, 1, 1, 1, 1),
        (4, 2, 1, 1, 1, 1),
        (5, 3, 1, 2, 1, 1),
        (6, 2, 2, 3, 2, 1),
        (7, 3, 2, 1, 2, 1),
        (8, 3, 1, 2, 3, 1),
        (9, 3, 2, 2, 1, 2),
        (12, 3, 3, 2, 2, 3),
    ]
    for n, kernel, channels_in, channels_out, stride, dilation in sizes:
        yield {
            "f": rng.integers(-4, 5, (n, channels_in)),
            "weight": rng.integers(-4, 5, (kernel, channels_in, channels_out)),
            "stride": stride,
            "dilation": dilation,
        }

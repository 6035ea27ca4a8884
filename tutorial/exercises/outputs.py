"""Exercises of chapter 8: counting output sites, transposed outputs, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sscn_ref import strided_rulebook, transposed_rulebook

from checker import Case, check, check_numbers, explain_array, is_whole, shown
from exercises.dilation import Site, explain


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (22, 15, 12))


def check_counted(answer: Callable[[], tuple[int, ...]]) -> None:
    """Check the five numbers of exercise 1."""
    inputs = np.array([(0, 0), (0, 3), (0, 4), (0, 9)])
    tiling = strided_rulebook(inputs, 2, 2).output_coordinates
    overlapping = strided_rulebook(inputs, 3, 2, 1).output_coordinates
    rounded = len(np.unique(inputs[:, 1] // 2))
    spread = transposed_rulebook(tiling, 2, 2).output_coordinates
    wanted = len(tiling), len(overlapping), rounded, len(spread), len(inputs)
    check_numbers(answer, wanted)


def check_upsampled(answer: Callable[..., set[Site]]) -> None:
    """Check a student's `upsampled(coarse, kernel_size, stride, padding)`."""

    def expected(
        coarse: set[Site], kernel_size: int, stride: int, padding: int
    ) -> set[Site]:
        coordinates = np.array([(0, *site) for site in sorted(coarse)])
        book = transposed_rulebook(coordinates, kernel_size, stride, padding)
        return {(int(x), int(y)) for _, x, y in book.output_coordinates}

    windows = [
        (1, 1, 0),
        (1, 2, 0),
        (2, 2, 0),
        (3, 1, 1),
        (3, 2, 1),
        (2, 3, 0),
        (4, 3, 2),
    ]
    cases = [
        {"coarse": coarse, "kernel_size": k, "stride": s, "padding": p}
        for coarse in ({(0, 0)}, {(2, 1)}, {(3, 0), (0, -3)})
        for k, s, p in windows
    ]
    check(answer, expected, cases, explain)


def check_converted(answer: Callable[..., np.ndarray]) -> None:
    """Check a student's `converted(weight, kernel_size)`."""

    check(answer, reordered, weights(), explain_array)


def reordered(weight: np.ndarray, kernel_size: tuple[int, int, int]) -> np.ndarray:
    """The weight with its taps in this package's order, one by one."""
    k1, k2, k3 = kernel_size
    places = [
        a + k1 * (b + k2 * c) for a in range(k1) for b in range(k2) for c in range(k3)
    ]
    return weight[places]


def weights() -> Iterator[Case]:
    """Weights with distinguishable taps, cubic kernels first."""
    for kernel_size, channels in (
        ((1, 1, 1), (1, 1)),
        ((2, 2, 2), (1, 1)),
        ((3, 3, 3), (1, 1)),
        ((2, 2, 2), (2, 3)),
        ((1, 2, 3), (1, 2)),
        ((3, 1, 2), (2, 2)),
    ):
        shape = (int(np.prod(kernel_size)), *channels)
        numbers = np.arange(float(np.prod(shape))).reshape(shape)
        yield {"weight": numbers, "kernel_size": kernel_size}


def hasty_conversion(
    weight: np.ndarray, kernel_size: tuple[int, int, int]
) -> np.ndarray:
    """The weight [V, C_in, C_out] with its taps reordered, as in exercise 3."""
    cube = weight.reshape(*kernel_size, *weight.shape[1:])
    return cube.transpose(2, 1, 0, 3, 4).reshape(weight.shape)


def check_failing(answer: Callable[..., Any]) -> None:
    """Check a student's `failing(suspect)`: a kernel that is converted wrongly."""

    def explain(example: Any, got: Any) -> str:
        many = isinstance(got, (tuple, list, np.ndarray))
        size = tuple(got) if many else ()
        if len(size) != 3 or not all(is_whole(k) and 1 <= k <= 5 for k in size):
            return f"    should return three sizes from 1 to 5, not {shown(got)}"
        weight = np.arange(float(np.prod(size))).reshape(-1, 1, 1)
        if np.array_equal(hasty_conversion(weight, size), reordered(weight, size)):
            return f"    hasty_conversion is right for a kernel of {shown(size)}"
        return ""

    check(answer, lambda suspect: (1, 1, 1), [{"suspect": hasty_conversion}], explain)

"""Puzzles of chapter 12: kernels run by Triton's interpreter, checked and scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from meter import Meter, metered
from sscn_ref import submanifold_rulebook

from checker import Case, check, check_numbers, explain_array, named

BLOCK = 16
GONE = float("nan")  # the value of an output before a kernel writes it


def judge(
    kernel: Any,
    cases: list[Case],
    expected: Callable[..., np.ndarray],
    launch: Callable[..., None],
    least: Callable[..., int],
    faults: Callable[..., str] = lambda meter, h, **case: "",
) -> None:
    """Check a kernel case by case; if it is right, print its score in the last case.

    `launch(kernel, h, **case)` runs it on tensors and an output h of the expected
    shape; a case may contain its own h. `least(**case)` is the smallest possible number
    of loads and stores. `faults(meter, h, **case)` says what is wrong with the memory
    accesses of the kernel, or "".
    """
    moved: list[int] = []
    touched: list[str] = []

    def answer(**case: Any) -> np.ndarray:
        shape = expected(**case).shape
        given = {
            name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
            for name, value in case.items()
        }
        h = given.pop("h", torch.full(shape, GONE))
        tensors = [value for value in given.values() if isinstance(value, torch.Tensor)]
        with metered(*tensors, h) as meter:
            try:
                launch(kernel, h, **given)
            except Exception as error:  # the interpreter wraps exceptions of a kernel
                raise error.__cause__ or error from None
        moved.append(meter.loads + meter.stores)
        touched.append(overwritten(meter, given) or faults(meter, h, **given))
        return h.numpy()

    answer.__name__ = named(kernel)
    if not hasattr(kernel, "fn"):
        print(f"[wrong] {answer.__name__} is no kernel: is @triton.jit above it?")
        return
    complaints: list[str] = []

    def explain(wanted: np.ndarray, got: Any) -> str:
        complaints.append(touched[-1] or explain_array(wanted, got))
        return complaints[-1]

    check(answer, expected, cases, explain)
    if len(complaints) == len(cases) and not any(complaints):
        fewest = least(**cases[-1])
        hint = ": is a number loaded but not used, or stored and loaded again?"
        note = hint if moved[-1] > fewest else ""
        print(f"     score: {moved[-1]} numbers moved, at least {fewest}{note}")


def overwritten(meter: Meter, given: Case) -> str:
    """Say which input was written to; "" if none was."""
    for name, value in given.items():
        count = isinstance(value, torch.Tensor) and (meter.stored(value) > 0).sum()
        if count:
            return f"    the kernel overwrites {count} numbers of its input {name}"
    return ""


def programs(rows: int) -> tuple[int]:
    """A grid with one program per block of rows."""
    return (-(-rows // BLOCK),)


def numbers(*shape: int) -> np.ndarray:
    """Small integers as float32, always the same for the same shape."""
    rng = np.random.default_rng(sum(shape))
    return rng.integers(-5, 6, shape).astype(np.float32)


def some_rows(count: int, of: int) -> np.ndarray:
    """Row numbers, about a third of them -1."""
    rng = np.random.default_rng(count)
    return np.where(rng.random(count) < 0.35, -1, rng.integers(0, of, count))


def check_guessed(answer: Callable[[], tuple[float, ...]]) -> None:
    """Check the numbers that are predicted before they are computed."""
    check_numbers(answer, (2, 11))


def check_doubled(kernel: Any) -> None:
    """Puzzle 1: h = 2 f."""
    judge(
        kernel,
        [{"f": numbers(n)} for n in (16, 32, 5, 37)],
        lambda f: 2 * f,
        lambda k, h, f: k[programs(len(f))](f, h, len(f), BLOCK=BLOCK),
        lambda f: 2 * f.size,
    )


def check_gathered(kernel: Any) -> None:
    """Puzzle 2: h[j] = f[rows[j]], or zeros where rows[j] is -1."""

    def expected(f: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.where(rows[:, np.newaxis] >= 0, f[rows], 0)

    def launch(k: Any, h: torch.Tensor, f: torch.Tensor, rows: torch.Tensor) -> None:
        k[programs(len(rows))](f, rows, h, len(rows), C=f.shape[1], BLOCK=BLOCK)

    def least(f: np.ndarray, rows: np.ndarray) -> int:
        return rows.size + int((rows >= 0).sum() + rows.size) * f.shape[1]

    sizes = [(16, 4, 4), (16, 20, 2), (5, 3, 4), (40, 9, 8)]
    cases = [{"f": numbers(of, c), "rows": some_rows(n, of)} for n, of, c in sizes]
    judge(kernel, cases, expected, launch, least)


def check_summed(kernel: Any) -> None:
    """Puzzle 3: h[j] = sum of the channels of f[j]; any number of channels."""

    def launch(k: Any, h: torch.Tensor, f: torch.Tensor) -> None:
        width = 1 << (f.shape[1] - 1).bit_length()
        k[programs(len(f))](f, h, len(f), C=f.shape[1], WIDTH=width, BLOCK=BLOCK)

    judge(
        kernel,
        [{"f": numbers(n, c)} for n, c in ((16, 4), (7, 4), (16, 3), (37, 6))],
        lambda f: f.sum(axis=1),
        launch,
        lambda f: f.size + len(f),
    )


def check_scattered(kernel: Any) -> None:
    """Puzzle 4: h[rows_out[r]] += f[rows_in[r]], no output row twice."""

    def expected(
        f: np.ndarray, rows_in: np.ndarray, rows_out: np.ndarray, h: np.ndarray
    ) -> np.ndarray:
        h = h.copy()
        h[rows_out] += f[rows_in]
        return h

    def launch(
        k: Any,
        h: torch.Tensor,
        f: torch.Tensor,
        rows_in: torch.Tensor,
        rows_out: torch.Tensor,
    ) -> None:
        grid = programs(len(rows_in))
        k[grid](f, rows_in, rows_out, h, len(rows_in), C=f.shape[1], BLOCK=BLOCK)

    cases = []
    for rules, inputs, outputs, channels in (
        (16, 4, 16, 2),
        (5, 3, 9, 4),
        (37, 8, 50, 4),
    ):
        rng = np.random.default_rng(rules)
        cases.append(
            {
                "f": numbers(inputs, channels),
                "rows_in": rng.integers(0, inputs, rules),
                "rows_out": rng.permutation(outputs)[:rules],
                "h": numbers(outputs, channels),
            }
        )

    def least(f: np.ndarray, rows_in: np.ndarray, **others: np.ndarray) -> int:
        return len(rows_in) * (2 + 3 * f.shape[1])

    judge(kernel, cases, expected, launch, least)


def check_multiplied(kernel: Any) -> None:
    """Puzzle 5: h = f[rows] @ weight, zeros where rows[j] is -1; 16 channels."""

    def expected(f: np.ndarray, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return np.where(rows[:, np.newaxis] >= 0, f[rows], 0) @ weight

    def launch(
        k: Any,
        h: torch.Tensor,
        f: torch.Tensor,
        rows: torch.Tensor,
        weight: torch.Tensor,
    ) -> None:
        k[programs(len(rows))](f, rows, weight, h, len(rows), C=16, BLOCK=BLOCK)

    def least(f: np.ndarray, rows: np.ndarray, weight: np.ndarray) -> int:
        blocks = programs(len(rows))[0]
        gathered = int((rows >= 0).sum()) * 16
        return rows.size + gathered + blocks * weight.size + rows.size * 16

    cases = [
        {"f": numbers(of, 16), "rows": some_rows(n, of), "weight": numbers(16, 16)}
        for n, of in ((16, 5), (7, 30), (40, 12))
    ]
    judge(kernel, cases, expected, launch, least)


def check_convolved(kernel: Any) -> None:
    """Puzzle 6: a submanifold convolution with a neighbour table [V, N]."""

    def launch(
        k: Any,
        h: torch.Tensor,
        f: torch.Tensor,
        weight: torch.Tensor,
        table: torch.Tensor,
    ) -> None:
        taps, outputs = table.shape
        k[programs(outputs)](f, weight, table, h, outputs, V=taps, C=16, BLOCK=BLOCK)

    def expected(f: np.ndarray, weight: np.ndarray, table: np.ndarray) -> np.ndarray:
        gathered = np.where(table[..., np.newaxis] >= 0, f[table], 0)
        return (gathered @ weight).sum(axis=0)

    def least(f: np.ndarray, weight: np.ndarray, table: np.ndarray) -> int:
        rules, blocks = int((table >= 0).sum()), programs(len(f))[0]
        return table.size + rules * 16 + blocks * weight.size + f.size

    cases = []
    for points, edge in ((4, 2), (16, 5), (45, 8)):
        rng = np.random.default_rng(points)
        sites = np.unique(rng.integers(0, edge, (points, 2)), axis=0)
        book = submanifold_rulebook(np.insert(sites, 0, 0, axis=1), 3)
        table = np.full((9, len(sites)), -1)
        for tap, (rows_in, rows_out) in enumerate(book.rules):
            table[tap, rows_out] = rows_in
        f, weight = numbers(len(sites), 16), numbers(9, 16, 16)
        cases.append({"f": f, "weight": weight, "table": table})
    judge(kernel, cases, expected, launch, least)

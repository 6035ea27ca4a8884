"""Check an exercise against the reference, starting with the smallest case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

Case = Mapping[str, Any]

LARGE = 64
"""Larger arrays are not printed."""


def check(
    answer: Callable[..., Any],
    expected: Callable[..., Any],
    cases: Iterable[Case],
    explain: Callable[[Any, Any], str],
) -> None:
    """Print `[ok]`, `[todo]` if not yet written, or `[wrong]` with the failing case.

    Each case contains the keyword arguments of one call. `explain(wanted, got)` says
    what is wrong with a result, and returns "" for a right one. The answer and
    `expected` each get their own copies of a case's arrays.
    """
    name, count = answer.__name__, 0
    for case in cases:
        given = ", ".join(f"{key}={shown(value)}" for key, value in case.items())
        call = f"{name}({given})"
        try:
            got = answer(**copied(case))
        except NotImplementedError:
            print(f"[todo] {name} is not written yet")
            return
        except KeyboardInterrupt:
            print(f"[wrong] {call} was interrupted: does it come to an end?")
            return
        except Exception as error:  # a student's code may raise anything
            print(f"[wrong] {call} raised {type(error).__name__}: {error}")
            return
        complaint = explain(expected(**copied(case)), got)
        if complaint:
            print(f"[wrong] {call}\n{complaint}")
            return
        count += 1
    print(f"[ok] {name}: {count} case{'s' if count != 1 else ''}")


def shown(value: Any) -> str:
    """Show a value on one line: a function by name, a large array by type and shape."""
    if isinstance(value, np.ndarray) and value.size > LARGE:
        return f"<{value.dtype} {value.shape}>"
    return getattr(value, "__name__", " ".join(repr(value).split()))


def copied(case: Case) -> Case:
    """Return the case with copies of its arrays."""
    return {
        key: value.copy() if isinstance(value, np.ndarray) else value
        for key, value in case.items()
    }


def check_numbers(answer: Callable[[], Any], wanted: Sequence[float]) -> None:
    """Check the tuple of numbers that `answer()` returns."""
    check(answer, lambda: tuple(wanted), [{}], explain_numbers)


def explain_numbers(wanted: Sequence[float], got: Any) -> str:
    """Say which number of a tuple is too small or too large, but not the right one."""
    if not isinstance(got, tuple) or len(got) != len(wanted):
        return f"    should return {len(wanted)} numbers, not {got!r}"
    for place, (right, given) in enumerate(zip(wanted, got, strict=True), start=1):
        if isinstance(given, bool) or not isinstance(given, (int, float, np.number)):
            return f"    number {place} should be a number, not {given!r}"
        if not abs(given - right) <= 1e-6 * max(1, abs(right)):
            size = "small" if given < right else "large"
            return f"    number {place}, {given}, is too {size}"
    return ""


def explain_array(wanted: np.ndarray, got: Any) -> str:
    """Say where an array first differs from the right one by more than rounding."""
    if not isinstance(got, np.ndarray):
        return f"    should return an array, not a {type(got).__name__}"
    if got.shape != wanted.shape:
        return f"    wanted shape {wanted.shape}, got {got.shape}"
    if got.dtype.kind not in "biuf":
        return f"    should contain numbers, not {got.dtype}"
    scale = 1e-6 * max(1.0, float(np.abs(wanted).max(initial=0)))
    wrong = ~(np.abs(got - wanted.astype(np.float64)) <= scale)
    if not wrong.any():
        return ""
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (
        f"    at {list(place)} wanted {wanted[place]:.6g}, got {got[place]:.6g}; "
        f"{wrong.sum()} of {wrong.size} numbers differ"
    )

"""Check an exercise against the reference, starting with the smallest case."""

from __future__ import annotations

import copy
import inspect
import math
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from types import FrameType
from typing import Any

import numpy as np

Case = Mapping[str, Any]

LARGE = 64
"""Larger arrays are not printed."""

LONG = 1000
"""Longer texts are cut."""

STEPS = 1_000_000
"""Maximum number of lines of its code that an answer may run."""

LIBRARIES = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib"))


class Share(float):
    """A wanted number that is a share between 0 and 1, not a percentage."""


class Points(float):
    """A wanted number in percentage points: 1 for one hundredth."""


class TooLong(BaseException):
    """The answer has run for more lines than allowed; `except Exception` is no help."""


def check(
    answer: Callable[..., Any],
    expected: Callable[..., Any],
    cases: Iterable[Case],
    explain: Callable[[Any, Any], str],
    steps: int | None = STEPS,
) -> None:
    """Print `[ok]`, `[todo]` if not yet written, or `[wrong]` with the failing case.

    Each case contains the keyword arguments of one call. `explain(wanted, got)` says
    what is wrong with a result, and returns "" for a right one. All wanted results are
    computed before the answer runs, and every call gets its own deep copy of a case.
    The answer is stopped after `steps` lines of Python outside of libraries.
    """
    name = named(answer)
    right = [(case, expected(**copy.deepcopy(dict(case)))) for case in cases]
    for case, wanted in right:
        given = ", ".join(f"{key}={shown(value)}" for key, value in case.items())
        call = f"{name}({given})"
        try:
            with at_most(steps):
                got = answer(**copy.deepcopy(dict(case)))
        except NotImplementedError:
            print(f"[todo] {name} is not written yet")
            return
        except TooLong:
            print(f"[wrong] {call} ran {steps:,} lines: does it loop forever?")
            return
        except KeyboardInterrupt:
            print(f"[wrong] {call} was interrupted: does it loop forever?")
            return
        except BaseException as error:  # a student's code may raise anything
            print(f"[wrong] {call} raised {raised(error)}")
            return
        if inspect.isgenerator(got):
            complaint = "    should return its result: replace yield by return"
        else:
            complaint = explained(explain, wanted, got)
        if complaint:
            print(f"[wrong] {call}\n{complaint}")
            return
    print(f"[ok] {name}: {len(right)} case{'s' if len(right) != 1 else ''}")


@contextmanager
def at_most(steps: int | None) -> Iterator[None]:
    """Raise TooLong after this many lines that are not of a library; None: no limit."""
    left = steps or 0

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename.startswith(LIBRARIES):
            return None
        left -= 1
        if left < 0:
            raise TooLong
        return count

    before = sys.gettrace()
    if steps is not None:
        sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(before)


def explained(explain: Callable[[Any, Any], str], wanted: Any, got: Any) -> str:
    """Call `explain`; a result that it cannot read is a wrong one."""
    try:
        with at_most(STEPS):  # a generator may be endless
            return explain(wanted, got)
    except (Exception, TooLong) as error:
        return (
            f"    should return something like {shown(wanted)}, not {shown(got)}\n"
            f"    ({raised(error)})"
        )


def named(answer: Any) -> str:
    """The name of a function, also if it is decorated or partly applied."""
    inner = getattr(answer, "fn", getattr(answer, "func", answer))
    return str(getattr(inner, "__name__", type(inner).__name__))


def raised(error: BaseException) -> str:
    """The name of an error and its message, on one line."""
    name = type(error).__name__
    try:
        what = shown(error.args[0]) if isinstance(error, KeyError) else str(error)
    except Exception:  # a student's error may have any __str__
        return name
    return f"{name}: {short(what)}" if what else name


def shown(value: Any) -> str:
    """Show a value on one line: a function by name, a large array by type and shape.

    Numbers of NumPy look like those of Python, also in lists, tuples, sets and dicts.
    """
    if isinstance(value, np.ndarray) and value.size > LARGE:
        return f"<{value.dtype} {value.shape}>"
    try:
        return short(plain(value))
    except Exception:  # a student's class may have any __repr__
        return f"<{type(value).__name__}>"


def short(text: str) -> str:
    """A text on one line, cut if it is long."""
    text = " ".join(text.split())
    return text if len(text) <= LONG else f"{text[:LONG]} ..."


def plain(value: Any) -> str:
    """Like `repr`, but a NumPy number is 1, not np.int64(1), a function its name."""
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    if isinstance(value, (np.str_, np.bytes_)):
        return repr(value.item())
    if isinstance(value, np.generic):
        return str(value)
    if type(value) is dict:
        return f"{{{', '.join(f'{plain(k)}: {plain(v)}' for k, v in value.items())}}}"
    if type(value) in (list, tuple, set, frozenset) and value:
        items = ", ".join(map(plain, value))
        if type(value) is tuple:
            return f"({items},)" if len(value) == 1 else f"({items})"
        if type(value) is list:
            return f"[{items}]"
        return f"{{{items}}}" if type(value) is set else f"frozenset({{{items}}})"
    return repr(value)


def check_numbers(answer: Callable[[], Any], wanted: Sequence[float]) -> None:
    """Check the numbers that `answer()` returns, reckoned by hand: to three digits.

    Among the wanted numbers, True and False ask for truth values (1 and 0 are taken,
    too), and `Share` and `Points` say what 0.5 means.
    """
    check(answer, lambda: tuple(wanted), [{}], explain_by_hand)


def is_number(value: Any) -> bool:
    """Whether a value is a real number of Python or NumPy, and not a truth value."""
    return isinstance(value, Real) and not is_truth(value)


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy, and not a truth value."""
    return isinstance(value, Integral) and not is_truth(value)


def is_finite(value: Any) -> bool:
    """Whether a number fits in a float, and is neither infinite nor NaN."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_truth(value: Any) -> bool:
    """Whether a value is True or False, of Python or NumPy."""
    return isinstance(value, (bool, np.bool_))


def explain_by_hand(wanted: Sequence[float], got: Any) -> str:
    """Compare by 0.5 %, and whole numbers exactly."""
    return explain_numbers(wanted, got, by_hand=True)


def explain_numbers(wanted: Sequence[float], got: Any, by_hand: bool = False) -> str:
    """Say which of some numbers is too small or too large, but not the right one."""
    if isinstance(got, np.ndarray) and got.ndim == 1:
        got = got.tolist()
    if not isinstance(got, (tuple, list)) or len(got) != len(wanted):
        return f"    should return {len(wanted)} numbers, not {shown(got)}"
    for place, (right, given) in enumerate(zip(wanted, got, strict=True), start=1):
        if isinstance(given, np.ndarray) and given.ndim == 0:
            given = given[()]
        if is_truth(right):
            if not (is_truth(given) or is_number(given)) or given not in (0, 1):
                return f"    number {place} should be True or False, not {shown(given)}"
            if given != right:
                return f"    number {place} should not be {bool(given)}"
            continue
        if not is_number(given) or not is_finite(given):
            return f"    number {place} should be a number, not {shown(given)}"
        off, whole = abs(float(given) - float(right)), float(right).is_integer()
        if not off <= (tolerance(right) if by_hand and not whole else exact(right)):
            size = "small" if given < right else "large"
            note = in_other_unit(right, float(given))
            if note:
                pass
            elif by_hand and off <= tolerance(right):
                note = " by less than half a percent: it is a whole number, so be exact"
            elif by_hand and not whole and off <= 10 * tolerance(right):
                note = " by less than five percent: give three digits"
            return f"    number {place}, {shown(given)}, is too {size}{note}"
    return ""


def in_other_unit(right: float, given: float) -> str:
    """Say that a share is wanted, or percentage points, if the other was given."""
    percent = abs(given - 100 * right) <= 100 * tolerance(right)
    if isinstance(right, Share) and given < 0:
        return ": give a share between 0 and 1"
    if isinstance(right, Share) and (given > 1 or (percent and given)):
        return ": give a share between 0 and 1, not a percentage"
    if isinstance(right, Points) and abs(100 * given - right) <= tolerance(right):
        return ": give percentage points, 1 for one hundredth"
    return ""


def exact(right: float) -> float:
    """The error of a computed number that passes as rounding."""
    return 1e-6 * max(1, abs(float(right)))


def tolerance(right: float) -> float:
    """The error of a number given to three digits; near 1, of its distance from 1."""
    size = abs(float(right))
    return 0.05 * (1 - size) if 0.9 < size < 1 else 0.005 * size


def explain_array(wanted: np.ndarray, got: Any) -> str:
    """Say where an array or a list first differs by more than rounding."""
    if not isinstance(got, (list, tuple, np.ndarray)):
        return f"    should return an array, not a {type(got).__name__}"
    got = np.asarray(got)  # raises for rows of different lengths; drops a mask
    if got.size == wanted.size == 0 and got.ndim < wanted.ndim:
        got = got.reshape(wanted.shape)  # an empty list has no second axis
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

"""How an exercise checks itself: against the reference, smallest case first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Case = Mapping[str, Any]


def check(
    answer: Callable[..., Any],
    expected: Callable[..., Any],
    cases: Iterable[Case],
    explain: Callable[[Any, Any], str],
) -> None:
    """Print `[ok]`, `[todo]` if not yet written, or `[wrong]` with the failing case.

    Each case holds the keyword arguments of one call; `explain(wanted, got)` says what
    is wrong with a result, and returns "" for a right one.
    """
    name, count = answer.__name__, 0
    for case in cases:
        call = f"{name}({', '.join(f'{key}={value!r}' for key, value in case.items())})"
        try:
            got = answer(**case)
        except NotImplementedError:
            print(f"[todo] {name} is not written yet")
            return
        except Exception as error:  # whatever a student's code may raise
            print(f"[wrong] {call} raised {type(error).__name__}: {error}")
            return
        complaint = explain(expected(**case), got)
        if complaint:
            print(f"[wrong] {call}\n{complaint}")
            return
        count += 1
    print(f"[ok] {name}: {count} cases")

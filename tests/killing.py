"""Functions in the middle of which a process dies, as by a batch system that is out of patience."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


def deadly(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function, which at its `count`-th call ends the process by SIGKILL instead."""
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return counted

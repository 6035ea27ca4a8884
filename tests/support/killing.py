"""Kill a process in the middle of a function, like a batch system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def deadly(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function, whose `count`-th call ends the process by SIGKILL."""
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return counted


def run_counted(pipe: Any, folder: str, words: list[str], moment: int | None) -> None:
    """`sscn WORDS` in a folder, ended by SIGKILL at its `moment`-th call of a Python or C function; sends the number of
    calls and the exit code."""
    from sscn_triton import cli

    os.chdir(folder)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    code: Any = None
    sys.setprofile(count)
    try:
        cli.main(words)
    except SystemExit as end:
        code = end.code
    finally:
        sys.setprofile(None)
    pipe.send((calls, code))


def sscn_until(context: Any, folder: Path, words: list[str], moment: int | None = None) -> tuple[int, int | None]:
    """The number of calls that `sscn WORDS` made, and its exit code; (0, None) if it was killed at its `moment`-th
    call. Forked processes continue the count, and each of them ends at its own `moment`-th call."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run_counted, args=(there, str(folder), words, moment))
    process.start()
    there.close()
    try:
        calls, code = here.recv()
    except EOFError:
        calls, code = 0, None
    process.join()
    assert process.exitcode == (0 if calls else -signal.SIGKILL)
    return calls, code

"""Run a Python program in a separate process that answers questions one by one.

Use it for programs that must not import this library or may crash. `common.processes` and `concurrent.futures` run
functions of this library in other processes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


class Child:
    """Starts `python -c program arguments`, which reads pickled questions on its standard input and writes pickled
    answers to its standard output.

    environment: variables in addition to this process's.
    quiet: discard its stderr.
    """

    def __init__(
        self, program: str, *arguments: str, environment: Mapping[str, str] | None = None, quiet: bool = False
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env={**os.environ, **(environment or {})},
        )

    def ask(self, question: Any) -> Any:
        """The answer; raises EOFError if the process ended without one."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, perhaps after a last answer
            pickle.dump(question, self.process.stdin)
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """The next answer; raises EOFError if the process ended without one."""
        assert self.process.stdout is not None
        return pickle.load(self.process.stdout)

    def kill(self) -> None:
        self.process.kill()

    def end(self) -> None:
        """Kill the process and wait until it has gone."""
        self.process.kill()
        for end in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                end.close()  # type: ignore[union-attr]
        self.process.wait()

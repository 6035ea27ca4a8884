"""Progress of long work, on stderr: a bar on a terminal, otherwise a line from time to time."""

from __future__ import annotations

import sys
import time

_LINE_EVERY = 20.0  # seconds


class Progress:
    """Shows the progress of a task. `total` is in any unit, seconds or steps; use it as a context manager."""

    def __init__(self, what: str, total: float) -> None:
        self.what, self.total, self.done = what, total, 0.0
        self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm  # type: ignore[import-untyped]

            form = "{desc:<28} {percentage:3.0f}% |{bar:24}| {elapsed}{postfix}"
            self._bar = tqdm(total=total, desc=what, bar_format=form, leave=True, file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def to(self, done: float, remark: str = "") -> None:
        """Report that `done` of the total is finished, with a remark of a few words."""
        done = min(done, self.total)
        if self._bar is not None:
            self._bar.set_postfix_str(remark, refresh=False)
            self._bar.update(done - self.done)
        elif time.monotonic() - self._printed >= _LINE_EVERY or (done == self.total and done > self.done):
            self._printed = time.monotonic()
            percent = 100 * done / self.total if self.total else 100
            print(f"{self.what}: {percent:.0f} %  {remark}".rstrip(), file=sys.stderr, flush=True)
        self.done = done

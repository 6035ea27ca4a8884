"""How a study can end before its report. Bad input raises ValueError or OSError, before any work."""

from __future__ import annotations


class RunError(RuntimeError):
    """The work failed; the message says which part, why, and what was kept."""


class Interrupted(Exception):
    """Ctrl-C; the message says what was kept."""

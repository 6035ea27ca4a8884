"""How work can end early, and helpers for the messages. Bad input raises ValueError or OSError, before any work."""

from __future__ import annotations

import textwrap


class RunError(RuntimeError):
    """The work failed; the message says which part, why, and what was kept."""


class Interrupted(Exception):
    """Ctrl-C; the message says what was kept."""


def shortened(text: str, width: int = 80) -> str:
    """The text in one line of at most `width` characters; a longer text is cut between words and ends in an ellipsis.

    A first word that is too long is cut inside.
    """
    short = textwrap.shorten(text, width, placeholder=" …")
    return short if short.strip() != "…" or text.split() == ["…"] else f"{text.split()[0][: width - 1]}…"


def first_line(error: BaseException, width: int | None = None) -> str:
    """Type and first line of an exception of another library, in one line; `width` limits its text."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__}: {lines[0].strip() if width is None else shortened(lines[0], width)}"

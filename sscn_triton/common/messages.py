"""What messages have in common."""

from __future__ import annotations

import textwrap


def shortened(text: str, width: int = 80) -> str:
    """The text in one line of at most `width` characters: cut between words, and ended by an ellipsis, if it is longer.

    A first word that is longer is cut inside.
    """
    short = textwrap.shorten(text, width, placeholder=" …")
    return short if short.strip() != "…" or text.split() == ["…"] else f"{text.split()[0][: width - 1]}…"


def first_line(error: BaseException, width: int | None = None) -> str:
    """What an exception of another library is and says, in one line; the latter in `width` characters, if given."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return f"{type(error).__name__}: {lines[0].strip() if width is None else shortened(lines[0], width)}"

"""Format Markdown tables for the pages."""

from __future__ import annotations

import re

from sscn_triton.common.table import Table

MOST = 8
"""Largest number of columns that fits in the font size of other tables."""


def shown(table: Table) -> str:
    """Return the table, in smaller print if it has many columns. Keep a number and its unit on one line."""
    text = re.sub(r"(?<=\d) (?=[\w%])", "\N{NO-BREAK SPACE}", table.markdown())
    return f":::{{container}} wide\n\n{text}\n\n:::" if len(table.header) > MOST else text

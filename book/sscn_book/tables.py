"""Format Markdown tables for the pages."""

from __future__ import annotations

MOST = 8
"""Largest number of columns that fits in the font size of other tables."""


def fitted(table: str) -> str:
    """Return the table, in smaller print if it has many columns."""
    columns = table.partition("\n")[0].count("|") - 1
    return f":::{{container}} wide\n\n{table}\n\n:::" if columns > MOST else table

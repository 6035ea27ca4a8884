"""Markdown tables as the pages take them."""

from __future__ import annotations

MOST = 8
"""Columns that fit beside each other in the print of other tables."""


def fitted(table: str) -> str:
    """The table, in smaller print if it has many columns."""
    columns = table.partition("\n")[0].count("|") - 1
    return f":::{{container}} wide\n\n{table}\n\n:::" if columns > MOST else table

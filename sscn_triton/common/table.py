"""A table for a terminal, for Markdown and for an HTML page."""

from __future__ import annotations

from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup

_HTML = Environment(autoescape=True).from_string(
    '<div class="scroll"><table><thead><tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr></thead><tbody>'
    '{% for row in rows %}<tr{% if row[0].startswith("2018") %} class="published"{% endif %}>'
    "{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>"
)

Rows = list[list[str]]


class Table(NamedTuple):
    """Column names, and rows with one cell per column."""

    header: list[str]
    rows: Rows

    def text(self) -> str:
        """The table as text: the first column aligned left, the others right."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = []
        for first, *others in [self.header, ["-" * width for width in widths], *self.rows]:
            cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def html(self) -> Markup:
        """Rows whose first cell begins with 2018 are marked as published: they were not measured here."""
        return Markup(_HTML.render(header=self.header, rows=self.rows))

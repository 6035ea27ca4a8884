"""What the report's page is made of: tables, figures with their numbers beside them, and the page around them."""

from __future__ import annotations

import base64
import html as markup
from pathlib import Path

Rows = list[list[str]]
Table = tuple[list[str], Rows]
"""Header and rows."""


def text_table(header: list[str], rows: Rows) -> str:
    """Columns aligned, the first to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return "\n".join(lines)


def html_table(header: list[str], rows: Rows) -> str:
    """Rows whose first cell begins with 2018 are greyed: they were not measured here."""
    head = "".join(f"<th>{markup.escape(cell)}</th>" for cell in header)
    lines = []
    for row in rows:
        look = ' class="published"' if row[0].startswith("2018") else ""
        lines.append(f"<tr{look}>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def figure(folder: Path, name: str, caption: str, header: list[str], rows: Rows) -> str:
    """A PNG of the folder, put into the page, with its caption and its numbers."""
    picture = data_uri((folder / name).read_bytes(), "image/png")
    return (
        f'<figure><img src="{picture}" alt="{markup.escape(caption)}"><figcaption>{markup.escape(caption)}</figcaption>'
        f"<details><summary>The numbers</summary>{html_table(header, rows)}</details></figure>"
    )


def heading(text: str) -> str:
    return f"<h2>{markup.escape(text)}</h2>"


def paragraph(text: str, look: str = "") -> str:
    """look: lead or small."""
    attribute = f' class="{look}"' if look else ""
    return f"<p{attribute}>{markup.escape(text)}</p>"


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page(title: str, parts: list[str]) -> str:
    return PAGE.replace("{title}", markup.escape(title)).replace("{body}", "\n".join(parts))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1d2733; background: #fff;
  max-width: 1160px; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
.lead { font-size: 1.08rem; margin: .4rem 0; } .small, figcaption, details { font-size: .86rem; color: #55606c; }
.scroll { overflow-x: auto; margin: 1.2rem 0 .4rem; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; width: 100%; }
th { text-align: right; font-weight: 600; border-bottom: 2px solid #1d2733; padding: .35rem .5rem;
  vertical-align: bottom; }
td { text-align: right; border-bottom: 1px solid #e3e7eb; padding: .35rem .5rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.published td { color: #7a838c; background: #f7f8f9; }
figure { margin: 2.2rem 0; break-inside: avoid; } figure img { width: 100%; height: auto; display: block; }
figcaption { margin-top: .3rem; } summary { cursor: pointer; margin-top: .3rem; } a { color: #0b6e99; }
li { margin: .45rem 0; }
</style></head><body>
{body}
</body></html>
"""

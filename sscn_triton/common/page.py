"""Parts of the report's page: tables, figures with their numbers, and the page around them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from sscn_triton.common.table import Table


def figure(folder: Path, name: str, caption: str, table: Table) -> Markup:
    """Embed a PNG of the folder, with its caption and its numbers."""
    return picture((folder / name).read_bytes(), caption, table)


def picture(png: bytes, caption: str, table: Table, most: int = 100) -> Markup:
    """Embed a PNG, with its caption and its numbers. most: its largest width in rem, the size of the page's text."""
    return Markup(
        '<figure><img src="{picture}" alt="{caption}" style="max-width: {most}rem"><figcaption>{caption}</figcaption>'
        "<details><summary>The numbers</summary>{table}</details></figure>"
    ).format(picture=data_uri(png, "image/png"), caption=caption, table=table.html(), most=most)


def heading(text: str) -> Markup:
    return Markup("<h2>{}</h2>").format(text)


def paragraph(text: str, look: str = "") -> Markup:
    """look: lead or small."""
    return Markup('<p class="{}">{}</p>' if look else "<p>{1}</p>").format(look, text)


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page(title: str, parts: list[Markup]) -> str:
    return template(PAGE).render(title=title, parts=parts)


def bars(heights: np.ndarray, width: float, height: float) -> Markup:
    """Rectangles of an SVG drawing, one per height, the largest as high as the drawing."""
    step, most = width / len(heights), max(int(heights.max()), 1)
    drawn = [
        f'<rect x="{place * step:.1f}" y="{height * (1 - n / most):.1f}" width="{step - 1:.1f}" '
        f'height="{height * n / most:.1f}"/>'
        for place, n in enumerate(heights.tolist())
    ]
    return Markup("".join(drawn))


def template(source: str) -> Template:
    """A page by Jinja, which escapes what it is given unless that is `Markup`."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(source)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><style>
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
{{ parts | join("\\n") }}
</body></html>
"""

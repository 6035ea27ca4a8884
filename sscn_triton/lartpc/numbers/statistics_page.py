"""Compare two lists of events in numbers: a page that opens offline."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from sscn_triton.common.page import bars, template
from sscn_triton.lartpc.event import Event
from sscn_triton.lartpc.files.opening import open_events
from sscn_triton.lartpc.numbers.statistics import statistics
from sscn_triton.lartpc.simulation.simulate import simulate

_COLORS = ("#0072B2", "#D55E00")
_DRAWN = ("voxels", "energy", "median_voxel", "neighbours", "halving_1", "halving_3", "growth_1", "track_voxels")
_WORDS = {
    "voxels": ("active voxels", ",.0f"),
    "occupancy": ("active share of all voxels", ".3%"),
    "energy": ("energy in the image (MeV)", ",.0f"),
    "minimum_voxel": ("minimum energy of a voxel (MeV)", ".4f"),
    "median_voxel": ("median energy of a voxel (MeV)", ".4f"),
    "neighbours": ("active voxels in a block of width 3 around a voxel", ".1f"),
    "halving": ("sites left after halving {}, relative to before", ".3f"),
    "growth": ("growth after ordinary convolution {} of kernel 3", ".1f"),
    "share": ("{}, share of voxels", ".1%"),
    "track_voxels": ("tracks, voxels per voxel of length", ".2f"),
    "track_rms": ("tracks, thickness (voxels, rms)", ".2f"),
    "dedx": ("{}s, energy per length (MeV/cm)", ".2f"),
}
"""Descriptions of the rows of `statistics`, and their number formats; {} is replaced by the rest of the row's name."""
_WIDE, _HIGH, _BINS = 360, 130, 24


def statistics_page(lists: Mapping[str, Sequence[Event]]) -> str:
    """The rows of `statistics` of two named lists of events: mean, median, minimum and maximum of each, and histograms
    of the first list with a tick at every event of the second.

    Raises ValueError unless there are two lists, and if one is empty.
    """
    if len(lists) != 2:
        raise ValueError(f"a page compares two lists of events, got {len(lists)}")
    found = [statistics(events) for events in lists.values()]
    pictures = [_histogram(row, found[0][row], found[1][row]) for row in _DRAWN]
    rows = [[_named(row)[0], *(cell for one in found for cell in _cells(one[row], _named(row)[1]))] for row in found[0]]
    counts = {name: len(events) for name, events in lists.items()}
    return template(_PAGE).render(counts=counts, names=list(lists), rows=rows, pictures=pictures, colors=_COLORS)


def compare_with_simulated(
    path: str | os.PathLike[str],
    seed: int,
    events: int,
    size: int,
    progress: Callable[[int], None],
    reading: Mapping[str, Any],
) -> str:
    """`statistics_page` of events 0, 1, 2, ... of a seed and of those of a file, opened by `open_events` with the
    options `reading`. progress: called with the number of simulated events."""
    with open_events(path, **reading) as file:
        others = list(file)
    if not others:
        raise ValueError(f"{path}: no events to compare with")
    made = []
    for index in range(events):
        made.append(simulate(seed, index, size))
        progress(len(made))
    return statistics_page({"simulated": made, Path(path).name: others})


def _named(row: str) -> tuple[str, str]:
    """The description of a row and its number format."""
    if row in _WORDS:
        return _WORDS[row]
    kind, _, which = row.partition("_")
    words, form = _WORDS[kind]
    return words.format(which), form


def _cells(values: np.ndarray, form: str) -> list[str]:
    """Mean, median, least and largest."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ["-"] * 4
    return [f"{value:{form}}" for value in (values.mean(), np.median(values), values.min(), values.max())]


def _histogram(row: str, many: np.ndarray, few: np.ndarray) -> Markup:
    """Bars of the central 98 % of one list, and lines at the events of the other."""
    name, form = _named(row)
    many, few = many[np.isfinite(many)], few[np.isfinite(few)]
    if not len(many):
        return Markup()
    inside = np.append(few, np.quantile(many, [0.01, 0.99]))
    low, high = float(inside.min()), float(inside.max())
    high = high if high > low else low + 1.0
    drawn = bars(np.histogram(many, _BINS, (low, high))[0], _WIDE, _HIGH)
    places = (few - low) / (high - low) * _WIDE
    lines = "".join(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HIGH}"/>' for x in places)
    below = f'y="{_HIGH + 16}"'
    ends = f'<text x="0" {below}>{low:{form}}</text><text class="end" x="{_WIDE}" {below}>{high:{form}}</text>'
    box = f'viewBox="-4 -4 {_WIDE + 8} {_HIGH + 24}" role="img" aria-label="{name}"'
    return Markup(f"<figure><figcaption>{name}</figcaption><svg {box}>{drawn}{lines}{ends}</svg></figure>")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Events: {{ names | join(" compared with ") }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #303030; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
td, th { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #ddd; text-align: right; font-weight: normal; }
td:first-child { text-align: left; }
td:nth-child(6) { padding-left: 2rem; }
th { color: #707070; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1.5rem; }
figure { margin: 0; }
figcaption { color: #707070; }
rect { fill: {{ colors[0] }}; }
line { stroke: {{ colors[1] }}; stroke-width: 2; }
text { font-size: 12px; fill: #707070; }
.end { text-anchor: end; }
b { font-weight: 600; }
</style>
<h1>Events: {{ names | join(" compared with ") }}</h1>
<div class="scroll"><table><tr><th></th>
{%- for name, count in counts.items() %}<th colspan="4">{{ name }}, {{ count }} events</th>{% endfor -%}
</tr><tr><th></th>
{%- for name in ("mean", "median", "minimum", "maximum") * 2 %}<th>{{ name }}</th>{% endfor -%}
</tr>
{%- for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor -%}
</table></div>
<h2>Distributions over events</h2>
<p>Bars: <b style="color:{{ colors[0] }}">{{ names[0] }}</b>, the central 98 %.
Lines: <b style="color:{{ colors[1] }}">{{ names[1] }}</b>.</p>
<div class="pictures">{{ pictures | join }}</div>
</html>
"""

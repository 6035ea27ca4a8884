"""Summarise the content of an event file in one pass: as text, and as a small page that opens offline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import indent

import numpy as np
from markupsafe import Markup

from sscn_triton.common.page import bars, template
from sscn_triton.common.table import Rows, Table
from sscn_triton.lartpc.event import CLASS_NAMES, UNKNOWN_COLOR, Event
from sscn_triton.lartpc.numbering import NUMBERS, as_named, can_express, names_in_words
from sscn_triton.lartpc.pictures.panels import label_color

_EDGES = np.arange(-3.0, 2.01, 0.1)  # log10 of a voxel's energy in MeV
_WIDE, _HIGH = 560, 180
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Inspection:
    """Numbers of a file. rows: name and value, as text; classes: name, mean share of an event's voxels (unknown ones
    included), voxels, energy in MeV; histogram: voxels by the logarithm of their energy, between edges 0.1 apart."""

    title: str
    rows: list[tuple[str, str]]
    classes: list[tuple[str, float, int, float]]
    histogram: np.ndarray

    def text(self) -> str:
        """The summary for a terminal."""
        width = max(len(name) for name, _ in self.rows)
        lines = [self.title, *(f"  {name:<{width}}  {value}" for name, value in self.rows), ""]
        lines.append(indent(Table(["class", "mean share", "voxels", "energy [MeV]"], self._class_rows()).text(), "  "))
        return "\n".join(lines)

    def _class_rows(self) -> Rows:
        return [
            [name, f"{100 * share:.2f} %", f"{voxels:,d}", f"{energy:,.1f}"]
            for name, share, voxels, energy in self.classes
        ]

    def page(self) -> str:
        """The summary as a self-contained HTML page."""
        colors = [_color(name, number) for number, (name, *_) in enumerate(self.classes)]
        classes = zip(colors, self._class_rows(), strict=True)
        return template(_PAGE).render(
            title=self.title, rows=self.rows, classes=classes, histogram=_drawn(self.histogram)
        )


def inspect_events(
    events: Sequence[Event], title: str, progress: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Read every event once. Raises ValueError if there are no events, or labels of different meanings."""
    if not len(events):
        raise ValueError(f"{title}: no events")
    names = (*events[0].label_names, _UNKNOWN)
    numbers, shares, particles = [], [], []
    voxels, energies = np.zeros(len(names), np.int64), np.zeros(len(names))
    histogram = np.zeros(len(_EDGES) - 1, np.int64)
    shapes: set[tuple[int, ...]] = set()
    accuracy = _Accuracy()
    for number, event in enumerate(events):
        accuracy.add(event)
        if event.label_names != names[:-1]:
            raise ValueError(
                f"{title}: labels of {event.name} are {names_in_words(event.label_names)}, but those of the first "
                "event "
                f"are {names_in_words(names[:-1])}: inspect the files one by one"
            )
        classes = event.labels.astype(np.int64) % len(names)  # unknown ones become the last
        counts = np.bincount(classes, minlength=len(names))
        voxels += counts
        energies += np.bincount(classes, event.energy, len(names))
        if len(event):
            shares.append(counts / len(event))
            inside = np.clip(np.log10(np.maximum(event.energy, 1e-9)), _EDGES[0], _EDGES[-1])
            histogram += np.histogram(inside, _EDGES)[0]
        total = float(event.energy.sum(dtype=np.float64))
        middle = float(np.median(event.energy)) if len(event) else np.nan
        least = float(event.energy.min()) if len(event) else np.nan
        numbers.append((len(event), len(event) / math.prod(event.spatial_shape), total, middle, least))
        particles.append(len(event.particles))
        shapes.add((*event.spatial_shape, event.voxel_size))  # type: ignore[arg-type]
        progress(number + 1)
    columns = np.array(numbers).T
    mean = np.mean(shares, axis=0) if shares else np.zeros(len(names))
    table = list(zip(names, mean.tolist(), voxels.tolist(), energies.tolist(), strict=True))
    rows = _rows(columns, particles, shapes)
    if names[:-1] != CLASS_NAMES:
        rows.append(("labels", names_in_words(names[:-1])))
    if names[:-1] == NUMBERS:  # only those that occur
        table = [row for row in table if row[2] or row[0] == _UNKNOWN]
    return Inspection(title, rows + accuracy.rows(), table, histogram)


def _color(name: str, number: int) -> str:
    return UNKNOWN_COLOR if name == _UNKNOWN else label_color(name, number)


def _rows(columns: np.ndarray, particles: list[int], shapes: set[tuple[int, ...]]) -> list[tuple[str, str]]:
    count, occupancy, energy, middle, least = columns
    images = sorted(f"{' x '.join(str(n) for n in shape)} voxels of {size:g} mm" for *shape, size in shapes)
    more = f" and {len(images) - 3} others" if len(images) > 3 else ""
    return [
        ("events", f"{len(count):,d}"),
        ("images", ", ".join(images[:3]) + more),
        ("voxels", f"{int(count.sum()):,d}"),
        ("voxels per event", _spread(count, "{:,.0f}")),
        ("occupancy [%]", _spread(100 * occupancy, "{:.4f}") + f", mean {100 * occupancy.mean():.4f}"),
        ("energy per event [MeV]", _spread(energy, "{:,.1f}")),
        ("median voxel energy [MeV]", _spread(middle, "{:.4f}")),
        ("minimum voxel energy [MeV]", _spread(least, "{:.4f}")),
        ("particles per event", _spread(np.array(particles), "{:,.0f}")),
    ]


class _Accuracy:
    """How many of a network's predictions are right."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.accuracies: list[float] = []
        self.right = self.known = np.zeros(0, np.int64)

    def add(self, event: Event) -> None:
        if event.prediction is None:
            return
        self.names = event.prediction.names
        if not can_express(self.names, event.label_names):
            return
        truth = as_named(event.labels, self.names, event.label_names)
        hit = event.prediction.labels == truth
        if (truth >= 0).any():
            self.accuracies.append(float(hit[truth >= 0].mean()))
        wide = len(self.names)
        if not len(self.known):
            self.right = self.known = np.zeros(wide, np.int64)
        self.right = self.right + np.bincount(truth[hit & (truth >= 0)], minlength=wide)
        self.known = self.known + np.bincount(truth[truth >= 0], minlength=wide)

    def rows(self) -> list[tuple[str, str]]:
        """The mean over events of the share of right voxels, and the share of right voxels of each class."""
        if not self.accuracies:
            return []
        shares = [
            f"{name} {100 * right / known:.1f}" if known else f"{name} none"
            for name, right, known in zip(self.names, self.right.tolist(), self.known.tolist(), strict=True)
        ]
        mean = sum(self.accuracies) / len(self.accuracies)
        return [("nonzero accuracy [%]", f"{100 * mean:.2f}"), ("class accuracy [%]", ", ".join(shares))]


def _spread(values: np.ndarray, form: str) -> str:
    values = values[np.isfinite(values)]
    if not len(values):
        return "none"
    low, middle, high = (form.format(value) for value in (values.min(), np.median(values), values.max()))
    return f"median {middle}, from {low} to {high}"


def _drawn(histogram: np.ndarray) -> Markup:
    """Bars, with a tick at every power of ten."""
    powers = np.arange(int(_EDGES[0]), int(_EDGES[-1]) + 1)
    places = _WIDE * (powers - _EDGES[0]) / (_EDGES[-1] - _EDGES[0])
    ticks = "".join(
        f'<text x="{place:.1f}" y="{_HIGH + 18}">{10.0**power:g}</text>'
        for place, power in zip(places, powers, strict=True)
    )
    drawn = bars(histogram, _WIDE, _HIGH)
    return Markup(f'<svg viewBox="-20 0 {_WIDE + 40} {_HIGH + 24}" role="img">{drawn}{ticks}</svg>')


_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #303030; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd; text-align: left; font-weight: normal; }
th { color: #707070; }
.numbers td + td, .numbers th + th { text-align: right; font-variant-numeric: tabular-nums; }
i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .5em; }
svg { width: 100%; fill: #0072B2; }
text { font-size: 12px; fill: #707070; text-anchor: middle; }
</style>
<h1>{{ title }}</h1>
<table>
{%- for name, value in rows %}<tr><td>{{ name }}</td><td>{{ value }}</td></tr>{% endfor -%}
</table>
<h2>Classes</h2>
<table class="numbers">
<tr><th>class</th><th>mean share per event</th><th>voxels</th><th>energy [MeV]</th></tr>
{% for color, (name, share, voxels, energy) in classes -%}
<tr><td><i style="background:{{ color }}"></i>{{ name }}</td>
{%- for cell in (share, voxels, energy) %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
<h2>Energies of voxels [MeV]</h2>
{{ histogram }}
</html>
"""

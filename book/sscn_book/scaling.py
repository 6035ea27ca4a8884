"""Figures and tables of the page on how costs grow and of the study at full size, from files of measurements."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sscn_book.tables import shown
from sscn_triton.study.full_size import report as at_scale_report
from sscn_triton.study.scaling import report as scaling_report

TABLES = (
    ("Dense over sparse, on the same image", scaling_report.ratio_rows),
    ("Exponents", scaling_report.exponent_rows),
    ("The largest image: computed from the smaller ones and measured", scaling_report.check_rows),
)
FIGURES = (
    ("size", scaling_report.figure, scaling_report.ALT),
    ("voxels", scaling_report.voxel_figure, scaling_report.ALT_VOXELS),
)


def growth(results: Path, drawn: Path) -> str:
    """Return the results of `sscn scaling`; the figures are saved in the folder `drawn`."""
    parts = []
    for path in sorted(results.glob("*-scaling-*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        parts += [_about(path.name, run, run["options"]["data"]), *_grown(path.stem, run, drawn)]
    return "\n\n".join(parts) or "**Not measured yet.**"


def at_scale(results: Path, drawn: Path) -> str:
    """Return the results of `sscn study --scale gpu`."""
    parts = []
    for path in sorted(results.glob("*-study-gpu.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        parts.append(_about(path.name, run, "simulated events"))
        parts.append(_figure(f"{path.stem}-accuracy", at_scale_report.figure, at_scale_report.ALT, run, drawn))
        parts.append(at_scale_report.table(run))
        if "scaling" in run["cells"]:
            parts += _grown(path.stem, run["cells"]["scaling"], drawn)
    return "\n\n".join(parts) or "**Not run on a GPU yet.**"


def _about(name: str, run: dict, events: str) -> str:
    machine, device = run["machine"], run["device"]["name"]
    if device == "this CPU":
        threads = machine["torch threads"]
        device = f"{machine['processor']}, {threads} thread{'s' * (threads != 1)}"
    load = f", load average {machine['load average'][0]} before" if "load average" in machine else ""
    return f"`{name}`: {events}; {device}, torch {machine['torch']}{load}, {run['date'][:16]}, commit {run['commit']}."


def _figure(name: str, draw: Callable[[dict], Any], alt: str, run: dict, drawn: Path) -> str:
    """Save a figure to a file and return the Markdown that shows it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"figure.constrained_layout.use": True, "savefig.dpi": 140, "axes.grid": True}):
        figure = draw(run)
        figure.savefig(drawn / f"{name}.png")
        plt.close(figure)
    caption = " ".join((draw.__doc__ or "").split()).replace("; a matplotlib figure", "")
    return f"```{{figure}} {drawn.name}/{name}.png\n:alt: {alt}\n\n{caption}\n```"


def _grown(name: str, run: dict, drawn: Path) -> list[str]:
    """Return the sentence, figures and tables of one record of `scaling.run`."""
    parts = [scaling_report.sentence(run)]
    parts += [_figure(f"{name}-{kind}", draw, alt, run, drawn) for kind, draw, alt in FIGURES]
    for title, table in TABLES:
        found = table(run)
        parts += [f"**{title}**", shown(found)] if found.rows else []
    return [*parts, f"````{{dropdown}} All points\n{scaling_report.point_rows(run).markdown()}\n````"]

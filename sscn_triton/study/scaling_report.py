"""The report's page on how costs grow: one figure, two tables, a sentence."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from sscn_triton.study.units import memory, seconds

NAMES = {"sparse": "sparse", "matched": "dense, matched", "study": "dense, 2018"}
COLORS = {"sparse": "#0B6E99", "matched": "#C8553D", "study": "#8A5A9E"}
PANELS = (
    ("forward_seconds", "forward pass (s)", 1.0),
    ("step_seconds", "training step (s)", 1.0),
    ("forward_memory", "memory, forward (MB)", 1e6),
    ("step_memory", "memory, training (MB)", 1e6),
)


def figure(record: dict[str, Any]) -> Figure:
    """Time and memory against the edge of the image, one image at a time, on logarithmic axes."""
    drawn, axes = plt.subplots(2, 4, figsize=(9.2, 5.0), sharex="row")
    for row, ndim in zip(axes, (3, 2), strict=True):
        for panel, (what, title, unit) in zip(row, PANELS, strict=True):
            for kind, name in NAMES.items():
                chosen = [p for p in _singles(record, kind, ndim) if p[what] > 0]
                sizes, values = [p["size"] for p in chosen], [p[what] / unit for p in chosen]
                panel.plot(sizes, values, "o-", ms=4, lw=1.5, color=COLORS[kind], label=name)
            panel.set(xscale="log", yscale="log")
            panel.set_title(f"{title}, {ndim}D", fontsize=8)
            panel.set_xticks(sizes := sorted({p["size"] for p in record["points"] if p["ndim"] == ndim}))
            panel.set_xticklabels([str(size) for size in sizes], fontsize=6, rotation=60)
            panel.tick_params(axis="y", labelsize=7)
            panel.minorticks_off()
    for panel in axes[1]:
        panel.set_xlabel("edge of the image (px)", fontsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return drawn


def _singles(record: dict[str, Any], kind: str, ndim: int) -> list[dict[str, Any]]:
    return [p for p in record["points"] if (p["kind"], p["ndim"], p["images"]) == (kind, ndim, 1)]


def point_rows(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Every point, then what was computed."""
    header = ["network", "image", "images", "voxels", "forward", "step", "memory, forward", "memory, training"]
    rows = []
    for p in record["points"]:
        cost = [seconds(p["forward_seconds"]), seconds(p["step_seconds"])]
        cost += [memory(p["forward_memory"]), memory(p["step_memory"])]
        rows.append([NAMES[p["kind"]], _image(p), str(p["images"]), f"{p['voxels']:,}", *cost])
    for c in record["computed"]:
        cost = [seconds(c[what]) if what in c else "" for what in ("forward_seconds", "step_seconds")]
        cost += [memory(c[what]) if what in c else "" for what in ("forward_memory", "step_memory")]
        rows.append([f"{NAMES[c['kind']]}, computed", _image(c), "1", "", *cost])
    return header, rows


def _image(row: dict[str, Any]) -> str:
    return f"{row['size']} px, {row['ndim']}D"


def exponent_rows(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Exponents with their standard errors, and which law describes the points better."""
    header = ["network", "grows with", "quantity", "exponent", "points", "off, power law", "off, exponential"]
    words = {what: title.split(" (")[0] for what, title, _ in PANELS}
    rows = []
    for f in record["fits"]:
        error = "" if f["error"] is None or f["error"] != f["error"] else f" ± {f['error']:.2f}"
        off = [f"{100 * f[law]:.0f} %" if f["points"] > 2 else "" for law in ("power", "exponential")]
        name, quantity = f"{NAMES[f['kind']]}, {f['ndim']}D", words[f["measure"]]
        rows.append([name, f["against"], quantity, f"{f['exponent']:.2f}{error}", str(f["points"]), *off])
    return header, rows


def sentence(record: dict[str, Any]) -> str:
    """ "Power? exponential?!", the slides asked of the dense network's cost."""
    steps = [f for f in record["fits"] if f["measure"] == "step_seconds" and f["against"] == "size"]
    parts = []
    for f in steps:
        if f["points"] > 2:
            better = "power law" if f["power"] < f["exponential"] else "exponential"
            name = f"{NAMES[f['kind']]}, {f['ndim']}D"
            parts.append(f"{name}: {f['exponent']:.2f} ± {f['error']:.2f} ({better} fits better)")
    return "Exponents of the training step's time in the edge of the image: " + (
        "; ".join(parts) + "." if parts else "too few points in the time there was."
    )

"""How costs grow, for the study's report and for the book: two figures, tables, a sentence."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table
from sscn_triton.common.units import memory, seconds, significant
from sscn_triton.study import published

NAMES = {"sparse": "sparse", "matched": "dense, matched", "study": "dense, 2018"}
COLORS = {"sparse": "#0B6E99", "matched": "#C8553D", "study": "#8A5A9E"}
PANELS = (
    ("forward_seconds", "forward pass (s)", 1.0),
    ("step_seconds", "training step (s)", 1.0),
    ("forward_memory", "memory, forward (MB)", 1e6),
    ("step_memory", "memory, training (MB)", 1e6),
)
ALT = (
    "Eight panels on logarithmic axes, the left column for three dimensions and the right for two: seconds per forward "
    "pass and per training step, and memory of both, against the edge of the image. The lines of the dense networks "
    "rise more steeply than that of the sparse network."
)
ALT_VOXELS = (
    "Time and memory of the sparse network against the number of active voxels, on logarithmic axes, for single images "
    "and for batches, in three and in two dimensions."
)


def figure(record: dict[str, Any]) -> Any:
    """Time and memory against the edge of the image, one image at a time, on logarithmic axes; a matplotlib figure.

    Bars reach from the fastest to the slowest run. Hollow markers are computed; their bars are the range.
    """
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(4, 2, figsize=(4.8, 9.0), sharex="col")  # narrow: a phone shrinks it little
    for column, ndim in zip(axes.T, (3, 2), strict=True):
        sizes = sorted({p["size"] for p in [*record["points"], *record["computed"]] if p["ndim"] == ndim})
        for panel, (what, title, unit) in zip(column, PANELS, strict=True):
            for kind, name in NAMES.items():
                _draw(panel, record, kind, ndim, what, unit, name)
            panel.set(xscale="log", yscale="log")
            panel.set_title(f"{title}, {ndim}D", fontsize=9)
            panel.set_xticks(sizes)
            panel.set_xticklabels([str(size) for size in sizes], fontsize=8, rotation=60)
            panel.tick_params(axis="y", labelsize=8)
            panel.minorticks_off()
    for panel in axes[-1]:
        panel.set_xlabel("edge of the image (px)", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return drawn


def _draw(panel: Any, record: dict[str, Any], kind: str, ndim: int, what: str, unit: float, name: str) -> None:
    chosen = [p for p in _singles(record, kind, ndim) if p[what]]
    sizes, values = [p["size"] for p in chosen], [p[what] / unit for p in chosen]
    panel.plot(sizes, values, "o-", ms=4, lw=1.5, color=COLORS[kind], label=name)
    ranges = [p.get(what.replace("_seconds", "_range"), [v * unit] * 2) for p, v in zip(chosen, values, strict=True)]
    if what.endswith("seconds") and all(ranges) and chosen:
        panel.vlines(sizes, [r[0] for r in ranges], [r[1] for r in ranges], color=COLORS[kind], lw=1)
    beyond = [c for c in record["computed"] if (c["kind"], c["ndim"]) == (kind, ndim) and what in c]
    if beyond:
        joined = [*zip(sizes[-1:], values[-1:], strict=True), *((c["size"], c[what] / unit) for c in beyond)]
        panel.plot(*zip(*joined, strict=True), "o:", ms=4, lw=1, mfc="none", color=COLORS[kind])
        low, high = zip(*(c[f"{what}_range"] for c in beyond), strict=True)
        bars = [[value / unit for value in side] for side in (low, high)]
        panel.vlines([c["size"] for c in beyond], *bars, color=COLORS[kind], lw=1)


def voxel_figure(record: dict[str, Any]) -> Any:
    """Time and memory of the sparse network against active voxels, single images and batches; a matplotlib figure."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(2, 2, figsize=(4.8, 4.8))
    for panel, (what, title, unit) in zip(axes.flat, PANELS, strict=True):
        for ndim, marker in ((3, "o"), (2, "s")):
            mine = [p for p in record["points"] if (p["kind"], p["ndim"]) == ("sparse", ndim) and p[what]]
            for many, fill in ((False, COLORS["sparse"]), (True, "none")):
                chosen = [p for p in mine if (p["images"] > 1) == many]
                label = f"{ndim}D, {'batches' if many else 'one image'}"
                x, y = [p["voxels"] for p in chosen], [p[what] / unit for p in chosen]
                panel.plot(x, y, marker, ms=4, mfc=fill, color=COLORS["sparse"], label=label)
        panel.set(xscale="log", yscale="log")
        panel.minorticks_off()
        panel.set_title(title, fontsize=9)
        panel.tick_params(labelsize=8)
    for panel in axes[-1]:
        panel.set_xlabel("active voxels", fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return drawn


def _singles(record: dict[str, Any], kind: str, ndim: int) -> list[dict[str, Any]]:
    return [p for p in record["points"] if (p["kind"], p["ndim"], p["images"]) == (kind, ndim, 1)]


def point_rows(record: dict[str, Any]) -> Table:
    """Every measured point, followed by the computed ones, to two digits and with their ranges."""
    header = ["network", "image", "images", "voxels", "forward", "step", "memory, forward", "memory, training"]
    rows = []
    for p in record["points"]:
        rows.append([NAMES[p["kind"]], _image(p), str(p["images"]), f"{p['voxels']:,}", *_costs(p)])
    for c in record["computed"]:
        rows.append([f"{NAMES[c['kind']]}, computed", _image(c), "1", "", *_costs(c)])
    return Table(header, rows)


def _costs(row: dict[str, Any]) -> list[str]:
    return [cost(row, what) for what, *_ in PANELS]


def cost(row: dict[str, Any], what: str) -> str:
    """A measured cost, or a computed one to two digits with its range; empty if there is none."""
    if row.get(what) is None:
        return ""
    unit = seconds if what.endswith("seconds") else memory
    if "images" in row:
        return unit(row[what])
    low, high = (unit(value, 2) for value in row[f"{what}_range"])
    return low if low == high else f"{unit(row[what], 2)} ({low} to {high})"


def _image(row: dict[str, Any]) -> str:
    return f"{row['size']} px, {row['ndim']}D"


def exponent_rows(record: dict[str, Any]) -> Table:
    """Exponents with their standard errors, and the law that describes the points better."""
    header = ["network", "grows with", "quantity", "exponent", "fixed cost", "exponent, last two", "points"]
    header += ["deviation, power law", "deviation, exponential", "odds of the power law"]
    words = {what: title.split(" (")[0] for what, title, _ in PANELS}
    rows = []
    for f in record["fits"]:
        off = [f"{100 * f[law]:.0f} %" if f["points"] > 2 else "" for law in ("power", "exponential")]
        name, quantity = f"{NAMES[f['kind']]}, {f['ndim']}D", words[f["measure"]]
        found = [_exponent(f), _fixed(f), f"{f['last']:.2f}", str(f["points"]), *off, likelier(f["odds"])]
        rows.append([name, f["against"], quantity, *found])
    return Table(header, rows)


def _exponent(f: dict[str, Any]) -> str:
    return f"{f['exponent']:.2f}" + (f" ± {f['error']:.2f}" if _known(f["error"]) else "")


def _fixed(f: dict[str, Any]) -> str:
    """The fixed cost, if there is one."""
    written = seconds if f["measure"].endswith("seconds") else memory
    return written(f["fixed"]) if f["fixed"] > 0 else ""


def _known(value: float | None) -> bool:
    return value is not None and value == value


def likelier(odds: float | None) -> str:
    """Decimal odds as a readable factor."""
    if not _known(odds):
        return ""
    assert odds is not None
    if odds > 6:
        return "more than a million"
    return f"{10**odds:,.0f}" if odds >= 1 else f"{10**odds:.2g}"


def ratio_rows(record: dict[str, Any]) -> Table:
    """A dense network's cost divided by the sparse one's on the same image, at the sizes of the study and at the
    largest size measured for both; the paper's ratios follow."""
    header = ["dense network", "image", "forward pass", "step", "memory, forward", "memory, training", "how"]
    rows = []
    for r in record["ratios"]:
        measured = [m["size"] for m in record["ratios"] if m["measured"] and _same(m, r)]
        if r["size"] in (192, 512, 768) or r["size"] == max(measured, default=0):
            values = [_times(r, what) for what, *_ in PANELS]
            rows.append([NAMES[r["kind"]], _image(r), *values, _how(r)])
    for ndim, theirs in published.RATIOS.items():
        values = [f"{theirs['time']:g} x", "", f"{theirs['memory']:g} x", ""]
        rows.append(["arXiv:1903.05663, on a GPU", f"{ndim}D", *values, "published"])
    return Table(header, rows)


def _how(row: dict[str, Any]) -> str:
    """Whether the costs of a ratio were measured or computed, where they differ by quantity."""
    words = {what: title.split(" (")[0] for what, title, _ in PANELS if what in row}
    computed = [words[what] for what in words if f"{what}_range" in row]
    if not computed:
        return "measured"
    return "computed" if len(computed) == len(words) else f"computed: {'; '.join(computed)}"


def _times(row: dict[str, Any], what: str) -> str:
    """A ratio; to two digits with its range, if a cost in it was computed."""
    if what not in row:
        return ""
    ratio = row[what]
    if f"{what}_range" not in row:
        return f"{ratio:,.0f} x" if ratio >= 100 else f"{ratio:.3g} x"
    low, high = (significant(value) for value in row[f"{what}_range"])
    return f"{low} x" if low == high else f"{significant(ratio)} x ({low} to {high})"


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (one["kind"], one["ndim"]) == (other["kind"], other["ndim"])


def check_rows(record: dict[str, Any]) -> Table:
    """A check of the extrapolation: the largest measured image, computed from the smaller ones."""
    header = ["network", "image", "forward pass", "step", "memory, forward", "memory, training"]
    rows = []
    for c in record["checks"]:
        values = [f"{100 * (c[what] - 1):+.0f} %" if what in c else "" for what, *_ in PANELS]
        rows.append([NAMES[c["kind"]], _image(c), *values])
    return Table(header, rows)


def sentence(record: dict[str, Any]) -> str:
    """The answer to the slides' question on the dense network's cost: "Power? exponential?!"."""
    parts = []
    for f in record["fits"]:
        if f["measure"] == "step_seconds" and f["points"] > 2:
            better = "power law" if f["odds"] >= 0 else "exponential"
            name = f"{NAMES[f['kind']]}, {f['ndim']}D{', in voxels' if f['against'] == 'voxels' else ''}"
            fixed = f" above a fixed cost of {_fixed(f)}" if _fixed(f) else ""
            parts.append(
                f"{name}: {_exponent(f)}{fixed} ({better}, more likely by a factor of {likelier(abs(f['odds']))})"
            )
    return (
        "Exponents of the time of a training step as a power of the image's edge or, where stated, of active voxels: "
        + ("; ".join(parts) + "." if parts else "too few points in the available time.")
    )


def text(record: dict[str, Any]) -> str:
    """All tables and the sentence, for a terminal and for Markdown."""
    tables = (point_rows, ratio_rows, exponent_rows, check_rows)
    return "\n\n".join([*(table(record).markdown() for table in tables), sentence(record)])

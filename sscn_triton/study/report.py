"""The study's table in plain text, and its report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import html as markup
from pathlib import Path
from typing import Any

from sscn_triton.study import scaling_report
from sscn_triton.study.figures import running_mean, smoothing
from sscn_triton.study.output import as_json
from sscn_triton.study.units import memory, percent, seconds

Rows = list[list[str]]

COLUMNS = [
    "network", "image", "parameters", "steps", "trained", "accuracy, training", "accuracy, held out",
    "step", "forward", "memory, training", "memory, forward",
]  # fmt: skip


def main_rows(record: dict[str, Any]) -> Rows:
    """The measured networks, then those of 2018."""
    rows = []
    for n in record["networks"]:
        rows.append([
            n["name"], f"{n['spatial_shape'][0]} px", f"{n['parameters']:,}", f"{len(n['steps']['wall']):,}",
            seconds(n["training_seconds"]), percent(n["training_accuracy"]),
            percent(n["held_out"]["nonzero_accuracy"]), seconds(n["step_seconds"]),
            seconds(n["forward_seconds_median"]), memory(n["training_memory"]), memory(n["forward_memory"]),
        ])  # fmt: skip
    for n in record["published"]["networks"]:
        is_training = bool(n["remark"])
        accuracy, held = percent(n["nonzero_accuracy"]), f"{memory(1e9 * n['memory_gb'])} (GPU)"
        rows.append([
            f"2018: {n['name']}", f"{n['size']} px", "", "", "", accuracy if is_training else "",
            "" if is_training else accuracy, "", seconds(n["forward_seconds"]), "", held,
        ])  # fmt: skip
    return rows


def class_rows(record: dict[str, Any]) -> tuple[list[str], Rows]:
    """Accuracy of each class for each network, with the mean shares, and the study's."""
    networks = record["networks"]
    header = ["class", "share", *(n["name"] for n in networks), "2018: share", "2018: sparse"]
    whole = next(n for n in networks if n["whole"])
    rows = []
    for c, theirs in enumerate(record["published"]["classes"]):
        ours = [percent(n["held_out"]["class_accuracy"][c]) for n in networks]
        share = percent(whole["held_out"]["class_share"][c])
        rows.append([theirs["name"], share, *ours, percent(theirs["share"], 0), percent(theirs["accuracy"])])
    return header, rows


def text_table(header: list[str], rows: Rows) -> str:
    """Columns aligned, the first to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip())
    return "\n".join(lines)


def table(record: dict[str, Any]) -> str:
    """What `sscn study` prints at its end."""
    short = [name.replace("accuracy", "acc.").replace("memory", "mem.") for name in COLUMNS]
    return "\n".join(
        ["", *sentences(record), "", text_table(short, main_rows(record)), "", text_table(*class_rows(record)), ""]
    )


def sentences(record: dict[str, Any]) -> list[str]:
    """What the numbers say, in words made from the numbers."""
    sparse, dense = (next(n for n in record["networks"] if n["kind"] == k and not n["whole"]) for k in KINDS)
    size = sparse["spatial_shape"][0]
    scores = [percent(n["held_out"]["nonzero_accuracy"]) for n in (sparse, dense)]
    steps = [f"{len(n['steps']['wall']):,}" for n in (sparse, dense)]
    return [
        f"On the same {size} px crops, trained for {seconds(sparse['training_seconds'])} (sparse, {steps[0]} steps) "
        f"and {seconds(dense['training_seconds'])} (dense, {steps[1]} steps), the sparse network labels {scores[0]} "
        f"of the nonzero voxels of held-out crops right, the dense one {scores[1]}.",
        f"A training step takes {seconds(sparse['step_seconds'])} against {seconds(dense['step_seconds'])} "
        f"({dense['step_seconds'] / sparse['step_seconds']:.1f} times), its memory peaks at "
        f"{memory(sparse['training_memory'])} against {memory(dense['training_memory'])} "
        f"({dense['training_memory'] / max(1, sparse['training_memory']):.1f} times).",
    ]


KINDS = ("sparse", "dense")


def notes(record: dict[str, Any]) -> list[str]:
    """What a reader must know to weigh the numbers."""
    config, data, machine = record["config"], record["data"], record["machine"]
    sparse = record["networks"][0]
    by_steps = config["steps"] is not None
    limit = f"{config['steps']:,} steps each" if by_steps else "the same wall time for both networks on crops"
    return [
        f"Events: {data['source']}; {len(data['train'])} to learn from, {len(data['held_out'])} held out.",
        f"Networks: UResNet of {config['depth']} levels, {config['filters']} filters, {sparse['parameters']:,} "
        "parameters. The dense one is the sparse one layer by layer with ordinary convolutions; both start from the "
        "same weights and see the same crops in the same order. It is not the larger dense network of the 2018 study.",
        f"Training: Adam, one-cycle learning rate up to {config['learning_rate']:g}, {config['batch']} crop(s) a step "
        f"(whole events one by one), {limit}. Loss: cross-entropy on active voxels only, for both, averaged per "
        f"event. Input: a voxel's energy in units of {data['energy_unit_mev']} MeV. The defaults, rate 0.003 and 2 "
        "crops a step, come from short trials of the sparse network alone, on simulated events, so they lean its way; "
        "the 2018 study used 0.001.",
        "Accuracy: correct nonzero voxels over nonzero voxels per image, then the mean over images, as the 2018 study "
        "defines it. Training accuracy is the mean of the last tenth of the steps. Class accuracy is the mean over the "
        "images that have the class.",
        f"Before judging, batch norm's statistics are taken anew, for every network, from {data['statistics_batches']} "
        "training batches (fewer if it made fewer steps): running averages forget their start too slowly for a "
        "training this short.",
        "Time: medians; a step is forward, loss, backward and Adam, a forward pass includes the loss. Sparse times "
        "include building the rulebooks, anew for every image.",
        f"Memory: {sparse['memory_method']}; what is listed is the rise above what was held then. Forward memory is "
        "one pass without gradients on the largest held-out image.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; {machine['system']}, "
        f"Python {machine['python']}, torch {machine['torch']}, sscn {machine['sscn']}; load average before "
        f"training {record['load_before']} (well above 1, other work has slowed all times and cost steps). The study "
        f"took {seconds(record['seconds'])} before drawing, seed {config['seed']}, {record['created']}.",
        f"2018: {record['published']['source']}; {record['published']['task']}. Other events, a GPU, a far longer "
        "training: they are here for orientation, not as a race.",
    ]


def html(record: dict[str, Any], folder: Path) -> str:
    """The page. Reads the figures from `folder` and puts them into it."""
    header, rows = class_rows(record)
    parts = [
        f"<h1>{markup.escape(record['title'])}</h1>",
        *(f'<p class="lead">{markup.escape(sentence)}</p>' for sentence in sentences(record)),
        _html_table(COLUMNS, main_rows(record)),
        "<p class='small'>Rows named 2018 are the study's own numbers, of other events and a GPU; all else was "
        "measured in this run.</p>",
        _figure(folder, "accuracy.png", "Nonzero accuracy of the batches learnt from, as a running mean over "
                "a twentieth of the training; diamonds: held-out images at the end.", *_curve_rows(record)),
        _figure(folder, "classes.png", "Accuracy by class on held-out images. The shares below the names are those "
                "of the held-out whole events. Hatched: the 2018 study.", header, rows),
        _figure(folder, "cost.png", "What it costs, on logarithmic axes: median training step, median forward pass, "
                "peak memory of training. Hatched: the 2018 study, forward, on a GPU.", *_cost_rows(record)),
        f"<p>{markup.escape(scaling_report.sentence(record['scaling']))}</p>",
        _figure(folder, "scaling.png", "How costs grow with the image, one image at a time, on logarithmic axes. The "
                "table has the batches too, and what follows for images that were not measured: for dense networks in "
                "proportion to the places of the image, for the sparse one by its power law.",
                *scaling_report.point_rows(record["scaling"])),
        _html_table(*scaling_report.exponent_rows(record["scaling"])),
        "<p class='small'>Exponents with their standard errors. Off: root mean square of the points about a power law "
        "and about an exponential, of sizes with one image; voxels of batches too.</p>",
        _figure(folder, "event.png", "A held-out whole event: truth and the sparse network's answer. "
                "event.html, beside this page, shows it to turn and zoom, and where it errs.",
                *_confusion_rows(record, 2)),
        _figure(folder, "crop-sparse.png", "A held-out crop: truth and the sparse network's answer.",
                *_confusion_rows(record, 0)),
        _figure(folder, "crop-dense.png", "The same crop by the dense network.", *_confusion_rows(record, 1)),
        "<h2>How it was measured</h2>",
        "<ul>" + "".join(f"<li>{markup.escape(note)}</li>" for note in notes(record)) + "</ul>",
        "<h2>All numbers</h2>",
        f'<p><a download="report.json" href="{_data_uri(as_json(record).encode(), "application/json")}">report.json'
        "</a> holds every number on this page and every training step.</p>",
    ]  # fmt: skip
    title = markup.escape(record["title"])
    return PAGE.replace("{title}", title).replace("{body}", "\n".join(parts))


def _curve_rows(record: dict[str, Any]) -> tuple[list[str], Rows]:
    """Twenty points of each curve."""
    rows = []
    for n in record["networks"]:
        steps = n["steps"]
        count = len(steps["wall"])
        mean = running_mean(steps["accuracy"], smoothing(count))
        for i in sorted({round(k * (count - 1) / 19) for k in range(20)}):
            wall = f"{steps['wall'][i]:.1f}"
            rows.append(
                [n["name"], str(steps["iteration"][i]), wall, percent(float(mean[i])), f"{steps['loss'][i]:.3f}"]
            )
    return ["network", "iteration", "wall time (s)", "accuracy, running mean", "loss of this step"], rows


def _cost_rows(record: dict[str, Any]) -> tuple[list[str], Rows]:
    picked = [COLUMNS.index(name) for name in ("network", "image", "step", "forward", "memory, training")]
    picked.append(COLUMNS.index("memory, forward"))
    return [COLUMNS[i] for i in picked], [[row[i] for i in picked] for row in main_rows(record)]


def _confusion_rows(record: dict[str, Any], run: int) -> tuple[list[str], Rows]:
    """Voxels of all held-out images of one run: true class against predicted class."""
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(record["classes"], record["networks"][run]["held_out"]["confusion"], strict=True)
    ]
    return ["true class (all held-out images)", *(f"predicted {name}" for name in record["classes"])], rows


def _figure(folder: Path, name: str, caption: str, header: list[str], rows: Rows) -> str:
    picture = _data_uri((folder / name).read_bytes(), "image/png")
    return (
        f'<figure><img src="{picture}" alt="{markup.escape(caption)}"><figcaption>{markup.escape(caption)}</figcaption>'
        f"<details><summary>The numbers</summary>{_html_table(header, rows)}</details></figure>"
    )


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _html_table(header: list[str], rows: Rows) -> str:
    head = "".join(f"<th>{markup.escape(cell)}</th>" for cell in header)
    lines = []
    for row in rows:
        look = ' class="published"' if row[0].startswith("2018") else ""
        lines.append(f"<tr{look}>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in row) + "</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


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
figure { margin: 2.2rem 0; } figure img { width: 100%; height: auto; display: block; }
figcaption { margin-top: .3rem; } summary { cursor: pointer; margin-top: .3rem; } a { color: #0b6e99; }
li { margin: .45rem 0; }
</style></head><body>
{body}
</body></html>
"""

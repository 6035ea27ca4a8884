"""The tables of the page on speed, from the files that `sscn bench` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sscn_book.tables import shown
from sscn_triton.common.table import Table


def tables(results: Path) -> str:
    """Return the table of training steps, the other measurements of each file, and the sources of the numbers."""
    header = ["date", "voxels", "threads", "engine", "training step, ms", "relative to ours"]
    header += ["CPU time, relative to ours", "peak, MB", "of its own, MB"]
    steps, parts, notes = Table(header, []), [], []
    runs = [(json.loads(p.read_text(encoding="utf-8")), p) for p in sorted(results.glob("*-cpu-[0-9]*.json"))]
    for run, path in sorted(runs, key=lambda one: (one[0]["voxels"], one[0]["date"]), reverse=True):
        machine, threads = run["machine"], run["options"]["threads"]
        for name, engine in run["engines"].items():
            peak = engine.get("peak MB") or engine["resident before MB"] + engine["peak above MB"]
            row = [run["date"][:10], f"{run['voxels']:,}", str(threads), name, f"{engine['wall ms']:,.0f}"]
            row += [f"{engine['wall ratio']:.2f}", f"{engine['cpu ratio']:.2f}", f"{peak:,.0f}"]
            steps.rows.append([*row, f"{engine['own MB']:,.0f}" if engine.get("own MB") else ""])
        if "total" in run:
            parts += details(run)
        copies = run["options"]["copies"]
        often = "once" if copies == 1 else f"{copies} times"
        notes.append(
            f"- `{path.name}`: {run['options']['data']}, {often}, {machine['processor']}, "
            f"{machine['cores']} cores, torch {machine['torch']}, load average {machine['load average'][0]} before, "
            f"{run['date'][:16]}."
        )
    dropdown = ["````{dropdown} How an engine starts, and how our step divides into parts", *map(shown, parts), "````"]
    return "\n\n".join([shown(steps), *(dropdown if parts else []), "\n".join(notes)])


def details(run: dict[str, Any]) -> list[Table]:
    """Return how the engines of a run start in a fresh process, and how the library's step divides into parts."""
    size = f"{run['date'][:10]}, {run['voxels']:,} voxels, {run['options']['threads']} threads"
    starts = Table([f"{size}: a fresh process", "PyTorch", "with the engine", "first step", "after import"], [])
    for name, engine in run["engines"].items():
        times = [f"{engine[what]:.2f} s" for what in ("torch import s", "import s", "first step s")]
        starts.rows.append([name, *times, f"{engine['MB after import']:.0f} MB"])
        if "first step s, nothing kept" in engine:
            first = f"{engine['first step s, nothing kept']:.1f} s"
            starts.rows.append([f"{name}, nothing compiled yet", "", "", first, ""])
    books, total = run["rulebooks"], run["total"]
    parts = [
        ["rulebooks", f"{books['total ms']:.1f} ms, {run['rulebooks share of step']:.1%} of the step"],
        ["convolutions, with gradients", f"{total['forward ms'] + total['backward ms']:.0f} ms"],
        ["their rate", f"{total['GFLOP/s']:.0f} GFLOP/s, {total['share of product rate']:.0%} of plain products"],
        ["a large matrix product", f"{run['product GFLOP/s']:.0f} GFLOP/s"],
    ]
    return [starts, Table([f"{size}: our step", ""], parts)]

"""The tables of the page on speed, from the files that `sscn bench` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sscn_book.tables import fitted


def tables(results: Path) -> str:
    """Return the table of training steps, the other measurements of each file, and the sources of the numbers."""
    times = "training step, ms | relative to ours | CPU time, relative to ours"
    steps = [f"| date | voxels | threads | engine | {times} | peak, MB | of its own, MB |", "|---" * 9 + "|"]
    tables, notes = [steps], []
    runs = [(json.loads(p.read_text(encoding="utf-8")), p) for p in sorted(results.glob("*-cpu-[0-9]*.json"))]
    for run, path in sorted(runs, key=lambda one: (one[0]["voxels"], one[0]["date"]), reverse=True):
        machine, threads = run["machine"], run["options"]["threads"]
        for name, engine in run["engines"].items():
            peak = engine.get("peak MB") or engine["resident before MB"] + engine["peak above MB"]
            times = f"{engine['wall ms']:,.0f} | {engine['wall ratio']:.2f} | {engine['cpu ratio']:.2f}"
            own = f"{engine['own MB']:,.0f}" if engine.get("own MB") else ""
            date = run["date"][:10]
            steps.append(f"| {date} | {run['voxels']:,} | {threads} | {name} | {times} | {peak:,.0f} | {own} |")
        if "total" in run:
            tables += details(run)
        notes.append(
            f"- `{path.name}`: {run['options']['data']}, {run['options']['copies']} times, {machine['processor']}, "
            f"{machine['cores']} cores, torch {machine['torch']}, load average {machine['load average'][0]} before, "
            f"{run['date'][:16]}."
        )
    whole, *parts, sources = ["\n".join(lines) for lines in [*tables, notes]]
    if parts:
        parts = ["````{dropdown} How an engine starts, and how our step divides into parts", *parts, "````"]
    return "\n\n".join([fitted(whole), *parts, sources])


def details(run: dict[str, Any]) -> list[list[str]]:
    """Return how the engines of a run start in a fresh process, and how the library's step divides into parts."""
    size = f"{run['date'][:10]}, {run['voxels']:,} voxels, {run['options']['threads']} threads"
    starts = [
        f"| {size}: a fresh process | PyTorch | with the engine | first step | after import |",
        "|---|---|---|---|---|",
    ]
    for name, engine in run["engines"].items():
        first = f"{engine['import s']:.2f} s | {engine['first step s']:.2f} s"
        starts.append(f"| {name} | {engine['torch import s']:.2f} s | {first} | {engine['MB after import']:.0f} MB |")
        if "first step s, nothing kept" in engine:
            starts.append(f"| {name}, nothing compiled yet | | | {engine['first step s, nothing kept']:.1f} s | |")
    books, total = run["rulebooks"], run["total"]
    parts = [
        f"| {size}: our step | |",
        "|---|---|",
        f"| rulebooks | {books['total ms']:.1f} ms, {run['rulebooks share of step']:.1%} of the step |",
        f"| convolutions, with gradients | {total['forward ms'] + total['backward ms']:.0f} ms |",
        f"| their rate | {total['GFLOP/s']:.0f} GFLOP/s, {total['share of product rate']:.0%} of plain products |",
        f"| a large matrix product | {run['product GFLOP/s']:.0f} GFLOP/s |",
    ]
    return [starts, parts]

"""The tables of the page on GPUs: measured times, if any, and the resources of the compiled kernels."""

from __future__ import annotations

import json
from pathlib import Path

from sscn_triton.bench.gpu.report import summary
from sscn_triton.common.table import Table


def times(results: Path) -> str:
    """Return the measurements of `make gpu`, one table per file."""
    paths = sorted(p for p in results.glob("*gpu*.json") if not {"study", "scaling"} & set(p.stem.split("-")))
    lines = [] if paths else ["**No GPU has been measured yet.**"]
    for path in paths:
        run = json.loads(path.read_text(encoding="utf-8"))
        lines += [
            f"`{path.name}`: {run['device']['name']}, {run['versions']}, commit {run['commit']}",
            "",
            *summary(run),
            "",
        ]
    return "\n".join(lines)


def kernels(budget_path: Path) -> str:
    """Return the registers, shared memory, matrix instructions and spills of each kernel, by target."""
    budget = json.loads(budget_path.read_text(encoding="utf-8"))
    targets = list(budget)
    rows = []
    for kernel in budget[targets[0]]:
        found = [budget[target][kernel] for target in targets]
        cells = [f"{one['registers']}, {one['shared'] / 1024:.0f}, {one['matrix']}, {one['spills']}" for one in found]
        rows.append([kernel, *(cell.replace(", ", ",\N{NO-BREAK SPACE}") for cell in cells)])
    return Table(["kernel", *targets], rows).markdown()

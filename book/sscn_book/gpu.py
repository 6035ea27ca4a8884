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
    """Return the registers, shared memory, matrix instructions and spills of each kernel, by target; a dash where a
    kernel is not compiled for a target."""
    budget = json.loads(budget_path.read_text(encoding="utf-8"))
    rows = []
    for kernel in budget["cuda90"]:
        cells = [_resources(of_target.get(kernel)) for of_target in budget.values()]
        rows.append([kernel, *(cell.replace(", ", ",\N{NO-BREAK SPACE}") for cell in cells)])
    return Table(["kernel", *budget], rows).markdown()


def _resources(one: dict[str, float] | None) -> str:
    if one is None:
        return "\N{EN DASH}"
    return f"{one['registers']}, {one['shared'] / 1024:.0f}, {one['matrix']}, {one['spills']}"


def loops(budget_path: Path) -> str:
    """Return what the inner loop of each kernel that gathers consists of on cuda 90."""
    budget = json.loads(budget_path.read_text(encoding="utf-8"))["cuda90"]
    keys = ("loop", "slots", "loop_matrix", "waits", "load_bytes")
    heads = ["kernel", "instructions", "issue slots per row and tap", "matrix instructions", "waits", "bytes per load"]
    rows = [[kernel, *(f"{one[key]:g}" for key in keys)] for kernel, one in budget.items() if "loop" in one]
    return Table(heads, rows).markdown()

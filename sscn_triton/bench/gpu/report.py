"""The results on a GPU, as lines and as a table."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table


def line(name: str, cell: dict[str, Any]) -> str:
    """The results of a cell in one line."""
    if "wrong" in cell:
        return f"WRONG   {cell['wrong']}"
    if "failed" in cell:
        return f"failed  {name}: {cell['failed']}"
    mine = cell["sscn"]
    shown = f"{mine['ms']:9.3f} ms  {mine['in a row']:9.3f} in a row  floor {cell['floor ms']:8.3f}"
    peak = f"  {mine['peak MB']:7.0f} MB" if "peak MB" in mine else ""
    rules = cell["rules per site"]["finest level"]
    return f"{shown}{peak}  {name}: {cell['voxels']} voxels, {rules:.1f} rules per site{_others(cell)}"


def _others(cell: dict[str, Any]) -> str:
    shown = [
        f"{name} {found['ms']:.3f} ms ({found['ratio']:.2f} x)" if "ms" in found else f"{name}: {found['why not']}"
        for name, found in cell.get("rivals", {}).items()
    ]
    return "".join(f"\n          {one}" for one in shown)


def table(record: dict[str, Any]) -> str:
    """All cells as a Markdown table."""
    header = ["cell", "voxels", "ms", "in a row", "floor", "share of floor", "peak MB", "fastest other"]
    return Table(header, [_row(name, cell) for name, cell in record["cells"].items() if "sscn" in cell]).markdown()


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    mine = cell["sscn"]
    others = {name: found for name, found in cell.get("rivals", {}).items() if "ratio" in found}
    best = min(others, key=lambda name: others[name]["ratio"], default=None)
    other = "" if best is None else f"{best}, {others[best]['ratio']:.2f} x"
    times = [f"{one:.3f}" for one in (mine["ms"], mine["in a row"], cell["floor ms"])]
    peak = f"{mine['peak MB']:.0f}" if "peak MB" in mine else ""
    return [name, str(cell["voxels"]), *times, f"{mine['share of floor']:.0%}", peak, other]

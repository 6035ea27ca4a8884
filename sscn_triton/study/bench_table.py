"""The record of a benchmark as text."""

from __future__ import annotations

from typing import Any


def table(record: dict[str, Any]) -> str:
    """Engines, levels, operators."""
    load = record["machine"]["load average"]
    lines = [
        f"{record['options']['data']}, {record['voxels']} voxels, {record['options']['threads']} threads, "
        f"load average {load[0]} to {load[1]}",
        "",
        f"{'training step':20s}{'wall ms':>9s}{'cpu ms':>9s}{'forward':>9s}{'backward':>9s}{'adam':>7s}{'x wall':>8s}"
        f"{'x cpu':>7s}{'peak MB':>9s}",
    ]
    for name, one in record["engines"].items():
        lines.append(
            f"{name:20s}{one['wall ms']:9.1f}{one['cpu ms']:9.1f}{one['rulebooks and forward ms']:9.1f}"
            f"{one['backward ms']:9.1f}{one['adam ms']:7.1f}{one['wall ratio']:8.2f}{one['cpu ratio']:7.2f}"
            f"{one['resident before MB'] + one['peak above MB']:9.0f}"
        )
    share = record["rulebooks share of step"]
    lines += [
        "",
        f"rulebooks and a pass without arithmetic: {record['rulebooks ms']:.1f} ms, {share:.0%} of a step",
        "",
        f"{'level':6s}{'sites':>8s}{'rules/site':>11s}{'GFLOP':>7s}{'forward ms':>11s}{'GFLOP/s':>8s}"
        f"{'of product':>11s}{'backward ms':>12s}{'GFLOP/s':>8s}",
    ]
    for number, level in enumerate(record["levels"]):
        lines.append(
            f"{number:<6d}{level['sites']:8.0f}{level['rules per site']:11.1f}{level['GFLOP']:7.2f}"
            f"{level['forward ms']:11.1f}{level['forward GFLOP/s']:8.1f}{level['forward share of product rate']:11.0%}"
            f"{level['backward ms']:12.1f}{level['backward GFLOP/s']:8.1f}"
        )
    lines += ["", *(f"{one['host ms']:9.2f} ms {one['calls']:5d} x {one['name']}" for one in record["operators"])]
    return "\n".join(lines)

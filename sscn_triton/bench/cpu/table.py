"""The record of a benchmark as text."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table


def table(record: dict[str, Any]) -> str:
    """Text tables of engines, their start, rulebooks, levels and operators."""
    load, options = record["machine"]["load average"], record["options"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    head = [
        f"{options['data']}, {record['voxels']} voxels, {options['threads']} threads, "
        f"load average {load[0]} to {load[1]}",
        versions,
    ]
    parts = [head, _engines(record["engines"]), _rulebooks(record), _levels(record), _operators(record)]
    return "\n\n".join("\n".join(part) for part in parts)


def _engines(engines: dict[str, dict[str, Any]]) -> list[str]:
    steps = Table(
        ["training step", "wall ms", "cpu ms", "forward", "backward", "adam", "x wall", "x cpu", "peak MB", "own MB"],
        [],
    )
    starts = Table(["fresh process", "torch s", "import s", "first step s", "MB after import"], [])
    for name, one in engines.items():
        times = ("wall ms", "cpu ms", "rulebooks and forward ms", "backward ms", "adam ms")
        ratios = [f"{one[what]:.2f}" for what in ("wall ratio", "cpu ratio")]
        steps.rows.append([name, *(f"{one[what]:.1f}" for what in times), *ratios, *_numbers(one, "peak MB", "own MB")])
        begun = [f"{one[what]:.2f}" for what in ("torch import s", "import s", "first step s")]
        starts.rows.append([name, *begun, *_numbers(one, "MB after import")])
        if "first step s, nothing kept" in one:
            starts.rows.append(["  without compiled code", "", "", f"{one['first step s, nothing kept']:.2f}", ""])
    return [steps.text(), "", starts.text()]


def _numbers(one: dict[str, Any], *names: str) -> list[str]:
    return ["-" if one[name] is None else f"{one[name]:.0f}" for name in names]


def _rulebooks(record: dict[str, Any]) -> list[str]:
    one = record["rulebooks"]
    levels = ", ".join(f"{value:.2f}" for value in one["levels ms"])
    return [
        f"rulebooks {one['total ms']:.1f} ms, {record['rulebooks share of step']:.1%} of a step; by level {levels} ms",
        f"in addition: checking the sites {one['sites checked ms']:.1f} ms; "
        f"the rest of prepare, a pass without arithmetic, {one['rest of prepare ms']:.1f} ms",
    ]


def _levels(record: dict[str, Any]) -> list[str]:
    header = ["level", "sites", "rules/site", "GFLOP", "forward ms", "GFLOP/s", "share"]
    levels = Table([*header, "backward ms", "GFLOP/s", "share, both"], [])
    for number, level in [*enumerate(record["levels"]), ("all", record["total"])]:
        sites = ["", ""] if number == "all" else [f"{level['sites']:.0f}", f"{level['rules per site']:.1f}"]
        row = [str(number), *sites, f"{level['GFLOP']:.2f}", f"{level['forward ms']:.1f}"]
        row += [f"{level['forward GFLOP/s']:.1f}", f"{level['forward share of product rate']:.0%}"]
        row += [f"{level['backward ms']:.1f}", f"{level['backward GFLOP/s']:.1f}"]
        levels.rows.append([*row, f"{level['share of product rate']:.0%}"])
    total, rate = record["total"], record["product GFLOP/s"]
    return [
        levels.text(),
        f"all convolutions {total['GFLOP/s']:.1f} GFLOP/s; shares are relative to a large matrix product, {rate:.1f} "
        "GFLOP/s in this run",
    ]


def _operators(record: dict[str, Any]) -> list[str]:
    return [
        *(f"{value:9.1f} us host time, {name}" for name, value in record["host microseconds"].items()),
        *(f"{one['host ms']:9.2f} ms {one['calls']:5d} x {one['name']}" for one in record["operators"]),
    ]

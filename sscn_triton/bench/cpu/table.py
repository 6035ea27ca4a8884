"""The record of a benchmark as text."""

from __future__ import annotations

from typing import Any


def table(record: dict[str, Any]) -> str:
    """Engines, how they begin, rulebooks, levels, operators."""
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
    lines = [
        f"{'training step':20s}{'wall ms':>9s}{'cpu ms':>9s}{'forward':>9s}{'backward':>9s}{'adam':>7s}{'x wall':>8s}"
        f"{'x cpu':>7s}{'peak MB':>9s}{'own MB':>8s}"
    ]
    for name, one in engines.items():
        lines.append(
            f"{name:20s}{one['wall ms']:9.1f}{one['cpu ms']:9.1f}{one['rulebooks and forward ms']:9.1f}"
            f"{one['backward ms']:9.1f}{one['adam ms']:7.1f}{one['wall ratio']:8.2f}{one['cpu ratio']:7.2f}"
            f"{_number(one['peak MB'], 9)}{_number(one['own MB'], 8)}"
        )
    lines += ["", f"{'fresh process':20s}{'torch s':>9s}{'import s':>9s}{'first s':>9s}{'then MB':>9s}"]
    for name, one in engines.items():
        lines.append(
            f"{name:20s}{one['torch import s']:9.2f}{one['import s']:9.2f}{one['first step s']:9.2f}"
            f"{_number(one['MB after import'], 9)}"
        )
        if "first step s, nothing kept" in one:
            lines.append(f"{'  nothing compiled':20s}{'':18s}{one['first step s, nothing kept']:9.2f}")
    return lines


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}s}" if value is None else f"{value:{width}.0f}"


def _rulebooks(record: dict[str, Any]) -> list[str]:
    one = record["rulebooks"]
    levels = ", ".join(f"{value:.2f}" for value in one["levels ms"])
    return [
        f"rulebooks {one['total ms']:.1f} ms, {record['rulebooks share of step']:.1%} of a step; by level {levels} ms",
        f"beside them, sites checked {one['sites checked ms']:.1f} ms; "
        f"the rest of prepare, a pass without arithmetic, {one['rest of prepare ms']:.1f} ms",
    ]


def _levels(record: dict[str, Any]) -> list[str]:
    lines = [
        f"{'level':6s}{'sites':>8s}{'rules/site':>11s}{'GFLOP':>8s}{'forward ms':>11s}{'GFLOP/s':>8s}"
        f"{'of product':>11s}{'backward ms':>12s}{'GFLOP/s':>8s}{'both, of it':>12s}"
    ]
    for number, level in [*enumerate(record["levels"]), ("all", record["total"])]:
        sites = "" if number == "all" else f"{level['sites']:8.0f}{level['rules per site']:11.1f}"
        lines.append(
            f"{number!s:6s}{sites:19s}{level['GFLOP']:8.2f}{level['forward ms']:11.1f}{level['forward GFLOP/s']:8.1f}"
            f"{level['forward share of product rate']:11.0%}{level['backward ms']:12.1f}"
            f"{level['backward GFLOP/s']:8.1f}{level['share of product rate']:12.0%}"
        )
    total, rate = record["total"], record["product GFLOP/s"]
    return [
        *lines,
        f"all convolutions {total['GFLOP/s']:.1f} GFLOP/s; a large matrix product {rate:.1f} GFLOP/s here and now",
    ]


def _operators(record: dict[str, Any]) -> list[str]:
    return [
        *(f"{value:9.1f} us host time, {name}" for name, value in record["host microseconds"].items()),
        *(f"{one['host ms']:9.2f} ms {one['calls']:5d} x {one['name']}" for one in record["operators"]),
    ]

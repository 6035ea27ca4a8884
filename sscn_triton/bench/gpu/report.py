"""The results on a GPU, as lines and as a table."""

from __future__ import annotations

from typing import Any

from sscn_triton.common.table import Table

WRONG, UNFIT = "wrong", "does not fit"
"""What a tile has in place of a time."""


def line(name: str, cell: dict[str, Any]) -> str:
    """A result in one line; the kernels of a pass, and its tiles, in several."""
    if "wrong" in cell:
        return f"WRONG   {cell['wrong']}"
    if "failed" in cell:
        return f"failed  {name}: {cell['failed']}"
    if "profile" in cell:
        return "\n          ".join([name, *profile_lines(cell)])
    if "tiles" in cell:
        return "\n          ".join([name, *tile_lines(cell)])
    mine = cell["sscn"]
    shown = f"{mine['ms']:9.3f} ms  {mine['in a row']:9.3f} in a row  floor {cell['floor ms']:8.3f}"
    peak = f"  {mine['peak MB']:7.0f} MB" if "peak MB" in mine else ""
    rules = cell["rules per site"]["finest level"]
    return f"{shown}{peak}  {name}: {cell['voxels']} voxels, {rules:.1f} rules per site{_bar(cell)}"


def _bar(cell: dict[str, Any]) -> str:
    if "bar" not in cell:
        return ""
    bar = cell["bar"]
    ratio = bar["ms"] / cell["sscn"]["ms"]
    return f"\n          to beat: {bar['ms']} ms, {bar['engine']} ({ratio:.2f} x this); {bar['source']}"


def profile_lines(record: dict[str, Any], most: int = 20) -> list[str]:
    """The kernels of a profile as a table in plain text, and how long the device waits for the host."""
    rows = record["profile"]
    shown = [f"{'kernel':32} {'calls':>7} {'us':>10} {'floor us':>10} {'us/floor':>8}"]
    for row in rows[:most]:
        floor = row["floor_us"]
        beside = f"{floor:10.1f} {row['us'] / floor:8.1f}" if floor else ""
        shown.append(f"{row['name'][:32]:32} {row['calls']:7.4g} {row['us']:10.1f} {beside}".rstrip())
    if rows[most:]:
        rest = sum(row["calls"] for row in rows[most:]), sum(row["us"] for row in rows[most:])
        shown.append(f"{f'{len(rows) - most} others':32} {rest[0]:7.4g} {rest[1]:10.1f}")
    busy, whole = record["busy ms"], record["in a row ms"]
    shown.append(f"busy {busy:.3f} ms of {whole:.3f} ms in a row; floor {record['floor ms']:.3f} ms")
    return shown


def tile_lines(record: dict[str, Any]) -> list[str]:
    """The untuned and the fastest tile of every kernel, with their times, in plain text."""
    shown = []
    for key, first in record["untuned"].items():
        times = record["tiles"].get(key, {})
        fast = " ".join(map(str, record["best"].get(key, []))) or first
        counts = [sum(value == what for value in times.values()) for what in (WRONG, UNFIT)]
        ms = [f"{times[name]:.4f} ms" if isinstance(times.get(name), float) else "not timed" for name in (first, fast)]
        shown.append(
            f"{key}: {len(times)} tiles, {counts[0]} wrong, {counts[1]} do not fit; untuned {first}: {ms[0]}; "
            f"best {fast}: {ms[1]}"
        )
    return [*shown, *([f"{record['left']} tiles are left for the next run"] if record["left"] else [])]


def rival_line(name: str, cell: str, found: dict[str, Any]) -> str:
    """Another engine's time on a cell, or the reason why there is none."""
    if "ms" not in found:
        return f"{name} on {cell}: {found['why not']}"
    return f"{found['ms']:9.3f} ms  {name}, {found['ratio']:.2f} x the {found['sscn ms']:.3f} ms of sscn; {cell}"


def tests_line(record: dict[str, Any]) -> str:
    """The outcome of the tests in one line."""
    found = record.get("tests")
    if found is None:
        return "The tests have not run."
    counts = f"{len(found['passed'])} passed, {found['skipped']} skipped"
    if found["failed"]:
        return f"TESTS FAILED: {', '.join(found['failed'])}; {counts}"
    if not found["complete"]:
        return f"Tests incomplete: {found['reason']}; {counts}"
    return f"All tests passed on the device: {counts}."


def summary(record: dict[str, Any]) -> list[str]:
    """All cells as a Markdown table, then the outcome of the tests and the results that are wrong."""
    wrong = [f"WRONG: {cell['wrong']}" for cell in record["cells"].values() if "wrong" in cell]
    return [table(record), "", *wrong, tests_line(record)]


def table(record: dict[str, Any]) -> str:
    """All cells as a Markdown table; "to beat" is the shortest published time in ms, on other events."""
    header = ["cell", "voxels", "ms", "in a row", "floor", "share of floor", "peak MB", "fastest other", "to beat"]
    return Table(header, [_row(name, cell) for name, cell in record["cells"].items() if "sscn" in cell]).markdown()


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    mine = cell["sscn"]
    others = {name: found for name, found in cell.get("rivals", {}).items() if "ratio" in found}
    best = min(others, key=lambda name: others[name]["ratio"], default=None)
    other = "" if best is None else f"{best}, {others[best]['ratio']:.2f} x"
    times = [f"{one:.3f}" for one in (mine["ms"], mine["in a row"], cell["floor ms"])]
    peak = f"{mine['peak MB']:.0f}" if "peak MB" in mine else ""
    bar = f"{cell['bar']['ms']}, {cell['bar']['engine']}" if "bar" in cell else ""
    return [name, str(cell["voxels"]), *times, f"{mine['share of floor']:.0%}", peak, other, bar]

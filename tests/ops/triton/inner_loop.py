"""The inner loop of a compiled kernel, read off its machine code: what a device issues again and again.

NVIDIA's is disassembled by cuobjdump (SASS), AMD's is the assembly that Triton keeps (``amdgcn``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from sscn_triton.ops.triton.launch import ceil_div

SASS = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", re.MULTILINE)
MATRIX = re.compile(r"\b(?:HMMA|HGMMA|UTCHMMA)\b|v_mfma_")
WAIT = re.compile(r"\bWARPGROUP\.DEPBAR\b|\bSYNCS\.PHASECHK\S*TRYWAIT\b|\bs_waitcnt\b")
"""Waits for matrix instructions that run beside the others, and on AMD for loads too; HMMA needs none."""
LOAD = re.compile(r"\b(?:LDG|LDGSTS)\.\S+|\b(?:global|buffer)_load_\S+")
BYTES = {
    "U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16,
    "ubyte": 1, "ushort": 2, "sshort": 2, "short": 2, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16,
}  # fmt: skip


class Loop(NamedTuple):
    """Counts for one pass of the loop: instructions, matrix instructions, waits, and the mean bytes per global load of
    a thread (0 without loads)."""

    instructions: int
    matrix: int
    waits: int
    load_bytes: float


def count(text: str) -> int:
    """The number of instructions of a kernel in NVIDIA's or AMD's machine code."""
    return len(SASS.findall(text)) or len(re.findall(r"^\s+[a-z]+_", text, re.MULTILINE))


def of_sass(text: str) -> Loop:
    """The largest innermost loop of a disassembled kernel that loads from global memory; without one, the largest."""
    lines = [(int(address, 16), instruction) for address, instruction in SASS.findall(text)]
    place = {address: number for number, (address, _) in enumerate(lines)}
    jumps = []
    for number, (_, instruction) in enumerate(lines):
        target = re.search(r"\bBRA\b.*\b(0x[0-9a-f]+)", instruction)
        if target and place.get(int(target[1], 16), number) < number:
            jumps.append((place[int(target[1], 16)], number))
    return _largest([instruction for _, instruction in lines], jumps)


def of_amdgcn(text: str) -> Loop:
    """As `of_sass`, for a kernel in AMD's assembly."""
    place: dict[str, int] = {}
    instructions: list[str] = []
    jumps = []
    for line in text.splitlines():
        if label := re.match(r"(\.LBB\w+):", line):
            place[label[1]] = len(instructions)
        elif re.match(r"\s+[a-z]+_", line):
            target = re.search(r"\bs_c?branch\w*\s+(\.LBB\w+)", line)
            if target and target[1] in place:
                jumps.append((place[target[1]], len(instructions)))
            instructions.append(line)
    return _largest(instructions, jumps)


def _largest(lines: list[str], jumps: list[tuple[int, int]]) -> Loop:
    """``jumps``: for each jump backwards, the first and the last instruction of what it repeats."""
    inner = [one for one in jumps if not any(one != o and one[0] <= o[0] and o[1] <= one[1] for o in jumps)]
    first, last = max(inner, key=lambda one: (_loads(lines[one[0] : one[1] + 1]), one[1] - one[0]), default=(0, -1))
    body = lines[first : last + 1]
    widths = [_width(load[0]) for line in body if (load := LOAD.search(line))]
    return Loop(
        len(body),
        sum(bool(MATRIX.search(line)) for line in body),
        sum(bool(WAIT.search(line)) for line in body),
        round(sum(widths) / len(widths), 1) if widths else 0.0,
    )


def _loads(lines: list[str]) -> bool:
    return any(LOAD.search(line) for line in lines)


def _width(load: str) -> int:
    """Bytes per thread of a load instruction; 4 unless its name says otherwise."""
    return next((BYTES[part] for part in re.split(r"[._]", load) if part in BYTES), 4)


def repeats(arguments: Mapping[str, Any]) -> float:
    """How often the loop of a kernel with these arguments is issued, by all its warps and for all its blocks of
    channels, for each row that it gathers and each tap."""
    a = arguments
    if "CHANNELS" in a:  # depthwise
        blocks = ceil_div(a["CHANNELS"], a["WIDTH"])
    elif "RULES" in a:
        blocks = a["GROUPS"] * ceil_div(a["OUT"], a["WIDTH"]) * ceil_div(a["IN"], a["HEIGHT"])
    else:
        parts = ceil_div(a["IN"], a["DEPTH"]) if a["DEPTH"] > 1 else 1
        blocks = a["GROUPS"] * ceil_div(a["OUT"], a["WIDTH"]) * parts
    return blocks * a["num_warps"] / a.get("RULES", a.get("ROWS"))

"""Compile every Triton kernel for GPUs that are not there; read registers, memory and instructions off the binaries.

A program, since a process that interprets kernels cannot compile them:

    python -m tests.ops.triton.compile_kernels cuda80 cuda90  print what was found, as JSON: target, variant, numbers
    python -m tests.ops.triton.compile_kernels --quick  print what the default run of the tests needs, see `quick`
    python -m tests.ops.triton.compile_kernels --write  measure every target, or those named, and write the budget

Kernels are met as users meet them: the engine runs on CPU tensors, Triton specialises and compiles for a target that
a stand-in for the driver names, and instead of a launch everything the kernel was given is set to zero.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction

from sscn_triton.bench.gpu import gather_kernel
from sscn_triton.ops.norm import Norm
from sscn_triton.ops.rules import TableRules
from sscn_triton.ops.triton import convolution, events, normalization, pooling, sites, statistics, weight_gradient
from sscn_triton.ops.triton.launch import ceil_div
from sscn_triton.ops.triton.layout import UNIT, WORD
from tests.ops.triton import inner_loop

BUDGET = Path(__file__).with_name("kernel_budget.json")
TARGETS = {
    "cuda80": GPUTarget("cuda", 80, 32),
    "cuda86": GPUTarget("cuda", 86, 32),
    "cuda90": GPUTarget("cuda", 90, 32),
    "cuda100": GPUTarget("cuda", 100, 32),
    "cuda120": GPUTarget("cuda", 120, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


class Met(NamedTuple):
    """A kernel that was launched, its binary (None if none was compiled) and its arguments by name."""

    kernel: str
    binary: Any
    arguments: dict[str, Any]


@contextlib.contextmanager
def compiling(target: GPUTarget, compiled: bool = True) -> Iterator[list[Met]]:
    """Every kernel that is launched inside; no binary if kernels are not compiled."""
    met: list[Met] = []
    original = JITFunction.run
    driver = SimpleNamespace(
        get_current_target=lambda: target, get_current_device=lambda: str(target), get_current_stream=lambda _: 0
    )

    def run(kernel: Any, *, grid: Any, warmup: bool, **arguments: Any) -> None:
        binary = original(kernel, grid=grid, warmup=True, **arguments) if compiled else None
        met.append(Met(kernel.__name__, binary, arguments))
        for argument in arguments.values():
            if isinstance(argument, torch.Tensor):
                argument.zero_()

    triton.runtime.driver.set_active(driver)
    patches = [mock.patch.object(JITFunction, "run", run)]
    patches += [mock.patch.object(torch.version, "hip", "7" if target.backend == "hip" else None)]
    modules = convolution, weight_gradient, pooling
    patches += [mock.patch.object(module, "is_interpreted", return_value=False) for module in modules]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield met


def rules_of(taps: int, inputs: int, outputs: int, rules: int = 64) -> TableRules:
    """A layout with the right shapes, but without rules."""

    def readings(rows: int) -> list[torch.Tensor]:
        masks = torch.zeros(ceil_div(taps, WORD), ceil_div(rows, UNIT), dtype=torch.int64)
        return [torch.zeros(taps, rows, dtype=torch.int32), torch.zeros(rows, dtype=torch.int32), masks]

    rows = torch.zeros(rules, dtype=torch.int32)
    spans = torch.zeros(taps, 2, dtype=torch.int64)
    return TableRules(rows, rows.clone(), spans, *readings(outputs), *readings(inputs))


def build_rulebooks(count: int = 4) -> None:
    ones, twos, threes, zeros = ((n,) * 3 for n in (1, 2, 3, 0))
    cloud = torch.zeros(count, 4, dtype=torch.int32)
    sites.unique_sites(cloud)
    sites.submanifold_rules(cloud, threes, ones)
    sites.submanifold_rules(cloud, twos, ones)
    sites.strided_rules(cloud, threes, twos, ones, ones, ())
    sites.transposed_rules(cloud, twos, twos, zeros, ones, (9, 9, 9))


def convolve(dtype: torch.dtype, groups: int, channels_in: int, channels_out: int, rows: int) -> None:
    """Forward, input gradient and weight gradient of a layer."""
    rules = rules_of(27, rows, rows)
    x, g = (torch.zeros(rows, groups * n, dtype=dtype) for n in (channels_in, channels_out))
    w = torch.zeros(27, groups, channels_in, channels_out, dtype=dtype)
    convolution.convolve(x, w, rules, rows, bias=torch.zeros(groups * channels_out, dtype=dtype))
    convolution.convolve(g, w.transpose(2, 3), rules.read_backwards(), rows)
    weight_gradient.weight_gradient(x, g, rules, groups)


def round_weight(dtype: torch.dtype, groups: int, channels_in: int, channels_out: int, rows: int) -> None:
    """Forward pass of a layer whose weight is float32."""
    x = torch.zeros(rows, groups * channels_in, dtype=dtype)
    w = torch.zeros(27, groups, channels_in, channels_out)
    convolution.convolve(x, w, rules_of(27, rows, rows), rows, dtype=dtype)


def a_norm(dtype: torch.dtype, channels: int) -> Norm:
    numbers = torch.zeros(4, channels, dtype=torch.promote_types(dtype, torch.float32))
    return Norm(*numbers.unbind(), eps=1e-4, leakiness=0.0)


def fuse(dtype: torch.dtype, groups: int, channels_in: int, channels_out: int, rows: int) -> None:
    """A layer with everything that can be fused, and its weight gradient."""
    rules, norm = rules_of(27, rows, rows), a_norm(dtype, groups * channels_in)
    x, y = (torch.zeros(rows, groups * n, dtype=dtype) for n in (channels_in, channels_out))
    w = torch.zeros(27, groups, channels_in, channels_out, dtype=dtype)
    bias = torch.zeros(groups * channels_out, dtype=dtype)
    moments = statistics.line(y, groups * channels_out)
    convolution.convolve(x, w, rules, rows, bias, None, y, norm, moments)
    weight_gradient.weight_gradient(x, y, rules, groups, norm=norm)
    line, back = statistics.line(x, groups * channels_in), rules.read_backwards()
    convolution.convolve(y, w.transpose(2, 3), back, rows, norm=norm, moments=line, rows=x)


def normalize(dtype: torch.dtype, channels: int, rows: int = 1 << 12, momentum: float = 0.1) -> None:
    """Statistics of a norm in training mode, its output and its gradient."""
    x, norm = torch.zeros(rows, channels, dtype=dtype), a_norm(dtype, channels)
    running = torch.zeros(channels), torch.zeros(channels), torch.zeros((), dtype=torch.int64)
    statistics.statistics(statistics.moments(x), rows, channels, *running, momentum)
    many = statistics.PART_ROWS << 3
    statistics.statistics(statistics.line(torch.zeros(many, 0, dtype=dtype), channels), many, channels, *running, 0.1)
    statistics.add(statistics.line(torch.zeros(many, 0, dtype=dtype), channels), many, channels)
    normalization.normalize(x, norm, x)
    normalization.gradient(x, x, norm, x, normalization.slopes(x, x, norm, x), rows)


def pool(dtype: torch.dtype, rows: int = 64) -> None:
    rules, x = rules_of(8, rows, 16), torch.zeros(rows, 16, dtype=dtype)
    pooling.pool_sum(x, rules, 16)
    _, winners = pooling.pool_max(x, rules, 16)
    pooling.pool_return(pooling.pool_take(x, winners), winners, rules, rows)
    order = [torch.zeros(n, dtype=torch.int64) for n in (rows, rows, 3)]
    for parts in (1, 4):
        events.sum_events(x, order, parts)
        events.largest_of_events(x, order, parts)


LAYERS = {  # groups, channels in and out of each, rows
    "1>16": (1, 1, 16, 1 << 15),
    "5>5": (1, 5, 5, 1 << 15),
    "16>16": (1, 16, 16, 1 << 15),
    "32>32": (1, 32, 32, 1 << 14),
    "32>64 small": (1, 32, 64, 1 << 12),
    "64>64 small": (1, 64, 64, 1 << 13),  # the most rows that are normalised while they are gathered
    "64>64": (1, 64, 64, 1 << 17),
    "48>48 small": (1, 48, 48, 1 << 12),
    "80>80 small": (1, 80, 80, 1 << 10),
    "160>128": (1, 160, 128, 1 << 17),
    "depthwise 32": (32, 1, 1, 1 << 14),
}
DIVIDING = {"search_kernel", "fill_kernel", "transpose_kernel", "reach_kernel"}  # each place of a table by its rows
GATHERING = {"convolution_kernel", "weight_gradient_kernel", "depthwise_kernel"}
PLAIN = ("1>16", "5>5", "depthwise 32")  # in float32, only the others are compiled with everything that can be fused
QUICK = {  # variants of the default run: every kernel, and the widest and the narrowest of each kind of product
    "float32 16": (),
    "bfloat16": ("16>16", "160>128", "depthwise 32"),
    "float32 ieee": ("5>5",),
    "float32 tf32": ("16>16",),
}
PART = {**QUICK, "bfloat16": ("16>16", "80>80 small", "160>128", "depthwise 32")}  # of targets other than cuda 90
ALL = {  # variants of the deep run on cuda 90, besides the norms
    "bfloat16": tuple(LAYERS),
    "float16": ("64>64",),
    "float32 ieee": ("5>5", "64>64"),
    "float32 tf32": ("16>16", "64>64"),
    "float32 split": ("64>64",),
}
ROUNDED = ("16>16", "80>80 small")  # layers whose weight is also compiled as float32, in bfloat16
NORMS = [(torch.float64, 16), (torch.float32, 16), (torch.bfloat16, 1), (torch.bfloat16, 16), (torch.bfloat16, 160)]
PRECISIONS = {"ieee": ("highest", "ieee"), "tf32": ("highest", "tf32"), "split": ("high", "tf32")}


def set_precision(name: str) -> None:
    """The precision of float32 products: the old setting, then the new one."""
    old, new = PRECISIONS[name]
    torch.set_float32_matmul_precision(old)
    torch.backends.cuda.matmul.fp32_precision = new


def variants(
    target: str, chosen: Mapping[str, tuple[str, ...]] | None = None, compiled: bool = True
) -> Iterator[tuple[str, Met]]:
    """A name for every kernel that this library launches, and its binary; ``chosen`` is `QUICK`, or those of the deep
    run."""
    layers = chosen or (ALL if target == "cuda90" else PART)
    part = layers is not ALL
    with compiling(TARGETS[target], compiled) as met:
        build_rulebooks()
        yield from ((f"rulebook {one.kernel}", one) for one in met)
        for dtype in (torch.float32, torch.bfloat16):
            if part and dtype != torch.bfloat16:
                continue
            met.clear()
            pool(dtype)
            yield from ((f"{str(dtype)[6:]} {one.kernel}", one) for one in met)
        for dtype, channels in NORMS:
            label = f"{str(dtype)[6:]} {channels}"
            if part and label not in layers:
                continue
            met.clear()
            normalize(dtype, channels)
            yield from ((f"{label} {one.kernel}", one) for one in met)
        for dtype in (torch.bfloat16, torch.float16, torch.float32):
            for precision in PRECISIONS if dtype == torch.float32 else ("ieee",):
                set_precision(precision)
                label = str(dtype)[6:] + (f" {precision}" if dtype == torch.float32 else "")
                for name, (*shape, rows) in LAYERS.items():
                    layer = (*shape, rows if compiled else UNIT)
                    if name not in layers.get(label, ()):
                        continue
                    met.clear()
                    convolve(dtype, *layer)
                    kinds = ["forward", "input gradient", "weight gradient", "reduction"]
                    yield from ((f"{label} {name} {kind}", one) for kind, one in zip(kinds, met, strict=True))
                    if name in ROUNDED and dtype == torch.bfloat16:
                        met.clear()
                        round_weight(dtype, *layer)
                        yield f"{label} {name} forward, float32 weight", met[0]
                    if name in PLAIN and dtype == torch.float32:
                        continue
                    met.clear()
                    fuse(dtype, *layer)
                    hot = [one for one in met if one.kernel in GATHERING]
                    kinds = ["fused forward", "fused weight gradient", "fused input gradient"]
                    yield from ((f"{label} {name} {kind}", one) for kind, one in zip(kinds, hot, strict=True))


def measure(met: Met) -> dict[str, float]:
    """Registers per thread, spilled bytes, shared memory and matrix instructions.

    For kernels that divide places of a table by its rows also all instructions, which a division of 64 bits multiplies.
    For a convolution and a weight gradient also the inner loop's instructions, its issue slots for each gathered row
    and tap (``slots``), its matrix instructions and waits, and the mean bytes per global load.
    """
    binary, gathers, divides = met.binary, met.kernel in GATHERING, met.kernel in DIVIDING
    found: dict[str, float] = {"shared": binary.metadata.shared}
    if "amdgcn" in binary.asm:
        text = binary.asm["amdgcn"]
        registers, spills = (re.search(rf"\.{name}:\s+(\d+)", text) for name in ("vgpr_count", "vgpr_spill_count"))
    else:
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            Path(file.name).write_bytes(binary.asm["cubin"])
            usage, text = (
                subprocess.run([CUOBJDUMP, option, file.name], capture_output=True, text=True, check=True).stdout
                if option != "-sass" or gathers or divides  # disassembling takes half a second
                else ""
                for option in ("--dump-resource-usage", "-sass")
            )
        registers, spills = (re.search(rf"{name}:(\d+)", usage) for name in ("REG", "STACK"))
    assert registers
    assert spills
    matrix = len(inner_loop.MATRIX.findall(text))
    found |= {"registers": int(registers[1]), "spills": int(spills[1]), "matrix": matrix}
    if divides:
        found["instructions"] = inner_loop.count(text)
    if gathers:
        loop = inner_loop.of_amdgcn(text) if "amdgcn" in binary.asm else inner_loop.of_sass(text)
        slots = round(loop.instructions * inner_loop.repeats(met.arguments), 2)
        found |= {
            "loop": loop.instructions, "slots": slots, "loop_matrix": loop.matrix, "waits": loop.waits,
            "load_bytes": loop.load_bytes,
        }  # fmt: skip
    return found


def survey(target: str, chosen: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, dict[str, float]]:
    """The numbers of every variant; the largest if a name covers several binaries."""
    found: dict[str, dict[str, float]] = {}
    seen: dict[str, dict[str, float]] = {}
    for name, met in variants(target, chosen):
        if met.binary.hash not in seen:
            seen[met.binary.hash] = measure(met)
        numbers, before = seen[met.binary.hash], found.get(name, {})
        found[name] = {key: max(value, before.get(key, 0)) for key, value in numbers.items()}
    return found


def write_budget(targets: Sequence[str]) -> None:
    """Measure these targets, each in a process of its own, and write them to the budget."""
    command = [sys.executable, "-m", "tests.ops.triton.compile_kernels"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = pool.map(lambda target: subprocess.run([*command, target], capture_output=True, check=True), targets)
        found = {target: numbers for run in runs for target, numbers in json.loads(run.stdout).items()}
    kept = json.loads(BUDGET.read_text()) | found
    BUDGET.write_text(json.dumps({target: kept[target] for target in TARGETS}, indent=1) + "\n")


def recompilations(sizes: Sequence[int]) -> dict[str, int]:
    """How many binaries each kernel has after it was launched for all sizes, with a momentum of its own for each."""
    binaries: dict[str, set[str]] = {}
    with compiling(TARGETS["cuda90"]) as met:
        for size in sizes:
            build_rulebooks(size)
            convolve(torch.bfloat16, 1, 16, 16, size)
            convolve(torch.bfloat16, 8, 1, 1, size)
            fuse(torch.bfloat16, 1, 16, 16, size)
            normalize(torch.bfloat16, 16, size, momentum=1 / (1 + size))
            pool(torch.bfloat16, size)
            gather_kernel.sum_rows(
                torch.zeros(size, 64), torch.zeros(27, size, dtype=torch.int32), torch.zeros(size, 64)
            )
    for name, binary, _ in met:
        binaries.setdefault(name, set()).add(binary.hash)
    return {name: len(hashes) for name, hashes in binaries.items()}


def kernels() -> set[str]:
    """Every kernel of the engine: functions that are compiled and that no other kernel calls."""
    folder = Path(convolution.__file__).parent
    modules = [importlib.import_module(f"sscn_triton.ops.triton.{path.stem}") for path in folder.glob("[a-z]*.py")]
    found = {thing.__name__ for module in modules for thing in vars(module).values() if isinstance(thing, JITFunction)}
    return {name for name in found if name.endswith("_kernel")}


def quick() -> dict[str, Any]:
    """All names of kernels, of variants by target, the numbers of the variants `QUICK` on cuda 90, and how often sizes
    alone made each kernel compile again."""
    once, more = recompilations([17]), recompilations([0, 1, 15, 16, 17, 1000])
    return {
        "kernels": sorted(kernels()),
        "names": {target: sorted({name for name, _ in variants(target, compiled=False)}) for target in TARGETS},
        "again": {name: more[name] - once[name] for name in once},
        "cuda90": survey("cuda90", QUICK),
    }


def main(arguments: list[str]) -> None:
    if arguments[0] == "--write":
        write_budget(arguments[1:] or list(TARGETS))
    else:
        print(json.dumps(quick() if arguments == ["--quick"] else {target: survey(target) for target in arguments}))


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the Triton kernels compile to, for GPUs that are not there, stays within its budget (kernel_budget.json).

After a change that is meant to cost more: ``python tests/ops/triton/compile_kernels.py --write``, and say why in the
commit.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUDGET = json.loads((HERE / "kernel_budget.json").read_text())
SLACK = 1.2  # of registers and shared memory, for compilers other than the pinned one


@cache
def compiled(*arguments: str) -> dict[str, dict[str, dict[str, int]]]:
    """The answer of tests/ops/triton/compile_kernels.py, in a process that does not interpret."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(HERE / "compile_kernels.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("target", BUDGET)
def test_kernels_keep_their_budget(target: str) -> None:
    found, allowed = compiled(target)[target], BUDGET[target]
    assert found.keys() == allowed.keys()
    over = [
        f"{name}: {key} {numbers[key]}, budget {allowed[name][key]}"
        for name, numbers in found.items()
        for key in ("registers", "shared", "spills")
        if numbers[key] > allowed[name][key] * (SLACK if key != "spills" else 1)
    ]
    over += [f"{name}: no matrix instruction" for name in found if allowed[name]["matrix"] > found[name]["matrix"] == 0]
    assert not over, "\n".join(over)


@pytest.mark.parametrize("target", BUDGET)
def test_no_hot_kernel_is_allowed_to_spill(target: str) -> None:
    hot = re.compile("forward|input gradient|weight gradient")
    assert not [name for name, numbers in BUDGET[target].items() if hot.search(name) and numbers["spills"]]


@pytest.mark.parametrize("target", BUDGET)
def test_shared_memory_is_there(target: str) -> None:
    """64 KiB on AMD; 99 on the smallest NVIDIA GPUs of these generations, the ones for games."""
    limit = (64 if target == "gfx942" else 99) * 1024
    assert not {name: numbers["shared"] for name, numbers in BUDGET[target].items() if numbers["shared"] > limit}


@pytest.mark.parametrize("target", BUDGET)
def test_low_precision_products_run_on_matrix_units(target: str) -> None:
    """IEEE float32 has none on NVIDIA; one channel and depthwise need none."""
    plain = re.compile(r"depthwise|1>16 (fused )?(forward|input)|reduction" + ("|ieee" if target != "gfx942" else ""))
    wanted = {name for name in BUDGET[target] if ">" in name and not plain.search(name)}
    assert wanted
    assert not [name for name in wanted if not BUDGET[target][name]["matrix"]]


def test_sizes_alone_compile_no_kernel_again() -> None:
    again = compiled("--count")
    assert again.keys() == set(compiled("--kernels"))
    assert not any(again.values()), again

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
from typing import Any

import pytest

HERE = Path(__file__).parent
BUDGET = json.loads((HERE / "kernel_budget.json").read_text())
OF_LAYERS = {"convolution_kernel", "depthwise_kernel", "weight_gradient_kernel", "reduce_kernel"}  # named by their use
USES = ("forward", "input gradient", "weight gradient", "reduction")
SLACK = 1.2  # of registers and shared memory, for other compilers than the pinned one


@cache
def compiled(*arguments: str) -> Any:
    """The output of tests/ops/triton/compile_kernels.py, from a process that does not interpret."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, str(HERE / "compile_kernels.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def above_budget(target: str, found: dict[str, dict[str, int]]) -> list[str]:
    """The variants that exceed their budget."""
    allowed = BUDGET[target]
    over = [
        f"{name}: {key} {numbers[key]}, budget {allowed[name][key]}"
        for name, numbers in found.items()
        for key in ("registers", "shared", "spills")
        if numbers[key] > allowed[name][key] * (SLACK if key != "spills" else 1)
    ]
    return over + [
        f"{name}: no matrix instruction" for name in found if allowed[name]["matrix"] > found[name]["matrix"] == 0
    ]


def test_the_budget_names_every_variant() -> None:
    assert compiled("--names") == {target: sorted(numbers) for target, numbers in BUDGET.items()}


def test_every_kernel_keeps_its_budget_in_one_variant_at_least() -> None:
    found = compiled("--part", "cuda90")["cuda90"]
    named = " ".join(found)
    assert not [name for name in compiled("--kernels") if name not in named and name not in OF_LAYERS]
    products = [name for name in found if ">" in name or "depthwise" in name]
    assert all(
        any(name.endswith(use) for name in products) for use in (*USES, "fused forward", "fused weight gradient")
    )
    assert not (over := above_budget("cuda90", found)), "\n".join(over)


@pytest.mark.deep
@pytest.mark.parametrize("target", BUDGET)
def test_kernels_keep_their_budget(target: str) -> None:
    found = compiled(target)[target]
    assert found.keys() == BUDGET[target].keys()
    assert not (over := above_budget(target, found)), "\n".join(over)


@pytest.mark.parametrize("target", BUDGET)
def test_no_hot_kernel_is_allowed_to_spill(target: str) -> None:
    hot = re.compile("forward|input gradient|weight gradient")
    assert not [name for name, numbers in BUDGET[target].items() if hot.search(name) and numbers["spills"]]


@pytest.mark.parametrize("target", BUDGET)
def test_kernels_fit_into_the_shared_memory(target: str) -> None:
    """64 KiB on AMD; 99 KiB on the smallest NVIDIA GPUs of these generations, those for games."""
    limit = (64 if target == "gfx942" else 99) * 1024
    assert not {name: numbers["shared"] for name, numbers in BUDGET[target].items() if numbers["shared"] > limit}


@pytest.mark.parametrize("target", BUDGET)
def test_low_precision_products_run_on_matrix_units(target: str) -> None:
    """IEEE float32 has none on NVIDIA; one channel and depthwise need none."""
    plain = re.compile(r"depthwise|1>16 (fused )?(forward|input)|reduction" + ("|ieee" if target != "gfx942" else ""))
    wanted = {name for name in BUDGET[target] if ">" in name and not plain.search(name)}
    assert wanted
    assert not [name for name in wanted if not BUDGET[target][name]["matrix"]]


def test_new_sizes_do_not_recompile_kernels() -> None:
    again = compiled("--count")
    assert again.keys() == {*compiled("--kernels"), "gather_kernel"}  # the last one is the gather kernel of `make gpu`
    assert not any(again.values()), again

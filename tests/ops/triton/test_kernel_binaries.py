"""What the Triton kernels compile to, for GPUs that are not there, stays within its budget (kernel_budget.json).

After a change that is meant to cost more: ``python -m tests.ops.triton.compile_kernels --write``, and say why in the
commit.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.ops.triton import inner_loop

HERE = Path(__file__).parent
BUDGET = json.loads((HERE / "kernel_budget.json").read_text())
OF_LAYERS = {"convolution_kernel", "depthwise_kernel", "weight_gradient_kernel", "reduce_kernel"}  # named by their use
USES = ("forward", "input gradient", "weight gradient", "reduction")
SLACK = {"registers": 1.2, "shared": 1.2, "spills": 1.0, "loop": 1.1, "slots": 1.1, "waits": 1.0, "instructions": 1.1}
"""A number may be at most this many times its budget, for compilers other than the pinned one."""
LEAST = {"loop_matrix": 1.0, "load_bytes": 0.9}
"""A number must be at least this share of its budget."""


@cache
def compiled(*arguments: str) -> Any:
    """The output of tests/ops/triton/compile_kernels.py, from a process that does not interpret."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "tests.ops.triton.compile_kernels", *arguments]
    done = subprocess.run(command, env=environment, cwd=HERE.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def above_budget(target: str, found: dict[str, dict[str, float]]) -> list[str]:
    """The variants that exceed their budget or load in smaller pieces."""
    allowed = BUDGET[target]
    over = [
        f"{name}: {key} {numbers[key]}, budget {allowed[name][key]}"
        for name, numbers in found.items()
        for key in numbers
        if numbers[key] > allowed[name][key] * SLACK.get(key, math.inf)
        or numbers[key] < allowed[name][key] * LEAST.get(key, -math.inf)
    ]
    return over + [
        f"{name}: no matrix instruction" for name in found if allowed[name]["matrix"] > found[name]["matrix"] == 0
    ]


def test_the_budget_names_every_variant() -> None:
    assert compiled("--quick")["names"] == {target: sorted(numbers) for target, numbers in BUDGET.items()}


def test_every_kernel_keeps_its_budget_in_one_variant_at_least() -> None:
    found, kernels = (compiled("--quick")[what] for what in ("cuda90", "kernels"))
    named = " ".join(found)
    assert not [name for name in kernels if name not in named and name not in OF_LAYERS]
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


BESIDE_THE_LOOP = {
    ("cuda90", "bfloat16 depthwise 32 fused input gradient"): 8,
    ("cuda120", "bfloat16 depthwise 32 fused forward"): 8,
}
"""Bytes that a hot kernel writes before its loop and reads after it."""


@pytest.mark.parametrize("target", BUDGET)
def test_no_hot_kernel_is_allowed_to_spill_in_its_loop(target: str) -> None:
    hot = re.compile("forward|input gradient|weight gradient")
    spilling = {name: numbers["spills"] for name, numbers in BUDGET[target].items() if hot.search(name)}
    assert not {name for name, spills in spilling.items() if spills > BESIDE_THE_LOOP.get((target, name), 0)}


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
    again, kernels = (compiled("--quick")[what] for what in ("again", "kernels"))
    assert again.keys() == {*kernels, "gather_kernel"}  # the last one is the gather kernel of `make gpu`
    assert not any(again.values()), again


SASS = """
        /*0000*/                   S2R R0, SR_CTAID.X ;   /* 0x0 */
                                                          /* 0x0 */
        /*0010*/                   LDGSTS.E.BYPASS.128 [R1], desc[UR4][R2.64] ;
        /*0020*/              @!P0 LDG.E.U16 R4, desc[UR4][R2.64] ;
        /*0030*/                   HGMMA.64x16x16.F32.BF16 R24, gdesc[UR8], R24 ;
        /*0040*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;
        /*0050*/               @P0 BRA 0x10 ;
        /*0060*/                   FADD R1, R1, R2 ;
        /*0070*/               @P1 BRA 0x60 ;
        /*0080*/               @P2 BRA `(.L_x_2) 0x0 ;
        /*0090*/                   EXIT ;
"""
AMDGCN = """
.LBB0_1:
	v_add_u32_e32 v1, v2, v3
.LBB0_2:                                ; =>This Inner Loop Header: Depth=2
	global_load_dwordx4 v[0:3], v[4:5], off
	s_waitcnt vmcnt(0)
	v_mfma_f32_32x32x8_bf16_1k a[0:15], v[0:1], v[2:3], a[0:15]
	s_cbranch_scc1 .LBB0_2
	s_branch .LBB0_1
"""


def test_the_inner_loop_is_read_off_machine_code() -> None:
    assert inner_loop.of_sass(SASS) == (5, 1, 1, 9.0)  # the outer loop holds two; the larger one counts
    assert inner_loop.of_amdgcn(AMDGCN) == (4, 1, 1, 16.0)
    assert inner_loop.of_sass("") == (0, 0, 0, 0.0)
    assert [inner_loop.count(text) for text in (SASS, AMDGCN, "")] == [10, 6, 0]


def test_issue_slots_count_every_block_of_channels() -> None:
    convolution = {"GROUPS": 2, "IN": 80, "OUT": 96, "DEPTH": 32, "WIDTH": 64, "ROWS": 64, "num_warps": 4}
    assert inner_loop.repeats(convolution) == 2 * 3 * 2 * 4 / 64
    assert inner_loop.repeats({**convolution, "DEPTH": 1}) == 2 * 2 * 4 / 64
    gradient = {"GROUPS": 1, "IN": 80, "OUT": 96, "HEIGHT": 64, "WIDTH": 64, "RULES": 32, "num_warps": 4}
    assert inner_loop.repeats(gradient) == 2 * 2 * 4 / 32
    assert inner_loop.repeats({"CHANNELS": 96, "WIDTH": 64, "ROWS": 16, "num_warps": 4}) == 2 * 4 / 16


def test_a_loop_that_costs_more_is_above_its_budget() -> None:
    name, numbers = next((name, numbers) for name, numbers in BUDGET["cuda90"].items() if numbers.get("loop_matrix"))
    assert not above_budget("cuda90", {name: numbers})
    for key, worse in {"loop": 1.2, "slots": 1.2, "waits": 2.0, "loop_matrix": 0.5, "load_bytes": 0.5}.items():
        (over,) = above_budget("cuda90", {name: {**numbers, key: numbers[key] * worse}})
        assert over.startswith(f"{name}: {key}")

"""No operator reads or writes beyond the tensors it is given, whatever they are: it works, or refuses in one line.

The operators come from the registry; each needs a case here. Its tensors lie in memory that ends where they end
(`guarded.walled`), and are then spoilt: rows and channels too few or too many, rules of other sites, rules with wrong
numbers, other types, strides and devices. What reads past an end kills the process, so cases run in one of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import strided_step
from sscn_triton.ops import checks
from sscn_triton.ops.checks import HEAD
from sscn_triton.ops.registration import ENGINES
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.clouds import random_cloud
from tests.support.guarded import WalledClaims, walled

ROWS, IN, OUT, GROUPS = 23, 4, 6, 2
REFUSALS = (ValueError, TypeError, IndexError, RuntimeError)  # PyTorch's own operators are among these


def books() -> tuple[Rulebook, Rulebook]:
    """A submanifold rulebook and a strided one on one grid, built by the selected engine."""
    grid = random_cloud(ROWS, size=5).grid
    return grid.submanifold((3, 3, 3), (1, 1, 1)), grid.step(strided_step(3, 2, 2, 0, 1))[0]


def arguments(name: str, dtype: torch.dtype, book: Rulebook) -> list[Any]:
    """Valid arguments of an operator."""

    def rows(count: int, channels: int) -> Tensor:
        return torch.randn(count, channels, dtype=dtype)

    inputs, outputs, taps = book.input_count, book.output_count, book.rules.spans.shape[0]
    weight = torch.randn(taps, GROUPS, IN // GROUPS, OUT // GROUPS, dtype=dtype)
    x, g = rows(inputs, IN), rows(outputs, OUT)
    wide = torch.promote_types(dtype, torch.float32)
    norm = [torch.randn(IN, dtype=wide), torch.rand(IN, dtype=wide) + 1, torch.ones(IN, dtype=dtype)]
    norm.append(torch.zeros(IN, dtype=dtype))
    event, rules = torch.arange(inputs) % 3, list(book.rules)
    events = [event, torch.argsort(event, stable=True), torch.searchsorted(event.sort().values, torch.arange(4))]
    winners = torch.randint(-1, inputs, (outputs, IN), dtype=torch.int32)
    line = torch.ones(checks.moments_size(inputs, IN), dtype=wide)
    sites = random_cloud(ROWS, size=5).coordinates
    window = [[2, 2, 2], [2, 2, 2], [0, 0, 0], [1, 1, 1], [4, 4, 4]]
    return {
        "convolution": [x, weight, rules, outputs, torch.ones(OUT, dtype=dtype), g],
        "weight_gradient": [x, g, rules, GROUPS],
        "fused_convolution": [x, weight, rules, outputs, None, g, *norm, 1e-5, 0.0, True, True],
        "fused_gradients": [g, x, weight, rules, *norm, 1e-5, 0.0, True, True, True, True],
        "moments": [x],
        "statistics": [line, inputs, IN, torch.zeros(IN), torch.ones(IN), torch.tensor(1), 0.1],
        "normalize": [x, *norm, x.clone(), 1e-5, 0.5, True],
        "slopes": [x.clone(), x, *norm, x.clone(), 1e-5, 0.5],
        "slope": [x.clone(), x, *norm, x.clone(), torch.ones(2, IN, dtype=wide), inputs, 1e-5, 0.5],
        "pool_sum": [x, rules, outputs],
        "pool_max": [x, rules, outputs],
        "pool_take": [x, winners, rules],
        "pool_return": [rows(outputs, IN), winners, rules, inputs],
        "sum_events": [x, events],
        "spread_events": [rows(3, IN), events],
        "largest_of_events": [x, events],
        "unique_sites": [sites],
        "submanifold_rules": [sites, [3, 2, 3], [1, 1, 1]],
        "strided_rules": [sites, *window],
        "transposed_rules": [sites, *window],
        "between_rules": [sites, sites[:7] + torch.tensor([0, 1, 0, 0], dtype=torch.int32), [0, 0, 0, -1, 0, 2]],
    }[name]


def leaves(given: list[Any]) -> list[tuple[int, int | None]]:
    """The positions of tensors and numbers: an index of the arguments, and one in a list."""
    found: list[tuple[int, int | None]] = []
    for place, value in enumerate(given):
        found += [(place, inner) for inner in range(len(value))] if isinstance(value, list) else [(place, None)]
    return found


def wrong_tensor(value: Tensor, how: str, number: int) -> Tensor:
    """A tensor that is damaged in one way."""
    if how == "fewer rows":
        return value[: max(value.shape[0] - 1 - number % 5, 0)] if value.dim() else value
    if how == "more rows":
        return torch.cat([value, value[:1]]) if value.dim() else value
    if how == "no rows":
        return value[:0] if value.dim() else value
    if how == "fewer columns":
        return value[..., : value.shape[-1] - 1] if value.dim() > 1 else value
    if how == "one number stretched":
        return value.flatten()[:1].view([1] * value.dim()).expand(value.shape) if value.numel() else value
    if how == "another type":
        return value.to(torch.float64 if value.dtype != torch.float64 else torch.int32)
    if how == "another rank":
        return value[None]
    if how == "on meta":
        return value.to("meta")
    spoilt = value.clone()
    if spoilt.numel() and not spoilt.dtype.is_floating_point:  # numbers that refer to nothing, or to something else
        wild = (-1, 2**30, -(2**31), spoilt.numel(), 0)[number % 5]
        spoilt.view(-1)[number % spoilt.numel()] = wild
        if number % 2:
            spoilt = spoilt.flip(0)
    return spoilt


WAYS = ("fewer rows", "more rows", "no rows", "fewer columns", "one number stretched", "another type", "another rank")
WAYS = (*WAYS, "on meta", "wild numbers", "wild numbers")
spoilings = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(WAYS), st.integers(0, 500)), min_size=1, max_size=2)


def spoil(given: list[Any], spoiling: list[tuple[int, str, int]], foreign: Rulebook) -> list[Any]:
    """The arguments, some of them damaged."""
    given = [list(value) if isinstance(value, list) else value for value in given]
    for which, how, number in spoiling:
        places = leaves(given)
        place, inner = places[which % len(places)]
        if inner is not None and how == "no rows" and number % 3 == 0:
            given[place] = given[place][: number % len(given[place])] if given[place] else []
        elif inner is not None and how == "more rows" and isinstance(given[place][0], Tensor):
            given[place] = list(foreign.rules)
        else:
            value = given[place] if inner is None else given[place][inner]
            if isinstance(value, Tensor):
                value = wrong_tensor(value, how, number)
            elif isinstance(value, int) and not isinstance(value, bool):
                value = (0, -1, value + 1, 2**31, max(value - 1, 0))[number % 5]
            if inner is None:
                given[place] = value
            else:
                given[place][inner] = value
    return given


def wall(value: Any, at_start: bool) -> Any:
    if isinstance(value, list):
        return [wall(inner, at_start) for inner in value]
    if isinstance(value, Tensor) and value.device.type == "cpu" and value.is_contiguous():
        return walled(value, at_start)
    return value


def attack(name: str, examples: int, claims: WalledClaims) -> None:
    """Call an operator with valid and with damaged arguments, and without memory; a forbidden access ends the process.
    Whatever happens, its kernels release the memory that they claimed."""
    operator = getattr(torch.ops.sscn, name)
    outcomes, before = {"worked": 0, "refused": 0}, claims.taken
    both = books()

    @settings(max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=HealthCheck)
    @given(spoilings, st.booleans(), st.booleans(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
    def run(spoiling: Any, at_start: bool, strided: bool, dtype: torch.dtype) -> None:
        given = arguments(name, dtype, both[strided])
        foreign = both[not strided]
        wrong = wall(spoil(given, spoiling, Rulebook(foreign.rules.read_backwards(), 0, 0)), at_start)
        try:
            operator(*wrong)
            outcomes["worked"] += 1
        except REFUSALS:
            outcomes["refused"] += 1

    for book in both:
        for dtype in (torch.float32, torch.float64):
            found = operator(*wall(arguments(name, dtype, book), False))
            numbers = [found] if isinstance(found, Tensor) else found or []
            if name == "moments":  # between the first number and the moments, nothing is written
                numbers = [found[HEAD:]]
            assert not any(one.isnan().any() for one in numbers), "a kernel reads memory before it writes there"
    run()
    outcomes["claimed"] = claims.taken - before
    claims.refused = True
    with pytest.raises(MemoryError) if outcomes["claimed"] else nullcontext():
        operator(*arguments(name, torch.float32, both[0]))
    claims.refused = False
    assert not claims.held
    print(json.dumps(outcomes))


def attacked(names: list[str], engine: str, examples: int) -> dict[str, dict[str, int]]:
    """`attack` on some operators, in a separate process."""
    command = [sys.executable, "-m", "tests.ops.test_bounds", engine, str(examples), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    lines = done.stdout.split("\n")
    begun = [line[6:] for line in lines if line.startswith("begin ")]
    assert done.returncode == 0, f"{begun[-1:]} ended the process: {done.returncode}\n{done.stderr[-3000:]}"
    counts = [json.loads(line) for line in lines if line.startswith("{")]
    return dict(zip(names, counts, strict=True))


def assert_both_happened(outcomes: dict[str, dict[str, int]]) -> None:
    for name, counts in outcomes.items():
        assert counts["refused"] > 0, name


CLAIMING = {"convolution", "weight_gradient", "fused_convolution", "fused_gradients"}
CLAIMING |= {"moments", "normalize", "slopes", "slope"}
"""The operators with kernels that claim memory on the CPU."""


def test_cpu_operators_stay_within_their_tensors_and_the_memory_they_claim() -> None:
    outcomes = attacked(list(ENGINES), "cpu", 25)
    assert_both_happened(outcomes)
    assert {name for name, counts in outcomes.items() if counts["claimed"]} == CLAIMING


@pytest.mark.deep
def test_cpu_operators_stay_within_their_tensors_in_many_cases() -> None:
    assert_both_happened(attacked(list(ENGINES), "cpu", 3000))


@pytest.mark.parametrize("name", ["submanifold_rules", "strided_rules", "transposed_rules"])
@pytest.mark.parametrize("kernel", [[2**31 - 1, 1, 1], [257, 256, 256]])
def test_kernels_with_too_many_taps_are_refused_before_memory_is_taken(name: str, kernel: list[int]) -> None:
    given = arguments(name, torch.float32, books()[0])
    given[1] = kernel
    with pytest.raises(ValueError, match=r"has \d+ taps; 16777216 are allowed"):
        getattr(torch.ops.sscn, name)(*given)


@pytest.mark.parametrize("name", ["slopes", "slope"])
def test_gradients_of_another_type_than_the_features_are_converted(name: str) -> None:
    given = arguments(name, torch.float64, books()[0])
    expected = getattr(torch.ops.sscn, name)(*given)
    given[0] = walled(given[0].float())
    found = getattr(torch.ops.sscn, name)(*given)
    for one, other in zip(*(x if isinstance(x, (list, tuple)) else [x] for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_groups_that_do_not_divide_the_channels_are_refused_on_meta_too() -> None:
    given = arguments("weight_gradient", torch.float32, books()[0])
    given[:4] = [given[0].to("meta"), given[1].to("meta"), given[2], 0]
    with pytest.raises(ValueError, match="groups must divide the channels"):
        torch.ops.sscn.weight_gradient(*given)


def test_walled_memory_is_given_back() -> None:
    def mappings() -> int:
        return len(Path("/proc/self/maps").read_text().splitlines())

    before = mappings()
    for _ in range(50):
        part = walled(torch.ones(100))[:5]
        assert part.sum() == 5
    assert mappings() < before + 50


INTERPRETED = ("convolution", "pool_sum", "statistics")


def test_interpreted_gpu_kernels_stay_within_their_tensors() -> None:
    assert_both_happened(attacked(list(INTERPRETED), "triton", 8))


@pytest.mark.deep
def test_gpu_kernels_stay_within_their_tensors_in_many_cases() -> None:
    assert_both_happened(attacked(list(ENGINES), "triton", 200))


def main() -> None:
    engine, examples, *names = sys.argv[1:]
    claims = WalledClaims()
    for name in names:
        print(f"begin {name}", flush=True)
        torch.manual_seed(0)
        if engine == "triton":
            with interpreted():
                attack(name, int(examples), claims)
        else:
            attack(name, int(examples), claims)


if __name__ == "__main__":
    import tests.conftest  # noqa: F401  Triton must be told to interpret

    main()

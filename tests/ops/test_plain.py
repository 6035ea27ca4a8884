"""PyTorch's dispatcher is skipped where it would only call the engine, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from sscn_triton import functional, nn
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.fused import fused_convolution
from sscn_triton.ops.normalization import moments, normalize, slope, statistics
from sscn_triton.ops.registration import direct
from tests.support.clouds import random_cloud


class _Dispatches(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **kwargs or {})


class _Functions(TorchFunctionMode):
    def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **kwargs or {})


class _Own(torch.Tensor):
    pass


def given(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, Any, int]:
    x = random_cloud(6, channels=4, size=3, dtype=dtype)
    rules = x.grid.submanifold((3, 1, 1), (1, 1, 1)).rules
    return x.features.detach(), torch.ones(3, 1, 4, 2, dtype=dtype), rules, len(x)


@pytest.fixture
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the library's operators that PyTorch dispatched."""
    names: list[str] = []
    call = torch._ops.OpOverload.__call__

    def noted(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if self.namespace == "sscn":
            names.append(self._opname)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(torch._ops.OpOverload, "__call__", noted)
    return names


PLAIN: dict[str, Callable[[], Any]] = {
    "alone": contextlib.nullcontext,
    "without gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu"),
}
SPECIAL: dict[str, Callable[[], Any]] = {
    "dispatch mode": _Dispatches,
    "function mode": _Functions,
    "profiler": lambda: profile(activities=[ProfilerActivity.CPU]),
    "inference": torch.inference_mode,
    "forward mode": forward_ad.dual_level,
    "below autograd": torch._C._AutoDispatchBelowAutograd,
}
FEATURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "subclass": lambda features: features.as_subclass(_Own),
    "meta": lambda features: features.to("meta"),
    "negated": lambda features: torch._neg_view(features),
}


@pytest.mark.parametrize("state", PLAIN)
def test_plain_tensors_go_to_the_engine_without_the_dispatcher(state: str, dispatched: list[str]) -> None:
    features, weight, rules, count = given()
    wanted = torch.ops.sscn.convolution(features, weight, rules, count)
    dispatched.clear()
    with PLAIN[state]():
        parameter = torch.nn.Parameter(weight)
        y = direct(convolution)(features, parameter, rules, count)
    assert dispatched == []
    assert torch.equal(y, wanted)
    assert y.requires_grad == (state != "without gradients")


@pytest.mark.parametrize("state", SPECIAL)
def test_what_waits_for_operators_sees_them(state: str, dispatched: list[str]) -> None:
    features, weight, rules, count = given()
    dispatched.clear()
    with SPECIAL[state]():
        direct(convolution)(features, weight, rules, count)
    assert dispatched


@pytest.mark.parametrize("kind", FEATURES)
def test_tensors_that_are_not_plain_are_dispatched(kind: str, dispatched: list[str]) -> None:
    features, weight, rules, count = given()
    special = FEATURES[kind](features)
    weight = weight.to(special.device)
    dispatched.clear()
    y = direct(convolution)(special, weight, rules, count)
    assert "convolution" in dispatched
    if kind == "negated":
        assert torch.equal(y, -torch.ops.sscn.convolution(features, weight, rules, count))


def test_rules_that_are_not_plain_tensors_on_the_cpu_are_dispatched(dispatched: list[str]) -> None:
    features, weight, rules, count = given()
    dispatched.clear()
    direct(convolution)(features, weight, [rule.to("meta") for rule in rules], count)
    assert dispatched == ["convolution"]
    dispatched.clear()
    direct(convolution)(features, weight, [rule.as_subclass(_Own) for rule in rules], count)
    assert "convolution" in dispatched


def test_transforms_and_traces_see_the_operators(dispatched: list[str]) -> None:
    features, weight, rules, count = given()
    dispatched.clear()

    def total(features: torch.Tensor) -> torch.Tensor:
        return direct(convolution)(features, weight, rules, count).sum()

    wanted = torch.autograd.grad(total(features.requires_grad_()), features)[0]
    assert dispatched == []
    features = features.detach()
    assert torch.equal(torch.func.grad(total)(features), wanted)
    assert dispatched
    dispatched.clear()
    assert torch.func.vmap(total)(features.expand(2, -1, -1)).shape == (2,)
    assert dispatched
    dispatched.clear()
    torch.jit.trace(total, (features,), check_trace=False)
    assert dispatched == ["convolution"]


def test_a_training_step_of_a_chain_dispatches_no_operator(dispatched: list[str]) -> None:
    """PyTorch converts all arguments whenever it dispatches, which can take longer than the engine."""
    x = random_cloud(6, channels=4, size=3)
    network = nn.Sequential(nn.BatchNormReLU(4), nn.SubmanifoldConv(4, 4, 3), nn.BatchNorm(4)).to(x.dtype)
    before = network[0].running_mean._version
    network(x).features.sum().backward()
    assert dispatched == []
    assert network[0].running_mean._version == before + 1


NORM = (None, None, None, None, 1e-5, 1.0, False)
RUNS = (None, None, None, 0.1)
NUMBERS: dict[str, Callable[[Any], Any]] = {
    "eps": lambda x: functional.batch_norm(x, None, None, None, None, True, 0.1, "small"),  # type: ignore[arg-type]
    "leakiness": lambda x: functional.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, "none"),  # type: ignore[arg-type]
    "momentum": lambda x: functional.batch_norm(x, None, None, None, None, True, "slow", 1e-5),  # type: ignore[arg-type]
    "output_count": lambda x: direct(convolution)(x, torch.ones(1, 1, 4, 2), no_rules(), "all"),
    "groups": lambda x: direct(weight_gradient)(x, x, no_rules(), "one"),
    "with_moments": lambda x: direct(fused_convolution)(
        x, torch.ones(1, 1, 4, 2), no_rules(), len(x), None, None, *NORM, "no"
    ),
    "dtype": lambda x: direct(weight_gradient)(x, x, no_rules(), 1, "float32"),
    "moving": lambda x: direct(normalize)(x, *[torch.ones(4)] * 2, None, None, None, 1e-5, 1.0, "yes"),
    "count": lambda x: direct(slope)(x, x, *[torch.ones(4)] * 2, None, None, None, None, "all", 1e-5, 1.0),
    "rows": lambda x: direct(statistics)(direct(moments)(x), "all", 4, *RUNS),
    "channels": lambda x: direct(statistics)(direct(moments)(x), len(x), "all", *RUNS),
}
"""Calls with a wrong kind of number, by its name."""


def no_rules() -> list[torch.Tensor]:
    rows = torch.zeros(0, dtype=torch.int32)
    return [rows, rows, torch.zeros(1, 2, dtype=torch.int64)]


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_a_wrong_kind_is_named_also_where_nothing_is_computed(name: str, rows: int) -> None:
    with pytest.raises(RuntimeError, match=f"for argument '{name}'"):
        NUMBERS[name](torch.ones(rows, 4))
    with pytest.raises(RuntimeError, match=f"for argument '{name}'"):
        NUMBERS[name](torch.ones(rows, 4, requires_grad=True))

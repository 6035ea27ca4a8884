"""PyTorch can rely on the registered operators: they are differentiable to any order, traceable and pure."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import strided_step
from sscn_triton.ops import registration
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.fused import fused_convolution, fused_gradients
from sscn_triton.ops.triton import convolution as triton
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.clouds import random_cloud


def case(kind: str, groups: int = 1, count: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Rulebook]:
    """``(features, weight, grad_output, rulebook)`` of a small convolution in float64."""
    x = random_cloud(count, channels=4, size=3 if count < 20 else 5)
    grid = x.grid
    if kind == "submanifold":
        rulebook, taps = grid.submanifold((3, 3, 2), (1, 1, 1)), 18
    else:
        rulebook, _ = grid.step(strided_step(3, 2, 2, 0, 1))
        rulebook, taps = (rulebook.transposed() if kind == "inverse" else rulebook), 8
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(taps, groups, 4 // groups, 6 // groups, generator=generator, dtype=torch.float64)
    features = torch.randn(rulebook.input_count, 4, generator=generator, dtype=torch.float64)
    grad = torch.randn(rulebook.output_count, 6, generator=generator, dtype=torch.float64)
    return features.requires_grad_(), weight.requires_grad_(), grad.requires_grad_(), rulebook


KINDS = ("submanifold", "strided", "inverse")


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_convolution_has_right_first_and_second_derivatives(kind: str, groups: int) -> None:
    features, weight, _, rulebook = case(kind, groups)

    def function(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return convolution(features, weight, rulebook.rules, rulebook.output_count)

    assert gradcheck(function, (features, weight))
    assert gradgradcheck(function, (features, weight))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_weight_gradient_has_right_first_and_second_derivatives(kind: str, groups: int) -> None:
    features, _, grad, rulebook = case(kind, groups)

    def function(features: torch.Tensor, grad: torch.Tensor) -> torch.Tensor:
        return weight_gradient(features, grad, rulebook.rules, groups)

    assert gradcheck(function, (features, grad))
    assert gradgradcheck(function, (features, grad))


@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_operators_pass_opcheck(kind: str, count: int) -> None:
    features, weight, grad, rulebook = case(kind, count=count)
    torch.library.opcheck(convolution, (features, weight, rulebook.rules, rulebook.output_count))
    torch.library.opcheck(weight_gradient, (features, grad, rulebook.rules, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_low_precision_rounds_once_at_the_end(kind: str, dtype: torch.dtype) -> None:
    """Sums use at least float32: the result is the float64 result of the same inputs, rounded to the type."""
    features, weight, grad, rulebook = (t.detach() if isinstance(t, torch.Tensor) else t for t in case(kind, count=40))
    low = [t.to(dtype) for t in (features, weight, grad)]
    high = [t.double() for t in low]
    count = rulebook.output_count
    tolerance = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 1e-5}
    got = convolution(low[0], low[1], rulebook.rules, count)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), convolution(high[0], high[1], rulebook.rules, count), **tolerance)
    got = weight_gradient(low[0], low[2], rulebook.rules, 1)
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), weight_gradient(high[0], high[2], rulebook.rules, 1), **tolerance)


@pytest.mark.parametrize(("engine", "groups"), [("cpu", 1), ("before", 1), ("inside", 1), ("inside", 2), ("inside", 8)])
def test_a_float32_weight_is_rounded_to_16_bits_and_its_gradient_is_not(
    engine: str, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, and on a GPU before the kernel or inside it. The interpreter rounds only to float16 as a GPU does."""
    kind, count = torch.float16, 12
    if engine == "before":
        monkeypatch.setattr(triton, "MOST_ROUNDED", 0)
    with contextlib.nullcontext() if engine == "cpu" else interpreted():
        x = random_cloud(count, channels=8, size=3)
        rules = x.grid.submanifold((3, 1, 1), (1, 1, 1)).rules
        given = x.features.detach().to(kind)
        weight = torch.randn(3, groups, 8 // groups, 8 // groups, requires_grad=True)
        norm = torch.zeros(8), torch.ones(8), torch.full((8,), 1.5), torch.full((8,), 0.1), 1e-5, 0.0, False
        results = []
        for w in (weight, weight.detach().to(kind).requires_grad_()):
            features = given.clone().requires_grad_()
            y = convolution(features, w, rules, count, torch.ones(8), given)
            normed, _ = fused_convolution(features, w, rules, count, None, None, *norm, True, kind)
            slopes = torch.autograd.grad(y, (features, w), given), torch.autograd.grad(normed, (features, w), given)
            results.append([y, normed, slopes[0][0], slopes[1][0], slopes[0][1], slopes[1][1]])
    for mine, rounded in zip(*results, strict=True):
        assert torch.equal(mine.to(kind), rounded)
    assert [mine.dtype for mine in results[0]] == [kind] * 4 + [torch.float32] * 2
    assert not torch.equal(results[0][4], results[1][4].float())


def test_a_float32_weight_passes_opcheck_with_features_of_16_bits() -> None:
    features, weight, grad, rulebook = case("submanifold")
    low, wide = (t.detach().bfloat16().requires_grad_() for t in (features, grad)), weight.detach().float()
    x, g = low
    faults = "test_schema", "test_autograd_registration", "test_faketensor"
    given = x, wide.requires_grad_(), rulebook.rules, rulebook.output_count
    torch.library.opcheck(convolution, given, test_utils=faults)
    torch.library.opcheck(weight_gradient, (x, g, rulebook.rules, 1, torch.float32), test_utils=faults)
    rest = None, None, *([None] * 4), 0.0, 1.0, False, True, torch.bfloat16
    torch.library.opcheck(fused_convolution, (*given, *rest), test_utils=faults)
    for other in (features, x.half().double()):
        with pytest.raises(TypeError, match="must have one type, or 16 bits and float32"):
            convolution(other.detach(), wide, rulebook.rules, rulebook.output_count)
    with pytest.raises(TypeError, match="dtype must be that of the gradient"):
        weight_gradient(x, g, rulebook.rules, 1, torch.float64)


@pytest.mark.parametrize("fused", ["nothing", "moments", "norm", "norm, recorded"])
def test_gradients_of_float32_parameters_are_not_rounded_to_16_bits(fused: str) -> None:
    features, weight, grad, rulebook = case("submanifold", count=40)
    x, g = features.detach().bfloat16(), grad.detach().bfloat16()
    given = weight.detach().float().requires_grad_(), torch.zeros(6, requires_grad=True)
    w, bias = given
    if fused == "nothing":
        y = convolution(x, w, rulebook.rules, rulebook.output_count, bias)
    else:
        norm = (None, None) if fused == "moments" else (torch.zeros(4), torch.ones(4))
        rest = None, *norm, None, None, 0.0, 1.0, False, fused == "moments", x.dtype
        y, _ = fused_convolution(x, w, rulebook.rules, rulebook.output_count, bias, *rest)
    assert y.dtype == x.dtype
    for found in torch.autograd.grad(y, given, g, create_graph=fused == "norm, recorded"):
        assert not torch.equal(found, found.bfloat16().float())


def test_a_weight_gradient_that_no_backward_pass_can_follow_is_refused() -> None:
    """Of two types, the engines would also return different ones."""
    features, _, grad, rulebook = case("submanifold")
    for one, other in ((features.bfloat16(), grad.float()), (features.float(), grad.half())):
        with pytest.raises(TypeError, match="features and grad_output must have one type"):
            weight_gradient(one.detach(), other.detach(), rulebook.rules, 1)
    with pytest.raises(TypeError, match="or float32 for 16 bits"):
        weight_gradient(features.detach(), grad.detach(), rulebook.rules, 1, torch.float32)


def test_types_that_a_fused_convolution_cannot_compute_in_are_refused() -> None:
    features, weight, grad, rulebook = (t.detach() if isinstance(t, torch.Tensor) else t for t in case("submanifold"))
    x, w, norm = features.float(), weight.float(), (torch.zeros(4), torch.ones(4), None, None, 0.0, 1.0, False)
    with pytest.raises(TypeError, match="dtype and weight must have one type"):
        fused_convolution(x, w, rulebook.rules, rulebook.output_count, None, None, *norm, False, torch.float64)
    with pytest.raises(TypeError, match="grad_output and weight must have one type"):
        torch.ops.sscn.fused_gradients(grad, x, w, rulebook.rules, *norm, True, True, True)


@pytest.mark.parametrize("kind", KINDS)
def test_non_contiguous_inputs_give_the_same_result(kind: str) -> None:
    features, weight, grad, rulebook = (t.detach() if isinstance(t, torch.Tensor) else t for t in case(kind, count=40))

    def strided(t: torch.Tensor) -> torch.Tensor:
        return torch.stack([t, torch.full_like(t, torch.nan)], -1)[..., 0]

    count = rulebook.output_count
    expected = convolution(features, weight, rulebook.rules, count)
    assert torch.equal(convolution(strided(features), strided(weight), rulebook.rules, count), expected)
    expected = weight_gradient(features, grad, rulebook.rules, 1)
    assert torch.equal(weight_gradient(strided(features), strided(grad), rulebook.rules, 1), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_twice_and_with_one_or_two_threads(kind: str) -> None:
    x = random_cloud(3000, channels=16, size=20, dtype=torch.float32)
    if kind == "submanifold":
        rulebook, taps = x.grid.submanifold((3, 3, 2), (1, 1, 1)), 18
    else:
        rulebook, _ = x.grid.step(strided_step(3, 2, 2, 0, 1))
        rulebook, taps = (rulebook.transposed() if kind == "inverse" else rulebook), 8
    weight = torch.randn(taps, 1, 16, 32)
    features, grad = torch.randn(rulebook.input_count, 16), torch.randn(rulebook.output_count, 32)

    def results(threads: int) -> list[torch.Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return [
                convolution(features, weight, rulebook.rules, rulebook.output_count),
                weight_gradient(features, grad, rulebook.rules, 1),
            ]
        finally:
            torch.set_num_threads(before)

    first = results(2)
    for again in (results(2), results(1)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_pass_does_not_import_the_compiler() -> None:
    """PyTorch's compiler takes a second and 130 MB to import; a forward and backward pass does not import it."""
    code = (
        "import sys, torch, sscn_triton as s\n"
        "x = s.SparseTensor(torch.ones(2, 1), torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]], dtype=torch.int32))\n"
        "s.models.SparseUResNet(depth=2)(x).features.sum().backward()\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_on_plain_cpu_tensors_an_operator_is_dispatched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch converts all arguments whenever it dispatches, which can take longer than the engine."""
    features, weight, _, rulebook = case("submanifold")
    monkeypatch.setattr(torch._ops.OpOverload, "redispatch", lambda *_: pytest.fail("dispatched again"))
    torch.ops.sscn.convolution(features, weight, rulebook.rules, rulebook.output_count).sum().backward()
    moments, (mean, variance) = torch.ops.sscn.moments(features.detach()), (torch.zeros(4).double() for _ in range(2))
    torch.ops.sscn.statistics(moments, len(features), 4, mean, variance, None, 0.1)
    assert mean._version == 1


def test_the_backward_pass_of_a_layer_makes_few_calls_of_pytorch() -> None:
    """Each call costs the host microseconds, and a batch of one event has little other work."""
    rows = random_cloud(8, channels=16, size=3, dtype=torch.float32)
    rules, zeros, ones = rows.grid.submanifold((3, 3, 3), (1, 1, 1)).rules, torch.zeros(16), torch.ones(16)
    norm = (zeros, ones, ones, zeros, 1e-4, 0.0, True)
    given = (rows.features, rows.features, torch.ones(27, 1, 16, 16), rules, *norm, True, True, True)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        fused_gradients(*given)
    calls = {row.key: row.count for row in profiler.key_averages() if row.key.startswith("aten::")}
    assert sum(calls.values()) <= 10, calls


def test_modes_see_the_operators_that_are_recorded() -> None:
    seen = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.add(str(function))
            return function(*args, **kwargs or {})

    features, weight, _, rulebook = case("submanifold")
    with Watch():
        convolution(features, weight, rulebook.rules, rulebook.output_count).sum().backward()
    assert {"sscn.convolution.default", "sscn.weight_gradient.default"} <= seen


def test_operators_run_their_gpu_code_on_the_cpu_only_inside_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    features, weight, _, rulebook = case("submanifold")

    def gpu(features: torch.Tensor, weight: Any, rules: Any, count: int, *_: Any) -> torch.Tensor:
        return features.new_full((count, 6), 7.0)

    engines = registration.ENGINES["convolution"]._replace(gpu=gpu)
    monkeypatch.setitem(registration.ENGINES, "convolution", engines)

    def swapped() -> bool:
        return bool((convolution(features, weight, rulebook.rules, rulebook.output_count) == 7).all())

    assert not swapped()
    with interpreted():
        assert swapped()
        with interpreted():
            assert swapped()
        assert swapped()
    assert not swapped()

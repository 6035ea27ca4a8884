"""A convolution fused with the norm before it and the residual and statistics after it equals separate operations."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional, models, nn, prepare
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import strided_step
from sscn_triton.nn.folding import fold_batch_norm
from sscn_triton.ops import normalization as norms
from sscn_triton.ops.convolution import convolution, weight_gradient
from sscn_triton.ops.fused import fused_convolution, fused_gradients
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.clouds import random_cloud
from tests.support.strategies import values

TYPES = {torch.float32: 3e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2, torch.float64: 1e-13}
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, not interpreted")


def cloud(count: int, size: int, **options: Any) -> SparseTensor:
    """Sites in a plane: 9 taps are interpreted in a third of the time of 27, and the kernels do not know the axes."""
    return random_cloud(count, ndim=2, size=size, **options)


def rules_of(kind: str, count: int, engine: Callable[[], Any] = interpreted) -> Rulebook:
    grid = cloud(count, 12).grid
    with engine():
        if kind == "submanifold":
            return grid.submanifold((3, 3), (1, 1))
        if kind == "few taps":
            return grid.submanifold((2, 2), (1, 1))
        rules, _ = grid.step(strided_step(2, 2, 2, 0, 1))
        return rules.transposed() if kind == "inverse" else rules


def one_by_one(x: Tensor, w: Tensor, rules: Rulebook, b: Tensor, r: Tensor, v: Tensor, k: Tensor) -> Tensor:
    """Batch norm with a leak of 0.1 by its definition, convolution, bias and residual, in float64 with PyTorch's
    operators."""
    mean = x.sum(0) / max(len(x), 1)
    variance = (x - mean).square().sum(0) / max(len(x), 1)
    rows = torch.nn.functional.leaky_relu((x - mean) / (variance + 1e-3).sqrt() * v + k, 0.1)
    y = r + b
    for block, (i, o) in zip(w, rules.pairs(), strict=True):
        y = y.index_add(0, o, torch.einsum("rgi,gio->rgo", rows[i].unflatten(1, block.shape[:2]), block).flatten(1))
    return y


def fused(x: Tensor, w: Tensor, rules: Rulebook, b: Tensor, r: Tensor, v: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    detached = x.detach()
    mean, variance = norms.statistics(norms.moments(detached), *x.shape, None, None, None, None)
    return fused_convolution(x, w, rules.rules, rules.output_count, b, r, mean, variance, v, k, 1e-3, 0.1, True, True)


def tensors(rules: Rulebook, shape: tuple[int, int, int], dtype: torch.dtype) -> list[Tensor]:
    """Features, weight, bias, residual, and the norm's weight and bias."""
    groups, channels_in, channels_out = shape
    wide_in, wide_out = groups * channels_in, groups * channels_out
    shapes = [
        (rules.input_count, wide_in),
        (len(rules.rules.spans), *shape),
        (wide_out,),
        (rules.output_count, wide_out),
    ]
    found = [torch.from_numpy(values(seed, *size)) for seed, size in enumerate([*shapes, (wide_in,), (wide_in,)])]
    found[0] = found[0] * 2 + 1
    return [t.to(dtype).requires_grad_() for t in found]


SHAPES = [(1, 1, 16), (1, 5, 5), (1, 16, 16), (2, 20, 33), (6, 1, 2), (1, 48, 1), (1, 160, 16)]
QUICK = SHAPES[1], SHAPES[4]  # by default only these in the other types: one of each kernel, with masks
CASES = [(kind, count) for kind in ("submanifold", "strided", "inverse") for count in (0, 1, 31)] + [
    ("submanifold", 200)
]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param(s, d, marks=[pytest.mark.deep] if d != torch.float32 and s not in QUICK else [])
        for s, d in itertools.product(SHAPES, TYPES)
    ],
    ids=str,
)
def test_fused_convolutions_and_all_their_gradients_are_right(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """Every kind of layer and count occurs; the moments are those of the output."""
    drawn = CASES[SHAPES.index(shape) % 3 :: 3] if dtype == torch.float32 else CASES[-1:]
    for kind, count in drawn:
        rules = rules_of(kind, count)
        low = tensors(rules, shape, dtype)
        high = [t.detach().double().requires_grad_() for t in low]
        wanted = one_by_one(high[0], high[1], rules, *high[2:])
        g = torch.from_numpy(values(9, *wanted.shape)).to(dtype)
        with interpreted():
            y, line = fused(low[0], low[1], rules, *low[2:])
            mean, variance = norms.statistics(line, *y.shape, None, None, None, None)
            found = torch.autograd.grad(y, low, g)
        slopes = torch.autograd.grad(wanted, high, g.double())
        for mine, right in zip([y, *found], [wanted.detach(), *slopes], strict=True):
            assert (mine.dtype, mine.shape) == (dtype, right.shape)
            error = float((mine.detach().double() - right).norm())
            assert error <= TYPES[dtype] * float(right.norm()) + 1e-5 * (len(y) < 2), (kind, count, error)
        if len(y):
            rows = y.detach().double()
            torch.testing.assert_close(mean.double(), rows.mean(0), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(variance.double(), rows.var(0, correction=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("moving", [True, False])
def test_the_fused_operator_has_right_first_and_second_derivatives(moving: bool) -> None:
    rules = rules_of("few taps", 5)
    leaves = tensors(rules, (1, 2, 3), torch.float64)

    def function(x: Tensor, w: Tensor, b: Tensor, r: Tensor, v: Tensor, k: Tensor) -> Tensor:
        mean, variance = torch.tensor([0.5, 1.0]).double(), torch.tensor([1.5, 2.0]).double()
        if moving:
            mean, variance = norms.statistics(norms.moments(x.detach()), *x.shape, None, None, None, None)
        norm = mean, variance, v, k, 1e-3, 0.1, moving
        return fused_convolution(x, w, rules.rules, rules.output_count, b, r, *norm, True)[0]

    with interpreted():
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


NEEDED = [needed for needed in itertools.product([True, False], repeat=3) if any(needed)]


@pytest.mark.parametrize(
    ("engine", "needed"), [*((contextlib.nullcontext, n) for n in NEEDED), (interpreted, NEEDED[0])]
)
def test_one_operator_gives_the_gradients_that_separate_ones_give(
    engine: Callable[[], Any], needed: tuple[bool, bool, bool]
) -> None:
    book = rules_of("strided", 60, engine)
    x, w, _, r, v, k = (t.detach() for t in tensors(book, (2, 3, 4), torch.float32))
    rules, g = book.rules, torch.cos(r)
    mean, variance = x.mean(0), x.var(0, correction=0)
    norm = mean, variance, v, k
    with engine():
        rows = norms.normalize(x, *norm, None, 1e-3, 0.1, True)
        risen = convolution(g, w.transpose(2, 3), rules.read_backwards(), len(x))
        sums = norms.slopes(risen, x, *norm, None, 1e-3, 0.1)
        features, _ = norms.slope(risen, x, *norm, None, sums, len(x), 1e-3, 0.1)
        wanted = features, weight_gradient(rows, g, rules, 2), sums
        found = fused_gradients(g, x, w, rules, *norm, 1e-3, 0.1, True, *needed)
    for mine, right, is_needed in zip(found, wanted, (*needed[:2], needed[0] or needed[2]), strict=True):
        torch.testing.assert_close(mine, right if is_needed else right.new_empty(0), rtol=1e-5, atol=1e-5)
    if engine is contextlib.nullcontext and needed[1]:
        assert torch.equal(found[1], wanted[1])  # the rows are normalised to the same bits
        torch.library.opcheck(fused_gradients, (g, x, w, list(rules), *norm, 1e-3, 0.1, True, *needed))


@pytest.mark.parametrize(
    ("rows", "products"),
    [
        (torch.float64, torch.bfloat16),  # a float64 network's features under autocast
        (torch.float64, torch.float32),
        (torch.float32, torch.float64),
    ],
)
def test_rows_may_be_wider_or_narrower_than_the_products(rows: torch.dtype, products: torch.dtype) -> None:
    """The steps of the CPU engine hand each other addresses of buffers, which no kernel can ask for their type."""
    book = rules_of("submanifold", 60, contextlib.nullcontext)
    x, w, _, r, v, k = (t.detach() for t in tensors(book, (2, 3, 4), torch.float64))
    mean, variance, g = x.mean(0), x.var(0, correction=0), torch.cos(r)
    arguments = book.rules, mean, variance, v, k, 1e-3, 0.1, True, True, True, True
    wanted = fused_gradients(g, x, w, *arguments)
    stored = torch.float32 if products is torch.bfloat16 else products
    found = fused_gradients(g.to(products), x.to(rows), w.to(stored), *arguments)
    assert [t.dtype for t in found] == [rows, stored, rows]
    for mine, right in zip(found, wanted, strict=True):
        error = float((mine.double() - right).norm())
        assert error <= (2e-2 if products is torch.bfloat16 else 1e-5) * float(right.norm())


@pytest.mark.parametrize("kind", ["few taps", "strided"])
def test_a_convolution_adds_bias_and_residual_itself(kind: str) -> None:
    """On every engine, with first and second derivatives."""
    x, w, b, r, *_ = tensors(rules_of(kind, 6), (1, 2, 3), torch.float64)
    for engine in (contextlib.nullcontext, interpreted):
        rules = rules_of(kind, 6, engine)

        def function(*leaves: Tensor, rules: Rulebook = rules) -> Tensor:
            return convolution(leaves[0], leaves[1], rules.rules, rules.output_count, *leaves[2:])

        with engine():
            plain = function(x, w) + b + r
            torch.testing.assert_close(function(x, w, b, r), plain)
            assert torch.autograd.gradcheck(function, (x, w, b, r))
            assert torch.autograd.gradgradcheck(function, (x, w, b, r), fast_mode=True)


@contextlib.contextmanager
def layer_by_layer() -> Iterator[None]:
    with interpreted(), mock.patch("sscn_triton.nn.fusion.can_join", return_value=False):
        yield


def trained(net: torch.nn.Module, x: SparseTensor, context: Any, autocast: bool = False) -> dict[str, Any]:
    """Output, gradients and state after one step."""
    net, leaf = copy.deepcopy(net), x.features.clone().requires_grad_()
    with context:
        y = SparseTensor(leaf, x.coordinates, 16)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = net(y).features
        y.float().square().sum().backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    return {"output": y.detach(), "features": leaf.grad, **gradients, **dict(net.named_buffers())}


def small_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNormLeakyReLU(2, momentum=None),
        nn.SubmanifoldConv(2, 2, 3, ndim=2),
        models.uresnet.ResidualBlock(2, 3, 2),
        nn.Sequential(nn.BatchNorm(3), nn.SparseConv(3, 3, 2, 2, ndim=2)),
        nn.Sequential(nn.BatchNormReLU(3), nn.InverseConv(3, 2, 2, 2, ndim=2)),
    )


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_the_same_fused_and_layer_by_layer(training: bool) -> None:
    """Outputs, gradients and running statistics; the CPU's own engine agrees."""
    net, x = small_net().train(training), cloud(60, 16, channels=2, dtype=torch.float32)
    mine = trained(net, x, interpreted())
    for context in (layer_by_layer(), contextlib.nullcontext()):
        for name, value in trained(net, x, context).items():
            torch.testing.assert_close(mine[name], value, rtol=1e-3, atol=2e-5, msg=name)


def test_under_autocast_the_fused_network_is_as_exact_as_the_unfused_one() -> None:
    net, x = small_net(), cloud(200, 16, channels=2, dtype=torch.float32)
    wanted = trained(net, x, contextlib.nullcontext())
    mine, plain = (trained(net, x, context, autocast=True) for context in (interpreted(), layer_by_layer()))
    assert mine["output"].dtype == plain["output"].dtype == torch.bfloat16
    for name in ("output", "features"):
        errors = [float((found[name].float() - wanted[name]).norm()) for found in (mine, plain)]
        assert errors[0] < 1.5 * errors[1]


def calls(function: Any) -> int:
    """The number of fused operators that a function runs."""
    with mock.patch("sscn_triton.functional.convolution.direct_fused", side_effect=fused_convolution) as counted:
        function()
    return sum(call.args[6] is not None for call in counted.call_args_list)


@pytest.mark.parametrize("context", [contextlib.nullcontext, interpreted], ids=["cpu", "kernels"])
def test_no_normalised_rows_are_kept_for_the_backward_pass(context: Any) -> None:
    net, kept = nn.Sequential(nn.BatchNormReLU(2), nn.SubmanifoldConv(2, 2, 3, bias=False)), list[Tensor]()
    x = random_cloud(60, channels=2, size=8, dtype=torch.float32)
    x = x.replace(x.features.requires_grad_())
    with context(), torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        net(x)
    assert {t.data_ptr() for t in kept if t.shape == x.features.shape} == {x.features.data_ptr()}


def test_layers_watched_by_hooks_are_not_fused() -> None:
    x = random_cloud(10, channels=2, size=4, dtype=torch.float32)
    net = nn.Sequential(nn.BatchNormReLU(2), nn.SubmanifoldConv(2, 2, 3), nn.BatchNorm(2), nn.SubmanifoldConv(2, 2, 3))
    block = models.uresnet.ResidualBlock(2, 2, 3)
    seen: list[Tensor] = []
    with interpreted():
        assert calls(lambda: net(x)) == calls(lambda: block(x)) == 2
        handle = net[0].register_forward_hook(lambda module, given, result: seen.append(result.features))
        assert calls(lambda: net(x)) == 1
        handle.remove()
        handle = net[1].register_forward_pre_hook(lambda module, given: seen.append(given[0].features))
        assert calls(lambda: net(x)) == 1
        handle.remove()
        assert torch.equal(seen[0], seen[1])
        block.branch.register_forward_hook(lambda module, given, result: seen.append(result.features))
        torch.testing.assert_close(block(x).features, x.features + seen[2])


def test_sites_that_an_inverse_convolution_brings_back_stay_zero_under_a_fused_norm() -> None:
    down, norm = nn.SparseConv(2, 2, 2, 2), nn.BatchNorm(2)
    up = nn.InverseConv(2, 2, 2, 2)
    torch.nn.init.constant_(norm.bias, 3.0)
    x = random_cloud(40, channels=2, size=6, dtype=torch.float32)
    with interpreted():
        coarse = down(x)
        fewer = functional.prune(coarse, torch.arange(len(coarse)) % 2 == 0)
        wanted = up(norm(fewer)).features
        torch.testing.assert_close(nn.Sequential(norm, up)(fewer).features, wanted)


def test_a_fused_network_is_one_compiled_graph() -> None:
    net, x = small_net(), cloud(30, 16, channels=2, dtype=torch.float32)
    with interpreted():
        prepare(net, x)
        wanted = trained(net, x, contextlib.nullcontext())
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
        y = compiled(x.replace(x.features.clone().requires_grad_())).features
        y.square().sum().backward()
    torch.testing.assert_close(y.detach(), wanted["output"], rtol=1e-4, atol=1e-5)
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, wanted[name], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(dict(net.named_buffers()), {name: wanted[name] for name, _ in net.named_buffers()})


def test_a_residual_on_other_sites_or_with_other_channels_is_refused() -> None:
    conv, x, y = nn.SubmanifoldConv(3, 3, 3), random_cloud(5, dtype=torch.float32), random_cloud(6, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"the residual is on Grid\(6 sites.* the convolution leads to Grid\(5 sites"):
        conv(x, functional.Fused(residual=y))
    with pytest.raises(ValueError, match="cannot add 2 channels to 3"):
        conv(x, functional.Fused(residual=x.replace(x.features[:, :2])))


def settled(net: torch.nn.Module) -> torch.nn.Module:
    """The network in evaluation mode, with statistics that differ from the initial ones."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    return net.eval()


@pytest.mark.parametrize("context", [contextlib.nullcontext, interpreted], ids=["cpu", "kernels"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_folded_network_gives_the_same_results(context: Any, grouped: bool) -> None:
    net = models.SparseUResNet(2, 2, filters=3, depth=2, repetitions=1)
    if grouped:
        net = nn.Sequential(nn.SubmanifoldConv(2, 6, 3, groups=2), nn.BatchNormLeakyReLU(6), nn.Linear(6, 2))
    net = settled(net).double()
    x = random_cloud(20, channels=2, size=6)
    folded = fold_batch_norm(net)
    names = [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm)]
    before = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm)]
    assert set(before) - set(names) == ({"1"} if grouped else {name for name in before if name.endswith("branch.2")})
    with context(), torch.no_grad():
        torch.testing.assert_close(folded(x).features, net(x).features, rtol=1e-10, atol=1e-10)


def test_shared_watched_and_batch_dependent_norms_are_not_folded() -> None:
    shared = nn.SubmanifoldConv(2, 2, 3)
    watched = nn.Sequential(nn.SubmanifoldConv(2, 2, 3), nn.BatchNorm(2))
    watched[0].register_forward_hook(lambda module, given, result: None)
    net = nn.Sequential(shared, nn.BatchNorm(2), shared, nn.BatchNorm(2, track_running_stats=False), watched)
    with pytest.raises(ValueError, match=r"the model is in training mode, call model\.eval"):
        fold_batch_norm(net)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        fold_batch_norm(3)
    folded = fold_batch_norm(net.eval())
    assert [type(module) for module in folded.modules()] == [type(module) for module in net.modules()]
    assert folded.state_dict().keys() == net.state_dict().keys()

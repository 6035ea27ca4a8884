"""Pooling is the strided rulebook with another reduction: over active inputs only, deterministic, differentiable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as dense

from sscn_triton import SparseTensor, nn
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import average_pool, global_pool, max_pool, strided_step, unpool
from sscn_triton.ops import events, pooling
from tests.support import oracle
from tests.support.cases import Case, block, expected
from tests.support.clouds import random_cloud
from tests.support.strategies import cases, seeds, values

REDUCTIONS = ("max", "mean", "sum")


def tensor_of(case: Case, features: np.ndarray) -> SparseTensor:
    return SparseTensor(torch.tensor(features), torch.tensor(case.coordinates), case.spatial_shape, batch_size=2)


def pools(rules: oracle.Rules, outputs: int) -> list[list[int]]:
    """The input rows under each output."""
    found: list[list[int]] = [[] for _ in range(outputs)]
    for tap in sorted(rules):
        for source, target in rules[tap]:
            found[target].append(source)
    return found


@given(case=cases(kind="strided"), seed=seeds)
def test_pooled_values_are_those_of_the_active_inputs_under_the_kernel(case: Case, seed: int) -> None:
    x, right = values(seed, len(case.coordinates), 2), expected(case)
    under = pools(right.rules, len(right.output_sites))
    taps = int(np.prod(case.kernel_size))
    wanted = {
        "max": [x[rows].max(0) for rows in under],
        "active": [x[rows].mean(0) for rows in under],
        "volume": [x[rows].sum(0) / taps for rows in under],
    }
    for how, rows in wanted.items():
        function, extra = (max_pool, {}) if how == "max" else (average_pool, {"count": how})
        y = function(tensor_of(case, x), **case.pooling, **extra)
        assert oracle.as_sites(y.coordinates.numpy()) == right.output_sites
        np.testing.assert_allclose(y.features.numpy(), np.array(rows).reshape(-1, 2), rtol=1e-12, atol=1e-12)


@given(case=cases(kind="strided"), seed=seeds)
def test_unpooling_gives_every_fine_site_the_sum_of_its_pools(case: Case, seed: int) -> None:
    x, right = values(seed, len(case.coordinates), 2), expected(case)
    coarse = max_pool(tensor_of(case, x), **case.pooling)
    y = unpool(coarse, **case.pooling)
    wanted = np.zeros((len(x), 2))
    for fine, target in (rule for rules in right.rules.values() for rule in rules):
        wanted[fine] += coarse.features[target].numpy()
    assert torch.equal(y.coordinates, torch.tensor(case.coordinates).int())
    np.testing.assert_allclose(y.features.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1)], ids=str)
def test_on_a_full_block_pooling_and_its_gradients_equal_pytorchs(ndim: int, window: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    image = torch.randint(-4, 4, (2, 3, *[7] * ndim)).double()  # few values, so that maxima are often shared
    sites = torch.tensor(block(*[7] * ndim, batches=2))
    maximum = {1: dense.max_pool1d, 2: dense.max_pool2d, 3: dense.max_pool3d}[ndim]
    average = {1: dense.avg_pool1d, 2: dense.avg_pool2d, 3: dense.avg_pool3d}[ndim]
    *sizes, padding = window
    pairs: list[tuple[Callable, Callable]] = [
        (lambda x: max_pool(x, *sizes, padding=padding), lambda x: maximum(x, *window)),
        (lambda x: average_pool(x, *sizes, padding=padding), lambda x: average(x, *window, count_include_pad=False)),
        (
            lambda x: average_pool(x, *sizes, padding=padding, count="volume"),
            lambda x: average(x, *window, count_include_pad=True),
        ),
    ]
    for mine, theirs in pairs:
        image = image.detach().requires_grad_()
        wanted = theirs(image)
        weights = torch.randn_like(wanted)
        (slope,) = torch.autograd.grad((weights * wanted).sum(), image)
        features = image.detach().movedim(1, -1).reshape(-1, 3).requires_grad_()
        got = mine(SparseTensor(features, sites, 7)).dense()
        (mine_slope,) = torch.autograd.grad((weights * got).sum(), features)
        torch.testing.assert_close(got, wanted)
        torch.testing.assert_close(mine_slope, slope.movedim(1, -1).reshape(-1, 3))


def test_dilated_max_pooling_equals_pytorchs() -> None:
    image = torch.randn(1, 2, 9, 8, dtype=torch.float64)
    x = SparseTensor(image[0].flatten(1).T.contiguous(), torch.tensor(block(9, 8)), (9, 8))
    wanted = dense.max_pool2d(image, (3, 2), (2, 1), (1, 1), (2, 3))
    torch.testing.assert_close(max_pool(x, (3, 2), (2, 1), padding=(1, 1), dilation=(2, 3)).dense(), wanted)


def test_nan_is_the_maximum_as_in_pytorch() -> None:
    image = torch.randn(1, 1, 8)
    image[0, 0, [1, 6]] = torch.nan
    x = SparseTensor(image[0].T.contiguous(), torch.tensor(block(8)), 8)
    torch.testing.assert_close(max_pool(x, 2).dense(), dense.max_pool1d(image, 2), equal_nan=True)
    assert torch.equal(global_pool(x, "max").isnan(), torch.tensor([[True]]))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_global_pooling_treats_events_separately_and_accepts_rows_in_any_order(reduction: str, sign: int) -> None:
    x = random_cloud(40, batch_size=5)
    x = x.replace(sign * x.features.abs())
    x = SparseTensor(*(t[x.coordinates[:, 0] != 2] for t in (x.features, x.coordinates)), 8, batch_size=7)
    pooled = global_pool(x, reduction)
    reduce = {"max": lambda rows: rows.amax(0), "mean": lambda rows: rows.mean(0), "sum": lambda rows: rows.sum(0)}
    assert pooled.shape == (7, 3)
    for event in range(7):
        rows = x.features[x.coordinates[:, 0] == event]
        wanted = reduce[reduction](rows) if len(rows) else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(pooled[event], wanted)
    assert (pooled[[2, 5, 6]] == 0).all()


@pytest.mark.parametrize("name", ["max", "active", "volume", "unpool", "mean", "sum"])
def test_first_and_second_derivatives_are_right(name: str) -> None:
    x = random_cloud(14, channels=2, ndim=2, size=6)

    def function(features: torch.Tensor) -> torch.Tensor:
        y = x.replace(features**2)  # its second derivative is not zero
        if name == "max":
            return max_pool(y, 3, 2, padding=1).features
        if name == "unpool":
            return unpool(max_pool(y, 3, 2, padding=1), 3, 2, padding=1).features
        if name in ("active", "volume"):
            return average_pool(y, 3, 2, padding=1, count=name).features
        return global_pool(y, name)

    features = x.features.requires_grad_()
    assert gradcheck(function, (features,))
    assert gradgradcheck(function, (features,))


def test_the_derivatives_of_a_maximum_per_event_are_right() -> None:
    x = random_cloud(14, channels=2, ndim=2, size=6, batch_size=3)
    features = x.features.requires_grad_()

    def function(features: torch.Tensor) -> torch.Tensor:
        return global_pool(x.replace(features**2), "max")

    assert gradcheck(function, (features,))
    assert gradgradcheck(function, (features,))


def rulebook_of(x: SparseTensor) -> Rulebook:
    return x.grid.step(strided_step(x.ndim, 3, 2, 1, 1))[0]


@pytest.mark.parametrize("count", [0, 1, 30])
def test_operators_pass_opcheck(count: int) -> None:
    x = random_cloud(count, channels=2, size=5)
    features, book = x.features.requires_grad_(), rulebook_of(x)
    _, winners = pooling.pool_max(x.features, book.rules, book.output_count)
    coarse = torch.randn(book.output_count, 2, dtype=torch.float64, requires_grad=True)
    check = torch.library.opcheck
    check(pooling.pool_sum, (features, book.rules, book.output_count))
    check(pooling.pool_max, (features, book.rules, book.output_count))
    check(pooling.pool_take, (features, winners, book.rules))
    check(pooling.pool_return, (coarse, winners, book.rules, count))
    check(events.sum_events, (features, x.grid.events()))
    check(events.largest_of_events, (x.features.detach(), x.grid.events()))
    check(events.spread_events, (torch.randn(2, 3, requires_grad=True), x.grid.events()))


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1])
def test_no_site_and_one_site_work(count: int, ndim: int) -> None:
    x = random_cloud(count, ndim=ndim, batch_size=3)
    x = x.replace(x.features.requires_grad_())
    results = [f(x, 2) for f in (max_pool, average_pool)] + [unpool(max_pool(x, 2), 2)]
    for y in results:
        assert y.features.shape == (count, 3)
        torch.testing.assert_close(y.features, x.features)
    pooled = [global_pool(x, how) for how in REDUCTIONS]
    assert all(p.shape == (3, 3) for p in pooled)
    sum(t.sum() for t in [*pooled, *(y.features for y in results)]).backward()
    torch.testing.assert_close(x.features.grad, torch.full_like(x.features, 6.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_rounds_once_at_the_end(dtype: torch.dtype) -> None:
    x = random_cloud(200, size=6, dtype=dtype)
    high = x.replace(x.features.double())
    for function in (
        lambda x: max_pool(x, 3, 2, padding=1).features,
        lambda x: average_pool(x, 3, 2, padding=1).features,
        lambda x: average_pool(x, 3, 2, padding=1, count="volume").features,
        *(lambda x, how=how: global_pool(x, how) for how in REDUCTIONS),
    ):
        got, wanted = function(x), function(high)
        assert got.dtype == dtype
        allowed = max(torch.finfo(dtype).eps / 2, 1e-5)  # half a step of the type, or the rounding of sums in float32
        assert ((got.double() - wanted).abs() <= allowed * wanted.abs() + 1e-6).all()


def test_pooling_shares_the_rulebook_of_the_convolution_of_its_geometry() -> None:
    x = random_cloud(50, channels=4)
    down, up = nn.SparseConv(4, 4, 2, stride=2).double(), nn.InverseConv(4, 4, 2, stride=2).double()
    pooled = nn.MaxPool(2)(x)
    assert pooled.grid is down(x).grid
    assert up(pooled).grid is nn.Unpool(2)(down(x)).grid is x.grid
    assert len(x.grid._steps) == 1


def test_the_same_bits_twice_and_under_deterministic_algorithms() -> None:
    x = random_cloud(3000, channels=8, size=20, dtype=torch.float32)

    def results() -> list[torch.Tensor]:
        features = x.features.clone().requires_grad_()
        y = x.replace(features)
        outputs = [max_pool(y, 3, 2, padding=1).features, average_pool(y, 3, 2, padding=1).features]
        outputs += [
            unpool(max_pool(y, 3, 2, padding=1), 3, 2, padding=1).features,
            *(global_pool(y, how) for how in REDUCTIONS),
        ]
        sum(t.square().sum() for t in outputs).backward()
        return [*outputs, features.grad]

    first = results()
    torch.use_deterministic_algorithms(True)
    try:
        second = results()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_pooling_network_compiles_to_one_graph_for_every_size() -> None:
    from sscn_triton import prepare

    torch._dynamo.reset()
    net = nn.Sequential(
        nn.MaxPool(2),
        nn.AveragePool(3, 2, padding=1),
        nn.Unpool(3, 2, padding=1),
        nn.InstanceNorm(3),
        nn.GlobalPool("max"),
    )
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend=backend)
    for count in (20, 33, 60):
        x = prepare(net, random_cloud(count, seed=count))
        torch.testing.assert_close(compiled(x), net(x))
    assert len(graphs) == 1


def test_bad_arguments_are_refused_before_any_work() -> None:
    x = random_cloud(10)
    with pytest.raises(ValueError, match="count must be one of 'active', 'volume', got 'all'"):
        nn.AveragePool(2, count="all")
    with pytest.raises(ValueError, match="reduction must be one of 'max', 'mean', 'sum', got 'min'"):
        nn.GlobalPool("min")
    with pytest.raises(ValueError, match="kernel_size must be at least 1"):
        nn.MaxPool(0)
    with pytest.raises(ValueError, match="stride must be one integer or 3"):
        nn.MaxPool((2, 2, 2), stride=(2, 2))
    with pytest.raises(ValueError, match="kernel_size must be one integer or 3"):
        nn.MaxPool((2, 2))(x)
    with pytest.raises(TypeError, match="MaxPool takes a SparseTensor, got Tensor"):
        nn.MaxPool(2)(x.features)
    with pytest.raises(ValueError, match="no strided layer to invert"):
        nn.Unpool(2)(x)
    with pytest.raises(ValueError, match="cannot invert strided"):
        nn.Unpool(3)(nn.MaxPool(2)(x))
    assert not x.grid._steps or len(x.grid._steps) == 1

"""PyTorch's transforms and tracers on sparse tensors give right results or one line of refusal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.parallel.distributed import _find_tensors
from torch.utils import _pytree

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.compat import sparseconvnet, spconv
from sscn_triton.compat.spine.tensor import BackendTensor
from tests.support.clouds import random_cloud

LAYERS = {
    "SubmanifoldConv": lambda: nn.SubmanifoldConv(3, 4, 3),
    "SparseConv": lambda: nn.SparseConv(3, 4, 2, stride=2),
    "BatchNorm": lambda: nn.BatchNorm(3),
    "norm and convolution": lambda: nn.Sequential(nn.BatchNormReLU(3), nn.SubmanifoldConv(3, 4, 3)),
    "MaxPool": lambda: nn.MaxPool(2),
    "AveragePool": lambda: nn.AveragePool(2),
    "GlobalPool": lambda: nn.GlobalPool("sum"),
    "GroupNorm": lambda: nn.GroupNorm(1, 3),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def function_of(name: str) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    x, layer = random_cloud(20, channels=3), LAYERS[name]().double()

    def function(features: torch.Tensor) -> torch.Tensor:
        y = layer(x.replace(features))
        return y.features if isinstance(y, SparseTensor) else y

    return function, x.features


@every_layer
def test_forward_mode_is_refused_in_one_line(name: str) -> None:
    function, features = function_of(name)
    message = r"sscn::\w+ has no forward-mode derivative .*use reverse mode"
    with pytest.raises(NotImplementedError, match=message):
        torch.func.jvp(function, (features,), (torch.ones_like(features),))
    with (
        torch.autograd.forward_ad.dual_level(),
        pytest.raises(NotImplementedError, match=message),
    ):
        function(torch.autograd.forward_ad.make_dual(features, torch.ones_like(features)))


FIVE = torch.arange(15, dtype=torch.float64).reshape(5, 3)
ONES = torch.ones(3, dtype=torch.float64)
WITHOUT_BACKWARD: dict[str, Callable[[torch.Tensor], Any]] = {
    "moments": torch.ops.sscn.moments,
    "slopes": lambda rows: torch.ops.sscn.slopes(rows, FIVE, ONES, ONES, None, None, None, 1e-5, 0.0),
    "slope": lambda rows: torch.ops.sscn.slope(rows, FIVE, ONES, ONES, None, None, None, None, 5, 1e-5, 0.0),
}


@pytest.mark.parametrize("name", WITHOUT_BACKWARD)
def test_an_operator_without_derivative_refuses_both_modes(name: str) -> None:
    function = WITHOUT_BACKWARD[name]
    with pytest.raises(NotImplementedError, match=rf"sscn::{name} has no forward-mode derivative .*use reverse mode"):
        torch.func.jvp(function, (FIVE,), (torch.ones_like(FIVE),))
    results = function(FIVE.clone().requires_grad_())
    with pytest.raises(NotImplementedError, match=rf"sscn::{name} has no derivative: detach"):
        (results if isinstance(results, torch.Tensor) else results[0]).sum().backward()


@every_layer
def test_reverse_mode_transforms_have_the_gradients_of_backward(name: str) -> None:
    function, features = function_of(name)
    leaf = features.clone().requires_grad_()
    function(leaf).square().sum().backward()
    torch.testing.assert_close(torch.func.grad(lambda rows: function(rows).square().sum())(features), leaf.grad)


@every_layer
def test_transforms_inside_transforms_are_recorded_by_each(name: str) -> None:
    function, features = function_of(name)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return function(rows).pow(3).sum()

    def slope(rows: torch.Tensor) -> torch.Tensor:
        return (torch.func.grad(loss)(rows) * direction).sum()

    direction = torch.randn_like(features)
    _, expected = torch.autograd.functional.vhp(loss, features, direction)
    assert expected.any()
    torch.testing.assert_close(torch.func.grad(slope)(features), expected)
    leaf = features.clone().requires_grad_()
    slope(leaf).backward()
    torch.testing.assert_close(leaf.grad, expected)
    with torch.no_grad():
        assert not slope(leaf).requires_grad
    with pytest.raises(NotImplementedError, match="has no forward-mode derivative"):
        torch.func.jvp(torch.func.grad(loss), (features,), (direction,))


def test_a_weight_update_inside_a_step_has_second_derivatives() -> None:
    torch.manual_seed(0)
    x, net = random_cloud(20, channels=3), nn.Sequential(nn.SubmanifoldConv(3, 4, 3), nn.BatchNorm(4)).double().eval()

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(net, weights, (x,)).features.pow(3).sum()

    def after_a_step(weights: dict[str, torch.Tensor], slopes: Any) -> torch.Tensor:
        return loss({name: weight - 0.01 * slopes[name] for name, weight in weights.items()})

    def by_func(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return after_a_step(weights, torch.func.grad(loss)(weights))

    weights = dict(net.named_parameters())
    slopes = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True)
    after_a_step(weights, dict(zip(weights, slopes, strict=True))).backward()
    expected = {name: weight.grad for name, weight in weights.items()}
    found = torch.func.grad(by_func)({name: weight.detach() for name, weight in weights.items()})
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [name for name in LAYERS if "orm" not in name or name == "GroupNorm"])
def test_vmap_over_features_equals_a_loop(name: str) -> None:
    function, features = function_of(name)
    several = torch.stack([features, features * 2, -features])
    torch.testing.assert_close(torch.vmap(function)(several), torch.stack([function(rows) for rows in several]))


def test_a_map_that_would_write_one_statistic_many_times_is_refused() -> None:
    function, features = function_of("BatchNorm")
    with pytest.raises(RuntimeError, match=r"writes to running_mean, which torch\.vmap does not map over"):
        torch.vmap(function)(torch.stack([features, features]))


@pytest.mark.newest
def test_a_prepared_network_is_exported() -> None:
    torch.manual_seed(0)
    x = random_cloud(20, channels=3)
    net = nn.Sequential(LAYERS["norm and convolution"](), nn.MaxPool(2, stride=2)).double().eval()

    class OnTheseSites(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.net(x.replace(features)).features

    prepare(net, x)
    exported = torch.export.export(OnTheseSites(), (x.features,))
    torch.testing.assert_close(exported.module()(x.features * 2), net(x.replace(x.features * 2)).features)


@pytest.mark.newest
def test_a_network_without_rulebooks_is_not_exported_and_the_error_names_prepare() -> None:
    x = random_cloud(20, channels=3)
    with pytest.raises(Exception, match=r"call sscn_triton\.prepare\(model, tensor\) first"):
        torch.export.export(nn.SubmanifoldConv(3, 4, 3).double(), (x,))


@pytest.mark.newest
def test_a_network_that_makes_its_tensor_is_not_exported_and_the_error_says_what_to_do() -> None:
    class MakesItsTensor(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.SubmanifoldConv(3, 4, 3).double()

        def forward(self, features: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
            return self.layer(SparseTensor(features, coordinates, batch_size=2)).features

    x = random_cloud(20, channels=3)
    for strict in (False, True):
        with pytest.raises(Exception, match=r"construct it outside, call sscn_triton\.prepare\(model, tensor\)"):
            torch.export.export(MakesItsTensor(), (x.features, x.coordinates), strict=strict)


def test_tracing_is_refused_and_export_is_suggested() -> None:
    with pytest.raises(TypeError, match=r"torch\.jit\.trace cannot take it; torch\.export can"):
        torch.jit.trace(nn.SubmanifoldConv(3, 4, 3).double(), random_cloud(20, channels=3))


def spconv_tensor() -> Any:
    x = random_cloud(10, channels=3, dtype=torch.float32)
    return spconv.pytorch.SparseConvTensor(x.features, x.coordinates, x.spatial_shape, x.batch_size)


def sparseconvnet_tensor() -> Any:
    x = random_cloud(10, channels=3, dtype=torch.float32)
    return sparseconvnet.InputLayer(3, 8)([x.coordinates.roll(-1, 1).long(), x.features])


def spine_tensor() -> Any:
    x = random_cloud(10, channels=3, dtype=torch.float32)
    return BackendTensor(x.features, x.coordinates)


@pytest.mark.parametrize("make", [spconv_tensor, sparseconvnet_tensor, spine_tensor])
def test_the_tensors_of_the_stand_ins_are_also_values(make: Callable[[], Any]) -> None:
    x = make()
    assert any(found is x.features for found in _find_tensors([x]))
    leaves, spec = _pytree.tree_flatten([x])
    assert [leaf is x.features for leaf in leaves] == [True]
    (y,) = _pytree.tree_unflatten([leaves[0] * 2], spec)
    assert type(y) is type(x)
    torch.testing.assert_close(y.features, x.features * 2)
    z = dataclasses.replace(x, features=x.features * 2)
    assert type(z) is type(x)
    torch.testing.assert_close(z.features, x.features * 2)

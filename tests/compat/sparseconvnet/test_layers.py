"""SparseConvNet's layers follow the one relation, with SparseConvNet's conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import sscn_triton.compat.sparseconvnet as scn
from tests.support import oracle
from tests.support.clouds import random_sites

SIZES = [(2, 2), (3, 2), (3, 1), (4, 3), (1, 2)]
DIMENSIONS = [1, 2, 3, 4]


def size_of(filter_size, stride, dimension):
    """A spatial size that the filters cover exactly."""
    outputs = 2 if dimension == 4 else 4
    return (outputs - 1) * stride + filter_size


def given(dimension, size, planes=2, seed=0):
    """A tensor of random sites in two events, its coordinates (batch index first), and its features, which require
    gradients."""
    count = min(14, 2 * size**dimension)
    sites = random_sites(count, dimension, size, 2, seed)
    features = torch.randn(len(sites), planes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    features.requires_grad_()
    x = scn.InputLayer(dimension, size, mode=0)((sites.roll(-1, 1), features, 2))
    return x, sites.numpy(), features


def check(layer, x, features, sites, rules, output_sites, shape):
    """Check output, sites, size and all gradients of a convolution on ``x`` against the oracle."""
    layer.double()
    y = layer(x)
    weight = layer.weight.detach().numpy()
    bias = layer.bias.detach().numpy() if hasattr(layer, "bias") else None
    expected = oracle.convolve(features.detach().numpy(), weight, rules, len(output_sites), bias)
    np.testing.assert_allclose(y.features.detach(), expected, atol=1e-12)
    np.testing.assert_array_equal(
        y.get_spatial_locations().roll(1, 1), np.array(output_sites).reshape(-1, len(shape) + 1)
    )
    assert y.spatial_size.tolist() == shape
    assert y.batch_size() == 2
    grad = torch.randn(y.features.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y.features.backward(grad)
    by_features, by_weight, by_bias = oracle.gradients(grad.numpy(), features.detach().numpy(), weight, rules)
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)
    np.testing.assert_allclose(layer.weight.grad, by_weight, atol=1e-12)
    if bias is not None:
        np.testing.assert_allclose(layer.bias.grad, by_bias, atol=1e-12)


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (1, True), (2, True)])
@pytest.mark.parametrize("filter_size", [1, 2, 3, 4])
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_submanifold_convolution(dimension, filter_size, groups, bias):
    x, sites, features = given(dimension, 5 if dimension < 4 else 3)
    layer = scn.SubmanifoldConvolution(dimension, 2, 4, filter_size, bias, groups)
    if bias:
        torch.nn.init.normal_(layer.bias)
    # SparseConvNet's window starts filter // 2 below the site.
    padding = [filter_size // 2] * dimension
    given_sites = oracle.as_sites(sites)
    ones = [1] * dimension
    rules = oracle.rules_between(given_sites, given_sites, [filter_size] * dimension, ones, padding, ones)
    check(layer, x, features, sites, rules, given_sites, x.spatial_size.tolist())


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (2, True)])
@pytest.mark.parametrize(("filter_size", "stride"), SIZES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_convolution(dimension, filter_size, stride, groups, bias):
    size = size_of(filter_size, stride, dimension)
    x, sites, features = given(dimension, size)
    one, zero = [1] * dimension, [0] * dimension
    built = oracle.strided(sites, [filter_size] * dimension, [stride] * dimension, zero, one, [size] * dimension)
    layer = scn.Convolution(dimension, 2, 4, filter_size, stride, bias, groups)
    shape = [(size - filter_size) // stride + 1] * dimension
    check(layer, x, features, sites, built.rules, built.output_sites, shape)


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (2, True)])
@pytest.mark.parametrize(("filter_size", "stride"), SIZES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_deconvolution_restores_the_sites_in_their_order(dimension, filter_size, stride, groups, bias):
    size = size_of(filter_size, stride, dimension)
    x, sites, _ = given(dimension, size)
    one, zero = [1] * dimension, [0] * dimension
    built, coarse = oracle.inverse(
        sites, [filter_size] * dimension, [stride] * dimension, zero, one, [size] * dimension
    )
    below = scn.Convolution(dimension, 2, 2, filter_size, stride, False).double()(x)
    features = torch.randn(len(coarse), 2, dtype=torch.float64, requires_grad=True)
    layer = scn.Deconvolution(dimension, 2, 4, filter_size, stride, bias, groups)
    check(layer, below.with_features(features), features, coarse, built.rules, built.output_sites, [size] * dimension)


@pytest.mark.parametrize("name", ["FullConvolution", "TransposeConvolution"])
@pytest.mark.parametrize(("filter_size", "stride"), SIZES)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_full_convolution_reaches_every_site(dimension, filter_size, stride, name):
    x, sites, features = given(dimension, 4)
    one, zero = [1] * dimension, [0] * dimension
    built = oracle.transposed(sites, [filter_size] * dimension, [stride] * dimension, zero, one)
    layer = getattr(scn, name)(dimension, 2, 4, filter_size, stride, True, 2)
    check(layer, x, features, sites, built.rules, built.output_sites, [3 * stride + filter_size] * dimension)


def strided_rules(sites, dimension, pool, stride, size):
    one, zero = [1] * dimension, [0] * dimension
    return oracle.strided(sites, [pool] * dimension, [stride] * dimension, zero, one, [size] * dimension)


@pytest.mark.parametrize("drop", [0, 1])
@pytest.mark.parametrize(("pool", "stride"), SIZES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_max_pooling_starts_at_zero(dimension, pool, stride, drop):
    size = size_of(pool, stride, dimension)
    x, sites, features = given(dimension, size, planes=3)
    built = strided_rules(sites, dimension, pool, stride, size)
    values = features.detach().numpy()[:, drop:]
    expected = np.maximum(oracle.pool(values, built.rules, len(built.output_sites), "max"), 0)
    y = scn.MaxPooling(dimension, pool, stride, drop)(x)
    np.testing.assert_array_equal(y.features.detach(), expected)
    grad = torch.randn(y.features.shape, dtype=torch.float64)
    y.features.backward(grad)
    by_features = np.zeros(features.shape)
    for pairs in built.rules.values():
        for row, target in pairs:
            by_features[row, drop:] += np.where(values[row] == expected[target], grad.numpy()[target], 0)
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)


def test_max_pooling_gives_its_gradient_to_every_input_that_equals_the_output():
    coords = torch.tensor([[0], [1], [2], [3]])
    features = torch.tensor([[2.0], [2.0], [0.0], [-1.0]], requires_grad=True)
    x = scn.InputLayer(1, 4)((coords, features))
    scn.MaxPooling(1, 2, 2)(x).features.sum().backward()
    assert features.grad.tolist() == [[1], [1], [1], [0]]


@pytest.mark.parametrize("drop", [0, 1])
@pytest.mark.parametrize(("pool", "stride"), SIZES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_average_pooling_divides_by_the_volume(dimension, pool, stride, drop):
    size = size_of(pool, stride, dimension)
    x, sites, features = given(dimension, size, planes=3)
    built = strided_rules(sites, dimension, pool, stride, size)
    values = features.detach().numpy()[:, drop:]
    y = scn.AveragePooling(dimension, pool, stride, drop)(x)
    expected = oracle.pool(values, built.rules, len(built.output_sites), "volume")
    np.testing.assert_allclose(y.features.detach(), expected, atol=1e-12)
    grad = torch.randn(y.features.shape, dtype=torch.float64)
    y.features.backward(grad)
    by_features = oracle.pool_gradient(grad.numpy(), values, built.rules, "volume")
    np.testing.assert_allclose(features.grad[:, drop:], by_features, atol=1e-12)
    assert not features.grad[:, :drop].any()


@pytest.mark.parametrize(("pool", "stride"), SIZES)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_unpooling_sums_the_pools_a_site_was_in(dimension, pool, stride):
    size = size_of(pool, stride, dimension)
    x, sites, _ = given(dimension, size)
    built, coarse = oracle.inverse(
        sites, [pool] * dimension, [stride] * dimension, [0] * dimension, [1] * dimension, [size] * dimension
    )
    features = torch.randn(len(coarse), 2, dtype=torch.float64, requires_grad=True)
    y = scn.UnPooling(dimension, pool, stride, 1)(
        scn.AveragePooling(dimension, pool, stride)(x).with_features(features)
    )
    values = features.detach().numpy()[:, 1:]
    np.testing.assert_allclose(y.features.detach(), oracle.pool(values, built.rules, len(sites), "sum"), atol=1e-12)
    np.testing.assert_array_equal(y.get_spatial_locations().roll(1, 1), sites)
    grad = torch.randn(y.features.shape, dtype=torch.float64)
    y.features.backward(grad)
    by_features = oracle.pool_gradient(grad.numpy(), values, built.rules, "sum")
    np.testing.assert_allclose(features.grad[:, 1:], by_features, atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("leakiness", [1, 0.333, 0])
def test_batch_normalization_keeps_its_momentum_of_the_running_statistics(leakiness, affine):
    x, _, features = given(3, 5)
    layer = scn.BatchNormalization(2, eps=1e-3, momentum=0.9, affine=affine, leakiness=leakiness).double()
    if affine:
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    weight, bias = (layer.weight, layer.bias) if affine else (torch.ones(2), torch.zeros(2))
    values = features.detach().numpy()
    normal = oracle.batch_norm(values, weight.detach().numpy(), bias.detach().numpy(), 1e-3)
    expected = np.where(normal > 0, normal, leakiness * normal)
    np.testing.assert_allclose(layer(x).features.detach(), expected, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, 0.1 * values.mean(0), atol=1e-12)
    np.testing.assert_allclose(layer.running_var, 0.9 + 0.1 * values.var(0, ddof=1), atol=1e-12)
    layer.eval()
    normal = (values - layer.running_mean.numpy()) / np.sqrt(layer.running_var.numpy() + 1e-3)
    normal = normal * weight.detach().numpy() + bias.detach().numpy()
    np.testing.assert_allclose(layer(x).features.detach(), np.where(normal > 0, normal, leakiness * normal), atol=1e-12)


def test_defaults_of_the_batch_norms():
    relu, leaky = scn.BatchNormReLU(3), scn.BatchNormLeakyReLU(3)
    assert (relu.eps, relu.momentum, relu.leakiness) == (1e-4, 0.99, 0)
    assert (leaky.eps, leaky.momentum, leaky.leakiness) == (1e-4, 0.99, 0.333)
    assert list(relu.state_dict()) == ["weight", "bias", "running_mean", "running_var"]


@pytest.mark.parametrize("kind", ["SubmanifoldConvolution", "Convolution", "Deconvolution", "FullConvolution"])
def test_initial_weights(kind):
    stride = () if kind == "SubmanifoldConvolution" else (2,)
    layer = getattr(scn, kind)(3, 16, 32, 3, *stride, True, 4)
    assert layer.weight.shape == (27, 4, 4, 8)
    assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 * 4 / (16 * 27)), rel=0.05)
    assert not layer.bias.detach().any()
    assert list(getattr(scn, kind)(3, 1, 1, 3, *stride, False).state_dict()) == ["weight"]


def test_network_in_network_and_sparse_to_dense():
    x, sites, features = given(2, 5)
    layer = scn.NetworkInNetwork(2, 3, True).double()
    torch.nn.init.normal_(layer.bias)
    y = layer(x)
    expected = features.detach() @ layer.weight.detach() + layer.bias.detach()
    torch.testing.assert_close(y.features.detach(), expected)
    dense = scn.SparseToDense(2, 3)(y)
    assert dense.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(dense.detach()[sites[:, 0], :, sites[:, 1], sites[:, 2]], expected)
    assert int((dense != 0).any(1).sum()) == len(sites)

"""spconv's layers follow the one relation, with spconv's conventions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import sscn_triton.compat.spconv.pytorch as spconv
from tests.support import oracle
from tests.support.clouds import random_sites

DIMENSIONS = [1, 2, 3, 4]
WINDOWS = [
    (2, 2, 0, 1),
    (3, 2, 1, 1),
    (3, 1, 1, 1),
    (2, 3, 2, 2),
    (1, 2, 0, 1),
    (3, 1, 0, 2),
]  # k, stride, padding, dil.


def given(dimension, size=6, channels=2, seed=0):
    """A tensor of random sites in two events, its sites, and its features, which require gradients."""
    sites = random_sites(min(14, 2 * size**dimension), dimension, size, 2, seed)
    features = torch.randn(len(sites), channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    features.requires_grad_()
    x = spconv.SparseConvTensor(features, sites.int(), [size] * dimension, 2)
    return x, sites.numpy(), features


def by_tap(layer, weight):
    """A weight ``[out, *kernel, in / groups]`` as the oracle's ``[V, groups, in / groups, out / groups]``.

    spconv reads the weight of a layer of one tap that keeps the sites as ``[in, out]``.
    """
    out, inner = weight.shape[0], weight.shape[-1]
    if layer.conv1x1:
        return weight.reshape(1, layer.groups, inner, out // layer.groups)
    return weight.reshape(layer.groups, out // layer.groups, -1, inner).permute(2, 0, 3, 1)


def check(layer, x, features, rules, output_sites, shape):
    """Check output, sites, extent and all gradients of a convolution on ``x`` against the oracle; return the output."""
    layer.double()
    y = layer(x)
    weight = by_tap(layer, layer.weight.detach()).numpy()
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    values = features.detach().numpy()
    expected = oracle.convolve(values, weight, rules, len(output_sites), bias)
    np.testing.assert_allclose(y.features.detach(), expected, atol=1e-12)
    np.testing.assert_array_equal(y.indices, np.array(output_sites).reshape(-1, len(shape) + 1))
    assert (y.indices.dtype, y.spatial_shape, y.batch_size) == (torch.int32, list(shape), 2)
    grad = torch.randn(y.features.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y.features.backward(grad)
    by_features, by_weight, by_bias = oracle.gradients(grad.numpy(), values, weight, rules)
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)
    np.testing.assert_allclose(by_tap(layer, layer.weight.grad), by_weight, atol=1e-12)
    if bias is not None:
        np.testing.assert_allclose(layer.bias.grad, by_bias, atol=1e-12)
    return y


def layer_of(name, dimension, *arguments, **settings):
    return getattr(spconv, f"{name}{dimension}d")(*arguments, **settings)


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (2, True)])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (3, 2), (2, 3), (4, 2)])
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_submanifold_convolution(dimension, kernel, dilation, groups, bias):
    x, sites, features = given(dimension, 6 if dimension < 4 else 3)
    kernel = min(kernel, 3) if dimension == 4 else kernel
    layer = layer_of("SubMConv", dimension, 2, 4, kernel, 1, 1, dilation, groups, bias, indice_key="subm")
    own, ones = oracle.as_sites(sites), [1] * dimension
    padding = [(kernel // 2) * dilation] * dimension
    rules = oracle.rules_between(own, own, [kernel] * dimension, ones, padding, [dilation] * dimension)
    y = check(layer, x, features, rules, own, x.spatial_shape)
    if kernel > 1:
        data = y.find_indice_pair("subm")
        assert data.indice_pair_num.tolist() == [len(rules[tap]) for tap in sorted(rules)]
        pairs = data.indice_pairs
        for tap, expected in rules.items():
            count = len(expected)
            assert set(zip(*pairs[:, tap, :count].tolist(), strict=True)) == expected
            assert (pairs[:, tap, count:] == -1).all()


@pytest.mark.parametrize(("groups", "bias"), [(1, False), (2, True)])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_strided_convolution_and_its_inverse(dimension, window, groups, bias):
    x, sites, features = given(dimension)
    kernel, stride, padding, dilation = ([n] * dimension for n in window)
    built = oracle.strided(sites, kernel, stride, padding, dilation, x.spatial_shape)
    shape = [oracle.size_after(6, *window) for _ in range(dimension)]
    down = layer_of("SparseConv", dimension, 2, 4, *window, groups, bias, indice_key="down")
    y = check(down, x, features, built.rules, built.output_sites, shape)
    assert y.indice_dict["down"].spatial_shape == x.spatial_shape
    assert "down" not in x.indice_dict
    values = torch.randn(len(built.output_sites), 4, dtype=torch.float64, requires_grad=True)
    up = layer_of("SparseInverseConv", dimension, 4, 3, window[0], "down", bias)
    check(up, y.replace_feature(values), values, oracle.turned(built.rules), oracle.as_sites(sites), x.spatial_shape)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_transposed_convolution_has_an_extent_that_knows_no_dilation(dimension, window):
    kernel, stride, padding, dilation = ([n] * dimension for n in window)
    x, sites, features = given(dimension, 4)
    size = 3 * window[1] - 2 * window[2] + window[0]
    every = oracle.transposed(sites, kernel, stride, padding, dilation).output_sites
    outputs = [site for site in every if all(0 <= c < size for c in site[1:])]
    rules = oracle.turned(oracle.rules_between(outputs, oracle.as_sites(sites), kernel, stride, padding, dilation))
    layer = layer_of("SparseConvTranspose", dimension, 2, 4, *window, groups=2, indice_key="up")
    y = check(layer, x, features, rules, outputs, [size] * dimension)
    assert spconv.ops.get_deconv_output_size([4], [window[0]], *([n] for n in window[1:]), [0]) == [size]
    values = torch.randn(len(outputs), 4, dtype=torch.float64, requires_grad=True)
    back = layer_of("SparseInverseConv", dimension, 4, 2, window[0], "up", True)
    check(back, y.replace_feature(values), values, oracle.turned(rules), oracle.as_sites(sites), x.spatial_shape)


def test_axes_may_differ():
    kernel, stride, padding, dilation = (3, 2), (2, 1), (1, 0), (1, 2)
    x, sites, features = given(2)
    built = oracle.strided(sites, kernel, stride, padding, dilation, (6, 6))
    down = spconv.SparseConv2d(2, 4, kernel, stride, padding, dilation, indice_key="down")
    y = check(down, x, features, built.rules, built.output_sites, [3, 4])
    values = torch.randn(len(built.output_sites), 4, dtype=torch.float64, requires_grad=True)
    up = spconv.SparseInverseConv2d(4, 3, list(kernel), "down")
    check(up, y.replace_feature(values), values, oracle.turned(built.rules), oracle.as_sites(sites), [6, 6])
    x, sites, features = given(2)
    own = oracle.as_sites(sites)
    rules = oracle.rules_between(own, own, kernel, (1, 1), (1, 2), dilation)
    check(spconv.SubMConv2d(2, 4, kernel, dilation=dilation), x, features, rules, own, [6, 6])


def test_output_padding_adds_to_the_far_end():
    x, sites, features = given(2, 4)
    layer = spconv.conv.SparseConvolution(2, 2, 4, 2, 3, transposed=True, output_padding=(2, 1))
    built = oracle.transposed(sites, [2, 2], [3, 3], [0, 0], [1, 1])
    check(layer, x, features, built.rules, built.output_sites, [13, 12])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_max_pooling_starts_at_zero_and_gives_its_gradient_to_every_winner(dimension, window):
    x, sites, features = given(dimension, channels=3)
    kernel, stride, padding, dilation = ([n] * dimension for n in window)
    built = oracle.strided(sites, kernel, stride, padding, dilation, x.spatial_shape)
    values = features.detach().numpy()
    expected = np.maximum(oracle.pool(values, built.rules, len(built.output_sites), "max"), 0)
    y = layer_of("SparseMaxPool", dimension, *window, indice_key="pool")(x)
    np.testing.assert_array_equal(y.features.detach(), expected)
    np.testing.assert_array_equal(y.indices, np.array(built.output_sites).reshape(-1, 1 + dimension))
    grad = torch.randn(y.features.shape, dtype=torch.float64)
    y.features.backward(grad)
    by_features = np.zeros(features.shape)
    for pairs in built.rules.values():
        for row, target in pairs:
            by_features[row] += np.where(values[row] == expected[target], grad.numpy()[target], 0)
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)
    values = torch.randn(len(built.output_sites), 3, dtype=torch.float64, requires_grad=True)
    up = layer_of("SparseInverseConv", dimension, 3, 2, window[0], "pool")
    check(up, y.replace_feature(values), values, oracle.turned(built.rules), oracle.as_sites(sites), x.spatial_shape)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_average_pooling_divides_by_the_active_inputs(dimension, window):
    x, sites, features = given(dimension, channels=3)
    kernel, stride, padding, dilation = ([n] * dimension for n in window)
    built = oracle.strided(sites, kernel, stride, padding, dilation, x.spatial_shape)
    values = features.detach().numpy()
    y = layer_of("SparseAvgPool", dimension, *window)(x)
    expected = oracle.pool(values, built.rules, len(built.output_sites), "active")
    np.testing.assert_allclose(y.features.detach(), expected, atol=1e-12)
    np.testing.assert_array_equal(y.indices, np.array(built.output_sites).reshape(-1, 1 + dimension))
    grad = torch.randn(y.features.shape, dtype=torch.float64)
    y.features.backward(grad)
    by_features = oracle.pool_gradient(grad.numpy(), values, built.rules, "active")
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)


@pytest.mark.parametrize(("name", "how"), [("SparseGlobalMaxPool", "max"), ("SparseGlobalAvgPool", "active")])
def test_global_pooling_keeps_all_channels(name, how):
    x, sites, features = given(3, channels=3)
    y = getattr(spconv, name)()(x)
    rules, values = oracle.of_events(sites), features.detach().numpy()
    np.testing.assert_allclose(y.detach(), oracle.pool(values, rules, 2, how), atol=1e-12)
    grad = torch.randn(y.shape, dtype=torch.float64)
    y.backward(grad)
    np.testing.assert_allclose(features.grad, oracle.pool_gradient(grad.numpy(), values, rules, how), atol=1e-12)


def test_a_pool_without_a_stride_takes_its_kernel_size_and_the_base_class_takes_1():
    assert spconv.SparseMaxPool2d((2, 3)).stride == [2, 3]
    assert spconv.SparseAvgPool3d(2).stride == [2, 2, 2]
    assert spconv.SparseMaxPool(2, 3).stride == [1, 1]


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm1d, spconv.SparseBatchNorm])
def test_batch_norm_in_a_sequential_and_its_running_statistics(norm):
    x, _, features = given(3)
    layer = norm(2, eps=1e-3, momentum=0.2).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    values = features.detach().numpy()
    expected = oracle.batch_norm(values, layer.weight.detach().numpy(), layer.bias.detach().numpy(), 1e-3)
    y = spconv.SparseSequential(layer, spconv.SparseIdentity())(x)
    np.testing.assert_allclose(y.features.detach(), expected, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean, 0.2 * values.mean(0), atol=1e-12)
    np.testing.assert_allclose(layer.running_var, 0.8 + 0.2 * values.var(0, ddof=1), atol=1e-12)


@pytest.mark.parametrize("norm", [torch.nn.BatchNorm1d, spconv.SparseBatchNorm])
def test_batch_norm_of_one_site_and_of_none(norm):
    for count in (0, 1):
        layer = norm(2)
        x = spconv.SparseConvTensor(torch.ones(count, 2), torch.zeros(count, 4, dtype=torch.int32), [3, 3, 3], 1)
        y = spconv.SparseSequential(layer)(x)
        assert y.features.tolist() == [[0, 0]] * count
        assert int(layer.num_batches_tracked) == count
        assert layer.running_mean.tolist() == pytest.approx([0.1 * count] * 2)
        assert layer.running_var.tolist() == pytest.approx([1 - 0.1 * count] * 2)


@pytest.mark.parametrize("count", [0, 2])
def test_a_watched_batch_norm_is_called_for_any_number_of_sites(count):
    seen = []
    x = spconv.SparseConvTensor(torch.ones(count, 2), torch.arange(4 * count).view(count, 4).int(), [9, 9, 9], 9)
    for layer in (torch.nn.BatchNorm1d(2), spconv.SparseBatchNorm(2)):
        layer.register_forward_hook(lambda module, args, output: seen.append(len(args)))
        spconv.SparseSequential(layer)(x)
    replaced = torch.nn.BatchNorm1d(2)
    replaced.forward = lambda features: seen.append(1) or features + 5
    assert spconv.SparseSequential(replaced)(x).features.tolist() == [[6, 6]] * count
    assert seen == [1, 1, 1]


def test_a_subclass_of_batch_norm_does_its_work_once():
    class Shifted(spconv.SparseBatchNorm):
        def forward(self, input):
            y = super().forward(input)
            return y.replace_feature(y.features + 1) if isinstance(y, spconv.SparseConvTensor) else y + 1

    x = spconv.SparseConvTensor(torch.ones(1, 2), torch.zeros(1, 4, dtype=torch.int32), [3, 3, 3], 1)
    assert spconv.SparseSequential(Shifted(2))(x).features.tolist() == [[1, 1]]


def test_a_layer_of_one_tap_reads_its_weight_as_in_out():
    x, _, features = given(3)
    for layer in (spconv.SubMConv3d(2, 3, 1, bias=False), spconv.SparseConv3d(2, 3, 1, bias=False)):
        y = layer.double()(x)
        assert y.indices is x.indices
        torch.testing.assert_close(y.features, features @ layer.weight.reshape(2, 3))


def test_initial_weights_equal_pytorchs_for_the_same_seed():
    torch.manual_seed(3)
    layer = spconv.SparseConv3d(8, 16, (3, 2, 1), groups=2)
    torch.manual_seed(3)
    bound = 1 / math.sqrt(6 * 4)
    assert torch.equal(layer.weight, torch.zeros(16, 3, 2, 1, 4).uniform_(-bound, bound))
    assert torch.equal(layer.bias, torch.zeros(16).uniform_(-bound, bound))
    assert list(spconv.SubMConv3d(8, 16, 3, bias=False).state_dict()) == ["weight"]


def test_a_strided_layer_equals_pytorchs_on_the_dense_image():
    x, _, _ = given(3)
    layer = spconv.SparseConv3d(2, 4, 3, 2, 1, bias=False).double()
    dense = torch.nn.functional.conv3d(x.dense(), layer.weight.permute(0, 4, 1, 2, 3), stride=2, padding=1)
    torch.testing.assert_close(layer(x).dense(), dense)

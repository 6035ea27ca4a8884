"""The SPINE backend computes what MinkowskiEngine's own definition says.

An input lies at ``output + offset * dilation * tensor stride``, with offsets around 0 for odd kernels and from 0 on for
even ones; taps are numbered with the first axis fastest.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sscn_triton.compat import spine
from tests.support import oracle

WINDOWS = [(3, 1, 1), (2, 2, 1), (3, 2, 1), (2, 1, 1), (4, 2, 1), (3, 3, 1), (1, 2, 1), (3, 1, 2), (2, 3, 2)]
CASES = [(1, 1), (2, 1), (2, 4), (3, 2), (4, 1)]  # axes and tensor stride


def leaf(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def given(ndim, stride=1, channels=2, reach=3, count=14, phases=(0, 0)):
    """A tensor of sites of any sign in two events, and its features, which require gradients. The sites are multiples
    of the stride, moved by a phase for each event, as SPINE's `rephase` does."""
    reach = 1 if ndim == 4 else reach
    box = list(itertools.product((0, 1), *[range(-reach, reach + 1)] * ndim))
    chosen = np.random.default_rng(ndim).permutation(len(box))[:count]
    sites = torch.tensor([box[n] for n in chosen], dtype=torch.int32)
    sites[:, 1:] *= stride
    sites[:, 1:] += torch.tensor(phases).int()[sites[:, 0].long(), None]
    features = leaf(len(sites), channels)
    return spine.create_tensor(features=features, coordinates=sites, tensor_stride=stride), features


def offsets(kernel, dilation, ndim):
    """Every offset of a kernel, with the first axis fastest."""
    first = -(kernel // 2) if kernel % 2 else 0
    line = [(first + n) * dilation for n in range(kernel)]
    return [tap[::-1] for tap in itertools.product(line, repeat=ndim)]


def rules(inputs, outputs, taps, stride):
    """For each tap, the pairs (input row, output row) with input = output + offset * tensor stride of the input."""
    row_of = {site: row for row, site in enumerate(inputs)}
    found = {}
    for number, tap in enumerate(taps):
        wanted = [(b, *(c + o * stride for c, o in zip(site, tap, strict=True))) for b, *site in outputs]
        found[number] = {(row_of[site], row) for row, site in enumerate(wanted) if site in row_of}
    return found


def floored(sites, step):
    """``floor(site / step) * step``, each site once, in lexicographic order."""
    return sorted({(b, *(c // step * step for c in site)) for b, *site in sites})


def places(x):
    return oracle.as_sites(x.C.numpy())


def hold(y, features, kernel, found, sites, groups=1):
    """Check ``y``, made from ``features`` with ``kernel``, and both gradients against the oracle."""
    weight, values = kernel.detach().numpy(), features.detach().numpy()
    weight = weight.reshape(weight.shape[0], -1, 1, 1) if groups > 1 else weight
    np.testing.assert_allclose(y.F.detach(), oracle.convolve(values, weight, found, len(sites)), atol=1e-12)
    assert places(y) == sites
    grad = leaf(*y.F.shape, seed=1).detach()
    y.F.backward(grad)
    by_features, by_weight, _ = oracle.gradients(grad.numpy(), values, weight, found)
    np.testing.assert_allclose(features.grad, by_features, atol=1e-12)
    np.testing.assert_allclose(kernel.grad, by_weight.reshape(kernel.shape), atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("ndim", "unit"), CASES)
def test_convolution_and_its_transpose(ndim, unit, window):
    both_ways(*given(ndim, unit), ndim, unit, window)


@pytest.mark.parametrize("window", [(3, 1, 1), (2, 2, 1), (3, 2, 1)])
def test_phases_of_events_above_stride_1(window):
    both_ways(*given(3, 2, phases=(1, -3)), 3, 2, window)


def both_ways(x, features, ndim, unit, window):
    """Hold a convolution and its transpose against the oracle."""
    kernel, stride, dilation = window
    down = spine.module("Convolution")(2, 3, kernel, stride, dilation, dimension=ndim).double()
    y = down(x)
    coarse = places(x) if stride == 1 else floored(places(x), unit * stride)
    taps = offsets(kernel, dilation, ndim)
    found = rules(places(x), coarse, taps, unit)
    hold(y, features, down.kernel, found, coarse)
    assert spine.tensor_stride(y) == (unit * stride,) * ndim
    values = leaf(len(coarse), 3)
    up = spine.module("ConvolutionTranspose")(3, 2, kernel, stride, dilation, dimension=ndim).double()
    z = up(y.on(values))
    hold(z, values, up.kernel, oracle.turned(found), places(x))
    assert spine.coordinate_map_key(z) == spine.coordinate_map_key(x)


@pytest.mark.parametrize("window", [(2, 2, 1), (3, 2, 1), (3, 1, 2)])
@pytest.mark.parametrize("transposed", [False, True])
def test_expanding_leads_to_every_site_at_a_tap(transposed, window):
    kernel, stride, dilation = window
    x, features = given(2, 4)
    name = "ConvolutionTranspose" if transposed else "Convolution"
    layer = spine.module(name)(2, 3, kernel, stride, dilation, expand_coordinates=True, dimension=2).double()
    unit, taps = 4 // stride if transposed else 4, offsets(kernel, dilation, 2)
    every = {(b, *(c + unit * o for c, o in zip(site, tap, strict=True))) for b, *site in places(x) for tap in taps}
    sites = sorted(s for s in every if transposed or all(c % (4 * stride) == 0 for c in s[1:]))
    found = oracle.turned(rules(sites, places(x), taps, unit)) if transposed else rules(places(x), sites, taps, unit)
    hold(layer(x), features, layer.kernel, found, sites)


def test_a_transposed_convolution_without_a_finer_map_makes_one():
    x, features = given(2, 4)
    layer = spine.module("ConvolutionTranspose")(2, 3, 2, 2, dimension=2).double()
    sites = sorted((b, i + di, j + dj) for b, i, j in places(x) for di in (0, 2) for dj in (0, 2))
    found = oracle.turned(rules(sites, places(x), offsets(2, 1, 2), 2))
    hold(layer(x), features, layer.kernel, found, sites)
    with pytest.raises(ValueError, match="cannot be divided"):
        spine.module("ConvolutionTranspose")(2, 3, 2, 3, dimension=2).double()(x)


@pytest.mark.parametrize("window", WINDOWS)
def test_channelwise_convolution(window):
    kernel, stride, dilation = window
    x, features = given(2, 2)
    layer = spine.module("ChannelwiseConvolution")(2, kernel, stride, dilation, dimension=2).double()
    coarse = places(x) if stride == 1 else floored(places(x), 2 * stride)
    found = rules(places(x), coarse, offsets(kernel, dilation, 2), 2)
    hold(layer(x), features, layer.kernel, found, coarse, groups=2)


def test_bias_and_a_kernel_of_one_tap():
    x, features = given(3)
    layer = spine.module("Convolution")(2, 3, 1, bias=True, dimension=3).double()
    assert layer.kernel.shape == (2, 3)
    assert layer.bias.shape == (1, 3)
    torch.testing.assert_close(layer(x).F, features @ layer.kernel + layer.bias)
    strided = spine.module("Convolution")(2, 3, 1, 2, bias=True, dimension=3).double()
    assert strided.kernel.shape == (1, 2, 3)
    y = strided(x)
    even = {site for site in places(x) if all(c % 2 == 0 for c in site[1:])}
    for site, row in zip(places(y), y.F, strict=True):
        torch.testing.assert_close(row - strided.bias[0] != 0, torch.full((3,), site in even))


@pytest.mark.parametrize("window", [(2, 2, 1), (3, 2, 1), (3, 1, 2), (3, 3, 1), (1, 2, 1), (2, 1, 1)])
@pytest.mark.parametrize(("name", "how"), [("MaxPooling", "max"), ("AvgPooling", "active"), ("SumPooling", "sum")])
@pytest.mark.parametrize(("ndim", "unit"), CASES[:4])
def test_pooling(ndim, unit, name, how, window):
    kernel, stride, dilation = window
    x, features = given(ndim, unit)
    y = spine.module(name)(kernel, stride, dilation, dimension=ndim)(x)
    coarse = places(x) if stride == 1 else floored(places(x), unit * stride)
    taps = offsets(kernel, dilation, ndim)
    if kernel == stride:  # these windows tile space for odd and even sizes
        taps = [tap[::-1] for tap in itertools.product(range(kernel), repeat=ndim)]
    found = rules(places(x), coarse, taps, unit)
    # the library counts taps with the last axis fastest, so equal values could have another winner; there are none
    values = features.detach().numpy()
    np.testing.assert_allclose(y.F.detach(), oracle.pool(values, found, len(coarse), how), atol=1e-12)
    assert places(y) == coarse
    grad = leaf(*y.F.shape, seed=1).detach()
    y.F.backward(grad)
    np.testing.assert_allclose(features.grad, oracle.pool_gradient(grad.numpy(), values, found, how), atol=1e-12)
    values = leaf(len(coarse), 2)
    z = spine.module("PoolingTranspose")(kernel, stride, dilation, dimension=ndim)(y.on(values))
    back = oracle.pool(values.detach().numpy(), oracle.turned(found), len(x), "sum")
    np.testing.assert_allclose(z.F.detach(), back, atol=1e-12)
    assert places(z) == places(x)


@pytest.mark.parametrize("name", ["Sum", "Avg", "Max"])
def test_global_pooling_and_broadcasting(name):
    sites = torch.tensor([[3, 1, 1], [0, 2, 2], [3, 5, -5], [0, 0, 0]], dtype=torch.int32)
    features = torch.tensor([[1.0, -8.0], [2.0, -1.0], [4.0, -2.0], [8.0, -4.0]])
    x = spine.create_tensor(features=features, coordinates=sites)
    expected = {"Sum": [[10, -5], [5, -10]], "Avg": [[5, -2.5], [2.5, -5]], "Max": [[8, -1], [4, -2]]}[name]
    y = spine.module(f"Global{name}Pooling")()(x)
    assert y.F.tolist() == expected
    assert places(y) == [(0, 0, 0), (3, 0, 0)]
    mode = spine.PoolingMode[f"GLOBAL_{name.upper()}_POOLING_DEFAULT"]
    again = spine.module("GlobalPooling")(mode)(x)
    assert torch.equal(again.F, y.F)
    assert again.coordinate_map_key == y.coordinate_map_key
    spread = y.F[[1, 0, 1, 0]]
    assert torch.equal(spine.module("Broadcast")()(x, y).F, spread)
    product = spine.module("BroadcastMultiplication")()(x, y)
    assert torch.equal(product.F, x.F * spread)
    assert places(product) == places(x)
    few = spine.module(f"Global{name}Pooling")()(spine.module("Pruning")()(x, torch.tensor([True, False, True, False])))
    with pytest.raises(ValueError, match="events \\[0\\]"):
        spine.module("Broadcast")()(x, few)

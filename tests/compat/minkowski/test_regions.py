"""Kernels of every region on maps of every kind equal MinkowskiEngine's definition, by the oracle.

The input of a tap lies at ``output + offset * dilation * tensor stride``; a box numbers its taps with the first axis
fastest, a cross begins with the centre.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sscn_triton.compat.minkowski as ME
from tests.support import oracle

HYPER_CUBE, HYPER_CROSS, CUSTOM = ME.RegionType


def line(kernel: int, dilation: int) -> list[int]:
    first = -(kernel // 2) if kernel % 2 else 0
    return [(first + n) * dilation for n in range(kernel)]


def offsets(region: ME.RegionType, kernel: list[int], dilation: list[int], custom: list) -> list[tuple]:
    """Every tap's offset, in MinkowskiEngine's order."""
    if region is CUSTOM:
        return [tuple(o * d for o, d in zip(tap, dilation, strict=True)) for tap in custom]
    lines = [line(k, d) for k, d in zip(kernel, dilation, strict=True)]
    if region is HYPER_CUBE:
        return [tap[::-1] for tap in itertools.product(*lines[::-1])]
    taps = [(0,) * len(kernel)]
    for axis, steps in enumerate(lines):
        for step in [step for step in steps if step > 0] + [step for step in steps if step < 0]:
            taps.append(tuple(step if other == axis else 0 for other in range(len(kernel))))
    return taps


@st.composite
def situations(draw):
    ndim = draw(st.integers(1, 3))
    region = draw(st.sampled_from([HYPER_CUBE, HYPER_CUBE, HYPER_CROSS, CUSTOM]))
    sizes = st.sampled_from([1, 3]) if region is HYPER_CROSS else st.integers(1, 4)
    per_axis = lambda what: draw(st.lists(what, min_size=ndim, max_size=ndim))  # noqa: E731
    tap = st.tuples(*[st.integers(-2, 2)] * ndim)
    custom = draw(st.lists(tap, min_size=1, max_size=4, unique=True))
    site = st.tuples(st.integers(0, 1), *[st.integers(-3, 3)] * ndim)  # dense enough for neighbours
    sites = draw(st.lists(site, min_size=draw(st.sampled_from([1, 8])), max_size=14, unique=True))
    unit, aligned = draw(st.integers(1, 3)), draw(st.booleans())
    sites = [(b, *(c * unit for c in rest)) for b, *rest in sites] if aligned else sites
    kernel, stride, dilation = per_axis(sizes), per_axis(st.integers(1, 3)), per_axis(st.integers(1, 2))
    layout = draw(st.sampled_from(["any", "same sites", "tiles"]))  # the last two use the library's own rulebooks
    stride = {"any": stride, "same sites": [1] * ndim, "tiles": kernel}[layout]
    dilation = [1] * ndim if layout == "tiles" else dilation
    return region, kernel, stride, dilation, custom, sites, unit


def rules_of(fine: list, coarse: list, taps: list, unit: int) -> dict[int, set]:
    row_of = {site: row for row, site in enumerate(fine)}
    found: dict[int, set] = {}
    for number, tap in enumerate(taps):
        wanted = [(b, *(c + o * unit for c, o in zip(site, tap, strict=True))) for b, *site in coarse]
        found[number] = {(row_of[site], row) for row, site in enumerate(wanted) if site in row_of}
    return found


def places(x: ME.SparseTensor) -> list:
    return [tuple(site) for site in x.C.tolist()]


@pytest.mark.parametrize("transposed", [False, True])
@settings(max_examples=25)
@given(situation=situations())
def test_convolutions_equal_the_oracles(transposed: bool, situation: tuple) -> None:
    region, kernel, stride, dilation, custom, sites, unit = situation
    ndim = len(kernel)
    shape = ME.KernelGenerator(
        -1 if region is CUSTOM else kernel, stride, dilation, region_type=region,
        region_offsets=torch.tensor(custom) if region is CUSTOM else None, dimension=ndim,
    )  # fmt: skip
    taps = offsets(region, kernel, dilation, custom)
    assert shape.kernel_volume == len(taps)
    features = torch.randn(len(sites), 2, dtype=torch.float64, requires_grad=True)
    x = ME.SparseTensor(features, torch.tensor(sites, dtype=torch.int32), tensor_stride=unit)
    down = ME.MinkowskiConvolution(2, 3, kernel_generator=shape, bias=True, dimension=ndim).double()
    y = down(x)
    coarse = {(b, *(c // (unit * s) * unit * s for c, s in zip(rest, stride, strict=True))) for b, *rest in sites}
    assert sorted(places(y)) == sorted(coarse if set(stride) != {1} else sites)
    assert y.tensor_stride == [unit * s for s in stride]
    found = rules_of(sites, places(y), taps, unit)
    layer, given, result, values = down, x, y, features
    if transposed:
        layer = ME.MinkowskiConvolutionTranspose(3, 2, kernel_generator=shape, bias=True, dimension=ndim).double()
        values = torch.randn(len(y), 3, dtype=torch.float64, requires_grad=True)
        given = y.on(values)
        result, found = layer(given), oracle.turned(found)
        assert result.coordinate_map_key == x.coordinate_map_key
    weight = layer.kernel.detach().numpy().reshape(len(taps), layer.in_channels, layer.out_channels)
    expected = oracle.convolve(values.detach().numpy(), weight, found, len(result)) + layer.bias.detach().numpy()
    np.testing.assert_allclose(result.F.detach(), expected, atol=1e-12)
    grad = torch.randn_like(result.F)
    result.F.backward(grad)
    by_features, by_weight, _ = oracle.gradients(grad.numpy(), values.detach().numpy(), weight, found)
    np.testing.assert_allclose(values.grad, by_features, atol=1e-12)
    np.testing.assert_allclose(layer.kernel.grad, by_weight.reshape(layer.kernel.shape), atol=1e-12)


@pytest.mark.parametrize("transposed", [False, True])
@settings(max_examples=15)
@given(situation=situations())
def test_expanding_leads_to_every_site_at_a_tap(transposed: bool, situation: tuple) -> None:
    region, kernel, stride, dilation, custom, sites, unit = situation
    stride = [1] * len(stride) if transposed and any(unit % s for s in stride) else stride
    shape = ME.KernelGenerator(
        -1 if region is CUSTOM else kernel, stride, dilation, region_type=region,
        region_offsets=torch.tensor(custom) if region is CUSTOM else None, dimension=len(kernel),
    )  # fmt: skip
    taps = offsets(region, kernel, dilation, custom)
    x = ME.SparseTensor(torch.randn(len(sites), 1), torch.tensor(sites, dtype=torch.int32), tensor_stride=unit)
    kind = ME.MinkowskiGenerativeConvolutionTranspose if transposed else ME.MinkowskiConvolution
    more = {} if transposed else {"expand_coordinates": True}
    layer = kind(1, 1, kernel_generator=shape, dimension=len(kernel), **more)
    steps = [unit // s if transposed else unit for s in stride]
    every = {(b, *(c + o * t for c, o, t in zip(rest, tap, steps, strict=True))) for b, *rest in sites for tap in taps}
    if not transposed:
        every = {site for site in every if all(c % (unit * s) == 0 for c, s in zip(site[1:], stride, strict=True))}
    if not layer.use_mm:
        assert sorted(places(layer(x))) == sorted(every)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_transposed_layer_is_the_adjoint_of_the_layer_with_the_same_kernel(kernel: int, stride: int) -> None:
    sites = torch.tensor([(0, a, b) for a in range(5) for b in range(4) if (a + 2 * b) % 3]).int()
    x = ME.SparseTensor(torch.randn(len(sites), 2, dtype=torch.float64), sites)
    down = ME.MinkowskiConvolution(2, 3, kernel, stride, dimension=2).double()
    up = ME.MinkowskiConvolutionTranspose(3, 2, kernel, stride, dimension=2).double()
    up.kernel.data = down.kernel.data.transpose(1, 2)
    y = down(x)
    z = y.on(torch.randn_like(y.F))
    torch.testing.assert_close((y.F * z.F).sum(), (x.F * up(z).F).sum())
    pool, unpool = ME.MinkowskiSumPooling(2, 2, dimension=2), ME.MinkowskiPoolingTranspose(2, 2, dimension=2)
    pooled = pool(x)
    z = pooled.on(torch.randn_like(pooled.F))
    torch.testing.assert_close((pooled.F * z.F).sum(), (x.F * unpool(z).F).sum())


def test_the_taps_of_a_cross_begin_with_the_centre_and_those_of_a_box_at_the_lowest_corner() -> None:
    cross = ME.KernelGenerator(3, region_type=HYPER_CROSS, dimension=2)
    assert cross.region.offsets == ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    box = ME.KernelGenerator([3, 2], dimension=2)
    assert box.region.offsets == ((-1, 0), (0, 0), (1, 0), (-1, 1), (0, 1), (1, 1))


def test_a_layer_leads_to_the_coordinates_it_is_given() -> None:
    x = ME.SparseTensor(torch.randn(3, 2), torch.tensor([[0, 0], [0, 1], [0, 4]]).int())
    layer = ME.MinkowskiConvolution(2, 3, 3, dimension=1)
    wanted = torch.tensor([[0, 5], [0, 2], [0, 9]]).int()
    y = layer(x, wanted)
    assert torch.equal(y.C, wanted)
    torch.testing.assert_close(y.F, torch.stack([x.F[2] @ layer.kernel[0], x.F[1] @ layer.kernel[0], torch.zeros(3)]))
    torch.testing.assert_close(layer(x, y.coordinate_map_key).F, y.F)
    torch.testing.assert_close(layer(x, y).F, y.F)
    one_tap = ME.MinkowskiConvolution(2, 3, 1, dimension=1)
    assert torch.equal(one_tap(x, wanted).F, torch.zeros(3, 3))
    with pytest.raises(ValueError, match="no coordinate map"):
        layer(x, ME.CoordinateMapKey([7], "spam"))
    other = ME.SparseTensor(torch.randn(3, 2), wanted)
    with pytest.raises(ValueError, match="coordinate manager"):
        layer(x, other)


WRONG = {
    "kernel_size must be odd": {"kernel_size": 2, "region_type": HYPER_CROSS, "dimension": 2},
    "region_offsets must be an integer tensor": {"region_type": CUSTOM, "dimension": 2},
    r"region_offsets must be \[V, 2\]": {
        "region_type": CUSTOM,
        "region_offsets": torch.ones(1, 3).int(),
        "dimension": 2,
    },
    "offset twice": {"region_type": CUSTOM, "region_offsets": torch.zeros(2, 2).int(), "dimension": 2},
    "region_offsets must be None": {"kernel_size": 3, "region_offsets": torch.zeros(2, 2).int(), "dimension": 2},
    "axis_types": {"kernel_size": 3, "axis_types": [HYPER_CUBE], "dimension": 1},
    "is_transpose": {"kernel_size": 3, "is_transpose": True, "dimension": 1},
    "dimension must be": {"kernel_size": 3, "dimension": 5},
    "16777216 are allowed": {"kernel_size": 300, "dimension": 3},
    "kernel_size must be at least 1": {"dimension": 3},
}


@pytest.mark.parametrize("words", list(WRONG))
def test_kernels_that_are_not_possible_are_refused(words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        ME.KernelGenerator(**WRONG[words])


def test_sizes_beside_a_generator_must_be_its_own() -> None:
    shape = ME.KernelGenerator(3, 2, dimension=2)
    assert ME.MinkowskiConvolution(1, 1, 3, 2, kernel_generator=shape, dimension=2).stride == (2, 2)
    for wrong in ({"kernel_size": 2}, {"stride": 3}, {"dilation": 2}, {"dimension": 3}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            ME.MinkowskiConvolution(1, 1, kernel_generator=shape, **wrong)

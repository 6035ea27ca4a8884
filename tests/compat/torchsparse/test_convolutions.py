"""Kernel maps and convolutions equal torchsparse 2.1's, as its CUDA kernels define them, and dense convolutions."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sscn_triton.compat.torchsparse as torchsparse
from sscn_triton.compat.torchsparse import nn as spnn
from sscn_triton.compat.torchsparse.nn import functional as F
from sscn_triton.compat.torchsparse.tensor import set_allow_negative_coordinates
from sscn_triton.core import batch_column
from tests.support import oracle
from tests.support.clouds import random_sites

MODES = {
    "on the fly": {},
    "hashmap": {"kmap_mode": "hashmap"},
    "minkowski": {"kmap_mode": "hashmap", "downsample_mode": "minkowski"},
}


def tap_digits(kernel: tuple) -> list[tuple]:
    """Every tap's position; its number counts the first axis fastest if there is an odd number of taps."""
    digits = []
    for number in range(int(np.prod(kernel))):
        tap = [0, 0, 0]
        for axis in (0, 1, 2) if np.prod(kernel) % 2 else (2, 1, 0):
            tap[axis], number = number % kernel[axis], number // kernel[axis]
        digits.append(tuple(tap))
    return digits


def map_by_definition(
    sites: list, kernel: tuple, stride: tuple, padding: tuple, mode: str, extents: tuple, least: list | None
) -> tuple[list, dict]:
    """The output sites and the rules as torchsparse's kernels find them.

    extents: of the output; least: the first output on each axis, by default 0.
    """
    row_of, taps = {site: row for row, site in enumerate(sites)}, tap_digits(kernel)
    rules: dict[int, set] = {number: set() for number in range(len(taps))}
    centre = [(k - 1) // 2 for k in kernel]
    if stride == (1, 1, 1):
        first = [0, 0, 0] if mode == "on the fly" and len(taps) % 2 == 0 else centre
        for row, (event, *site) in enumerate(sites):
            for number, tap in enumerate(taps):
                found = row_of.get((event, *(c + n - f for c, n, f in zip(site, tap, first, strict=True))))
                if found is not None:
                    rules[number].add((found, row))
        return sites, rules
    reached: dict[tuple, set] = {}
    for row, (event, *site) in enumerate(sites):
        for number, tap in enumerate(taps):
            moved = [c + p + n - (k - 1) for c, p, n, k in zip(site, padding, tap, kernel, strict=True)]
            output = [m // s for m, s in zip(moved, stride, strict=True)]
            bounds = zip(output, least or (0, 0, 0), extents, strict=True)
            if not any(m % s for m, s in zip(moved, stride, strict=True)) and all(a <= q < b for q, a, b in bounds):
                reached.setdefault((event, *output), set()).add((len(taps) - 1 - number, row))
    if mode == "on the fly":
        outputs = sorted(reached)
        for place, output in enumerate(outputs):
            for number, row in reached[output]:
                rules[number].add((row, place))
        return outputs, rules
    tiles = all(s in (1, k) for s, k in zip(stride, kernel, strict=True)) or mode == "minkowski"
    floors = {(event, *(c // s for c, s in zip(site, stride, strict=True))) for event, *site in sites}
    outputs = sorted(floors if tiles else reached)
    for place, (event, *site) in enumerate(outputs):
        for number, tap in enumerate(taps):
            moved = [q * s + n - c for q, s, n, c in zip(site, stride, tap, centre, strict=True)]
            if (event, *moved) in row_of:
                rules[number].add((row_of[(event, *moved)], place))
    return outputs, rules


@st.composite
def situations(draw):
    numbers = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(3))  # noqa: E731
    mode, given_range = draw(st.sampled_from(list(MODES))), draw(st.booleans())
    kernel, stride, padding = draw(st.sampled_from([(3, 3, 3), (2, 2, 2), numbers(1, 4)])), numbers(1, 3), numbers(0, 2)
    some = tuple(k if draw(st.booleans()) else 1 for k in kernel)
    stride = draw(st.sampled_from([(1, 1, 1), (2, 2, 2), stride, some]))
    padding = tuple((k - 1) // 2 if k % 2 and s == 1 else p for k, s, p in zip(kernel, stride, padding, strict=True))
    if mode != "on the fly":
        padding = tuple((k - 1) // 2 if p or s == 1 else 0 for k, s, p in zip(kernel, stride, padding, strict=True))
    least = -3 if draw(st.booleans()) and not given_range else 0
    site = st.tuples(st.integers(0, 1), *[st.integers(least, least + 5)] * 3)
    sites = draw(st.lists(site, min_size=draw(st.sampled_from([1, 10])), max_size=14, unique=True))
    flag = least < 0 or draw(st.booleans())
    return mode, kernel, stride, padding, sites, (2, 7, 6, 8) if given_range else None, flag


@pytest.fixture(autouse=True)
def _settings_are_the_default_ones_afterwards():
    yield
    set_allow_negative_coordinates(False)
    F.conv_config.clear_global_conv_config()


@pytest.mark.parametrize("transposed", [False, True])
@settings(max_examples=40)
@given(situation=situations())
def test_convolutions_have_torchsparses_maps(transposed: bool, situation: tuple) -> None:
    mode, kernel, stride, padding, sites, spatial_range, flag = situation
    coords = torch.tensor(sites, dtype=torch.int32)
    sizes = spatial_range[1:] if spatial_range else [int(n) + 1 for n in coords[:, 1:].amax(0)]
    after = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip(sizes, padding, kernel, stride, strict=True))
    low = coords[:, 1:].amin(0).tolist()
    least = [int((a - 2 * p + k - 1) / s) for a, p, k, s in zip(low, padding, kernel, stride, strict=True)]
    even = int(np.prod(kernel)) % 2 == 0 and stride == (1, 1, 1)
    lost = even and (spatial_range is not None or (mode == "on the fly" and min(low) < 0))
    one_tap = kernel == stride == (1, 1, 1)
    config = F.get_default_conv_config().copy() | MODES[mode]
    features = torch.randn(len(sites), 2, dtype=torch.float64, requires_grad=True)
    x = torchsparse.SparseTensor(features, coords, spatial_range=spatial_range)
    down = spnn.Conv3d(2, 3, kernel, stride, padding, bias=True, config=config).double()
    set_allow_negative_coordinates(flag)
    bounded = spatial_range is not None or (mode == "on the fly" and stride != (1, 1, 1) and not flag)
    if lost or (min(after) < 1 and bounded and not one_tap):
        with pytest.raises(ValueError, match="lose sites|below 0" if lost else "too small"):
            down(x)
        return
    outputs, rules = map_by_definition(sites, kernel, stride, padding, mode, after, least if flag else None)
    y = down(x)
    assert y.C.tolist() == [list(site) for site in outputs]
    assert y.C.dtype == torch.int32
    assert y.stride == stride
    assert y.spatial_range == (None if spatial_range is None else spatial_range if one_tap else (2, *after))
    layer, given, result = down, features, y
    if transposed:
        layer = spnn.Conv3d(3, 2, kernel, stride, bias=True, transposed=True).double()
        given = torch.randn(len(y.C), 3, dtype=torch.float64, requires_grad=True)
        result, rules = layer(y.on(given)), rules if one_tap else oracle.turned(rules)
        assert result.C.tolist() == coords.tolist()
        assert result.stride == (1, 1, 1)
    weight = layer.kernel.detach().numpy().reshape(-1, layer.in_channels, layer.out_channels)
    expected = oracle.convolve(given.detach().numpy(), weight, rules, len(result.C)) + layer.bias.detach().numpy()
    np.testing.assert_allclose(result.F.detach(), expected, atol=1e-12)
    grad = torch.randn_like(result.F)
    result.F.backward(grad)
    by_features, by_weight, _ = oracle.gradients(grad.numpy(), given.detach().numpy(), weight, rules)
    np.testing.assert_allclose(given.grad, by_features, atol=1e-12)
    np.testing.assert_allclose(layer.kernel.grad, by_weight.reshape(layer.kernel.shape), atol=1e-12)


@pytest.mark.parametrize("mode", list(MODES)[:2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_a_layer_is_the_dense_convolution_at_its_sites(kernel: int, stride: int, mode: str) -> None:
    """The cases of torchsparse's own test: its weights are turned, and the image of an even kernel is extended."""
    coords = random_sites(40, size=5, batch_size=2).int()
    x = torchsparse.SparseTensor(torch.randn(40, 2, dtype=torch.float64), coords, spatial_range=(2, 5, 5, 5))
    if kernel % 2 == 0 and stride == 1:
        x.spatial_range = None
    padding = 0 if kernel % 2 == 0 else (kernel - 1) // 2
    layer = spnn.Conv3d(2, 3, kernel, stride, padding, config=F.get_default_conv_config().copy() | MODES[mode]).double()
    y = layer(x)
    box = layer.kernel.unflatten(0, (kernel,) * 3)
    weight = box.permute(4, 3, 2, 1, 0) if kernel % 2 else box.permute(4, 3, 0, 1, 2)
    image = torchsparse.utils.to_dense(x.F, x.C, (2, 5, 5, 5)).permute(0, 4, 1, 2, 3)
    far = [0, kernel - 1] * 3 if kernel % 2 == 0 else [0] * 6
    dense = torch.nn.functional.conv3d(torch.nn.functional.pad(image, far), weight, stride=stride, padding=padding)
    event, *site = y.C.long().T
    torch.testing.assert_close(y.F, dense[event, :, site[0], site[1], site[2]])
    if stride == kernel == 2:
        assert (mode == "hashmap") == bool((y.C[:, 1:] == 2).any())  # on the fly, the last site of 5 is cut off


def generated(sites: list, kernel: tuple, stride: tuple, extents: tuple) -> tuple[list, dict]:
    """A generative layer by its definition: sites are moved into the extents, and a tap leads from a multiple of the
    stride."""
    row_of = {(e, *(c * s for c, s in zip(site, stride, strict=True))): row for row, (e, *site) in enumerate(sites)}
    around = [tuple(n - (k - 1) // 2 for n, k in zip(tap, kernel, strict=True)) for tap in tap_digits(kernel)]
    moved = lambda site, tap: [c + o for c, o in zip(site, tap, strict=True)]  # noqa: E731
    outputs = sorted(
        {
            (event, *(min(max(c, 0), n - 1) for c, n in zip(moved(site, tap), extents, strict=True)))
            for (event, *site), tap in itertools.product(row_of, around)
        }
    )
    rules: dict[int, set] = {number: set() for number in range(len(around))}
    for (place, (event, *site)), (number, tap) in itertools.product(enumerate(outputs), enumerate(around)):
        if (event, *moved(site, tap)) in row_of:
            rules[number].add((row_of[(event, *moved(site, tap))], place))
    return outputs, rules


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 0), (3, 2, 1), (2, 2, 0)])
def test_generative_layers_lead_to_every_site_at_a_tap(kernel: int, stride: int, padding: int) -> None:
    coords = random_sites(9, size=3, batch_size=2).int()
    x = torchsparse.SparseTensor(torch.randn(9, 2, dtype=torch.float64), coords, 4, (2, 9, 8, 9))
    config = F.get_default_conv_config().copy() | MODES["hashmap"]
    spnn.Conv3d(2, 2, 3, config=config).double()(x)
    layer = spnn.Conv3d(
        2, 3, kernel, stride, padding, bias=True, transposed=True, generative=True, config=config
    ).double()
    y = layer(x)
    pad = (kernel - 1) // 2 if stride == 1 else padding
    extents = tuple((n + 2 * pad - kernel) // stride + 1 for n in (9, 8, 9))
    sites = [tuple(site) for site in coords.tolist()]
    outputs, rules = generated(sites, (kernel,) * 3, (stride,) * 3, extents)
    assert y.C.tolist() == [list(site) for site in outputs]
    assert (y.stride, y.spatial_range, y._caches.kmaps) == ((4 // stride,) * 3, (2, *extents), {})
    assert y._caches.cmaps[y.stride][0] is y.C
    expected = oracle.convolve(x.F.numpy(), layer.kernel.detach().numpy(), rules, len(outputs))
    np.testing.assert_allclose(y.F.detach(), expected + layer.bias.detach().numpy(), atol=1e-12)
    with pytest.raises(ValueError, match='needs kmap_mode="hashmap"'):
        spnn.Conv3d(2, 3, transposed=True, generative=True)(x)
    with pytest.raises(ValueError, match="needs a tensor with spatial_range"):
        layer(torchsparse.SparseTensor(x.F, coords, 4))
    assert spnn.Conv3d(3, 1, 3, config=config).double()(y).C is y.C


def tensor(coords: list, **more) -> torchsparse.SparseTensor:
    return torchsparse.SparseTensor(torch.ones(len(coords), 1), torch.tensor(coords), **more)


def narrowed(x: torchsparse.SparseTensor) -> torchsparse.SparseTensor:
    x.spatial_range = (1, 1, 1, 3)
    return x


LINE = [[0, 0, 0, n] for n in range(4)]
WRONG = {
    "dilation must be 1, got 2: torchsparse 2.1 ignores it": lambda: spnn.Conv3d(1, 1, dilation=2),
    "stride must be at least 1": lambda: spnn.Conv3d(1, 1, stride=0),
    "padding must be at least 0": lambda: spnn.Conv3d(1, 1, padding=-1),
    "generative needs transposed": lambda: spnn.Conv3d(1, 1, generative=True),
    "unknown settings spam": lambda: spnn.Conv3d(1, 1, config={"spam": 1}),
    "dataflow must be": lambda: spnn.Conv3d(1, 1, config={"dataflow": F.Dataflow.CodedCSR}),
    "kmap_mode must be": lambda: spnn.Conv3d(1, 1, config={"kmap_mode": "grid"}),
    "downsample_mode 'minkowski' needs kmap_mode": lambda: spnn.Conv3d(1, 1, config={"downsample_mode": "minkowski"}),
    "Conv3d takes a SparseTensor": lambda: spnn.Conv3d(1, 1)(torch.ones(2, 1)),
    "Conv3d takes 2 channels": lambda: spnn.Conv3d(2, 1)(tensor(LINE)),
    r"weight must be \[27, 'in', 'out'\] .* got \[8, 1, 1\] and \[4, 1\]": lambda: F.conv3d(
        tensor(LINE), torch.ones(8, 1, 1), 3
    ),
    r"weight must be .* got \[27, 1, 1\] and \[4\]": lambda: F.conv3d(
        torchsparse.SparseTensor(torch.ones(4), torch.tensor(LINE)), torch.ones(27, 1, 1), 3
    ),
    r"bias must be \[3\], got \[1\]": lambda: F.conv3d(tensor(LINE), torch.ones(27, 1, 3), 3, torch.ones(1)),
    "coordinates of batch .* run from 0 to 1; the allowed range is 0 to 0": lambda: spnn.Conv3d(1, 1)(
        tensor([[1, 0, 0, 0], [0, 0, 0, 0]], spatial_range=(1, 4, 4, 4))
    ),
    "conv_config must be a dictionary": lambda: F.conv3d(tensor(LINE), torch.ones(27, 1, 1), 3, config=3),
    "integer tensor": lambda: spnn.Conv3d(1, 1)(torchsparse.SparseTensor(torch.ones(1, 1), torch.ones(1, 4))),
    "batch index first": lambda: spnn.Conv3d(1, 1)(tensor([[0, 0, 0]])),
    r"duplicate sites: rows 0 and 1 are both \[0, 0, 0, 1\]$": lambda: spnn.Conv3d(1, 1)(tensor([[0, 0, 0, 1]] * 2)),
    r"^spatial_range \(1, 4, 4, 4\): .* is too small for kernel_size": lambda: spnn.Conv3d(1, 1, 5, 2)(
        tensor(LINE, spatial_range=(1, 4, 4, 4))
    ),
    r"^spatial_range \(1, 1, 1, 4\), from the largest coordinates: .* is too small": lambda: spnn.Conv3d(1, 1, 2, 2)(
        tensor(LINE)
    ),
    "stride must be one integer or 3": lambda: spnn.Conv3d(1, 1, 3, torch.tensor([2, 2])),
    "kernel_size must be at least 1": lambda: F.spupsample_generative(torch.tensor(LINE), 2, 0, 0, (1, 9, 9, 9)),
    r"coords run up to \[0, 0, 0, 3\], outside of spatial_range \(1, 1, 1, 3\)": lambda: spnn.Conv3d(1, 1, 1, 2)(
        narrowed(spnn.Conv3d(1, 1)(tensor(LINE)))
    ),
    "the allowed range is 0 to 2": lambda: spnn.Conv3d(1, 1)(tensor(LINE, spatial_range=(1, 3, 3, 3))),
    "without a stride needs a tensor without spatial_range": lambda: spnn.Conv3d(1, 1, 2)(
        tensor(LINE, spatial_range=(1, 4, 4, 4))
    ),
    "kernel_size .2, 2, 2. and stride .1, 1, 1. need kmap_mode": lambda: spnn.Conv3d(1, 1, 2)(tensor([[0, -1, 0, 0]])),
    "caches have none": lambda: spnn.Conv3d(1, 1, 2, 2, transposed=True)(tensor(LINE, stride=2)),
    "needs a tensor stride divisible": lambda: spnn.Conv3d(1, 1, 2, 2, transposed=True)(tensor(LINE)),
    "padding must be 0 or .0, 0, 0., got .1, 1, 1.: here torchsparse 2.1 centres": lambda: spnn.Conv3d(
        1, 1, 2, 2, 1, config={"kmap_mode": "hashmap"}
    )(tensor(LINE)),
}


@pytest.mark.parametrize("words", list(WRONG))
def test_what_torchsparse_would_compute_wrongly_is_refused(words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        WRONG[words]()


def test_coordinates_below_zero_need_the_flag_or_a_hash_map() -> None:
    x = tensor([[0, -1, 0, 0], [0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"set_allow_negative_coordinates\(True\) or kmap_mode"):
        spnn.Conv3d(1, 1)(x)
    F.conv_config.set_global_conv_config({"kmap_mode": "hashmap"})
    assert len(spnn.Conv3d(1, 1)(x).C) == 2
    with pytest.raises(ValueError, match="below 0"):  # the layer's own settings come first
        spnn.Conv3d(1, 1, config=F.get_default_conv_config())(tensor(x.C.tolist()))
    with pytest.raises(TypeError, match="must be a bool"):
        set_allow_negative_coordinates(1)
    set_allow_negative_coordinates(True)
    with pytest.raises(ValueError, match=r'stride \(1, 1, 1\) need kmap_mode="hashmap"'):
        spnn.Conv3d(1, 1, 2, config=F.get_default_conv_config())(tensor(x.C.tolist()))


def test_tensors_that_share_caches_need_the_same_sites_and_layers_the_same_geometry() -> None:
    x = tensor([[0, n, n % 3, n % 4] for n in range(6)])
    down, other = spnn.Conv3d(1, 1, 3, 2, 1), spnn.Conv3d(1, 1, 3, 2, 0)
    y = down(x)
    with pytest.raises(ValueError, match="has left a kernel map for padding"):
        other(x)
    other(tensor(x.C.tolist()))
    even = spnn.Conv3d(1, 1, 2), spnn.Conv3d(1, 1, 2, config=MODES["hashmap"])
    even[0](x)
    with pytest.raises(ValueError, match="has left a kernel map"):
        even[1](x)
    with pytest.raises(ValueError, match="shares _caches"):  # two layers lead to different sites of stride 2
        spnn.Conv3d(1, 1)(spnn.Conv3d(1, 1, 1, 2)(x))
    stranger = torchsparse.SparseTensor(torch.ones(1, 1), torch.tensor([[0, 9, 9, 9]]), 2)
    stranger._caches = y._caches
    with pytest.raises(ValueError, match="shares _caches"):
        spnn.Conv3d(1, 1)(stranger)
    with pytest.raises(ValueError, match="other coordinates than the output"):
        spnn.Conv3d(1, 1, 3, 2, transposed=True)(stranger)
    for coords in (x.C + 0.5, x.C.long() + 2**32):
        moved = copy.copy(x)
        moved.C = coords
        with pytest.raises(ValueError, match="shares _caches"):
            spnn.Conv3d(1, 1)(moved)
    x.C[0, 3] = 5
    with pytest.raises(ValueError, match="shares _caches"):
        spnn.Conv3d(1, 1)(x)
    x._caches.cmaps[1, 1, 1] = (x.C[1:], None)
    with pytest.raises(ValueError, match=r"_caches\.cmaps at stride"):
        spnn.Conv3d(1, 1, 3, 2, transposed=True)(y)


def test_a_layer_keeps_its_output_sites_when_a_program_writes_to_the_coordinates() -> None:
    x = torchsparse.SparseTensor(torch.randn(40, 2), random_sites(40).int())
    down, up, keep = spnn.Conv3d(2, 2, 3, 2, 1), spnn.Conv3d(2, 2, 3, 2, transposed=True), spnn.Conv3d(2, 2)
    y = keep(down(x))
    before = y.C.clone()
    y.coords[:, 1:] *= 2
    for layer in (keep, up):
        with pytest.raises(ValueError, match="other coordinates"):
            layer(y)
    again = keep(down(x))
    assert torch.equal(again.C, before)
    torch.testing.assert_close(again.F, y.F)
    assert torch.equal(up(again).C, x.C)
    again.coords[:] = 0
    assert torch.equal(keep(down(x)).C, before)


def test_layers_run_in_inference_mode_on_tensors_made_there() -> None:
    layer, rows, coords = spnn.Conv3d(2, 3, 2, 2), torch.randn(40, 2), random_sites(40).int()
    with torch.inference_mode():
        y = layer(torchsparse.SparseTensor(rows.clone(), coords.clone()))
    assert torch.equal(y.F, layer(torchsparse.SparseTensor(rows, coords)).F)


def test_a_program_may_replace_the_function_of_output_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0]]).int()

    def sites(_coords, stride, kernel_size, padding, spatial_range, downsample_mode):
        assert (padding == 0).all()
        assert all(k == 2 for k in kernel_size)
        return wanted

    monkeypatch.setattr(F, "spdownsample", sites)
    x = torchsparse.SparseTensor(torch.randn(4, 1), torch.tensor(LINE))
    layer = spnn.Conv3d(1, 1, 2, 2, config=MODES["hashmap"])
    y = layer(x)
    assert torch.equal(y.C, wanted)
    torch.testing.assert_close(y.F, torch.stack([torch.zeros(1), (x.F[:2] * layer.kernel[:2, 0]).sum(0)]))


@pytest.mark.parametrize("mode", list(MODES))
def test_a_tensor_without_sites_has_outputs_without_sites(mode: str) -> None:
    F.conv_config.set_global_conv_config(MODES[mode])
    x = torchsparse.SparseTensor(torch.ones(0, 1), torch.ones(0, 4).int())
    y = spnn.Conv3d(1, 2, 3, 2, transposed=True)(spnn.Conv3d(1, 1, 3, 2, 1)(spnn.Conv3d(1, 1)(x)))
    assert y.F.shape == (0, 2)
    assert F.spdownsample(x.C, 2, 3, 1).shape == (0, 4)


def test_maps_are_made_once_and_lead_back_after_a_concatenation() -> None:
    x = torchsparse.SparseTensor(torch.randn(30, 2), random_sites(30).int(), spatial_range=(2, 8, 8, 8))
    stem, down = spnn.Conv3d(2, 2), spnn.Conv3d(2, 2, 2, 2)
    x0, up = stem(x), spnn.Conv3d(2, 2, 2, 2, transposed=True)
    below = down(x0)
    y = torchsparse.cat([up(below), x0])
    assert (y.F.shape, y.spatial_range, y._caches) == ((30, 4), None, x._caches)
    maps = dict(x._caches.kmaps)
    z = spnn.Conv3d(4, 2)(y)
    assert z.spatial_range == (2, 8, 8, 8)
    assert x._caches.kmaps == maps
    spnn.Conv3d(4, 2, 1)(y)
    assert up(below).spatial_range == (2, 8, 8, 8)
    assert z.dense().shape == (2, 8, 8, 8, 2)
    flat = spnn.Conv3d(2, 3, 1, bias=True)
    torch.testing.assert_close(flat(x).F, x.F @ flat.kernel + flat.bias)
    assert flat.kernel.shape == (2, 3)
    assert spnn.Conv3d(2, 3, 1, 2).kernel.shape == (1, 2, 3)


def test_without_a_range_the_largest_coordinates_bound_every_strided_layer() -> None:
    """By the range (6, 6, 6), the second layer would have more outputs."""
    x = tensor([[0, 0, 0, 0], [0, 4, 4, 4], [0, 5, 0, 0]])
    y = spnn.Conv3d(1, 1, 1, 2)(x)
    assert y.C.tolist() == [[0, 0, 0, 0], [0, 2, 2, 2]]
    x.coords[:, 3] = 0
    y = spnn.Conv3d(1, 1, (1, 1, 1), (2, 1, 1))(tensor(x.C.tolist()))
    assert spnn.Conv3d(1, 1, (2, 1, 1), (2, 1, 1))(y).C[:, 1].tolist() == [0]


def test_coordinates_with_the_batch_index_last_get_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in programs for torchsparse 1, whose tensors torchsparse 2.1 would take for other sites."""
    monkeypatch.setattr(batch_column, "_warned", set())
    tracks = [
        (x, *place, event) for event in (0, 1) for place in ((0, 0), (30, 5), (7, 25)) for x in range(40) if x % 5
    ]
    with pytest.warns(UserWarning, match="the last column ascends from 0 to 1, as a batch index does"):
        spnn.Conv3d(1, 1)(tensor(tracks))


def test_half_precision_of_either_side_is_enough() -> None:
    x = tensor(LINE)
    layer = spnn.Conv3d(1, 1, bias=True)
    assert layer(x.half()).F.dtype == torch.float16
    assert spnn.Conv3d(1, 1, bias=True).half()(tensor(LINE)).F.dtype == torch.float16
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(tensor(LINE)).F.dtype == torch.bfloat16


def test_initial_weights_are_uniform_within_the_root_of_the_fan() -> None:
    for transposed, fan in ((False, 2), (True, 32)):
        torch.manual_seed(0)
        layer = spnn.Conv3d(2, 32, 3, bias=True, transposed=transposed)
        torch.manual_seed(0)
        bound = (fan * 27) ** -0.5
        assert torch.equal(layer.kernel, torch.zeros(27, 2, 32).uniform_(-bound, bound))
        assert torch.equal(layer.bias, torch.zeros(32).uniform_(-bound, bound))

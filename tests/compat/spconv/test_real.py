"""Each layer, function and name gives spconv's own results, if spconv can be imported.

Its CPU build runs in one thread, because two threads overwrite each other's sums. Its backward pass asks for a CUDA
stream and gets the number 0.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sscn_triton.compat.spconv.pytorch as ours
from sscn_triton.compat.spconv import utils as our_utils
from tests.compat.spconv import spconv_api
from tests.support.clouds import random_sites

real = pytest.importorskip("spconv.pytorch", reason="spconv is not installed", exc_type=ImportError)


@pytest.fixture(autouse=True)
def one_thread_and_no_stream(monkeypatch):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(real.ops, "get_current_stream", lambda: 0)
    yield
    torch.set_num_threads(threads)


def close(one, other):
    assert one.shape == other.shape
    one, other = one.detach(), other.detach()
    assert float((one - other).abs().max()) <= 1e-5 * max(float(other.abs().max()), 1e-6)


def by_site(x):
    """Sites and features in lexicographic order, because spconv's new sites have no defined order."""
    places = x.indices.tolist()
    order = sorted(range(len(places)), key=places.__getitem__)
    return x.indices[order], x.features[order]


def run(build, dimension, seed=3):
    """The same network of either package, initialised with the same seed, on the same tensor."""
    size = 7 if dimension < 4 else 4
    sites = random_sites(min(40, 2 * size**dimension), dimension, size)
    features = torch.randn(len(sites), 4, generator=torch.Generator().manual_seed(1))
    found = []
    for spconv in (ours, real):
        torch.manual_seed(seed)
        network = spconv.SparseSequential(*build(spconv, dimension))
        x = spconv.SparseConvTensor(features, sites.int(), [size] * dimension, 2)
        found.append((network, network(x)))
    return found


def layer(spconv, name, dimension, *arguments, **settings):
    return getattr(spconv, f"{name}{dimension}d")(*arguments, **settings)


WINDOWS = [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 3, 2, 2), (1, 2, 0, 1), (3, 1, 0, 1)]
LAYERS = {
    "submanifold 3": lambda s, d: [layer(s, "SubMConv", d, 4, 6, 3, indice_key="a")],
    "submanifold 3, dilated, padded for nothing": lambda s, d: [layer(s, "SubMConv", d, 4, 6, 3, 1, 5, 2)],
    "submanifold 1": lambda s, d: [layer(s, "SubMConv", d, 4, 6, 1, bias=False)],
    "two with one key": lambda s, d: [layer(s, "SubMConv", d, 4, 4, 3, indice_key="a") for _ in range(2)],
    "one tap, transposed": lambda s, d: [layer(s, "SparseConvTranspose", d, 4, 6, 1)],
    "one tap": lambda s, d: [layer(s, "SparseConv", d, 4, 6, 1)],
    "plain modules": lambda s, d: [torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)],
    **{
        f"strided {window}": lambda s, d, window=window: [layer(s, "SparseConv", d, 4, 6, *window)]
        for window in WINDOWS
    },
    **{
        f"transposed {window}": lambda s, d, window=window: [layer(s, "SparseConvTranspose", d, 4, 6, *window)]
        for window in WINDOWS
    },
    **{  # with one tap, spconv's weight is a matrix, and there is no inverse layer
        f"inverse {window}": lambda s, d, window=window: [
            layer(s, "SparseConv", d, 4, 6, *window, indice_key="down"),
            layer(s, "SparseInverseConv", d, 6, 4, window[0], "down"),
        ]
        for window in WINDOWS
        if window[0] > 1
    },
    **{
        f"max pooling {window}": lambda s, d, window=window: [layer(s, "SparseMaxPool", d, *window)]
        for window in WINDOWS
    },
}


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("name", list(LAYERS))
def test_layer(name, dimension):
    (one, y), (other, z) = run(LAYERS[name], dimension)
    ours_state, real_state = one.state_dict(), other.state_dict()
    assert list(ours_state) == list(real_state)
    for key, value in real_state.items():
        assert torch.equal(ours_state[key], value), key
    assert (y.spatial_shape, y.batch_size) == (z.spatial_shape, z.batch_size)
    for mine, theirs in zip(by_site(y), by_site(z), strict=True):
        close(mine, theirs)
    if not name.startswith(("strided", "transposed", "max")):
        assert torch.equal(y.indices, z.indices)
    close(y.dense(), z.dense())


@pytest.mark.parametrize("window", WINDOWS)
def test_every_winner_of_a_max_pooling_gets_the_gradient(window):
    sites = random_sites(60, 3, 5).int()
    values = torch.relu(torch.randn(60, 4)).round()  # with many equal ones, and zeros
    found = []
    for spconv in (ours, real):
        features = values.clone().requires_grad_()
        y = spconv.SparseMaxPool3d(*window)(spconv.SparseConvTensor(features, sites, [5, 5, 5], 2))
        (y.features.square().sum() + y.features.sum()).backward()
        found.append(features.grad)
    close(*found)


def test_dense_images_and_back():
    image = torch.relu(torch.randn(2, 5, 4, 3))
    mine, theirs = (spconv.SparseConvTensor.from_dense(image) for spconv in (ours, real))
    assert torch.equal(mine.indices, theirs.indices)
    assert torch.equal(mine.features, theirs.features)
    assert torch.equal(mine.dense(channels_first=False), theirs.dense(channels_first=False))


def test_voxelization_gives_the_voxels_of_spconv():
    from spconv.pytorch.utils import PointToVoxel

    points = torch.rand(300, 4) * 4 - 1
    arguments = ([0.3, 0.4, 0.5], [-0.5, 0, 0, 2.5, 2, 2.5], 4, 60, 3)
    mine = our_utils.PointToVoxel(*arguments).generate_voxel_with_id(points)
    theirs = PointToVoxel(*arguments, device=torch.device("cpu")).generate_voxel_with_id(points)
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)


def test_the_table_of_names_equals_spconvs(monkeypatch):
    monkeypatch.undo()
    table = json.loads((Path(__file__).parent / "spconv_api.json").read_text())
    assert spconv_api.api("spconv") == table


GRADIENTS = [name for name in LAYERS if "plain" not in name and "max" not in name]


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, dimension):
    sites = random_sites(min(40, 2 * 7**dimension), dimension, 7)
    values = torch.randn(len(sites), 4, generator=torch.Generator().manual_seed(1))
    found = []
    for spconv in (ours, real):
        torch.manual_seed(3)
        network = spconv.SparseSequential(*LAYERS[name](spconv, dimension))
        features = values.clone().requires_grad_()
        y = network(spconv.SparseConvTensor(features, sites.int(), [7] * dimension, 2))
        image = y.dense()
        (image * torch.randn(image.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
        found.append([features.grad, *(parameter.grad for parameter in network.parameters())])
    for mine, theirs in zip(*found, strict=True):
        close(mine, theirs)


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except ValueError:
        return ValueError


axis = st.tuples(*[st.integers(*ends) for ends in ((1, 40), (-1, 6), (1, 4), (0, 4), (1, 4), (0, 3))])


@given(st.lists(axis, min_size=1, max_size=4))
def test_sizes(axes):
    size, kernel, stride, padding, dilation, extra = map(list, zip(*axes, strict=True))
    given = (size, kernel, stride, padding, dilation)
    assert ours.ops.get_conv_output_size(*given) == real.ops.get_conv_output_size(*given)
    assert outcome(ours.ops.get_deconv_output_size, *given, extra) == outcome(
        real.ops.get_deconv_output_size, *given, extra
    )


def rules(pairs, inputs, outputs):
    """Rules by tap, as pairs of sites, because the rows are in another order."""
    taps = range(pairs.shape[1])
    chosen = [[(int(i), int(o)) for i, o in pairs[:, tap].T if i >= 0] for tap in taps]
    return [sorted((inputs[i].tolist(), outputs[o].tolist()) for i, o in rows) for rows in chosen]


window = st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))


@settings(max_examples=60, deadline=None)
@given(
    dimension=st.integers(1, 3),
    window=window,
    kind=st.sampled_from(["submanifold", "strided", "transposed"]),
    count=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_pairs(dimension, window, kind, count, seed):
    sites = random_sites(min(count, 2 * 6**dimension), dimension, 6, 2, seed).int()
    geometry = [[n] * dimension for n in window]
    if kind == "submanifold":
        geometry[0] = [n | 1 for n in geometry[0]]
        geometry[1] = [1] * dimension
    size = (ours.ops.get_deconv_output_size if kind == "transposed" else ours.ops.get_conv_output_size)(
        [6] * dimension, *geometry, *([[0] * dimension] if kind == "transposed" else [])
    )
    if min(size) < 1:
        return
    found = []
    for spconv in (ours, real):
        arguments = (spconv.ConvAlgo.Native, *geometry, [0] * dimension, kind == "submanifold", kind == "transposed")
        reached, pairs, counts = spconv.ops.get_indice_pairs(sites, 2, [6] * dimension, *arguments)
        found.append((sorted(reached.tolist()), rules(pairs, sites, reached), counts.tolist()))
    assert found[0][:2] == found[1][:2]
    if kind != "submanifold":  # spconv counts only the first half of their taps
        assert found[0][2] == found[1][2]


def test_helper_functions_give_the_results_of_spconv():
    sites = random_sites(30, 3, 7).int()
    one, other = (spconv.functional._indice_to_scalar(sites, [2, 7, 7, 7]) for spconv in (ours, real))
    assert torch.equal(one, other)
    for value in (2, 9):
        most = [torch.tensor([5], dtype=torch.int32) for _ in range(2)]
        for spconv, number in zip((ours, real), most, strict=True):
            spconv.ops.maximum_value_int_(number, value)
        assert torch.equal(*most)
    for size in (3, (1, 2, 3), [4, 5, 6]):
        assert ours.core.expand_nd(3, size) == real.core.expand_nd(3, size)

"""Each layer gives what spconv itself gives, where that can be imported; its CPU build computes few gradients."""

from __future__ import annotations

import pytest
import torch
from clouds import random_sites

import sscn_triton.compat.spconv.pytorch as ours
from sscn_triton.compat.spconv import utils as our_utils

real = pytest.importorskip("spconv.pytorch", reason="spconv is not installed", exc_type=ImportError)


def close(one, other):
    assert one.shape == other.shape
    one, other = one.detach(), other.detach()
    assert float((one - other).abs().max()) <= 1e-5 * max(float(other.abs().max()), 1e-6)


def by_site(x):
    """Sites and features in lexicographic order: spconv's new sites come in no order."""
    places = x.indices.tolist()
    order = sorted(range(len(places)), key=places.__getitem__)
    return x.indices[order], x.features[order]


def run(build, dimension, seed=3):
    """The same network of either package, drawn from the same seed, on the same tensor."""
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
    **{  # of one tap spconv's is a matrix, and does not lead back
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


def test_points_become_the_same_voxels():
    from spconv.pytorch.utils import PointToVoxel

    points = torch.rand(300, 4) * 4 - 1
    arguments = ([0.3, 0.4, 0.5], [-0.5, 0, 0, 2.5, 2, 2.5], 4, 60, 3)
    mine = our_utils.PointToVoxel(*arguments).generate_voxel_with_id(points)
    theirs = PointToVoxel(*arguments, device=torch.device("cpu")).generate_voxel_with_id(points)
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)


def test_sizes():
    sizes = ([9, 7], [3, 2], [2, 3], [1, 0], [2, 1])
    assert ours.ops.get_conv_output_size(*sizes) == real.ops.get_conv_output_size(*sizes)
    assert ours.ops.get_deconv_output_size(*sizes, [1, 0]) == real.ops.get_deconv_output_size(*sizes, [1, 0])

"""torchsparse's tensors, layers without kernels, helpers, networks and names."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys

import numpy as np
import pytest
import torch

import sscn_triton.compat.torchsparse as torchsparse
from sscn_triton import compat
from sscn_triton.compat.torchsparse import backbones, backend, nn
from sscn_triton.compat.torchsparse.nn import functional as F
from sscn_triton.compat.torchsparse.tensor import INSTEAD
from sscn_triton.compat.torchsparse.utils import quantize, tensor_cache
from sscn_triton.compat.torchsparse.utils.collate import sparse_collate, sparse_collate_fn
from tests.support.clouds import random_sites

SITES = [[0, 0, 0, 0], [0, 1, 0, 2], [2, 3, 2, 1], [0, 2, 1, 1], [2, 2, 2, 1]]


def tensor(channels: int = 4, **more) -> torchsparse.SparseTensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, channels, generator=generator, dtype=torch.float64)
    return torchsparse.SparseTensor(rows, torch.tensor(SITES).int(), **more)


def test_a_tensor_changes_itself_and_results_share_its_caches() -> None:
    x = tensor(stride=2, spatial_range=(3, 4, 4, 4))
    assert (x.stride, x.s, x.spatial_range) == ((2, 2, 2), (2, 2, 2), (3, 4, 4, 4))
    assert x.C is x.coords
    assert x.F is x.feats
    assert tensor(stride=np.int64(2)).stride == tensor(stride=torch.tensor(2)).stride == (2, 2, 2)
    x.s = [2, 2, 4]
    assert x.stride == (2, 2, 4)
    y = x + x
    assert (y.stride, y.spatial_range, y._caches) == ((2, 2, 4), (3, 4, 4, 4), x._caches)
    assert torch.equal(y.F, 2 * x.F)
    image = x.dense()
    assert image.shape == (3, 4, 4, 4, 4)
    assert torch.equal(image[tuple(x.C.T.long())], x.F)
    assert image.count_nonzero() == 20
    caches = x._caches
    assert x.to("cpu") is x
    assert x.cpu()._caches is caches
    assert x.to("meta")._caches is not caches
    x = tensor()
    x.F.requires_grad_()
    assert not x.detach().F.requires_grad
    assert x.half().F.dtype == torch.float16
    assert tensor(spatial_range=(3, 4, 4, 4, 4)).spatial_range == (3, 4, 4, 4)
    assert tensor(spatial_range=torch.tensor([3, 4, 4, 4])).spatial_range == (3, 4, 4, 4)
    later = torchsparse.SparseTensor(None, x.C)
    assert "NoneType" in repr(later)
    later.F = x.F
    assert later.F is x.F
    point = torchsparse.PointTensor(torch.ones(2, 3), torch.rand(2, 4))
    both = point + point
    assert torch.equal(both.F, torch.full((2, 3), 2.0))
    assert both.additional_features is point.additional_features
    assert both.to("cpu").detach() is both
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert torch.equal(other.F, x.F)


def with_rows(rows: torch.Tensor) -> torchsparse.SparseTensor:
    x = tensor()
    x.F = rows
    return x


WRONG = {
    r"feats must have one row per coordinate, 5": lambda: torchsparse.SparseTensor(torch.ones(4, 1), tensor().C),
    r"coords must be \[N, 4\]": lambda: torchsparse.SparseTensor(torch.ones(4, 1), torch.ones(4, 5)),
    "feats must be a tensor": lambda: torchsparse.SparseTensor([1], tensor().C),
    "stride must be at least 1": lambda: tensor(stride=0),
    "stride must be one integer or 3": lambda: tensor(stride=[1, 2]),
    "spatial_range must be": lambda: tensor(spatial_range=(4, 4, 4)),
    "says 5 channels, got feats": lambda: tensor(spatial_range=(3, 4, 4, 4, 5)),
    r"dense\(\) needs the spatial_range": lambda: tensor().dense(),
    r"outside of spatial_range \(3, 4, 4, 2\)": lambda: tensor(spatial_range=(3, 4, 4, 2)).dense(),
    "coords run from .*-1.* outside of": lambda: torchsparse.utils.to_dense(
        tensor().F, tensor().C - torch.tensor([0, 0, 0, 1]), (3, 4, 4, 4)
    ),
    "coords hold a site twice": lambda: torchsparse.utils.to_dense(
        torch.ones(2, 1), torch.zeros(2, 4).int(), (1, 1, 1, 1)
    ),
    "must have the same sites": lambda: tensor() + torchsparse.SparseTensor(tensor().F, tensor().C.flip(0)),
    "must have the same sites in": lambda: torchsparse.cat([tensor(), tensor(stride=2)]),
    "can only be joined": lambda: tensor() + 1,
    "inputs must be at least one": lambda: torchsparse.cat([]),
    "must have one stride": lambda: torchsparse.generative_add(tensor(), tensor(stride=2)),
    "feats must have one row per site, 5, got .4": lambda: nn.utils.fapply(tensor(), lambda rows: rows[1:]),
    "fapply takes a SparseTensor": lambda: nn.ReLU()(torch.ones(2, 1)),
    "one row per point": lambda: torchsparse.PointTensor(torch.ones(3, 1), torch.ones(2, 4)),
    "points of two": lambda: (
        torchsparse.PointTensor(torch.ones(1, 1), torch.ones(1, 4))
        + torchsparse.PointTensor(torch.ones(1, 1), torch.zeros(1, 4))
    ),
    "affine must be False": lambda: nn.InstanceNorm(4, affine=True),
    "fapply takes tensors as feats and coords, got NoneType": lambda: nn.BatchNorm(4)(
        torchsparse.SparseTensor(None, tensor().C)
    ),
    "Conv3d takes tensors as feats and coords, got ndarray and ndarray": lambda: nn.Conv3d(4, 1)(
        torchsparse.SparseTensor(np.ones((5, 4)), np.array(SITES))
    ),
    r"global_avg_pool takes coords \[N, 4\], batch index first, got \(5, 3\)": lambda: F.global_avg_pool(
        torchsparse.SparseTensor(tensor().F, tensor().C[:, 1:])
    ),
    "global_max_pool takes coords of integers, got a torch.float32": lambda: F.global_max_pool(
        torchsparse.SparseTensor(tensor().F, tensor().C.float())
    ),
    "batch indices must be at least 0, got -1": lambda: F.global_avg_pool(
        torchsparse.SparseTensor(tensor().F, tensor().C - 1)
    ),
    r"feats must have one row per site, 5, got \(9, 4\)": lambda: nn.ToDenseBEVConvolution(4, 1, (4, 4, 4))(
        with_rows(torch.ones(9, 4))
    ),
    "GroupNorm takes 2 channels": lambda: nn.GroupNorm(1, 2)(tensor()),
    "InstanceNorm takes 2 channels": lambda: nn.InstanceNorm(2)(tensor()),
    r"only events \[0, 2\] have sites": lambda: nn.GlobalMaxPool()(tensor()),
    "dim must be 0, 1 or 2": lambda: nn.ToBEVReduction(3),
    "shape must be at least 1": lambda: nn.ToBEVHeightCompression(4, (0, 1, 1)),
    "offset must be three": lambda: nn.ToBEVHeightCompression(4, (1, 1, 1), (0, 0)),
    "ToBEVHeightCompression takes 3 channels": lambda: nn.ToBEVHeightCompression(3, (4, 4, 4))(tensor()),
    r"axes \[0, 2\] must be from 0 to below \[3, 4\]": lambda: nn.ToBEVHeightCompression(4, (3, 4, 4))(tensor()),
    "from 0 to 1, the number of kernels, got 0 to 2": lambda: nn.ToBEVConvolution(4, 1, 2)(tensor()),
    "coords_max must be one integer or 3": lambda: F.spcrop(tensor(), coords_max=(1, 1)),
    "coords_min must be an integer": lambda: nn.SparseCrop((1.5, 0, 0)),
    "device must be a device, got torch.float16": lambda: tensor().to(torch.float16),
    "device must be a device, got torch.int32": lambda: torchsparse.PointTensor(tensor().F, tensor().C).to(torch.int32),
    "spatial_range must be four numbers": lambda: tensor(spatial_range=4),
    "to_dense takes coords of integers": lambda: torchsparse.SparseTensor(
        tensor().F, tensor().C + 0.5, 1, (3, 4, 4, 4)
    ).dense(),
    "spdownsample takes coords of integers": lambda: F.spdownsample(tensor().F),
    "to_dense takes coords of integers, got a torch.bool": lambda: torchsparse.utils.to_dense(
        tensor().F, tensor().C.bool(), (3, 4, 4, 4)
    ),
    "spupsample_generative takes coords": lambda: F.spupsample_generative(
        tensor().C[:, 1:], spatial_range=(3, 4, 4, 4)
    ),
    "generative_add takes a SparseTensor, got int": lambda: torchsparse.generative_add(tensor(), 1),
    "scale must be positive, got 0": lambda: F.calc_ti_weights(tensor().F[:, 1:], torch.zeros(5, 8), 0),
    "feats must be floating point, got torch.int64": lambda: F.spvoxelize(
        torch.ones(2, 1).long(), torch.zeros(2).int(), torch.ones(1)
    ),
    "keys must be int64": lambda: backend.GPUHashTable(torch.zeros(5), torch.zeros(5)).insert_vals(tensor().C[:, 0]),
    "coords must be an int32 tensor": lambda: backend.GPUHashTable(torch.zeros(5), torch.zeros(5)).insert_coords(
        tensor().C + 0.5
    ),
    "call insert_vals of this table first": lambda: backend.GPUHashTable(torch.zeros(5), torch.zeros(5)).lookup_vals(
        F.sphash(tensor().C)
    ),
    "channels, got SparseTensor.*NoneType": lambda: sparse_collate([torchsparse.SparseTensor(None, tensor().C[:, 1:])]),
    "channels, got .* 4., .* 2.,": lambda: sparse_collate([tensor(n) for n in (4, 2)]),
    "'a' must be alike in all samples, got ndarray, NoneType": lambda: sparse_collate_fn(
        [{"x": {"a": np.ones(2)}}, {"x": {"a": None}}]
    ),
    "'x' must be alike in all samples, got SparseTensor, int": lambda: sparse_collate_fn([{"x": tensor()}, {"x": 1}]),
    r"'x' must have one shape in all samples, got \[.2,., .3,.\]": lambda: sparse_collate_fn(
        [{"x": torch.ones(n)} for n in (2, 3)]
    ),
    r"generative_add takes coords \[N, 4\]": lambda: torchsparse.generative_add(
        tensor(), torchsparse.SparseTensor(tensor().F, tensor().C[:, 1:])
    ),
    r"sample 1 must be a dictionary with the names \['a'\]": lambda: sparse_collate_fn([{"a": 1}, {"b": 1}]),
    "conv_config has unknown settings spam": lambda: F.conv_config.set_global_conv_config({"spam": 1}),
    "coords must be an int32": lambda: F.sphash(torch.ones(2, 4)),
    r"offsets must be \[N, 3\]": lambda: F.sphash(tensor().C, tensor().C),
    "queries must be int64": lambda: F.sphashquery(tensor().C[:, 0], tensor().C[:, 0].long()),
    "coords must be below 2, got 2": lambda: F.spcount(torch.tensor([0, 2]).int(), 2),
    "coords must be integers": lambda: F.spcount(torch.tensor([0.5]), 2),
    r"coords must be \[5\]": lambda: F.spvoxelize(tensor().F, torch.zeros(4).int(), torch.ones(1)),
    "coords must be below 1": lambda: F.spvoxelize(tensor().F, torch.arange(5), torch.ones(1)),
    r"coords and weights must be \[N, 8\]": lambda: F.spdevoxelize(tensor().F, tensor().C[:, 1:], tensor().F),
    r"idx_query must be \[5, 8\]": lambda: F.calc_ti_weights(tensor().F[:, 1:], torch.zeros(8, 5)),
    r"coords must be \[N, 3\]": lambda: F.calc_ti_weights(tensor().F, torch.zeros(5, 8)),
    "capacity of 1": lambda: backend.GPUHashTable(torch.zeros(1), torch.zeros(1)).insert_coords(tensor().C),
    "voxel_size must be": lambda: quantize.sparse_quantize(np.ones((2, 3)), 0.0),
    "voxel_size must be one positive": lambda: quantize.sparse_quantize(np.ones((2, 3)), np.inf),
    "finite": lambda: quantize.sparse_quantize(np.full((2, 3), np.nan)),
    r"more than 2\^63": lambda: quantize.sparse_quantize(np.array([[0.0] * 3, [2**31 - 1.0] * 3])),
    "without batch index": lambda: sparse_collate([tensor()]),
    "tensors to collate must have one stride": lambda: sparse_collate(
        [torchsparse.SparseTensor(torch.ones(1, 1), torch.ones(1, 3), stride) for stride in (1, 2)]
    ),
    "kmap_mode must be": lambda: F.set_kmap_mode("grid"),
    "not a valid ConvMode": lambda: F.set_conv_mode(3),
    "mode must be a TensorCacheMode": lambda: tensor_cache.set_tensor_cache_mode(1),
    "expected one number or 3": lambda: torchsparse.utils.make_ntuple([1, 2], 3),
}


@pytest.mark.parametrize("words", list(WRONG))
def test_bad_input_gets_one_clear_error(words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        WRONG[words]()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", list(INSTEAD))
def test_a_missing_attribute_suggests_its_counterpart(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^'SparseTensor' object has no attribute '{name}': use "):
        getattr(tensor(), name)


def test_sums_on_the_union_of_the_sites() -> None:
    x = tensor(spatial_range=(3, 4, 4, 4))
    y = torchsparse.SparseTensor(
        torch.ones(2, 4, dtype=torch.float64), torch.tensor([[0, 1, 0, 2], [0, 0, 0, 1]]).int()
    )
    for z in (torchsparse.generative_add(x, y), torchsparse.generative_add(y, x)):
        assert z.C.tolist() == sorted([*SITES, [0, 0, 0, 1]])
        assert torch.equal(z.F[1], torch.ones(4))
        assert torch.equal(z.F[2], x.F[1] + 1)
        assert torch.equal(z.F[0], x.F[0])
        assert (z.spatial_range, z._caches) == (x.spatial_range, x._caches)


def test_layers_on_rows_are_pytorchs() -> None:
    x = tensor()
    for layer, theirs in (
        (nn.ReLU(), torch.relu),
        (nn.LeakyReLU(), torch.nn.LeakyReLU()),
        (nn.SiLU(), torch.nn.SiLU()),
    ):
        assert torch.equal(layer(x).F, theirs(x.F))
    for name in ("relu", "silu", "leaky_relu"):
        expected = getattr(torch.nn.functional, name)(x.F, *([0.1] if name == "leaky_relu" else []))
        assert torch.equal(getattr(F, name)(tensor()).F, expected)
    norm, theirs = nn.BatchNorm(4).double(), torch.nn.BatchNorm1d(4).double()
    torch.testing.assert_close(norm(x).F, theirs(x.F))
    assert isinstance(norm, torch.nn.BatchNorm1d)
    torch.testing.assert_close(norm.running_var, theirs.running_var)
    one = torchsparse.SparseTensor(x.F[:1], x.C[:1])
    assert torch.equal(norm(one).F, torch.zeros(1, 4, dtype=torch.float64))
    group = nn.GroupNorm(2, 4, eps=0.5).double()
    torch.nn.init.normal_(group.weight)
    for event in (0, 2):
        rows = x.C[:, 0] == event
        torch.testing.assert_close(group(x).F[rows], torch.nn.GroupNorm.forward(group, x.F[rows].T[None])[0].T)
    with pytest.warns(UserWarning, match="num_features"):  # PyTorch takes the sites for channels
        expected = torch.nn.InstanceNorm1d(4, eps=0.5)(x.F)
    torch.testing.assert_close(nn.InstanceNorm(4, eps=0.5)(x).F, expected)


def test_events_and_boxes() -> None:
    x = tensor()
    mean = nn.GlobalAvgPool()(x)
    torch.testing.assert_close(mean[[0, 2]], torch.stack([x.F[[0, 1, 3]].mean(0), x.F[[2, 4]].mean(0)]))
    assert mean[1].isnan().all()
    x.coords[:, 0] = (x.coords[:, 0] > 0).int()
    assert torch.equal(nn.GlobalMaxPool()(x), torch.stack([x.F[[0, 1, 3]].amax(0), x.F[[2, 4]].amax(0)]))
    y = nn.SparseCrop((1, 0, 1), (3, 3, 9))(x)
    assert y.C.tolist() == [[0, 1, 0, 2], [0, 2, 1, 1], [1, 2, 2, 1]]
    assert torch.equal(y.F, x.F[[1, 3, 4]])
    assert y._caches is not x._caches
    assert F.spcrop(tensor(stride=2), 0).stride == (2, 2, 2)
    assert F.spcrop(x).C.tolist() == x.C.tolist()
    small = torchsparse.SparseTensor(x.F, x.C.byte())
    assert F.spcrop(small, -1, 300).C.tolist() == x.C.tolist()
    by_bytes = F.spupsample_generative(small.C, 100, 1, 0, (2, 400, 400, 400))
    assert by_bytes.tolist() == sorted([event, *(100 * n for n in site)] for event, *site in x.C.tolist())


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_layers_that_look_from_above(dim: int) -> None:
    """Images are compared with the dense image: axes follow the batch index, and `dim` is summed or stacked."""
    x = tensor(2, spatial_range=(3, 4, 3, 4))
    x = x.on(x.F.requires_grad_())
    image = x.dense()
    around = [axis for axis in (0, 1, 2) if axis != dim]
    shape = (4, 3, 4)
    last = image.movedim(1 + dim, 3)  # [B, *axes, dim, C]
    compressed = nn.ToBEVHeightCompression(2, torch.tensor(shape), dim=dim)(x)
    assert torch.equal(compressed, last.flatten(3).permute(0, 3, 1, 2))
    low = nn.ToBEVHeightCompression(2, tuple(1 if axis == dim else n for axis, n in enumerate(shape)), dim=dim)(x)
    torch.testing.assert_close(low, last.sum(3).permute(0, 3, 1, 2))
    dense = nn.ToDenseBEVConvolution(2, 3, shape, dim=dim, bias=True).double()
    torch.nn.init.normal_(dense.bias)
    ones = (last != 0).all(4).sum(3)[..., None]
    expected = torch.einsum("bxyzc,zco->bxyo", last, dense.kernel) + ones * dense.bias
    y = dense(x)
    torch.testing.assert_close(y, expected.permute(0, 3, 1, 2))
    flat = nn.ToBEVConvolution(2, 3, shape[dim], dim=dim, bias=True).double()
    flat.load_state_dict({name: dense.state_dict()[name] for name in ("kernel", "bias")})
    z = flat(x)
    places = [0, *(1 + axis for axis in around)]
    assert z.C[:, 1 + dim].tolist() == [0] * len(z.C)
    torch.testing.assert_close(z.F, expected[tuple(z.C[:, places].long().T)])
    means = nn.ToBEVReduction(dim)(x)
    assert torch.equal(means.C, z.C)
    assert nn.ToBEVReduction(dim)(tensor(stride=2)).stride == (2, 2, 2)
    torch.testing.assert_close(means.F, (last.sum(3) / ones)[tuple(z.C[:, places].long().T)])
    halved = nn.ToBEVConvolution(2, 3, shape[dim], stride=2, dim=dim).double()(x)
    assert halved.stride == (2, 2, 2)
    wanted = {(site[0], *(0 if axis == dim else site[1 + axis] // 2 for axis in range(3))) for site in SITES}
    assert halved.C.tolist() == [list(site) for site in sorted(wanted)]
    (y.sum() + z.F.sum() + halved.F.sum()).backward()
    below = torch.tensor([0, *(0 if axis == dim else -3 for axis in range(3))]).int()
    lower = nn.ToBEVConvolution(2, 3, shape[dim], stride=2, dim=dim).double()(
        torchsparse.SparseTensor(x.F, x.C + below)
    )
    wanted = {(site[0], *(0 if axis == dim else (site[1 + axis] - 3) // 2 for axis in range(3))) for site in SITES}
    assert lower.C.tolist() == [list(site) for site in sorted(wanted)]
    moved = torchsparse.SparseTensor(x.F, x.C + torch.tensor([0, 5, -7, 1]).int())
    again = nn.ToBEVHeightCompression(2, shape, (5, -7, 1), dim)
    assert torch.equal(again(moved), compressed)
    assert {name: tuple(value.shape) for name, value in again.state_dict().items()} == {"offset": (1, 4), "shape": (3,)}
    moved.stride = (2, 2, 2)
    with pytest.raises(ValueError, match="needs a tensor of stride 1"):
        again(moved)


def test_a_shared_cache_and_modes_without_effect() -> None:
    mode = tensor_cache.TensorCacheMode.GLOBAL_TENSOR_CACHE
    tensor_cache.set_tensor_cache_mode(mode)
    assert tensor()._caches is tensor()._caches is tensor_cache.get_global_tensor_cache()
    tensor_cache.clear_global_tensor_cache()
    tensor_cache.set_tensor_cache_mode(tensor_cache.TensorCacheMode.SEPARATE_TENSOR_CACHE)
    assert tensor()._caches is not tensor()._caches
    with pytest.warns(UserWarning, match="set_kmap_mode has no effect"):
        F.set_kmap_mode("hashmap")
    assert F.get_kmap_mode() == "hashmap"
    F.set_kmap_mode("hashmap_on_the_fly")
    F.set_conv_mode(2)
    assert F.get_conv_mode() is F.ConvMode.mode2
    F.set_conv_mode(F.ConvMode.mode0)
    config = F.get_default_conv_config()
    assert config is F.conv_config.get_default_conv_config()
    assert (config.kmap_mode, config["ifsort"], config.copy() == config) == ("hashmap_on_the_fly", False, True)
    config.ifsort = True
    assert F.conv_config.checked_config({"epsilon": 1.0}).ifsort
    config.ifsort = False
    with pytest.raises(AttributeError, match="no setting spam"):
        config.spam  # noqa: B018


@pytest.mark.parametrize("name", backbones.__all__)
def test_the_networks_learn(name: str) -> None:
    torch.manual_seed(0)
    network = getattr(backbones, name)(width_multiplier=0.125, in_channels=2)
    assert sum(isinstance(layer, nn.Conv3d) for layer in network.modules()) == (21 if name.endswith("D") else 49)
    coords = random_sites(200, size=36, batch_size=2).int()
    rows, losses = torch.randn(200, 2), []
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(10):
        outputs = network(torchsparse.SparseTensor(rows, coords))
        loss = (outputs[-1].F - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert len(backbones.modules.SparseResBlock(2, 2, 3, 2).shortcut) == 2
    strides = [x.stride[0] for x in outputs]
    assert strides == ([1, 2, 4, 8, 8] if name.endswith("D") else [1, 2, 4, 8, 16, 8, 4, 2, 1])


IMPORTS = {
    "import torchsparse.nn as spnn; spnn.Conv3d": None,
    "import torchsparse.nn.functional as F; F.spvoxelize": None,
    "from torchsparse import SparseTensor, PointTensor, cat": None,
    "from torchsparse.nn.functional.devoxelize import calc_ti_weights": None,
    "from torchsparse.nn.functional.conv.conv_config import Dataflow": None,
    "from torchsparse.nn.utils import *; get_kernel_offsets, fapply": None,
    "from torchsparse.utils import *; make_ntuple, make_tensor, to_dense": None,
    "from torchsparse.utils.quantize import sparse_quantize": None,
    "from torchsparse.utils.collate import sparse_collate_fn": None,
    "from torchsparse.utils.tensor_cache import TensorCache": None,
    "from torchsparse.backbones import SparseResNet21D, SparseResUNet42": None,
    "from torchsparse.backbones.modules import SparseConvBlock, SparseConvTransposeBlock, SparseResBlock": None,
    "import torchsparse; torchsparse.backends.benchmark = True; torchsparse.backend.GPUHashTable": None,
    "from torchsparse.point_tensor import PointTensor": "use torchsparse.PointTensor, and torchsparse 2.1's",
    "from torchsparse import tune": "does not have torchsparse's tune; use sscn_triton.tune",
    "from torchsparse.nn.functional import build_kernel_map": "use conv3d",
    "from torchsparse.nn import spam": "stand-in for torchsparse has no nn.spam",
    "import torchsparse.spam": "stand-in for torchsparse has no spam",
}


def test_programs_find_the_stand_in_under_torchsparses_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(sys.modules)
    assert compat.install("torchsparse") is torchsparse
    try:
        assert importlib.import_module("torchsparse.nn.functional") is F
        for statement, words in IMPORTS.items():
            if words is None:
                exec(statement, {})
                continue
            with pytest.raises(ImportError, match=words):
                exec(statement, {})
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_the_exported_names_exist() -> None:
    for module in (torchsparse, nn, nn.modules, F, F.conv, nn.utils, torchsparse.utils, backbones, backend):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []

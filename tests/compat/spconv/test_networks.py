"""Small versions of networks that are built on spconv give the results of PyTorch's dense layers on masked images.

The comparison covers outputs and gradients in float64. `test_public_networks.py` compares the public networks
themselves.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import sscn_triton.compat.spconv.pytorch as spconv
from tests.support.clouds import random_sites


class Masked:
    """spconv's tensor as a dense image and a mask. Rows are in lexicographic order of their sites."""

    def __init__(self, features, indices, spatial_shape, batch_size):
        self.spatial_shape, self.batch_size, self.keys = list(spatial_shape), batch_size, {}
        places = indices.long().unbind(1)
        self.mask = torch.zeros(batch_size, *self.spatial_shape, dtype=torch.bool).index_put(places, torch.tensor(True))
        self.indices = self.mask.nonzero().int()
        image = features.new_zeros(batch_size, *self.spatial_shape, features.shape[1]).index_put(places, features)
        self.features = image[self.mask]

    def image(self):
        """``[B, C, *spatial_shape]``."""
        image = self.features.new_zeros(self.batch_size, *self.spatial_shape, self.features.shape[1])
        return image.index_put(self.mask.nonzero(as_tuple=True), self.features).movedim(-1, 1)

    dense = image

    def replace_feature(self, features):
        other = copy.copy(self)
        other.features = features
        return other

    def on(self, image, mask):
        """Values ``[B, C, *shape]`` where ``mask`` is set."""
        other = copy.copy(self)
        other.mask, other.spatial_shape = mask, list(mask.shape[1:])
        other.indices, other.features = mask.nonzero().int(), image.movedim(1, -1)[mask]
        return other


def weight_of(layer):
    """``[out, in, *kernel]``."""
    return layer.weight.movedim(-1, 1)


def masked(layer, x):
    """A layer of spconv on a `Masked`, by PyTorch's dense functions."""
    ndim = layer.ndim
    convolve = (functional.conv1d, functional.conv2d, functional.conv3d)[ndim - 1]
    if layer.conv1x1:
        rows = x.features @ layer.weight.reshape(layer.in_channels, layer.out_channels)
        return x.replace_feature(rows if layer.bias is None else rows + layer.bias)
    if layer.subm:
        padding = [k // 2 * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        return x.on(convolve(x.image(), weight_of(layer), layer.bias, 1, padding, layer.dilation), x.mask)
    if layer.inverse:
        fine, (stride, padding, dilation) = x.keys[layer.indice_key]
        smallest = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(x.spatial_shape, stride, padding, dilation, layer.kernel_size, strict=True)
        ]
        extra = [size - least for size, least in zip(fine.shape[1:], smallest, strict=True)]
        turn = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[ndim - 1]
        weight = weight_of(layer).transpose(0, 1)
        return x.on(turn(x.image(), weight, layer.bias, stride, padding, extra, 1, dilation), fine)
    sizes = (layer.stride, layer.padding, layer.dilation)
    image = convolve(x.image(), weight_of(layer), layer.bias, *sizes)
    reached = convolve(x.mask[:, None].double(), torch.ones(1, 1, *layer.kernel_size).double(), None, *sizes)[:, 0] > 0
    result = x.on(image, reached)
    result.keys = {**x.keys, layer.indice_key: (x.mask, sizes)}
    return result


def run(module, x):
    """A module on either kind of tensor."""
    if isinstance(module, spconv.SparseSequential):
        for child in module:
            x = run(child, x)
        return x
    if isinstance(x, Masked):
        if isinstance(module, spconv.conv.SparseConvolution):
            return masked(module, x)
        return x.replace_feature(module(x.features)) if not isinstance(module, Network) else module(x)
    return module(x) if isinstance(module, (spconv.SparseModule, Network)) else x.replace_feature(module(x.features))


class Network(nn.Module):
    """A module of layers, for which `run` finds the right ones."""


def conv(name, inputs, outputs, *window, key=None, **settings):
    layer = getattr(spconv, name)(inputs, outputs, *window, indice_key=key, bias=False, **settings)
    return spconv.SparseSequential(layer, nn.BatchNorm1d(outputs, eps=1e-3), nn.Tanh())


class Residual(Network):
    """The block of SpUNet, SoftGroup and SPFormer: a matrix beside two convolutions, with a copy of its input."""

    def __init__(self, inputs, outputs, key):
        super().__init__()
        self.shortcut = spconv.SubMConv3d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.body = spconv.SparseSequential(
            conv("SubMConv3d", inputs, outputs, 3, key=key), spconv.SubMConv3d(outputs, outputs, 3, indice_key=key)
        )

    def forward(self, x):
        identity = type(x)(x.features, x.indices, x.spatial_shape, x.batch_size)
        y = run(self.body, x)
        return y.replace_feature(y.features + run(self.shortcut, identity).features)


class UNet(Network):
    """SpUNet's structure: a stem of 5^3, halvings by 2^3, inverse layers by key, levels concatenated by channels."""

    def __init__(self):
        super().__init__()
        self.stem = conv("SubMConv3d", 2, 3, 5, key="stem")
        self.down = nn.ModuleList(conv("SparseConv3d", c, c + 1, 2, 2, key=f"down{c}") for c in (3, 4))
        self.encode = nn.ModuleList(Residual(c + 1, c + 1, f"level{c}") for c in (3, 4))
        self.up = nn.ModuleList(conv("SparseInverseConv3d", c + 1, 3, 2, key=f"down{c}") for c in (3, 4))
        self.decode = nn.ModuleList(Residual(3 + c, c + 1 if c > 3 else c, f"level{c - 1}") for c in (3, 4))

    def forward(self, x):
        x = run(self.stem, x)
        skips = []
        for down, encode in zip(self.down, self.encode, strict=True):
            skips.append(x)
            x = encode(run(down, x))
        for level in (1, 0):
            x = run(self.up[level], x)
            x = x.replace_feature(torch.cat([x.features, skips[level].features], 1))
            x = self.decode[level](x)
            if level:
                x = x.replace_feature(x.features[:, :4])
        return {"rows": x.features}


class Encoder(Network):
    """The structure of SECOND and mmdetection3d: windows of 3^3 with stride 2, one padding per axis, a column kernel, a
    dense image."""

    def __init__(self):
        super().__init__()
        self.body = spconv.SparseSequential(
            conv("SubMConv3d", 2, 3, 3, key="a"),
            conv("SparseConv3d", 3, 4, 3, 2, 1, key="down1"),
            conv("SubMConv3d", 4, 4, 3, key="b"),
            conv("SparseConv3d", 4, 4, 3, 2, (0, 1, 1), key="down2"),
            conv("SparseConv3d", 4, 3, (3, 1, 1), (2, 1, 1), key="column"),
        )

    def forward(self, x):
        return {"image": run(self.body, x).dense().flatten(1, 2)}


class Lateral(Network):
    """mmdetection3d's SparseUNet: inverse layers with windows of 3^3, and sums of channel groups of both levels."""

    def __init__(self):
        super().__init__()
        self.down = conv("SparseConv3d", 2, 4, 3, 2, 1, key="down")
        self.lateral, self.merge = (conv("SubMConv3d", c, 4, 3, key="coarse") for c in (4, 8))
        self.up = conv("SparseInverseConv3d", 4, 2, 3, key="down")
        self.last = conv("SubMConv3d", 2, 2, 3, key="fine")

    def forward(self, x):
        y = run(self.down, x)
        z = run(self.lateral, y)
        z = z.replace_feature(torch.cat([y.features, z.features], 1))
        merged = run(self.merge, z)
        z = z.replace_feature(merged.features + z.features.view(len(z.features), 4, -1).sum(2))
        return {"rows": run(self.last, run(self.up, z)).features, "coarse": y.features}


class BirdsEye(Network):
    """VoxelNeXt's structure: coarser sites are added to the finer ones, columns are summed, then layers in two
    dimensions."""

    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(conv("SparseConv3d", 2, 2, 3, 2, 1, key=f"down{n}") for n in range(3))
        self.flat = spconv.SparseSequential(
            conv("SparseConv2d", 2, 3, 3, 1, 1, key="flat"), conv("SubMConv2d", 3, 3, 3, key="shared")
        )

    def forward(self, x):
        found = []
        for level in self.levels:
            x = run(level, x)
            found.append(x)
        first, *coarser = found
        indices = [first.indices]
        for n, y in enumerate(coarser, 1):
            y.indices[:, 1:] *= 2**n
            indices.append(y.indices)
        rows = torch.cat([y.features for y in found])
        columns, place = torch.unique(torch.cat(indices)[:, [0, 2, 3]], dim=0, return_inverse=True)
        summed = rows.new_zeros(len(columns), rows.shape[1]).index_add(0, place, rows)
        y = run(self.flat, type(x)(summed, columns, first.spatial_shape[1:], x.batch_size))
        return {"rows": y.features, "image": y.dense()}


def cubes_of(x):
    """The sites of the cubes of two voxels a side, the cube of each site, and the cubes' extents."""
    sites, cube = torch.unique(torch.cat([x.indices[:, :1], x.indices[:, 1:] // 2], 1), dim=0, return_inverse=True)
    return sites, cube, [n // 2 + 1 for n in x.spatial_shape]


class Block(Network):
    """The block of PTv3 and Panda: a convolution that encodes positions, attention within patches of six rows along an
    order of the sites, and two matrices, each behind a norm and beside its input."""

    def __init__(self, channels, key):
        super().__init__()
        self.position = spconv.SparseSequential(
            spconv.SubMConv3d(channels, channels, 3, indice_key=key), nn.Linear(channels, channels),
            nn.LayerNorm(channels),
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x):
        rows = x.features + run(self.position, x).features
        order = torch.argsort((x.indices.flip(1).long() * torch.tensor([1, 10, 100, 1000])).sum(1))
        attended = torch.empty_like(rows)
        for patch in order.split(6):
            q, k, v = self.qkv(self.norms[0](rows[patch])).chunk(3, 1)
            attended[patch] = functional.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        rows = rows + self.proj(attended)
        return x.replace_feature(rows + self.mlp(self.norms[1](rows)))


class Transformer(Network):
    """PTv3's structure, as Panda uses it: an embedding, blocks on two levels, pooling by the largest value of each cube
    and back through its number, with a matrix on either side."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.GELU())
        self.fine, self.coarse, self.last = Block(4, "stage0"), Block(6, "stage1"), Block(4, "stage0")
        self.down, self.up, self.skip = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.fine(x.replace_feature(self.embed(x.features)))
        sites, cube, shape = cubes_of(x)
        rows = self.down(x.features)
        largest = rows.new_empty(len(sites), 6)
        largest = largest.scatter_reduce(0, cube[:, None].expand_as(rows), rows, "amax", include_self=False)
        y = self.coarse(type(x)(largest, sites, shape, x.batch_size))
        x = x.replace_feature(self.skip(x.features) + self.up(y.features)[cube])
        return {"rows": self.last(x).features, "coarse": y.features}


class Pooled(Network):
    """The structure of OA-CNNs: sites of one cube are averaged into a new tensor, and return by their number."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = (conv("SubMConv3d", 2, 2, 3, key=key) for key in ("fine", "coarse"))

    def forward(self, x):
        x = run(self.fine, x)
        sites, cube, shape = cubes_of(x)
        counts = torch.bincount(cube)[:, None]
        mean = x.features.new_zeros(len(sites), 2).index_add(0, cube, x.features) / counts
        y = run(self.coarse, type(x)(mean, sites, shape, x.batch_size))
        return {"rows": run(self.fine, x.replace_feature(x.features + y.features[cube])).features}


def given():
    """Sites in lexicographic order, and features."""
    sites = random_sites(90, 3, 9, 2).long()
    sites = sites[torch.argsort((sites * torch.tensor([1000, 100, 10, 1])).sum(1))]
    return sites.int(), torch.randn(90, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("network", [UNet, Encoder, Lateral, BirdsEye, Pooled, Transformer])
def test_a_network_equals_one_of_dense_layers(network):
    torch.manual_seed(2)
    sites, features = given()
    module = network().double()
    found = []
    for kind, net in ((spconv.SparseConvTensor, module), (Masked, copy.deepcopy(module))):
        leaf = features.clone().requires_grad_()
        outputs = net(kind(leaf, sites.clone(), [15, 9, 9], 2))
        generator = torch.Generator().manual_seed(6)
        total = [(v * torch.randn(v.shape, dtype=v.dtype, generator=generator)).sum() for v in outputs.values()]
        sum(total).backward()
        gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        found.append({**outputs, "of features": leaf.grad, **gradients})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-9, atol=1e-9, msg=name)

"""A public network written for MinkowskiEngine, unedited: how far its float32 results are from its float64 results.

    python tests/compat/minkowski/public_networks.py FOLDER_OF_CLONES NETWORK

prints JSON. Packages that the networks' files import besides MinkowskiEngine are replaced here, if at all.
"""

from __future__ import annotations

import codecs
import copy
import importlib
import json
import sys
import types
from pathlib import Path

import torch

from sscn_triton.compat import install


def cloud(ME, channels, events=2, axes=3, count=400, size=40):
    """Features ``[N, channels]`` and coordinates of random points in a box."""
    generator = torch.Generator().manual_seed(5)
    parts = [torch.randint(0, size, (count, axes), generator=generator) for _ in range(events)]
    sites = ME.utils.batched_coordinates(parts).unique(dim=0)
    return torch.rand(len(sites), channels, generator=generator), sites


def minkloc3d(clone, ME, pooling):
    network = at(clone, "models.minkloc").MinkLoc(pooling, 1, 256, 256, [32, 64, 64], [1, 1, 1], 1, 5)
    features, sites = cloud(ME, 1, events=4)
    return network, features, lambda net, f: net({"features": f, "coords": sites})


def mask3d(clone, ME):
    bare(clone, "models")
    config = types.SimpleNamespace(dialations=[1, 1, 1, 1], conv1_kernel_size=5, bn_momentum=0.02)
    network = at(clone, "models.res16unet").Res16UNet34C(3, 20, config, out_fpn=True)
    features, sites = cloud(ME, 3)

    def run(net, f):
        last, levels = net(ME.SparseTensor(f, sites))
        return torch.cat([last.F.flatten(), *(level.F.flatten() for level in levels)])

    return network, features, run


def example(clone, ME, file, name, axes=3, field=False):
    """A network of MinkowskiEngine's examples, whose file imports open3d, and downloads a point cloud unless it has
    one."""
    Path("1.ply").touch()
    sys.modules["open3d"] = types.ModuleType("open3d")
    network = getattr(at(clone, f"examples.{file}"), name)(3, 20, D=axes)
    size = 400 if field else 40 if axes == 3 else 12  # the field's network norms each event's sites at stride 96
    features, sites = cloud(ME, 3, axes=axes, size=size)
    given = (lambda f: ME.TensorField(f, sites + 0.3)) if field else (lambda f: ME.SparseTensor(f, sites))
    return network, features, lambda net, f: net(given(f)).F


def fcgf(clone, ME):
    bare(clone, "model")
    codecs.register(lambda name: codecs.lookup("utf-8") if name == "future_fstrings" else None)
    network = at(clone, "model.resunet").ResUNetBN2C(1, 32, conv1_kernel_size=5, normalize_feature=True)
    features, sites = cloud(ME, 1)
    return network, features, lambda net, f: net(ME.SparseTensor(f, sites)).F


def mlreco(clone, ME, file, name):
    """A network of lartpc_mlreco3d, whose `forward` casts to float32: what it does after that is repeated here."""
    options = {"activation": {"name": "celu"}, "depth": 4}
    configuration = dict.fromkeys(("uresnet", "uresnet_encoder", "res_encoder", "mobilenetv3"), options)
    network = getattr(at(clone, f"mlreco.models.layers.common.{file}"), name)(configuration)
    features, sites = cloud(ME, 1)

    def run(net, f):
        found = net.encoder(ME.SparseTensor(f, sites))
        if name == "SparseResidualEncoder":
            return net.linear1(net.pool(found["finalTensor"])).F
        return net.decoder(found["finalTensor"], found["encoderTensors"])[-1].F

    return network, features, run


def bare(clone, name):
    """Let a package be found without its __init__, which imports other networks and what they need."""
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [str(clone / name)]


def at(clone, name):
    """Import a module of a checkout."""
    sys.path.insert(0, str(clone))
    return importlib.import_module(name)


NETWORKS = {
    "MinkLoc3D, MinkFPN with GeM": ("MinkLoc3D", minkloc3d, "MinkFPN_GeM"),
    "MinkLoc3D, MinkFPN with NetVLAD": ("MinkLoc3D", minkloc3d, "MinkFPN_NetVlad_CG"),
    "Mask3D, Res16UNet34C": ("Mask3D", mask3d),
    "MinkowskiEngine, MinkUNet34C": ("MinkowskiEngine", example, "minkunet", "MinkUNet34C"),
    "MinkowskiEngine, MinkUNet14A in 4D": ("MinkowskiEngine", example, "minkunet", "MinkUNet14A", 4),
    "MinkowskiEngine, ResFieldNet14": ("MinkowskiEngine", example, "resnet", "ResFieldNet14", 3, True),
    "FCGF, ResUNetBN2C": ("FCGF", fcgf),
    "lartpc_mlreco3d, UResNet": ("lartpc_mlreco3d", mlreco, "uresnet_layers", "UResNet"),
    "lartpc_mlreco3d, SparseResidualEncoder": (
        "lartpc_mlreco3d",
        mlreco,
        "cnn_encoder",
        "SparseResidualEncoder",
    ),
    "lartpc_mlreco3d, MobileNetV3": ("lartpc_mlreco3d", mlreco, "mobilenet", "MobileNetV3"),
}
"""For each name: the repository, the function that builds the network and runs it, and its other arguments."""


def results(network, features, run):
    """Outputs and all gradients of a training step, in the precision of the features."""
    leaf = features.clone().requires_grad_()
    out = run(network, leaf)
    share = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    (out * share).sum().backward()
    return out.detach(), torch.cat(
        [p.grad.flatten() for p in network.parameters() if p.grad is not None] + [leaf.grad.flatten()]
    )


def farthest(one, exact):
    """The largest difference, relative to the largest value."""
    return float((one.double() - exact).abs().max() / exact.abs().max())


def main(clones, name):
    """Compare the precisions, with softplus in place of ReLU, whose gradient jumps near 0."""
    torch.manual_seed(7)
    ME = install("minkowski")
    ME.MinkowskiFunctional.relu = lambda x, inplace=False: ME.MinkowskiFunctional.softplus(x)
    repository, build, *more = NETWORKS[name]
    network, features, run = build(Path(clones) / repository, ME, *more)
    network.load_state_dict(network.state_dict(), strict=True)
    for layer in network.modules():
        if isinstance(layer, ME.MinkowskiReLU):
            layer.module = torch.nn.Softplus()
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    exact = results(copy.deepcopy(network).double(), features.double(), run)
    found = results(network, features, run)
    differences = {part: farthest(*pair) for part, *pair in zip(("outputs", "gradients"), found, exact, strict=True)}
    print(
        json.dumps({"parameters": sum(p.numel() for p in network.parameters()), "sites": len(features), **differences})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

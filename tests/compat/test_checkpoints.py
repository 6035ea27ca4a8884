"""Weights converted from one engine's layout to another's give the same results in the other engine."""

from __future__ import annotations

import pytest
import torch

import sscn_triton.compat.sparseconvnet as scn
import sscn_triton.compat.spconv.pytorch as spconv
from sscn_triton import SparseTensor, nn
from sscn_triton.compat import spine
from sscn_triton.compat.checkpoints import Conversion, convert_weights
from sscn_triton.compat.convert_checkpoint import ConvertCheckpoint, convert_checkpoint
from sscn_triton.compat.torchsparse import SparseTensor as TorchsparseTensor
from sscn_triton.compat.torchsparse import nn as spnn
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_cloud, random_sites


def randomise(network):
    """The network in evaluation mode, in float64, with statistics and biases that differ from the initial ones."""
    torch.manual_seed(4)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.ndim == 1:
            torch.nn.init.uniform_(value.data, 0.5, 2) if "var" in name else torch.nn.init.normal_(value.data)
    return network.double().eval()


class Study(torch.nn.Module):
    """The 2018 study's network, with its names."""

    def __init__(self, depth=3, filters=4, reps=2, dimension=3):
        super().__init__()
        planes = [filters * n for n in range(1, depth + 1)]
        self.sparseModel = scn.Sequential().add(scn.InputLayer(dimension, 16, mode=3))
        self.sparseModel.add(scn.SubmanifoldConvolution(dimension, 1, filters, 3, False))
        self.sparseModel.add(scn.UNet(dimension, reps, planes, True)).add(scn.BatchNormReLU(filters))
        self.sparseModel.add(scn.OutputLayer(dimension))
        self.linear = torch.nn.Linear(filters, 5)

    def forward(self, x):
        return self.linear(self.sparseModel(x))


@pytest.mark.parametrize(("depth", "reps", "dimension"), [(1, 1, 2), (3, 2, 3), (4, 1, 3)])
def test_the_studys_network_is_converted_to_a_sparse_uresnet_and_back(depth, reps, dimension):
    study = randomise(Study(depth, reps=reps, dimension=dimension))
    how = Conversion("sparseconvnet", "sscn", dimension, "uresnet")
    state, moves = convert_weights({f"module.{name}": value for name, value in study.state_dict().items()}, how)
    ours = SparseUResNet(1, 5, 4, depth, reps, dimension).double().eval()
    ours.load_state_dict(state)
    sites = random_sites(80, dimension, 16)
    features = torch.randn(80, 1, dtype=torch.float64)
    with torch.no_grad():
        theirs = study((sites.roll(-1, 1), features, 2))
        torch.testing.assert_close(ours(SparseTensor(features, sites, 16, 2)).features, theirs)
    back, lines = convert_weights(state, Conversion("sscn", "sparseconvnet", dimension, "uresnet"))
    assert set(back) == set(study.state_dict())
    for name, value in study.state_dict().items():
        assert torch.equal(back[name], value), name
    assert {str(move).split()[0] for move in moves} >= set(study.state_dict())
    assert {move.source for move in lines} == set(state)


SPCONV = {
    "submanifold": (spconv.SubMConv3d(2, 4, 3), nn.SubmanifoldConv(2, 4, 3)),
    "one tap": (spconv.SubMConv3d(2, 4, 1, bias=False), nn.SubmanifoldConv(2, 4, 1, bias=False)),
    "strided": (spconv.SparseConv3d(2, 4, 3, 2, 1), nn.SparseConv(2, 4, 3, 2, padding=1)),
    "not a cube": (spconv.SparseConv3d(2, 4, (3, 2, 1), 2), nn.SparseConv(2, 4, (3, 2, 1), 2)),
}


@pytest.mark.parametrize("version", ["spconv", "spconv1"])
@pytest.mark.parametrize("layer", list(SPCONV))
def test_spconvs_layers_and_back(layer, version):
    theirs, ours = (torch.nn.Sequential(part).double() for part in SPCONV[layer])
    state = theirs.state_dict()
    if version == "spconv1":
        weight = state["0.weight"]
        one_tap = weight.reshape(1, 1, 1, 2, 4) if layer == "one tap" else None  # both versions read it as [in, out]
        state = {**state, "0.weight": weight.permute(1, 2, 3, 4, 0) if one_tap is None else one_tap}
    ours.load_state_dict(convert_weights(state, Conversion(version, "sscn"))[0])
    x = random_cloud(40, 2)
    y = theirs[0](spconv.SparseConvTensor(x.features, x.coordinates, x.spatial_shape, x.batch_size))
    torch.testing.assert_close(ours(x).features, y.features)
    sizes = {"0.*": (3, 2, 1)} if layer == "not a cube" else None
    back, _ = convert_weights(ours.state_dict(), Conversion("sscn", version, kernel_sizes=sizes))
    for name, value in state.items():
        assert torch.equal(back[name], value)
    theirs.load_state_dict(back)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (2, 1), (2, 2), (1, 1)])
def test_minkowskiengines_layers(kernel, stride):
    theirs = torch.nn.Sequential(
        spine.module("Convolution")(2, 3, kernel, stride, bias=True, dimension=3),
        spine.module("BatchNorm")(3),
        spine.module("PReLU")(3),
        spine.module("Linear")(3, 2),
        spine.module("InstanceNorm")(2),
    )
    randomise(theirs)
    conv = nn.SubmanifoldConv(2, 3, kernel) if stride == 1 else nn.SparseConv(2, 3, kernel, stride)
    layers = (conv, nn.BatchNorm(3), nn.PReLU(3), nn.Linear(3, 2), nn.InstanceNorm(2, 1e-8, affine=True))
    ours = nn.Sequential(*layers).double().eval()
    state, moves = convert_weights(theirs.state_dict(), Conversion("minkowski", "sscn"))
    ours.load_state_dict(state)
    assert len(moves) == len(theirs.state_dict())
    x = random_cloud(40, 2)
    y = theirs(spine.create_tensor(features=x.features, coordinates=x.coordinates))
    torch.testing.assert_close(ours(x).features, y.F)
    back, _ = convert_weights(state, Conversion("sscn", "minkowski"))
    assert list(back) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(back[name], value), name
    theirs.load_state_dict(back)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (2, 1), (2, 2), (3, 2), (1, 1), ((3, 1, 5), 1)])
def test_torchsparses_layers(kernel, stride):
    theirs = torch.nn.Sequential(
        spnn.Conv3d(2, 3, kernel, stride, padding=int(kernel == 3), bias=True), spnn.BatchNorm(3), spnn.GroupNorm(1, 3)
    )
    randomise(theirs)
    ours = (
        nn.SparseConv(2, 3, kernel, stride, padding=int(kernel == 3))
        if stride > 1
        else nn.SubmanifoldConv(2, 3, kernel)
    )
    ours = nn.Sequential(ours, nn.BatchNorm(3), nn.GroupNorm(1, 3)).double().eval()
    sizes = {} if isinstance(kernel, int) else {"kernel_sizes": {"0.*": kernel}}
    state, moves = convert_weights(theirs.state_dict(), Conversion("torchsparse", "sscn", **sizes))
    ours.load_state_dict(state)
    assert len(moves) == len(theirs.state_dict())
    x = random_cloud(40, 2)
    y = theirs(TorchsparseTensor(x.features, x.coordinates, spatial_range=None if stride == 1 else (2, 8, 8, 8)))
    torch.testing.assert_close(ours(x).features, y.F)
    back, _ = convert_weights(state, Conversion("sscn", "torchsparse", **sizes))
    assert list(back) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(back[name], value), name
    linear = {"head.weight": torch.ones(2, 3)}
    for pair in (("torchsparse", "sscn"), ("sscn", "torchsparse")):
        assert convert_weights(linear, Conversion(*pair))[0] == linear


def test_layers_that_minkowskiengine_does_not_have_are_refused():
    state = {"a.weight": torch.ones(27, 2, 2, 2), "b.weight": torch.ones(64, 1, 1, 1), "c.table": torch.ones(3)}
    with pytest.raises(ValueError, match=r"a\.weight.*no groups.*b\.weight.*lie elsewhere.*c\.table.*not a parameter"):
        convert_weights(state, Conversion("sscn", "minkowski"))
    depthwise, plain = {"a.weight": torch.randn(27, 4, 1, 1)}, {"head.weight": torch.ones(2, 3)}
    kernel = convert_weights(depthwise, Conversion("sscn", "minkowski"))[0]["a.kernel"]
    assert torch.equal(kernel.reshape(3, 3, 3, 4), depthwise["a.weight"].reshape(3, 3, 3, 4).permute(2, 1, 0, 3))
    assert list(convert_weights(plain, Conversion("sscn", "minkowski", linear=["head.*"]))[0]) == ["head.weight"]
    assert list(convert_weights(plain, Conversion("sscn", "minkowski"))[0]) == ["head.linear.weight"]


def test_sparseconvnets_flat_weights_are_distinguished():
    net = torch.nn.Sequential(scn.NetworkInNetwork(2, 3, True), torch.nn.Linear(3, 4), scn.BatchNormalization(4))
    state = net.state_dict()
    with pytest.raises(ValueError, match=r"0.weight \[2, 3\].*1.weight \[4, 3\]"):
        convert_weights(state, Conversion("sparseconvnet", "sscn"))
    how = {"linear": ["1.*"], "network_in_network": ["0.weight"]}
    ours, _ = convert_weights(state, Conversion("sparseconvnet", "sscn", **how))
    assert torch.equal(ours["0.weight"], state["0.weight"].t())
    assert torch.equal(ours["1.weight"], state["1.weight"])
    nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4), nn.BatchNorm(4)).load_state_dict(ours)
    back, _ = convert_weights(ours, Conversion("sscn", "sparseconvnet", **how))
    net.load_state_dict(back)
    old = {"0.weight": torch.ones(27, 2, 4)}
    assert convert_weights(old, Conversion("sparseconvnet", "sscn"))[0]["0.weight"].shape == (27, 1, 2, 4)


def refused(match, state, *arguments, **settings):
    with pytest.raises(ValueError, match=match):
        convert_weights(state, Conversion(*arguments, **settings))


def test_unidentifiable_weights_are_an_error():
    study = Study().state_dict()
    refused("one of source and target must be sscn", {}, "spconv", "sparseconvnet")
    refused("one of source and target must be sscn", {}, "spconv", "minkowski")
    refused("ndim", {}, "spconv", "sscn", 5)
    refused("architecture", {}, "sparseconvnet", "sscn", 3, "vgg")
    refused("architecture", {}, "spconv", "sscn", 3, "uresnet")
    refused("spam.weight", {**study, "sparseModel.9.spam.weight": torch.ones(3)}, "sparseconvnet", "sscn", 3, "uresnet")
    refused("not a uresnet", {**study, "spam.weight": torch.ones(3)}, "sparseconvnet", "sscn", 3, "uresnet")
    refused("not a uresnet", {"stem.weight": torch.ones(3)}, "sscn", "sparseconvnet", 3, "uresnet")
    lacking = {name: value for name, value in study.items() if name != "sparseModel.3.bias"}
    refused("head.0.bias differ", lacking, "sparseconvnet", "sscn", 3, "uresnet")
    refused("5 axes", {"a.weight": torch.ones(4, 3, 3, 2)}, "spconv", "sscn")
    refused("not a parameter", {"a.table": torch.ones(4, 3)}, "spconv", "sscn")
    refused("no groups", {"a.weight": torch.ones(27, 2, 1, 1)}, "sscn", "spconv")
    refused("not a cube", {"a.weight": torch.ones(12, 1, 1, 1)}, "sscn", "spconv")
    refused(
        "kernel_sizes says", {"a.weight": torch.ones(12, 1, 1, 1)}, "sscn", "spconv", kernel_sizes={"a*": (3, 3, 1)}
    )
    refused("lie elsewhere", {"a.kernel": torch.ones(64, 1, 1)}, "minkowski", "sscn")
    refused("lie elsewhere", {"a.kernel": torch.ones(64, 1, 1)}, "torchsparse", "sscn")
    refused("2 or 3 axes", {"a.kernel": torch.ones(1, 8, 1, 1)}, "torchsparse", "sscn")
    refused("torchsparse has no groups", {"a.weight": torch.ones(27, 2, 1, 1)}, "sscn", "torchsparse")
    refused("ndim must be 3", {}, "sscn", "torchsparse", 2)
    refused("drop: there is no entry 'b'", {"a.weight": torch.ones(3)}, "spconv", "sscn", drop=["b"])
    refused("is taken", {"a.bn.weight": torch.ones(3), "a.weight": torch.ones(3)}, "minkowski", "sscn")


def test_the_command_prints_the_mapping_and_writes_complete_files(tmp_path, capsys):
    study, source, target = Study(2), tmp_path / "study.ckpt", tmp_path / "ours.pt"
    torch.save({"state_dict": study.state_dict(), "global_step": 7}, source)
    convert_checkpoint(ConvertCheckpoint(str(source), str(target), "sparseconvnet", architecture="uresnet"))
    printed = capsys.readouterr().out
    assert "sparseModel.1.weight -> stem.weight  as it is\n" in printed
    network = SparseUResNet(filters=4, depth=2)
    assert f"{target}: {len(network.state_dict())} entries" in printed
    network.load_state_dict(torch.load(target, weights_only=True))
    again = tmp_path / "again.pt"
    convert_checkpoint(ConvertCheckpoint(str(target), str(again), "sscn", "sparseconvnet", "uresnet", drop="head.1.*"))
    assert "head.1.weight -> (none)  left out, as requested\n" in capsys.readouterr().out
    back = torch.load(again, weights_only=True)
    assert set(back) == {name for name in study.state_dict() if not name.startswith("linear")}
    with pytest.raises(ValueError, match="already exists"):
        ConvertCheckpoint(str(source), str(target), "sparseconvnet")
    options = ConvertCheckpoint(str(source), str(tmp_path / "none.pt"), "sparseconvnet")
    torch.save([1, 2], source)
    with pytest.raises(ValueError, match="expected a state dictionary"):
        convert_checkpoint(options)
    source.write_bytes(b"spam")
    with pytest.raises(ValueError, match=r"study\.ckpt"):
        convert_checkpoint(options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.pt", "ours.pt", "study.ckpt"]

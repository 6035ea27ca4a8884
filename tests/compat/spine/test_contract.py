"""SPINE's contract with a sparse backend: what `spine.model.sparse` needs from it, tested without SPINE."""

from __future__ import annotations

import inspect
import math
import sys
import types

import pytest
import torch

import sscn_triton.compat as compat
from sscn_triton.compat import spine

WINDOW = ["kernel_size", "stride", "dilation"]
CONVOLUTION = [*WINDOW, "bias", "kernel_generator", "expand_coordinates", "convolution_mode", "dimension"]
POOLING = [*WINDOW, "kernel_generator", "dimension"]
ARGUMENTS = {  # the arguments of each operation's constructor: positional ones first, then those given by name
    "Network": [],
    "Convolution": CONVOLUTION,
    "ConvolutionTranspose": CONVOLUTION,
    "ChannelwiseConvolution": [*WINDOW, "bias", "kernel_generator", "dimension"],
    "Linear": ["bias"],
    "BatchNorm": ["eps", "momentum", "affine", "track_running_stats"],
    "InstanceNorm": [],
    "Dropout": ["p", "inplace"],
    "ReLU": ["inplace"],
    "PReLU": ["num_parameters", "init"],
    "SELU": ["inplace"],
    "CELU": ["alpha", "inplace"],
    "LeakyReLU": ["negative_slope", "inplace"],
    "ELU": ["alpha", "inplace"],
    "Tanh": [],
    "Sigmoid": [],
    "Softplus": ["beta", "threshold"],
    "MaxPooling": POOLING,
    "AvgPooling": POOLING,
    "SumPooling": POOLING,
    "PoolingTranspose": [*WINDOW, "kernel_generator", "expand_coordinates", "dimension"],
    "GlobalPooling": ["mode"],
    "GlobalAvgPooling": ["mode"],
    "GlobalSumPooling": ["mode"],
    "GlobalMaxPooling": ["mode"],
    "Pruning": [],
    "Broadcast": [],
    "BroadcastMultiplication": [],
}
COORDINATES = torch.tensor([[0, 4, 2], [1, -3, 5], [0, 4, 2], [0, 0, 0]], dtype=torch.int32)
FEATURES = torch.tensor([[1.0], [2.0], [4.0], [8.0]])


def tensor(features=FEATURES, coordinates=COORDINATES, **settings):
    return spine.create_tensor(features=features, coordinates=coordinates, **settings)


@pytest.mark.parametrize("operation", list(ARGUMENTS))
def test_every_operation_takes_the_arguments_that_spine_gives(operation):
    layer = spine.module(operation)
    assert issubclass(layer, torch.nn.Module)
    target = layer.MODULE if hasattr(layer, "MODULE") else layer
    assert set(ARGUMENTS[operation]) <= set(inspect.signature(target).parameters)
    defaults = {"num_parameters": 1, "init": 0.25, "alpha": 1.0, "p": 0.5, "inplace": False, "beta": 1.0}
    settings = {name: value for name, value in defaults.items() if name in ARGUMENTS[operation]}
    first = {"Network": (3,), "Linear": (2, 3), "BatchNorm": (2,), "InstanceNorm": (2,)}.get(operation, ())
    if "kernel_size" in ARGUMENTS[operation]:
        settings |= {"kernel_size": 2, "stride": 2, "dimension": 3, "kernel_generator": None}
        channels = {"ChannelwiseConvolution": (2,)}.get(operation, (2, 3))
        first = channels if "bias" in ARGUMENTS[operation] else ()
    layer(*first, **settings)


def test_there_are_28_operations_and_no_other():
    assert len(ARGUMENTS) == 28
    assert set(spine.OPERATIONS) == set(ARGUMENTS)
    with pytest.raises(ValueError, match="does not implement 'Union'"):
        spine.module("Union")


@pytest.mark.parametrize(("how", "joined"), [("sum", 5), ("mean", 2.5), ("first", 1), (None, 1)])
def test_rows_of_one_site_are_joined_in_the_order_they_come(how, joined):
    x = tensor(duplicate_reduction=how)
    assert spine.features(x)[:, 0].tolist() == [joined, 2, 8]
    assert spine.coordinates(x).tolist() == COORDINATES[[0, 1, 3]].tolist()
    assert spine.coordinates(x).dtype == torch.int32
    assert spine.unique_index(x).tolist() == [0, 1, 3]
    assert spine.inverse_mapping(x).tolist() == [0, 1, 0, 2]
    assert spine.tensor_stride(x) == (1, 1)


def test_features_are_replaced_on_a_map_by_its_key():
    x = tensor(tensor_stride=[1, 1])
    key, manager = spine.coordinate_map_key(x), spine.coordinate_manager(x)
    y = spine.create_tensor(features=torch.ones(3, 5), coordinate_map_key=key, coordinate_manager=manager)
    assert torch.equal(y.C, x.C)
    assert spine.coordinate_map_key(y) == key
    assert spine.coordinate_manager(y) is manager
    assert key.get_tensor_stride() == [1, 1]
    assert spine.unique_index(y) is None
    both = spine.concatenate(x, y)
    assert torch.equal(both.F, torch.cat([x.F, y.F], 1))
    assert torch.equal(spine.concatenate([x, y]).F, both.F)
    assert spine.coordinate_map_key(both) == key


@pytest.mark.parametrize(
    ("sign", "expected"),
    [("+", [1, 12, 8, 20]), ("-", [1, -8, 8, -20]), ("*", [1, 20, 8, 0]), ("/", [1, 0.2, 8, 0])],
)
def test_arithmetic_on_the_union_of_two_maps(sign, expected):
    x = tensor()
    more = torch.tensor([[0, 7, 7], [1, -3, 5]], dtype=torch.int32)
    other = tensor(torch.tensor([[20.0], [10.0]]), more, coordinate_manager=x.coordinate_manager)
    total = {"+": x + other, "-": x - other, "*": x * other, "/": x / other}[sign]
    assert total.C.tolist() == [*x.C.tolist(), [0, 7, 7]]
    assert total.F[:, 0].tolist() == pytest.approx(expected)
    assert (pytest.approx(2 * x.F), pytest.approx(2 * x.F)) == ((x + x).F, (x * 2).F)
    with pytest.raises(ValueError, match="share a coordinate manager"):
        x + tensor()
    with pytest.raises(ValueError, match="one coordinate map"):
        spine.concatenate(x, other)


def test_a_transposed_convolution_after_pruning_restores_all_sites():
    x = tensor()
    down = spine.module("Convolution")(1, 1, 2, 2, dimension=2)(x)
    kept = spine.module("Pruning")()(down, torch.tensor([True, False, False]))
    assert kept.C.tolist() == down.C[:1].tolist()
    assert spine.tensor_stride(kept) == (2, 2)
    up = spine.module("ConvolutionTranspose")(1, 1, 2, 2, dimension=2)(kept)
    assert torch.equal(up.C, x.C)
    assert int((up.F != 0).sum()) == 1
    again = spine.module("Convolution")(1, 1, 2, 2, dimension=2)(kept)
    assert len(again) == 1
    none = spine.module("Pruning")()(x, torch.zeros(3, dtype=torch.bool))
    assert none.F.shape == (0, 1)
    assert none.C.shape == (0, 3)


def test_features_between_sites_are_interpolated():
    x = tensor(tensor_stride=1, duplicate_reduction="sum")
    points = torch.tensor([[0, 4, 2], [0, 3.5, 2.25], [1, -3.25, 5], [1, 4, 2], [0, 0, 0]])
    found = spine.features_at_coordinates(x, points)
    assert found[:, 0].tolist() == pytest.approx([5, 5 * 0.5 * 0.75, 2 * 0.75, 0, 8])
    coarse = tensor(coordinates=COORDINATES * torch.tensor([1, 2, 2]).int(), tensor_stride=2, duplicate_reduction="sum")
    assert spine.features_at_coordinates(coarse, points * torch.tensor([1, 2, 2])).tolist() == found.tolist()
    features = FEATURES.clone().requires_grad_()
    spine.features_at_coordinates(tensor(features, duplicate_reduction="sum"), points).sum().backward()
    assert features.grad[:, 0].tolist() == pytest.approx([1.375, 0.75, 1.375, 1])


def test_norms_accept_few_sites_and_separate_events():
    norm = spine.module("BatchNorm")(1)
    x = tensor(FEATURES[:1], COORDINATES[:1])
    assert norm(x).F.tolist() == [[0]]
    assert norm.bn.running_mean.tolist() == pytest.approx([0.1])
    assert next(iter(norm.state_dict())) == "bn.weight"
    seen = []
    norm.bn.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    norm(x), norm(tensor())
    assert seen == [1, len(tensor())]
    x = tensor(torch.tensor([[1.0], [5.0], [3.0]]), COORDINATES[[0, 1, 3]])
    layer = spine.module("InstanceNorm")(1)
    assert layer(x).F[:, 0].tolist() == pytest.approx([-1, 0, 1])
    assert [tuple(value.shape) for value in layer.state_dict().values()] == [(1, 1), (1, 1)]


def test_initial_weights_and_names_equal_minkowskiengines():
    torch.manual_seed(2)
    layer = spine.module("Convolution")(8, 4, 3, bias=True, dimension=3)
    torch.manual_seed(2)
    bound = 1 / math.sqrt(27 * 8)
    assert torch.equal(layer.kernel, torch.empty(27, 8, 4).uniform_(-bound, bound))
    assert [(name, tuple(value.shape)) for name, value in layer.named_parameters()] == [
        ("kernel", (27, 8, 4)),
        ("bias", (1, 4)),
    ]
    up = spine.module("ConvolutionTranspose")(8, 4, 2, 2, dimension=3)
    assert float(up.kernel.detach().abs().max()) == pytest.approx(1 / math.sqrt(8 * 4), rel=0.05)
    names = {"Linear": (2, 3), "PReLU": (2,)}
    assert {name: list(spine.module(name)(*arguments).state_dict()) for name, arguments in names.items()} == {
        "Linear": ["linear.weight", "linear.bias"],
        "PReLU": ["module.weight"],
    }


@pytest.mark.parametrize("kernel", [1, 2])
def test_autocast_narrows_convolutions(kernel):
    layer = spine.module("Convolution")(1, 2, kernel, bias=True, dimension=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(tensor()).F.dtype == torch.bfloat16


def test_empty_tensors_pass_every_layer():
    x = tensor(FEATURES[:0], COORDINATES[:0])
    for layer in (
        spine.module("Convolution")(1, 2, 3, 2, dimension=2),
        spine.module("BatchNorm")(1),
        spine.module("MaxPooling")(2, 2, dimension=2),
        spine.module("GlobalAvgPooling")(),
        spine.module("InstanceNorm")(1),
        spine.module("ReLU")(),
    ):
        assert len(layer(x)) == 0


def refused(match, call, error=ValueError):
    with pytest.raises(error, match=match):
        call()


def test_wrong_arguments_are_named():
    x = tensor()
    conv = spine.module("Convolution")
    refused("Unknown duplicate reduction 'maximum'", lambda: tensor(duplicate_reduction="maximum"))
    refused("either coordinates", lambda: spine.create_tensor(features=FEATURES))
    refused("kernel_generator", lambda: conv(1, 1, 3, kernel_generator=object(), dimension=2), TypeError)
    refused("kernel_size", lambda: conv(1, 1, dimension=2))
    refused("dimension", lambda: conv(1, 1, 3))
    refused("convolution_mode", lambda: conv(1, 1, 3, convolution_mode=1, dimension=2), TypeError)
    refused("2 channels", lambda: conv(2, 1, 3, dimension=2)(x))
    refused("dimension 3", lambda: conv(1, 1, 3, dimension=3)(x))
    refused("takes a SparseTensor", lambda: conv(1, 1, 3, dimension=2)(FEATURES), TypeError)
    refused("dilation", lambda: spine.module("MaxPooling")(2, 2, 2, dimension=2))
    refused("PoolingMode", lambda: spine.module("GlobalPooling")("avg"), TypeError)
    refused("\\[3, C\\]", lambda: x.on(FEATURES))


def test_spine_finds_the_backend_by_its_name(monkeypatch):
    monkeypatch.setenv("SPINE_SPARSE_BACKEND", "minkowski")
    monkeypatch.setitem(sys.modules, "spine.model.sparse.backends.sscn", None)
    assert compat.install("spine") is spine
    import importlib
    import os

    assert importlib.import_module("spine.model.sparse.backends.sscn") is spine
    assert os.environ["SPINE_SPARSE_BACKEND"] == "sscn"
    monkeypatch.setenv("SPINE_SPARSE_BACKEND", "minkowski")
    monkeypatch.setitem(sys.modules, "spine.model.sparse.backend", types.ModuleType("backend"))
    refused("another backend", lambda: compat.install("spine"), RuntimeError)

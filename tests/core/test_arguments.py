"""A wrong argument gives one clear error before any work; no function writes to its arguments later."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sscn_triton import SparseTensor, functional, nn, prepare
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_cloud


def test_features_and_weights_must_have_one_dtype() -> None:
    x = random_cloud(10, channels=2, dtype=torch.float32)
    layer = nn.SubmanifoldConv(2, 3, 3).double()
    with pytest.raises(TypeError, match=r"one dtype, got features torch.float32, weight torch.float64"):
        layer(x)
    with pytest.raises(TypeError, match=r"bias torch.float64"):
        functional.submanifold_conv(x, torch.zeros(27, 2, 3), torch.zeros(3, dtype=torch.float64), kernel_size=3)


def test_features_and_weights_must_be_on_one_device() -> None:
    x = random_cloud(10, channels=2)
    layer = nn.SubmanifoldConv(2, 3, 3).double()
    with pytest.raises(ValueError, match="features are on cpu, weight is on meta: put both on one device"):
        layer.to("meta")(x)
    bias = torch.zeros(3, dtype=torch.float64, device="meta")
    with pytest.raises(ValueError, match="features are on cpu, bias is on meta"):
        functional.submanifold_conv(x, torch.zeros(27, 2, 3, dtype=torch.float64), bias, kernel_size=3)
    with pytest.raises(ValueError, match="features are on meta, but the sites are on cpu: move the features with `to`"):
        x.map(lambda features: features.to("meta"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"in_channels": [2]}, r"in_channels must be an integer, got \[2\]"),
        ({"groups": True}, "groups must be an integer, got True"),
        ({"bias": 3}, "bias must be True or False, got 3"),
        ({"kernel_size": 2.5}, "kernel_size must be an integer"),
    ],
)
def test_a_layer_names_the_argument_of_the_wrong_type(arguments: dict, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        nn.SubmanifoldConv(**{"in_channels": 2, "out_channels": 4, "kernel_size": 3} | arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": 3}, "multiples of groups = 3, got 2 and 4"),
        ({"out_channels": 0}, "out_channels must be at least 1"),
        ({"dilation": 2**31}, "dilation must be at most 2147483647"),
    ],
)
def test_a_layer_names_the_argument_out_of_range(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nn.SubmanifoldConv(**{"in_channels": 2, "out_channels": 4, "kernel_size": 3} | arguments)


def test_numpys_integers_are_integers() -> None:
    layer = nn.SparseConv(np.int64(2), np.int32(4), np.int64(3), stride=np.int64(2), groups=np.int64(2))
    assert layer.weight.shape == (27, 2, 1, 2)
    assert layer.kernel_size == (3, 3, 3)
    assert all(type(k) is int for k in (*layer.kernel_size, layer.groups, layer.in_channels))


def test_numpy_arrays_are_accepted_as_sizes_and_determine_the_number_of_axes() -> None:
    layer = nn.SparseConv(2, 4, np.array([3, 2]), stride=np.array([2, 1]))
    assert (layer.ndim, layer.kernel_size, layer.stride) == (2, (3, 2), (2, 1))
    pool = nn.MaxPool(np.array([3, 2]))
    assert (pool.kernel_size, pool.stride) == ((3, 2), (3, 2))
    with pytest.raises(TypeError, match="kernel_size must be an integer or 2 integers"):
        nn.SparseConv(2, 4, np.array([3.0, 2.0]))


def test_writing_to_the_given_coordinates_does_not_move_the_sites() -> None:
    sites = torch.tensor([[0, 1], [0, 2]], dtype=torch.int32)
    x = SparseTensor(torch.ones(2, 1), sites)
    sites += 5
    assert x.coordinates.tolist() == [[0, 1], [0, 2]]


def test_only_the_usual_floating_types_are_features() -> None:
    with pytest.raises(TypeError, match="float16, bfloat16, float32 or float64"):
        SparseTensor(torch.ones(1, 1).to(torch.float8_e5m2), torch.zeros(1, 2, dtype=torch.int32))


def test_prepare_refuses_wrong_types() -> None:
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module and a SparseTensor, got SparseUResNet and Tensor"):
        prepare(SparseUResNet(filters=1, depth=1), torch.zeros(3))


LAYERS = {
    "ReLU": {}, "LeakyReLU": {}, "PReLU": {}, "ELU": {}, "SiLU": {}, "GELU": {}, "Softplus": {}, "Sigmoid": {},
    "Tanh": {}, "Dropout": {}, "Linear": {"in_features": 4, "out_features": 4}, "LayerNorm": {"normalized_shape": 4},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
}  # fmt: skip
OTHERS = {
    "SubmanifoldConv": torch.nn.Conv3d(4, 4, 3),
    "TransposedConv": torch.nn.ConvTranspose3d(4, 4, 3),
    "MaxPool": torch.nn.MaxPool3d(2),
    "AveragePool": torch.nn.AvgPool3d(2),
    "GlobalPool": torch.nn.AdaptiveAvgPool3d(1),
    "Unpool": torch.nn.Upsample(scale_factor=2),
}


@pytest.mark.parametrize(
    ("name", "layer"), [*((name, getattr(torch.nn, name)(**LAYERS[name])) for name in LAYERS), *OTHERS.items()]
)
@pytest.mark.parametrize("sequential", [nn.Sequential, torch.nn.Sequential])
def test_a_layer_of_pytorch_suggests_one_for_sparse_tensors(
    name: str, layer: torch.nn.Module, sequential: type[torch.nn.Module]
) -> None:
    x = random_cloud(5, channels=4, dtype=torch.float32)
    with pytest.raises(
        TypeError, match=rf"of PyTorch takes tensors, not a SparseTensor: use sscn_triton\..*\bnn\.{name}\b"
    ):
        sequential(nn.Identity(), layer)(x)
    assert isinstance(getattr(nn, name), type)


def test_a_function_of_pytorch_suggests_one_for_sparse_tensors() -> None:
    x = random_cloud(5)
    with pytest.raises(TypeError, match=r"relu of PyTorch takes tensors.*use sscn_triton\.nn\.ReLU$"):
        torch.relu(x)
    with pytest.raises(TypeError, match=r"use sscn_triton\.functional\.concatenate$"):
        torch.cat([x, x])
    with pytest.raises(TypeError, match=r"mish of PyTorch takes tensors.*use x\.map\(function\)"):
        torch.nn.functional.mish(x)
    with pytest.raises(AttributeError, match=r"no attribute 'dim': its features.*layers that take it are in sscn_trit"):
        torch.nn.BatchNorm1d(3)(x)
    with pytest.raises(AttributeError, match=r"no attribute 'colour'$"):
        x.colour  # noqa: B018
    for wrong in (lambda: x + 1, lambda: x + x.features, lambda: x.features + x):
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: .*SparseTensor"):
            wrong()


def test_layers_of_pytorch_may_follow_a_global_pool() -> None:
    net = nn.Sequential(nn.SubmanifoldConv(3, 4, 3), nn.GlobalPool(), torch.nn.Linear(4, 2), torch.nn.ReLU()).double()
    assert net(random_cloud(5)).shape == (2, 2)

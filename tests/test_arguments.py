"""A wrong argument ends in one clear error before any work; what is given is not written to later."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clouds import random_cloud

from sscn_triton import SparseTensor, functional, nn, prepare
from sscn_triton.models import SparseUResNet


def test_features_and_weights_must_have_one_dtype() -> None:
    x = random_cloud(10, channels=2, dtype=torch.float32)
    layer = nn.SubmanifoldConv(2, 3, 3).double()
    with pytest.raises(TypeError, match=r"one dtype, got features torch.float32, weight torch.float64"):
        layer(x)
    with pytest.raises(TypeError, match=r"bias torch.float64"):
        functional.submanifold_conv(x, torch.zeros(27, 2, 3), torch.zeros(3, dtype=torch.float64), kernel_size=3)


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


def test_writing_to_the_given_coordinates_does_not_move_the_sites() -> None:
    sites = torch.tensor([[0, 1], [0, 2]], dtype=torch.int32)
    x = SparseTensor(torch.ones(2, 1), sites)
    sites += 5
    assert x.coordinates.tolist() == [[0, 1], [0, 2]]


def test_only_the_usual_floating_types_are_features() -> None:
    with pytest.raises(TypeError, match="float16, bfloat16, float32 or float64"):
        SparseTensor(torch.ones(1, 1).to(torch.float8_e5m2), torch.zeros(1, 2, dtype=torch.int32))


def test_prepare_names_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"takes a torch\.nn\.Module and a SparseTensor, got SparseUResNet and Tensor"):
        prepare(SparseUResNet(filters=1, depth=1), torch.zeros(3))

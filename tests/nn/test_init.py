"""A convolution's initial weight equals that of PyTorch's layer, and PyTorch's tools work on its output channels."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrizations, prune

from sscn_triton import nn
from tests.support.clouds import random_cloud

INITIALISERS: dict[str, list[dict[str, Any]]] = {
    "kaiming_normal_": [{}, {"mode": "fan_out", "nonlinearity": "relu"}, {"a": 0.3}],
    "kaiming_uniform_": [{}, {"mode": "fan_out", "nonlinearity": "relu"}, {"a": math.sqrt(5)}],
    "xavier_normal_": [{}, {"gain": 2.0}],
    "xavier_uniform_": [{}, {"gain": 2.0}],
    "orthogonal_": [{}, {"gain": 2.0}],
}
CASES = [(name, settings) for name, several in INITIALISERS.items() for settings in several]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_initialisers_give_the_same_weights_as_pytorch(name: str, settings: dict[str, Any], groups: int) -> None:
    layer = nn.SubmanifoldConv(4, 6, (3, 2, 1), groups=groups)
    dense: Any = torch.nn.Conv3d(4, 6, (3, 2, 1), groups=groups)
    filled = getattr(nn.init, name)(layer.weight, **settings, generator=torch.Generator().manual_seed(3))
    getattr(torch.nn.init, name)(dense.weight, **settings, generator=torch.Generator().manual_seed(3))
    assert filled is layer.weight
    assert torch.equal(nn.to_torch(layer).weight, dense.weight)


def test_a_weight_without_groups_and_those_of_other_types_are_filled() -> None:
    weights = torch.empty(8, 3, 5), torch.empty(8, 1, 3, 5)
    three, four = (nn.init.xavier_normal_(w, generator=torch.Generator().manual_seed(0)) for w in weights)
    assert torch.equal(three, four[:, 0])
    low = nn.init.kaiming_uniform_(torch.empty(8, 1, 64, 64, dtype=torch.bfloat16))
    assert float(low.float().std()) == pytest.approx(math.sqrt(2 / (8 * 64)), rel=0.05)


def test_other_tensors_than_convolution_weights_are_refused() -> None:
    with pytest.raises(TypeError, match=r"the tensor of a convolution, layer\.weight, got SubmanifoldConv"):
        nn.init.kaiming_normal_(nn.SubmanifoldConv(1, 1, 3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\[taps, in, out\].*torch\.nn\.init has functions for others.*\(5, 4\)"):
        nn.init.kaiming_normal_(nn.Linear(4, 5).weight)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", [nn.SubmanifoldConv, nn.SparseConv, nn.InverseConv, nn.TransposedConv])
def test_initial_weights_have_the_spread_of_pytorchs_kaiming_normal(kind: Any, groups: int) -> None:
    torch.manual_seed(0)
    layer = kind(64, 96, 3, groups=groups)
    dense: Any = torch.nn.Conv3d(64, 96, 3, groups=groups)
    torch.nn.init.kaiming_normal_(dense.weight, nonlinearity="relu")
    weight, pytorchs = layer.weight.detach(), dense.weight.detach()
    assert float(weight.std()) == pytest.approx(float(pytorchs.std()), rel=0.03)
    assert abs(float(weight.mean())) < 0.02 * float(weight.std())
    assert not layer.bias.any()


def layer() -> Any:
    torch.manual_seed(0)
    return nn.SubmanifoldConv(3, 4, 3, bias=False).double()


def test_weight_norm_on_the_documented_axis_equals_pytorchs() -> None:
    """The length of the weight of each output channel is a separate parameter."""
    x = random_cloud(30)
    sparse, dense = layer(), nn.to_torch(layer())
    before = sparse(x).features
    parametrizations.weight_norm(sparse, dim=3)
    parametrizations.weight_norm(dense)
    torch.testing.assert_close(sparse(x).features, before)
    length = sparse.parametrizations.weight.original0
    assert length.shape == (1, 1, 1, 4)
    torch.testing.assert_close(length.flatten(), dense.parametrizations.weight.original0.flatten())
    with torch.no_grad():
        length[..., 2] *= 3
    torch.testing.assert_close(sparse(x).features, before * torch.tensor([1, 1, 3, 1]))


def test_spectral_norm_on_the_documented_axis_equals_pytorchs() -> None:
    """The matrix of output channels by all inputs gets a largest singular value of 1."""
    sparse, other = layer(), layer()
    parametrizations.spectral_norm(sparse, n_power_iterations=200, dim=3)
    parametrizations.spectral_norm(other, n_power_iterations=200)
    largest = [float(torch.linalg.matrix_norm(w.flatten(0, 2), 2)) for w in (sparse.weight, other.weight)]
    assert largest[0] == pytest.approx(1)
    assert largest[1] != pytest.approx(1, rel=0.1)
    dense = nn.to_torch(layer())
    parametrizations.spectral_norm(dense, n_power_iterations=200)
    torch.testing.assert_close(dense.weight.permute(2, 3, 4, 1, 0).reshape(sparse.weight.shape), sparse.weight)


@pytest.mark.parametrize("training", [True, False])
def test_a_chain_of_parametrized_layers_equals_its_layers_in_turn(training: bool) -> None:
    net = nn.Sequential(nn.BatchNorm(3), layer(), nn.BatchNormReLU(4), nn.SubmanifoldConv(4, 3, 3)).double()
    parametrizations.weight_norm(net[1], dim=3)
    parametrizations.spectral_norm(net[3], dim=3)
    net, x = net.train(training), random_cloud(30)
    y, twin = x, copy.deepcopy(net)
    for part in twin:
        y = part(y)
    torch.testing.assert_close(net(x).features, y.features)


def test_structured_pruning_on_the_documented_axis_takes_output_channels() -> None:
    sparse = layer()
    prune.ln_structured(sparse, "weight", 0.5, n=2, dim=3)
    y = sparse(random_cloud(30)).features
    assert (y == 0).all(0).sum() == 2

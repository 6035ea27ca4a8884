"""The UResNet in NumPy equals the library's: equal weights give equal scores, gradients and running statistics."""

import numpy as np
import pytest
import torch

import sscn_ref
from sscn_triton import SparseTensor
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_sites
from tests.support.strategies import values

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def arrays(net: SparseUResNet) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def drawn(**settings: int) -> SparseUResNet:
    """A network whose norms matter: its weights, biases and running statistics are random."""
    torch.manual_seed(0)
    net = SparseUResNet(**settings).double()
    for name, value in net.state_dict().items():
        if name.endswith("running_mean") or (name.endswith("bias") and value.ndim == 1):
            value.normal_()
        elif name.endswith("running_var") or value.ndim == 1:
            value.uniform_(0.5, 1.5)
    return net


def check(net: SparseUResNet, sites: torch.Tensor, training: bool, spatial_shape: int | None = None) -> None:
    """Logits, the gradients of sum(g * logits) by features and all parameters, and the final content of the buffers."""
    twin = sscn_ref.UResNet(arrays(net))
    x = torch.tensor(values(1, len(sites), net.stem.weight.shape[2]), requires_grad=True)
    y = net.train(training)(SparseTensor(x, sites, spatial_shape)).features
    logits = twin.forward(x.detach().numpy(), sites.numpy(), spatial_shape, training)
    np.testing.assert_allclose(logits, y.detach().numpy(), **TIGHT)
    g = values(2, *y.shape)
    names, parameters = zip(*net.named_parameters(), strict=True)
    by_x, *by_weights = torch.autograd.grad(y, [x, *parameters], torch.tensor(g))
    np.testing.assert_allclose(twin.backward(g), by_x.numpy(), **TIGHT)
    assert set(twin.gradients) == set(names)
    for name, gradient in zip(names, by_weights, strict=True):
        size = max(1.0, float(gradient.abs().max()))
        np.testing.assert_allclose(twin.gradients[name] / size, gradient.numpy() / size, err_msg=name, **TIGHT)
    for name, value in arrays(net).items():
        np.testing.assert_allclose(twin.weights[name], value, err_msg=name, **TIGHT)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_scores_and_gradients_equal_the_librarys(ndim: int, training: bool) -> None:
    net = drawn(in_channels=2, num_classes=3, filters=4, depth=3, repetitions=1, ndim=ndim)
    check(net, random_sites(60, ndim, size={1: 50, 2: 10, 3: 6}[ndim]), training)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_no_site_and_one_site_give_the_results_of_the_library(count: int, training: bool) -> None:
    check(drawn(filters=2, depth=2, repetitions=2), random_sites(count), training)


@pytest.mark.parametrize("training", [True, False])
def test_both_packages_truncate_a_shape_that_halving_does_not_divide(training: bool) -> None:
    net = drawn(filters=2, depth=3, repetitions=1)
    check(net, random_sites(100, size=7), training, spatial_shape=7)


@pytest.mark.parametrize("training", [True, False])
def test_the_studys_network_is_the_same_on_hundreds_of_voxels(training: bool) -> None:
    check(drawn(), random_sites(400, size=10), training)


def test_backward_can_run_twice_and_training_updates_the_running_statistics() -> None:
    net = sscn_ref.UResNet(arrays(drawn(filters=2, depth=2, repetitions=1)))
    sites, x = random_sites(20).numpy(), values(0, 20, 1)
    g = values(1, *net.forward(x, sites, training=False).shape)
    once = net.backward(g)
    np.testing.assert_array_equal(net.backward(g), once)
    net.forward(x, sites)
    net.forward(x, sites, training=False)
    assert not np.allclose(net.backward(g), once)  # the running statistics have moved


def test_weights_that_do_not_fit_are_refused() -> None:
    weights, sites = arrays(drawn(filters=2, depth=2, repetitions=1)), random_sites(5).numpy()
    lacking = {name: value for name, value in weights.items() if name != "head.1.weight"}
    with pytest.raises(ValueError, match=r"weights lack 'head\.1\.weight'"):
        sscn_ref.UResNet(lacking).forward(values(0, 5, 1), sites)
    with pytest.raises(ValueError, match="weights that no layer takes: more"):
        sscn_ref.UResNet({**weights, "more": np.ones(3)}).forward(values(0, 5, 1), sites)
    with pytest.raises(ValueError, match=r"features must have shape \[5, C\]"):
        sscn_ref.UResNet(weights).forward(values(0, 4, 1), sites)
    with pytest.raises(ValueError, match="call forward before backward"):
        sscn_ref.UResNet(weights).backward(values(0, 5, 5))

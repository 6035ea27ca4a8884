"""Each layer and network gives SparseConvNet's own results, if SparseConvNet can be imported."""

from __future__ import annotations

import pytest
import torch

import sscn_triton.compat.sparseconvnet as ours

real = pytest.importorskip("sparseconvnet", reason="SparseConvNet is not installed", exc_type=ImportError)


def cloud(dimension=3, size=13, count=150, planes=4, seed=0):
    """Points of two events, several per site, batch index last, and their features."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(0, size, (count, dimension), generator=generator)
    events = torch.randint(0, 2, (count, 1), generator=generator)
    return torch.cat([places, events], 1), torch.randn(count, planes, generator=generator)


def close(one, other, tolerance):
    """Check that two tensors differ by less than ``tolerance`` times the largest number of the second."""
    assert one.shape == other.shape
    one, other = one.detach(), other.detach()
    if other.numel():
        assert float((one - other).abs().max()) <= tolerance * max(float(other.abs().max()), 1e-6)


def by_site(tensor):
    """Locations and features of a tensor in lexicographic order, because SparseConvNet's coarse sites have no defined
    order."""
    places = tensor.get_spatial_locations()
    order = sorted(range(len(places)), key=lambda row: places[row].tolist())
    return places[order], tensor.features[order], order


def twins(build, seed=3):
    """The same network of either package, initialised with the same seed."""
    pair = []
    for scn in (ours, real):
        torch.manual_seed(seed)
        pair.append(build(scn))
    ours_state, real_state = (network.state_dict() for network in pair)
    assert list(ours_state) == list(real_state)
    for name, value in real_state.items():
        assert torch.equal(ours_state[name], value), name
    return pair


def run(build, coords, features, dimension, size):
    """Forward and backward pass of both; returns (sites, output, input gradient, all parameter gradients, buffers) of
    each."""
    found = []
    for scn, network in zip((ours, real), twins(build), strict=True):
        leaf = features.clone().requires_grad_()
        x = scn.InputLayer(dimension, size, mode=3)((coords, leaf))
        y = network(x)
        places, values, order = by_site(y)
        grad = torch.randn(values.shape, generator=torch.Generator().manual_seed(5))
        given = torch.zeros_like(values)
        given[order] = grad
        y.features.backward(given)
        grads = [parameter.grad for parameter in network.parameters()]
        found.append((places, y.spatial_size, values.detach(), leaf.grad, grads, list(network.buffers())))
    return found


def agree(found, tolerance):
    (places, size, values, grad, grads, buffers), other = found
    assert torch.equal(places, other[0])
    assert torch.equal(size, other[1])
    close(values, other[2], tolerance)
    close(grad, other[3], tolerance)
    for one, two in zip([*grads, *buffers], [*other[4], *other[5]], strict=True):
        close(one, two, tolerance)


def pair_of(scn, first, second):
    return scn.Sequential().add(first).add(second)


LAYERS = {
    "submanifold 3": lambda scn, d: scn.SubmanifoldConvolution(d, 4, 6, 3, True),
    "submanifold 1": lambda scn, d: scn.SubmanifoldConvolution(d, 4, 6, 1, True),
    "submanifold 2": lambda scn, d: scn.SubmanifoldConvolution(d, 4, 6, 2, True),
    "submanifold 4 in groups": lambda scn, d: scn.SubmanifoldConvolution(d, 4, 6, 4, True, 2),
    "valid": lambda scn, d: scn.ValidConvolution(d, 4, 6, 3, False),
    "convolution 3/2": lambda scn, d: scn.Convolution(d, 4, 6, 3, 2, True),
    "convolution 4/3 in groups": lambda scn, d: scn.Convolution(d, 4, 6, 4, 3, True, 2),
    "convolution 1/2": lambda scn, d: scn.Convolution(d, 4, 6, 1, 2, False),
    "full 3/2": lambda scn, d: scn.FullConvolution(d, 4, 6, 3, 2, True),
    "deconvolution 3/2": lambda scn, d: pair_of(
        scn, scn.Convolution(d, 4, 6, 3, 2, False), scn.Deconvolution(d, 6, 2, 3, 2, True)
    ),
    "deconvolution 5/4 in groups": lambda scn, d: pair_of(
        scn, scn.Convolution(d, 4, 6, 5, 4, False), scn.Deconvolution(d, 6, 2, 5, 4, True, 2)
    ),
    "max pooling 3/2": lambda scn, d: scn.MaxPooling(d, 3, 2),
    "max pooling after ReLU": lambda scn, d: pair_of(scn, scn.ReLU(), scn.MaxPooling(d, 3, 2)),
    "average pooling 3/2": lambda scn, d: scn.AveragePooling(d, 3, 2),
    "average pooling 3/2 of the last two": lambda scn, d: scn.AveragePooling(d, 3, 2, 2),
    "unpooling 3/2": lambda scn, d: pair_of(scn, scn.AveragePooling(d, 3, 2), scn.UnPooling(d, 3, 2)),
    "batch norm": lambda scn, d: scn.BatchNormalization(4),
    "batch norm, momentum 0.5, leaking": lambda scn, d: scn.BatchNormLeakyReLU(4, momentum=0.5),
    "batch norm and ReLU": lambda scn, d: scn.BatchNormReLU(4),
    "batch norm and ELU": lambda scn, d: scn.BatchNormELU(4),
    "network in network": lambda scn, d: scn.NetworkInNetwork(4, 6, True),
    "leaky ReLU": lambda scn, d: scn.LeakyReLU(),
    "sigmoid": lambda scn, d: scn.Sigmoid(),
    "tanh": lambda scn, d: scn.Tanh(),
    "joined": lambda scn, d: pair_of(
        scn, scn.ConcatTable().add(scn.Identity()).add(scn.NetworkInNetwork(4, 3, False)), scn.JoinTable()
    ),
    "added": lambda scn, d: pair_of(
        scn, scn.ConcatTable().add(scn.Tanh()).add(scn.NetworkInNetwork(4, 4, False)), scn.AddTable()
    ),
}


@pytest.mark.parametrize("dimension", [1, 2, 3, 4])
@pytest.mark.parametrize("layer", list(LAYERS))
def test_layer(layer, dimension):
    coords, features = cloud(dimension)
    agree(run(lambda scn: LAYERS[layer](scn, dimension), coords, features, dimension, 13), 1e-5)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_input_and_output_layers_equal_sparseconvnets_in_every_mode(mode):
    coords, features = cloud()
    found = []
    for scn in (ours, real):
        leaf = features.clone().requires_grad_()
        x = scn.InputLayer(3, 13, mode=mode)((coords, leaf, 4))
        y = scn.OutputLayer(3)(x)
        (y * features.sin()).sum().backward()
        found.append((x.get_spatial_locations(), x.features, y, leaf.grad, torch.tensor(x.batch_size())))
    for one, other in zip(*found, strict=True):
        close(one, other, 1e-5)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_batch_length_input_and_output_layers_equal_sparseconvnets_in_every_mode(mode):
    coords, features = cloud(size=4)
    batch = [(coords[coords[:, 3] == event][:, :3], features[coords[:, 3] == event]) for event in (0, 1)]
    found = []
    for scn in (ours, real):
        places, values = scn.prepare_BLInput(batch)
        leaf = values.clone().requires_grad_()
        x = scn.BLInputLayer(3, 4, mode=mode)((places, leaf))
        y = scn.BLOutputLayer(3)(x)
        (y * values.sin()).sum().backward()
        found.append((places, x.get_spatial_locations(), x.features, y, leaf.grad))
    for one, other in zip(*found, strict=True):
        close(one, other, 1e-5)


NETWORKS = {
    "UNet, residual": (16, lambda scn: scn.UNet(3, 2, [4, 8, 12], True)),
    "UNet, plain, leaking, other input": (15, lambda scn: scn.UNet(3, 1, [6, 8, 12], False, [3, 2], 0.1, 4)),
    "fully convolutional": (16, lambda scn: scn.FullyConvolutionalNet(3, 1, [4, 8, 12], True)),
    "VGG": (15, lambda scn: scn.SparseVggNet(3, 4, [["C", 6], "MP", ["C", 6, 4], ["C3/2", 8], "C3/2"])),
    "VGG with branches": (31, lambda scn: scn.SparseVggNet(2, 4, [["C", 4, 3, 2], ["MP", 3, 2], ["C", 4, 2, 2, 2]])),
    "ResNet": (15, lambda scn: scn.SparseResNet(3, 4, [["basic", 4, 2, 1], ["basic", 8, 2, 2], ["b", 6, 1, 1]])),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_network(name):
    size, build = NETWORKS[name]
    dimension = 2 if size == 31 else 3
    coords, features = cloud(dimension, size, 400)
    # SparseConvNet computes a variance as a difference of float32 sums: errors of 1e-3 in gradients at few sites
    agree(run(build, coords, features, dimension, size), 5e-3 if "VGG" in name else 1e-4)


def study(scn, filters=8, depth=3):
    """The sparse UResNet of the 2018 study, with the width and depth of its memory tests."""
    planes = [level * filters for level in range(1, depth + 1)]
    net = scn.Sequential().add(scn.InputLayer(3, 32, mode=3))
    net.add(scn.SubmanifoldConvolution(3, 1, filters, 3, False)).add(scn.UNet(3, 2, planes, True))
    net.add(scn.BatchNormReLU(filters)).add(scn.OutputLayer(3))
    return torch.nn.Sequential(net, torch.nn.Linear(filters, 5))


def test_losses_of_the_studys_network_over_ten_steps_and_its_checkpoint():
    coords, features = cloud(size=32, count=1500, planes=1)
    labels = torch.randint(0, 5, (1500,), generator=torch.Generator().manual_seed(9))
    losses, gradients, networks = [], [], twins(study)
    for network in networks:
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        losses.append([])
        for step in range(10):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network((coords, features)), labels)
            loss.backward()
            if step == 0:
                gradients.append([parameter.grad.clone() for parameter in network.parameters()])
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[0][-1] < losses[0][0]
    for one, other in zip(*gradients, strict=True):
        close(one, other, 1e-4)
    networks[0].load_state_dict(networks[1].state_dict())
    with torch.no_grad():
        one, other = (network.eval()((coords, features)) for network in networks)
    close(one, other, 1e-4)


def test_the_counters_agree_with_sparseconvnets():
    coords, features = cloud()
    counted = []
    for scn in (ours, real):
        scn.forward_pass_multiplyAdd_count = scn.forward_pass_hidden_states = 0
        network = scn.Sequential().add(scn.InputLayer(3, 15)).add(scn.NetworkInNetwork(4, 4, False))
        network.add(scn.UNet(3, 1, [4, 6, 8], True, [3, 2]))((coords, features))
        counted.append((scn.forward_pass_multiplyAdd_count, scn.forward_pass_hidden_states))
    assert counted[0] == counted[1]

"""The networks of the two-by-two are what they are called: equal to the sparse network, to its dense twin, and to each
other where the sparse engine computes what the masked dense network defines."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sscn_triton import SparseTensor
from sscn_triton.models import DenseUResNet, SparseUResNet
from sscn_triton.study.questions.active_set import (
    Respect,
    SwitchedUResNet,
    WholeNormReLU,
    dense_network,
    sparse_network,
)

CLASSES, FILTERS, DEPTH, REPETITIONS = 5, 4, 3, 1
EDGE, IMAGES, SITES = 16, 2, 40
RESPECTS = [Respect(norms, sites) for norms in ("all", "active") for sites in ("all", "active")]  # type: ignore[arg-type]


def make(maker: Any, respect: Respect, ndim: int) -> Any:
    """A network in double precision whose norms are not the identity that they start as."""
    network = maker(respect, 0, CLASSES, FILTERS, DEPTH, REPETITIONS, ndim).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.weight.uniform_(0.5, 2, generator=generator)
                norm.bias.uniform_(-1, 1, generator=generator)
    return network


def image(ndim: int, seed: int = 3) -> SparseTensor:
    generator = np.random.default_rng(seed)
    places = []
    for one in range(IMAGES):
        sites = np.unravel_index(generator.choice(EDGE**ndim, SITES, replace=False), (EDGE,) * ndim)
        places.append(np.column_stack([np.full(SITES, one), *sites]))
    energy = torch.from_numpy(generator.uniform(0.5, 2, (IMAGES * SITES, 1)))
    return SparseTensor(energy, torch.from_numpy(np.concatenate(places)).int(), (EDGE,) * ndim, IMAGES)


def logits(network: nn.Module, x: SparseTensor) -> Tensor:
    """[N, classes] on the active sites."""
    if isinstance(network, DenseUResNet):
        return network(x.dense()).movedim(1, -1)[x.coordinates.long().unbind(1)]
    return network(x).features


def compare(one: Any, other: Any, x: SparseTensor) -> None:
    """Logits in training, gradients of all parameters, running statistics and logits in evaluation agree."""
    found = []
    for network in (one, other):
        given = logits(network.train(), x)
        weights = torch.from_numpy(np.random.default_rng(4).normal(size=tuple(given.shape)))
        (given * weights).sum().backward()
        found.append([given.detach(), logits(network.eval(), x).detach()])
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
    twins = [gradients_as_dense(network) for network in (one, other)]
    for (name, mine), theirs in zip(twins[0].named_parameters(), twins[1].parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8, msg=name)
        assert mine.abs().sum() > 0, name
    for mine, theirs in zip(twins[0].buffers(), twins[1].buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def gradients_as_dense(network: Any) -> DenseUResNet:
    """A dense network whose parameters are the gradients of this one."""
    holder = copy.deepcopy(network)
    for mine, theirs in zip(holder.parameters(), network.parameters(), strict=True):
        mine.data = theirs.grad
    dense = DenseUResNet(1, CLASSES, FILTERS, DEPTH, REPETITIONS, len(network_shape(network))).double()
    if isinstance(network, SparseUResNet):
        dense.load_sparse_weights(holder)
    else:
        dense.load_state_dict(holder.state_dict())
    return dense


def network_shape(network: Any) -> tuple[int, ...]:
    """The kernel of the first convolution."""
    first = next(network.parameters())
    return (3,) * round(np.log(len(first)) / np.log(3)) if isinstance(network, SparseUResNet) else first.shape[2:]


@pytest.mark.parametrize("ndim", [2, 3])
def test_with_both_switches_at_active_it_is_the_packages_sparse_network(ndim: int) -> None:
    both = Respect("active", "active")
    sparse = make(sparse_network, both, ndim)
    assert type(sparse) is SparseUResNet
    assert not any(isinstance(layer, WholeNormReLU) for layer in sparse.modules())
    compare(make(dense_network, both, ndim), sparse, image(ndim))


def test_with_both_switches_at_all_it_is_the_packages_dense_twin() -> None:
    switched = make(dense_network, Respect("all", "all"), 2)
    twin = DenseUResNet(1, CLASSES, FILTERS, DEPTH, REPETITIONS, 2).double()
    twin.load_state_dict(switched.state_dict())
    compare(switched, twin, image(2))


@pytest.mark.parametrize("ndim", [2, 3])
def test_norms_over_all_voxels_are_computed_on_the_active_sites_alone(ndim: int) -> None:
    respect = Respect("all", "active")
    compare(make(dense_network, respect, ndim), make(sparse_network, respect, ndim), image(ndim))


def test_running_statistics_of_several_batches_are_their_plain_means() -> None:
    for respect in (Respect("active", "active"), Respect("all", "active")):
        pair = [make(maker, respect, 2) for maker in (dense_network, sparse_network)]
        for network in pair:
            for norm in network.modules():
                if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                    norm.momentum = None
            for seed in range(3):
                logits(network.train(), image(2, seed))
        mine, theirs = (logits(network.eval(), image(2)) for network in pair)
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_each_switch_changes_the_output_and_no_initial_weight() -> None:
    networks = [make(dense_network, respect, 2) for respect in RESPECTS]
    weights = [[value.tolist() for value in network.parameters()] for network in networks]
    assert all(one == weights[0] for one in weights)
    found = [logits(network.train(), image(2)).detach() for network in networks]
    for i, one in enumerate(found):
        assert all((one - other).abs().max() > 1e-3 for other in found[:i])


def test_only_active_voxels_count_in_active_statistics() -> None:
    """The statistics of the first norm, computed here from the definition."""
    x = image(2)
    network = make(dense_network, Respect("active", "all"), 2).train()
    stem = network.network[0](x.dense()).movedim(1, -1)[x.coordinates.long().unbind(1)].detach()
    network(x.dense())
    norm = next(m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    torch.testing.assert_close(norm.running_mean, 0.01 * stem.mean(0))
    torch.testing.assert_close(norm.running_var, 0.99 + 0.01 * stem.var(0))


def test_a_sparse_network_refuses_values_at_inactive_sites() -> None:
    with pytest.raises(ValueError, match="sites must be 'active'"):
        sparse_network(Respect("all", "all"), 0, CLASSES, FILTERS, DEPTH, REPETITIONS, 2)


def test_the_masks_of_coarser_levels_follow_the_sites_of_strided_convolutions() -> None:
    x = image(2)
    network = SwitchedUResNet(Respect("active", "active"), CLASSES, FILTERS, DEPTH, REPETITIONS, 2).double()
    network(x.dense())
    sites = {(int(b), int(i) // 4, int(j) // 4) for b, i, j in x.coordinates}
    coarse = network.active.masks[torch.Size((EDGE // 4, EDGE // 4))][:, 0]
    assert {tuple(place) for place in coarse.nonzero().tolist()} == sites

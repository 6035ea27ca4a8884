"""One call updates all parameters, and a training that began with the loop over them goes on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch

from sscn_triton.bench.cpu.engines import build
from sscn_triton.study.questions.particles import Flavour, FlavourModule
from sscn_triton.study.training.networks import NetworkSettings, make_network
from sscn_triton.study.training.optimizer import adam
from sscn_triton.study.training.segmentation import Segmentation

SETTINGS = NetworkSettings(filters=2, depth=2, repetitions=1)


def of_bench() -> torch.optim.Optimizer:
    from sscn_triton.models import SparseUResNet

    parameters = [p.detach().numpy() for p in SparseUResNet().parameters()]
    return build("sscn fp32", {"labels": None}, parameters, torch.get_num_threads())[1]


OPTIMIZERS: dict[str, Callable[[], torch.optim.Optimizer]] = {
    "training": lambda: Segmentation(make_network(SETTINGS), 0.1).configure_optimizers(),
    "particles": lambda: FlavourModule(Flavour(2), 0.1).configure_optimizers(),
    "bench": of_bench,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_call_updates_all_parameters(name: str) -> None:
    assert all(group["fused"] for group in OPTIMIZERS[name]().param_groups)


def steps(optimizer: torch.optim.Optimizer, gradients: list[torch.Tensor]) -> None:
    (group,) = optimizer.param_groups
    for gradient in gradients:
        for parameter in group["params"]:
            parameter.grad = gradient[: parameter.numel()].view_as(parameter).clone()
        optimizer.step()


@pytest.mark.parametrize("begun", [torch.optim.Adam, None], ids=["loop", "one call"])
def test_a_state_continues_with_the_bits_of_an_unbroken_training(begun: type[torch.optim.Adam] | None) -> None:
    gradients = list(torch.randn(6, 100_000, generator=torch.Generator().manual_seed(0)))
    unbroken, resumed = make_network(SETTINGS, 1), make_network(SETTINGS, 1)
    first = adam(unbroken, 1e-3) if begun is None else begun(unbroken.parameters(), 1e-3)
    steps(first, gradients[:3])
    resumed.load_state_dict(unbroken.state_dict())
    second = Segmentation(resumed, 1e-3, optimizer_state=deepcopy(first.state_dict())).configure_optimizers()
    steps(first, gradients[3:])
    steps(second, gradients[3:])
    for one, other in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert second.param_groups[0]["fused"] == first.param_groups[0]["fused"]

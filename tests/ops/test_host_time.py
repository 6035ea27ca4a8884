"""What a layer costs the host before a GPU has anything to do, in units of a plain PyTorch module in the same run.

Kernels do nothing here: left are modules, functions, operators, autograd and the choice of a launch. On a GPU Triton's
own launch comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from triton.runtime.interpreter import InterpretedFunction

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.ops.triton import convolution, weight_gradient
from sscn_triton.ops.triton.interpreted import interpreted
from sscn_triton.ops.triton.launch import count_launches
from tests.support.clouds import random_sites

LAYERS, ROUNDS = 20, 15
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="kernels are replaced only where they are interpreted"
)

LAYER = {
    "submanifold": lambda: nn.SubmanifoldConv(16, 16, 3, bias=False),
    "norm and ReLU": lambda: nn.BatchNormReLU(16),
}
BUDGET = {
    ("submanifold", "forward"): 13.0,
    ("submanifold", "step"): 11.5,
    ("norm and ReLU", "forward"): 17.5,
    ("norm and ReLU", "step"): 11.5,
}
"""Ratio of the host time of a layer to that of `torch.nn.Linear`, forward and with gradients: about a third above
measured."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """No work is shared, because a thread that waits for others would count its waiting time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def nothing(*_: Any, **__: Any) -> None:
    """Replaces a kernel."""


def seconds(run: Callable[[], Any]) -> float:
    """CPU time of this thread, which other work on the machine does not change."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def ratio(layer: str, task: str) -> float:
    """Ratio of the time of `LAYERS` layers to that of as many `torch.nn.Linear`, each the minimum of alternating
    rounds."""
    network = torch.nn.Sequential(*(LAYER[layer]() for _ in range(LAYERS)))
    plain = torch.nn.Sequential(*(torch.nn.Linear(16, 16, bias=False) for _ in range(LAYERS)))
    features = torch.randn(64, 16, requires_grad=task == "step")

    def run(module: torch.nn.Module, given: Any) -> None:
        y = module(given)
        if task == "step":
            getattr(y, "features", y).sum().backward()

    with interpreted():
        x = prepare(network, SparseTensor(features, random_sites(64), 8, 2))
        stub = mock.patch.object(InterpretedFunction, "run", nothing)
        with stub, torch.set_grad_enabled(task == "step"):
            for _ in range(3):
                run(network, x), run(plain, features)
            rounds = [(seconds(lambda: run(network, x)), seconds(lambda: run(plain, features))) for _ in range(ROUNDS)]
    layers, linear = map(min, zip(*rounds, strict=True))
    return layers / linear


def test_the_plan_of_a_launch_is_made_once_for_a_layer_and_a_coarse_size() -> None:
    layer = nn.SubmanifoldConv(16, 16, 3, bias=False)
    before = [room._plan.cache_info() for room in (convolution, weight_gradient)]
    with interpreted(), count_launches(skip=True):
        for count in (64, 80, 96):
            with count_launches():
                x = prepare(layer, SparseTensor(torch.randn(count, 16), random_sites(count), 8, 2))
            layer(x).features.sum().backward()
    after = [room._plan.cache_info() for room in (convolution, weight_gradient)]
    calls = [now.hits + now.misses - then.hits - then.misses for then, now in zip(before, after, strict=True)]
    made = [now.misses - then.misses for then, now in zip(before, after, strict=True)]
    assert calls == [3, 3]
    assert max(made) <= 1


@pytest.mark.parametrize(("layer", "task"), BUDGET)
def test_a_layer_keeps_its_budget_of_host_time(layer: str, task: str) -> None:
    found = ratio(layer, task)
    print(f"{layer}, {task}: {found:.1f} times a torch.nn.Linear")
    assert found < BUDGET[layer, task]

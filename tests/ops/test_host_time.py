"""What a layer costs the host before a GPU has anything to do, in units of a plain PyTorch module in the same run.

Kernels do nothing here: left are modules, functions, operators, autograd and the choice of a launch. On a GPU Triton's
own launch comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

import pytest
import torch
from triton.runtime.interpreter import InterpretedFunction

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.ops.triton.interpreted import interpreted
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
    ("submanifold", "forward"): 14.0,
    ("submanifold", "step"): 35.0,
    ("norm and ReLU", "forward"): 20.0,
    ("norm and ReLU", "step"): 28.0,
}
"""Host time of a layer over that of `torch.nn.Linear`, forward and with its gradients."""


def nothing(*_: Any, **__: Any) -> None:
    """In the place of a kernel."""


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratio(layer: str, task: str) -> float:
    """Median over rounds of the time of `LAYERS` layers over that of as many `torch.nn.Linear`."""
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
            return median(
                seconds(lambda: run(network, x)) / seconds(lambda: run(plain, features)) for _ in range(ROUNDS)
            )


@pytest.mark.parametrize(("layer", "task"), BUDGET)
def test_a_layer_keeps_its_budget_of_host_time(layer: str, task: str) -> None:
    found = ratio(layer, task)
    print(f"{layer}, {task}: {found:.1f} times a torch.nn.Linear")
    assert found < BUDGET[layer, task]

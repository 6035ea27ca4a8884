"""Where the host waits for a GPU: at the places named here, and nowhere in a pass whose rulebooks are built.

Every way to fetch a number off a tensor is watched while the Triton engine runs, interpreted.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from triton.runtime import interpreter

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.models import SparseUResNet
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.clouds import random_sites

FETCHES = ("tolist", "cpu", "numpy")
OPERATORS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="what is interpreted here runs on a GPU there")


class Watch(TorchDispatchMode):
    """Counts by function of the library how often a number is fetched, without what the interpreter itself fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()
        self.interpreting = False

    def note(self) -> None:
        if self.interpreting:
            return
        frame: Any = sys._getframe(2)
        while frame and (frame.f_code.co_name == "_read" or not frame.f_globals["__name__"].startswith("sscn_triton")):
            frame = frame.f_back
        self.places[frame.f_code.co_name if frame else "?"] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mask = func._schema.name == "aten::index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if mask or func._schema.name in OPERATORS:
            self.note()
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def watched() -> Iterator[Counter[str]]:
    """The Triton engine, interpreted, and the places where it fetched numbers."""
    watch = Watch()
    run = interpreter.GridExecutor.__call__

    def interpret(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch.interpreting = True
        try:
            return run(self, *args, **kwargs)
        finally:
            watch.interpreting = False

    def counted(fetch: Any) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            watch.note()
            return fetch(*args, **kwargs)

        return method

    with contextlib.ExitStack() as stack:
        stack.enter_context(interpreted())
        stack.enter_context(mock.patch.object(interpreter.GridExecutor, "__call__", interpret))
        for name in FETCHES:
            stack.enter_context(mock.patch.object(Tensor, name, counted(getattr(Tensor, name))))
        stack.enter_context(watch)
        yield watch.places


def tensor(count: int = 60) -> SparseTensor:
    return SparseTensor(torch.randn(count, 1), random_sites(count), 8, 2)


def test_each_rulebook_of_a_unet_synchronises_once_and_the_tensor_twice() -> None:
    """The tensor's range is checked and its duplicates are searched; then each rulebook tells the host its size."""
    network = SparseUResNet(filters=2, depth=3, repetitions=1)
    with watched() as places:
        prepare(network, tensor())
    assert places == {"_checked_range": 1, "unique_sites": 1, "submanifold_rules": 3, "_rules_to_reached": 2}


def test_a_step_on_rulebooks_that_are_built_never_waits() -> None:
    network = nn.Sequential(
        nn.SubmanifoldConv(1, 4, 3),
        nn.BatchNormReLU(4),
        nn.SparseConv(4, 4, 2, stride=2, groups=4),
        nn.BatchNorm(4),
        nn.InverseConv(4, 2, 2, stride=2),
        nn.Linear(2, 3),
        nn.MaxPool(2, stride=2),
        nn.AveragePool(2, stride=2),
    )
    with interpreted():
        x = prepare(network, tensor())
    with watched() as places:
        network(x).features.square().sum().backward()
    assert places == {}


def test_the_watch_notices_every_synchronisation() -> None:
    numbers = [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x.cpu(), lambda x: x.sum().item()]
    masks = [lambda x: bool(x.any()), lambda x: float(x[0]), lambda x: x[x > 0], lambda x: x.nonzero()]
    for way in [*numbers, *masks]:
        with watched() as places:
            way(torch.arange(3))
        assert places

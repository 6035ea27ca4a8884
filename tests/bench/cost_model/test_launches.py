"""Number of launches of the study's network on a GPU, fused and layer by layer; an increase is a regression.

The launches are counted without a GPU: kernels of this library replace the CPU's own code, and are listed instead of
run.
"""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes
from triton.runtime import interpreter

from sscn_triton import SparseTensor, models, prepare
from sscn_triton.bench.cost_model.launches import asked_by
from sscn_triton.ops.triton import sites
from sscn_triton.ops.triton.interpreted import interpreted
from sscn_triton.ops.triton.launch import count_launches
from tests.support.clouds import random_cloud, random_sites

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, not interpreted")


@pytest.fixture(scope="module")
def prepared() -> tuple[torch.nn.Module, SparseTensor]:
    torch.manual_seed(0)
    net, x = models.SparseUResNet(filters=16, depth=5), random_cloud(30, channels=1, size=32, dtype=torch.float32)
    with interpreted():
        return net, prepare(net, x)


LAYER_BY_LAYER = {"evaluation": 99, "forward": 171, "step": 475}
FUSED = {"evaluation": 55, "forward": 104, "step": 364}
RULEBOOKS = {"sites": 18, "submanifold": 13, "strided": 23}
AUTOCAST = {"forward": 111, "step": 377}


@pytest.mark.parametrize("most", [LAYER_BY_LAYER, FUSED], ids=["layer by layer", "fused"])
def test_launches_of_the_studys_network_are_no_more_than_they_were(prepared: Any, most: dict[str, int]) -> None:
    net, x = prepared
    plain = mock.patch("sscn_triton.nn.fusion.can_join", return_value=False)
    net.zero_grad(set_to_none=True)
    with interpreted(), contextlib.nullcontext() if most is FUSED else plain:
        found = {"step": asked_by(lambda: net.train()(x).features.sum().backward())}
        with torch.no_grad():
            found["forward"] = asked_by(lambda: net.train()(x))
            found["evaluation"] = asked_by(lambda: net.eval()(x))
    assert {name: asked.launches for name, asked in found.items()} == most, "\n".join(map(str, found.values()))
    assert not any(asked.waits for asked in found.values())


def test_under_autocast_convolutions_cast_neither_weights_nor_their_gradients(prepared: Any) -> None:
    """The casts that are left are those of the features and of PyTorch's linear layers."""
    net, x = prepared
    net.zero_grad(set_to_none=True)
    with interpreted(), torch.autocast("cpu", torch.bfloat16):
        step = asked_by(lambda: net.train()(x).features.sum().backward())
    with interpreted(), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        forward = asked_by(lambda: net.train()(x))
    assert {"forward": forward.launches, "step": step.launches} == AUTOCAST
    casts = forward.operators["_to_copy"], step.operators["_to_copy"]
    assert casts == (AUTOCAST["forward"] - FUSED["forward"], AUTOCAST["step"] - FUSED["step"])


def test_launches_that_build_rulebooks_are_no_more_than_they_were() -> None:
    """A sort counts as one. What the interpreter itself asks of PyTorch is not counted."""
    interpret = interpreter.GridExecutor.__call__

    def unwatched(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return interpret(*args, **kwargs)

    cloud = random_sites(40, size=32).int()
    threes, twos, ones, zeros = ((n,) * 3 for n in (3, 2, 1, 0))
    with mock.patch.object(interpreter.GridExecutor, "__call__", unwatched):
        found = {
            "sites": asked_by(lambda: sites.unique_sites(cloud), skip=False),
            "submanifold": asked_by(lambda: sites.submanifold_rules(cloud, threes, ones), skip=False),
            "strided": asked_by(lambda: sites.strided_rules(cloud, twos, twos, zeros, ones, ()), skip=False),
        }
    assert {name: asked.launches for name, asked in found.items()} == RULEBOOKS, "\n".join(map(str, found.values()))


def test_counted_launches_are_those_that_run(prepared: Any) -> None:
    """Kernels that are not skipped run as usual; the counted bytes are those of the tensors."""
    _, x = prepared
    rows = x.features.repeat(1, 16).contiguous()
    norm = models.uresnet.nn.BatchNorm(16).eval()
    with interpreted(), torch.no_grad():
        wanted = norm(x.replace(rows)).features
        with count_launches() as launched:
            found = norm(x.replace(rows)).features
    assert torch.equal(found, wanted)
    assert [launch.kernel for launch in launched] == ["normalize_kernel"]
    assert launched[0].memory == 4 * (2 * rows.numel() + 4 * 16)
    with interpreted():
        waited = asked_by(lambda: (x.features.sum().item(), x.features.nonzero()))
    assert waited.waits == 2

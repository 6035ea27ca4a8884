"""What the library does where older versions of PyTorch lack something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sscn_triton import nn
from sscn_triton.export import export_network, load_exported
from sscn_triton.ops import pytorch
from tests.support.clouds import random_cloud

NEEDS, PLAIN = torch.zeros(2, requires_grad=True), torch.zeros(2)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ((PLAIN, None, 3, [1, 2], "text"), False),
        ((PLAIN, NEEDS), True),
        ((3, [PLAIN, NEEDS]), True),
        (([PLAIN, None], (PLAIN,)), False),
        ((), False),
    ],
)
def test_the_substitute_finds_the_tensors_that_require_a_gradient(arguments: Any, needed: bool) -> None:
    assert pytorch._any_requires_grad(*arguments) is needed


def test_an_old_pytorch_exports_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pytorch, "_VERSION", (2, 7))
    message = rf"exporting a network and loading one need PyTorch 2\.8 or newer, this is {torch.__version__[:4]}"
    with pytest.raises(ValueError, match=message):
        export_network(nn.SubmanifoldConv(1, 1, 3).eval(), random_cloud(5))
    with pytest.raises(ValueError, match=message):
        load_exported(tmp_path / "network.pt2")

"""Other engines get the same network and weights, and are timed only if they give the same results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sscn_triton.bench.gpu.cells import TOY, Cell
from sscn_triton.bench.gpu.rivals.beside import compare, engines_for, measure
from sscn_triton.bench.gpu.rivals.layers import Dense
from sscn_triton.bench.gpu.rivals.networks import Rival
from sscn_triton.bench.gpu.subjects import Subject
from sscn_triton.bench.gpu.timing import Stopwatch
from tests.bench.gpu.toys import toy_batch

CELL, DENSE = TOY[0], "PyTorch dense conv3d"


class Mirror(Rival):
    """Uses this library in place of another engine, to test the conversion itself."""

    def leaf(self, layer: Any) -> torch.nn.Module:
        own = type(layer)(layer.in_channels, layer.out_channels, bias=False, **layer.geometry())
        own.load_state_dict(layer.state_dict())
        return own

    def build(self) -> Any:
        return self.subject.build()

    def with_features(self, x: Any, features: torch.Tensor) -> Any:
        return x.replace(features)

    def rows(self, x: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return x.features, x.coordinates


@pytest.mark.parametrize("network", ["uresnet2", "encoder-small", "layer2"])
def test_another_engine_is_given_the_same_network_and_weights(network: str) -> None:
    """In float64, because PyTorch and this library round norms over two sites differently."""
    batch = toy_batch(2)
    torch.set_default_dtype(torch.float64)
    try:
        batch = replace(batch, features=batch.features.double())
        subject = Subject(Cell(network, "step", "fp32", 8, "real", 2, "eager", "in"), batch, "cpu")
        rival = Mirror(subject)
        assert compare(subject, rival) < 1e-10
        subject.once(update=False)
        rival.once()
    finally:
        torch.set_default_dtype(torch.float32)
    own = [p.grad for p in rival.parameters if p.grad is not None]
    assert sum(p.numel() for p in rival.parameters) == sum(p.numel() for p in subject.network.parameters())
    assert float(torch.stack([g.norm() for g in own]).norm()) == pytest.approx(float(subject.gradients().norm()), 1e-4)


def test_an_engine_is_timed_beside_this_library_unless_it_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines_for(CELL) == ["PyTorch dense conv3d"]
    timed = measure(DENSE, CELL, toy_batch(), "cpu", Stopwatch("cpu", 1))
    assert timed["ratio"] == timed["ms"] / timed["sscn ms"]
    monkeypatch.setattr(Dense, "rows", lambda self, x: (2 * x, self.batch.coordinates))
    assert "its outputs differ" in measure(DENSE, CELL, toy_batch(), "cpu", Stopwatch("cpu", 1))["why not"]


def test_engines_run_only_what_they_can() -> None:
    assert engines_for(CELL._replace(mode="graph")) == []
    assert engines_for(CELL._replace(task="norm")) == []
    assert engines_for(CELL._replace(network="uresnet2")) == []  # the dense engine runs single layers

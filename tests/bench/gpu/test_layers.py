"""The shares of a layer's step are what a step computes, in the precision of the cell."""

from __future__ import annotations

import pytest
import torch

from sscn_triton import nn
from sscn_triton.bench.gpu import layers
from sscn_triton.bench.gpu.cells import TOY
from sscn_triton.bench.gpu.layers import Share, subject
from sscn_triton.bench.gpu.subjects import Subject
from tests.bench.gpu.toys import toy_batch

STEP = TOY[0]


def share(task: str, precision: str = "fp32") -> Share:
    found = subject(STEP._replace(task=task, precision=precision), toy_batch(), "cpu")
    assert isinstance(found, Share)
    return found


@pytest.mark.parametrize("task", ["input gradient", "weight gradient"])
def test_gradients_are_those_of_the_layer(task: str) -> None:
    one, whole = share(task), Subject(STEP, toy_batch(), "cpu")
    y = whole.network(whole.tensor).features
    (weight,) = whole.network.parameters()
    wanted = whole.features if task == "input gradient" else weight
    (right,) = torch.autograd.grad(y, wanted, one.gradient)
    torch.testing.assert_close(one.results()["outputs"], right)


def test_the_norm_and_its_step_are_those_of_batch_norm_with_relu() -> None:
    one = share("norm step")
    x = one.features.detach().requires_grad_()
    norm = torch.nn.BatchNorm1d(x.shape[1])
    y = torch.relu(norm(x))
    right = [y.detach(), *torch.autograd.grad(y, [x, *norm.parameters()], one.gradient)]
    for found, wanted in zip(one.results().values(), right, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(share("norm").results()["outputs"], right[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "setting"), [("fp32", "highest"), ("tf32", "medium")])
def test_a_share_computes_in_its_cells_precision(precision: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def convolution(*_: object) -> torch.Tensor:
        asked.append(torch.get_float32_matmul_precision())
        return torch.zeros(1)

    monkeypatch.setattr(layers, "convolution", convolution)
    share("input gradient", precision).once()
    assert asked == [setting]


def test_a_layer_of_stride_two_is_timed_as_a_whole() -> None:
    halving = next(cell for cell in TOY if cell.kind == "halving")
    found = subject(halving, toy_batch(), "cpu")
    assert type(found) is Subject
    assert isinstance(found.network, nn.SparseConv)

"""The dense control is the sparse network on a full block, and the study's dense network has the study's size."""

from __future__ import annotations

import pytest
import torch

from sscn_triton import SparseTensor
from sscn_triton.models import DenseUResNet, SparseUResNet
from sscn_triton.models.dense_uresnet import _BorderConv


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def twins(ndim: int, **changes: int) -> tuple[SparseUResNet, DenseUResNet]:
    """A sparse and a dense network with the same random weights, including norms and statistics."""
    torch.manual_seed(0)
    arguments = {"in_channels": 2, "num_classes": 3, "filters": 4, "depth": 3, "repetitions": 2, "ndim": ndim} | changes
    sparse, dense = SparseUResNet(**arguments).double(), DenseUResNet(**arguments).double()
    for value in (*sparse.parameters(), *sparse.buffers()):
        if value.is_floating_point():
            torch.nn.init.uniform_(value, 0.2, 0.6) if value.ndim == 1 else torch.nn.init.normal_(value, std=0.4)
    dense.load_sparse_weights(sparse)
    return sparse, dense


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_matched_network_equals_the_sparse_one_on_a_full_block(ndim: int, training: bool) -> None:
    sparse, dense = twins(ndim)
    sparse.train(training), dense.train(training)
    image = torch.randn(2, 2, *(8, 4, 12)[:ndim], dtype=torch.float64)
    torch.testing.assert_close(dense(image), sparse(SparseTensor.from_dense(image)).dense(), rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(dense.buffers(), sparse.buffers(), strict=True):  # running statistics have moved equally
        torch.testing.assert_close(mine, theirs)


def test_matched_network_gives_the_sparse_networks_gradients_on_a_full_block() -> None:
    sparse, dense = twins(2)
    image = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    weights = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    (dense(image) * weights).sum().backward()
    (sparse(SparseTensor.from_dense(image)).dense() * weights).sum().backward()
    for mine, theirs in zip(dense.parameters(), sparse.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad.norm(), theirs.grad.norm())


def test_parameter_counts_are_those_of_the_study() -> None:
    assert parameters(SparseUResNet()) == parameters(DenseUResNet()) == 2_741_477
    study = DenseUResNet(architecture="study")
    assert parameters(study) == 50_320_383
    unused = [block.shortcut for block in study.modules() if getattr(block, "takes_identity", False)]
    assert sum(parameters(shortcut) for shortcut in unused) == 440_944


def test_study_network_uses_batch_statistics_when_evaluating_too() -> None:
    torch.manual_seed(0)
    network = DenseUResNet(filters=2, depth=2, ndim=2, architecture="study")
    image = torch.rand(3, 1, 8, 12)
    logits = network(image)
    assert logits.shape == (3, 5, 8, 12)
    assert not list(network.buffers())
    torch.testing.assert_close(network.eval()(image), logits)
    # the last layer is a batch norm: each class's logits have mean 0 and variance 1
    torch.testing.assert_close(logits.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(logits.var((0, 2, 3), unbiased=False), torch.ones(5), rtol=0, atol=1e-2)


def test_study_convolutions_repeat_the_border_and_halve_from_the_first_voxel() -> None:
    image = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    for stride, sums in ((1, [1 + 1 + 2, 1 + 2 + 4, 2 + 4 + 8, 4 + 8 + 8]), (2, [1 + 2 + 4, 4 + 8 + 8])):
        layer = _BorderConv(1, 1, 1, stride)
        layer.norm = torch.nn.Identity()
        torch.nn.init.ones_(layer.conv.weight)
        torch.nn.init.zeros_(layer.conv.bias)
        assert layer(image).flatten().tolist() == sums


def test_study_network_never_uses_the_shortcut_of_an_identity_block() -> None:
    network = DenseUResNet(filters=2, depth=2, ndim=2, architecture="study")
    network(torch.rand(2, 1, 8, 8)).square().sum().backward()
    for block in network.modules():
        if hasattr(block, "takes_identity"):
            assert all((p.grad is None) == block.takes_identity for p in block.shortcut.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters must be at least 1, got 0"),
        ({"ndim": 4}, "ndim must be 1, 2 or 3, got 4"),
        ({"architecture": "other"}, "architecture must be 'matched' or 'study', got 'other'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseUResNet(**arguments)


def test_wrong_images_and_foreign_weights_are_refused() -> None:
    network = DenseUResNet(filters=2, depth=3, ndim=2)
    with pytest.raises(ValueError, match=r"divisible by 4, got \[8, 6\]"):
        network(torch.rand(1, 1, 8, 6))
    with pytest.raises(ValueError, match=r"x must be \[B, 1, 2 sizes\], got \[1, 3, 8, 8\]"):
        network(torch.rand(1, 3, 8, 8))
    for changes in ({"filters": 3}, {"depth": 2}, {"repetitions": 1}, {"ndim": 1}):
        other = {"filters": 2, "depth": 3, "ndim": 2} | changes
        before = [p.clone() for p in network.parameters()]
        with pytest.raises(ValueError, match="different layers"):
            network.load_sparse_weights(SparseUResNet(**other))
        assert all(torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True))
    with pytest.raises(ValueError, match="only the 'matched' architecture"):
        DenseUResNet(filters=2, depth=2, architecture="study").load_sparse_weights(SparseUResNet())

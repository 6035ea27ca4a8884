"""Tensors on one grid are joined row by row; pruned ones have a new grid and keep their path to the finer sites."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.functional import add, concatenate, inverse_conv, prune, sparse_conv, unpool
from tests.support.clouds import random_cloud


def test_channels_are_joined_and_values_added_on_one_grid() -> None:
    x = random_cloud(20, channels=3)
    y = x.replace(2 * x.features[:, :2])
    joined = concatenate([x, y, x])
    assert joined.grid is x.grid
    assert torch.equal(joined.features, torch.cat([x.features, y.features, x.features], 1))
    total = x + x.replace(x.features**2)
    assert total.grid is x.grid
    assert torch.equal(total.features, x.features + x.features**2)
    assert torch.equal(add(x, x).features, 2 * x.features)


def test_joined_tensors_keep_the_path_to_the_finer_sites() -> None:
    x = random_cloud(20)
    coarse = nn.MaxPool(2)(x)
    assert nn.Unpool(2)(concatenate([coarse, coarse]) + concatenate([coarse, coarse])).grid is x.grid


def test_tensors_of_different_grids_are_refused() -> None:
    x, y = random_cloud(20), random_cloud(20)
    for function in (lambda: concatenate([x, y]), lambda: add(x, y), lambda: x + y):
        with pytest.raises(
            ValueError, match=r"tensors are on different grids: Grid\(20 sites.*joined site by site only"
        ):
            function()
    with pytest.raises(ValueError, match="different grids"):
        concatenate([x, prune(x, torch.ones(20, dtype=torch.bool))])


def test_tensors_that_cannot_be_joined_are_refused() -> None:
    x = random_cloud(20)
    with pytest.raises(ValueError, match="at least one tensor is needed"):
        concatenate([])
    with pytest.raises(TypeError, match="all must be SparseTensors, got Tensor"):
        concatenate([x, x.features])
    with pytest.raises(ValueError, match="cannot add 1 channels to 3"):
        x + x.replace(x.features[:, :1])
    with pytest.raises(TypeError, match="unsupported operand"):
        x + 1


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_pruning_keeps_rows_their_order_and_their_gradients(count: int, ndim: int) -> None:
    x = random_cloud(count, ndim=ndim, size=32 if ndim == 1 else 8, batch_size=3)
    features = x.features.requires_grad_()
    keep = x.features[:, 0] > 0
    y = nn.Prune()(x.replace(features), keep)
    assert torch.equal(y.coordinates, x.coordinates[keep])
    assert torch.equal(y.features, x.features[keep])
    assert (y.spatial_shape, y.batch_size) == (x.spatial_shape, 3)
    y.features.sum().backward()
    assert torch.equal(features.grad, keep[:, None].expand(count, 3).double())


@pytest.mark.parametrize("kept", ["all", "some", "none"])
def test_an_inverse_after_pruning_restores_all_fine_sites_with_zeros_for_pruned_ones(kept: str) -> None:
    torch.manual_seed(0)
    x = random_cloud(40)
    down, up = (torch.randn(27, 3, 3, dtype=torch.float64) for _ in range(2))
    window = {"kernel_size": 3, "stride": 2, "padding": 1}
    coarse = sparse_conv(x, down, **window)
    keep = {"all": coarse.features[:, 0] == coarse.features[:, 0], "none": coarse.features[:, 0].isnan()}.get(
        kept, coarse.features[:, 0] > 0
    )
    zeroed = coarse.replace(coarse.features * keep[:, None])
    pruned = prune(coarse, keep)
    for function in (lambda y: inverse_conv(y, up, **window), lambda y: unpool(y, **window)):
        y = function(pruned)
        assert y.grid is x.grid
        torch.testing.assert_close(y.features, function(zeroed).features)


def test_derivatives_through_pruning_and_back_are_right() -> None:
    x = random_cloud(8, channels=2, ndim=2, size=4)
    weight = torch.randn(4, 2, 2, dtype=torch.float64)

    def function(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        y = sparse_conv(x.replace(features), weight, kernel_size=2, stride=2)
        keep = torch.arange(len(y)) % 2 == 0
        return inverse_conv(prune(y, keep), weight, kernel_size=2, stride=2).features

    leaves = (x.features.requires_grad_(), weight.requires_grad_())
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_a_layer_after_pruning_is_the_layer_on_the_sites_that_are_left() -> None:
    x = random_cloud(40)
    keep = x.features[:, 1] > 0
    layer = nn.Sequential(nn.SubmanifoldConv(3, 4, 3), nn.SparseConv(4, 4, 2, 2), nn.InverseConv(4, 2, 2, 2)).double()
    y = layer(prune(x, keep))
    wanted = layer(SparseTensor(x.features[keep], x.coordinates[keep], 8, 2))
    torch.testing.assert_close(y.features, wanted.features)


def test_an_invalid_mask_is_refused() -> None:
    x = random_cloud(5)
    with pytest.raises(ValueError, match=r"keep must be a bool tensor \[5\].*got torch.float64 \(5, 3\)"):
        prune(x, x.features)
    with pytest.raises(ValueError, match=r"keep must be a bool tensor \[5\].*got torch.bool \(4,\)"):
        prune(x, torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="got list"):
        prune(x, [True] * 5)
    with pytest.raises(ValueError, match="keep is on meta, but the tensor is on cpu"):
        prune(x, torch.ones(5, dtype=torch.bool, device="meta"))


class Pruning(torch.nn.Module):
    """A network whose coarse sites depend on its features."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.SparseConv(3, 3, 2, stride=2), nn.InverseConv(3, 3, 2, stride=2)

    def forward(self, x: SparseTensor) -> SparseTensor:
        x = self.down(x)
        return self.up(prune(x, x.features[:, 0] > 0))


def test_a_pruning_network_is_prepared_up_to_the_pruning() -> None:
    net, x = Pruning().double(), random_cloud(30)
    prepare(net, x)
    assert len(x.grid._steps) == 1
    assert net(x).grid is x.grid


def test_dense_and_back_is_the_same_tensor() -> None:
    x = random_cloud(30, batch_size=4)
    image = nn.ToDense()(x)
    assert image.shape == (4, 3, 8, 8, 8)
    batch, i, j, k = x.coordinates.long().unbind(1)
    assert torch.equal(image[batch, :, i, j, k], x.features)
    assert (image != 0).sum() == 90
    again = SparseTensor.from_dense(image)
    assert torch.equal(again.dense(), image)
    order = torch.tensor(sorted(range(30), key=lambda row: x.coordinates[row].tolist()))
    assert torch.equal(again.coordinates, x.coordinates[order])
    assert (again.batch_size, again.spatial_shape) == (4, (8, 8, 8))


def test_derivatives_of_dense_and_from_dense_are_right() -> None:
    x = random_cloud(4, channels=2, ndim=2, size=3)
    assert gradcheck(lambda f: x.replace(f**2).dense(), (x.features.requires_grad_(),))
    assert gradgradcheck(lambda f: x.replace(f**2).dense(), (x.features,))
    image = x.dense().detach().requires_grad_()
    (slope,) = torch.autograd.grad((SparseTensor.from_dense(image).features ** 2).sum(), image)
    assert torch.equal(slope, 2 * image.detach())


def test_dense_without_a_spatial_shape_is_refused() -> None:
    x = SparseTensor(torch.ones(1, 1), torch.tensor([[0, -5, 3]]))
    with pytest.raises(ValueError, match="dense\\(\\) needs a spatial_shape, but the coordinates are unbounded"):
        x.dense()
    with pytest.raises(TypeError, match="ToDense takes a SparseTensor, got Tensor"):
        nn.ToDense()(x.features)

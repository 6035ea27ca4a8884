"""A sparse tensor describes its content, keeps its rows in order, and refuses wrong arguments at once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sscn_triton import Grid, SparseTensor, nn
from tests.support import oracle
from tests.support.clouds import random_cloud, random_sites
from tests.support.strategies import points, seeds, values

ROWS = torch.zeros(2, 3)
SITES = torch.tensor([[0, 1, 2, 3], [1, -4, 5, 6]])


def test_attributes_equal_the_arguments_of_the_constructor() -> None:
    x = SparseTensor(ROWS, SITES)
    assert x.features is ROWS
    assert x.coordinates.dtype == torch.int32
    assert torch.equal(x.coordinates, SITES.int())
    assert (x.ndim, x.batch_size, x.spatial_shape, len(x)) == (3, 2, None, 2)
    assert (x.dtype, x.device) == (torch.float32, torch.device("cpu"))
    bounded = SparseTensor(ROWS, SITES.abs(), (8, 9, 10), batch_size=4)
    assert (bounded.spatial_shape, bounded.batch_size) == ((8, 9, 10), 4)
    assert SparseTensor(ROWS, SITES.abs(), 16).spatial_shape == (16, 16, 16)
    assert repr(bounded) == (
        "SparseTensor(2 sites, 3 channels, spatial_shape=(8, 9, 10), batch_size=4, dtype=torch.float32, device=cpu)"
    )


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_coordinates_come_in_any_integer_type(dtype: torch.dtype) -> None:
    assert torch.equal(SparseTensor(ROWS, SITES.abs().to(dtype)).coordinates, SITES.abs().int())


def test_coordinates_may_be_any_view_of_memory() -> None:
    sites = random_sites(20)
    turned = sites.flip(1).T.contiguous().T.flip(1)
    assert not turned.is_contiguous()
    x = SparseTensor(torch.zeros(20, 1), turned)
    assert x.coordinates.is_contiguous()
    assert torch.equal(x.coordinates, sites.int())


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_a_tensor_may_be_empty(ndim: int) -> None:
    x = SparseTensor(torch.zeros(0, 2), torch.zeros(0, 1 + ndim, dtype=torch.int), 5, batch_size=3)
    assert (len(x), x.ndim, x.batch_size) == (0, ndim, 3)
    assert x.dense().shape == (3, 2, *[5] * ndim)
    assert SparseTensor(torch.zeros(0, 2), torch.zeros(0, 1 + ndim, dtype=torch.int)).batch_size == 0
    assert len(SparseTensor.from_dense(torch.zeros(2, 1, *[3] * ndim))) == 0


def given_as(**changes: Any) -> Callable[[], SparseTensor]:
    return lambda: SparseTensor(**{"features": ROWS, "coordinates": SITES, **changes})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            given_as(features=[[1.0]]),
            TypeError,
            r"or float64 tensor \[N, channels\], got list: torch.as_tensor converts it",
        ),
        (given_as(features=ROWS.long()), TypeError, "got a torch.int64 tensor: features.float"),
        (given_as(features=torch.zeros(3, 3)), ValueError, r"with N = 2 rows, as in coordinates, got shape \(3, 3\)"),
        (given_as(features=torch.zeros(2)), ValueError, r"features must be \[N, channels\].*got shape \(2,\)"),
        (given_as(features=ROWS.to("meta")), ValueError, "features are on meta, coordinates on cpu: put both on one"),
        (
            given_as(coordinates=SITES.float()),
            TypeError,
            "an integer tensor.*float32 tensor: sscn_triton.quantize",
        ),
        (
            given_as(coordinates=SITES.numpy()),
            TypeError,
            "must be an integer tensor.*got ndarray: torch.as_tensor",
        ),
        (given_as(coordinates=SITES > 0), TypeError, "coordinates must be an integer tensor.*torch.bool"),
        (given_as(coordinates=SITES.to(torch.uint32)), TypeError, "int8 to int64 or uint8, got a torch.uint32 tensor"),
        (given_as(coordinates=SITES.to_sparse()), TypeError, "coordinates must be .* layout torch.strided"),
        (given_as(features=ROWS.to_sparse()), TypeError, "features must be .* layout torch.strided"),
        (
            given_as(features=ROWS.to("meta"), coordinates=SITES.to("meta")),
            ValueError,
            "coordinates are on meta, which has no values",
        ),
        (given_as(coordinates=SITES[:, :1]), ValueError, r"batch index first, D from 1 to 4, got shape \(2, 1\)"),
        (given_as(coordinates=SITES.repeat(1, 2)), ValueError, r"D from 1 to 4, got shape \(2, 8\)"),
        (
            given_as(coordinates=-SITES),
            ValueError,
            r"of batch \(column 0\) run from -1 to 0; the allowed range is 0 to",
        ),
        (given_as(coordinates=SITES * 2**30), ValueError, r"of axis 0 \(column 1\) run from -4294967296 to 1073741824"),
        (
            given_as(spatial_shape=8),
            ValueError,
            r"of axis 0 \(column 1\) run from -4 to 1; the allowed range is 0 to 7",
        ),
        (given_as(spatial_shape=(8, 8)), ValueError, "spatial_shape must be one integer or 3"),
        (given_as(spatial_shape=0), ValueError, "spatial_shape must be at least 1"),
        (given_as(spatial_shape=8.0), TypeError, "spatial_shape must be an integer or 3 integers"),
        (given_as(spatial_shape=np.array([8.0] * 3)), TypeError, r"spatial_shape must be an integer or 3 .* got array"),
        (given_as(spatial_shape=np.array([8, 8])), ValueError, "spatial_shape must be one integer or 3"),
        (given_as(batch_size=1), ValueError, r"of batch \(column 0\) run from 0 to 1; the allowed range is 0 to 0"),
        (given_as(batch_size=0), ValueError, "batch_size is 0, but coordinates has 2 rows"),
        (given_as(batch_size=-1), ValueError, "batch_size must be at least 0"),
        (given_as(batch_size=2**31), ValueError, "batch_size must be at least 0 and at most 2147483647"),
        (given_as(coordinates=SITES[[1, 1]]), ValueError, r"rows 0 and 1 are both \[1, -4, 5, 6\]; merge them with"),
    ],
)
def test_invalid_arguments_of_the_constructor_are_refused(
    make: Callable[[], SparseTensor], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
@given(sites=st.integers(1, 4).flatmap(points), seed=seeds)
def test_points_that_share_a_site_are_merged_as_the_oracle_does(how: str, sites: np.ndarray, seed: int) -> None:
    features = values(seed, len(sites), 2)
    x = SparseTensor.from_points(torch.tensor(features), torch.tensor(sites), duplicates=how)
    wanted_sites, wanted = oracle.reduce_duplicates(sites, features, how)
    assert oracle.as_sites(x.coordinates.numpy()) == wanted_sites
    np.testing.assert_allclose(x.features.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
def test_merged_points_have_the_right_gradients(how: str) -> None:
    sites = torch.tensor([[0, 1], [0, 2], [0, 1], [0, 1]])

    def merged(features: torch.Tensor) -> torch.Tensor:
        return SparseTensor.from_points(features, sites, duplicates=how).features

    features = torch.tensor([[1.0], [5.0], [3.0], [2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(merged, (features,))
    (slope,) = torch.autograd.grad(merged(features).sum(), features)
    third = 1 / 3
    wanted = {"sum": [1, 1, 1, 1], "mean": [third, 1, third, third], "max": [0, 1, 1, 0]}
    wanted |= {"first": [1, 1, 0, 0], "last": [0, 1, 0, 1]}
    torch.testing.assert_close(slope[:, 0], torch.tensor(wanted[how], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
def test_merging_adds_in_the_order_of_the_rows_and_rounds_once(how: str, dtype: torch.dtype) -> None:
    """Sums add the rows of each site in order in float64, so the bits do not depend on the rest of the batch."""
    generator = torch.Generator().manual_seed(0)
    sites = torch.randint(0, 5, (300, 3), generator=generator) * torch.tensor([0, 1, 1])
    features = torch.randn(300, 2, generator=generator, dtype=torch.float64).to(dtype)
    x = SparseTensor.from_points(features, sites, duplicates=how)
    assert x.dtype == dtype
    _, wanted = oracle.reduce_duplicates(sites.numpy(), features.double().numpy(), how)
    torch.testing.assert_close(x.features, torch.tensor(wanted).to(dtype), rtol=torch.finfo(dtype).eps, atol=0)
    rows = torch.randperm(300, generator=generator)
    for site, row in zip(x.coordinates, x.features, strict=True):
        mine = rows[(sites[rows] == site).all(1)].sort().values  # alone, in their original order
        alone = SparseTensor.from_points(features[mine], sites[mine], duplicates=how)
        assert torch.equal(alone.features[0], row)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
def test_merging_no_points_gives_no_sites(how: str) -> None:
    features = torch.zeros(0, 2, requires_grad=True)
    x = SparseTensor.from_points(features, torch.zeros(0, 4, dtype=torch.int), batch_size=2, duplicates=how)
    assert (x.features.shape, x.batch_size) == ((0, 2), 2)
    x.features.sum().backward()


def test_the_first_of_equal_maxima_gets_the_gradient_and_nan_is_the_maximum() -> None:
    sites = torch.tensor([[0, 1]] * 3)
    features = torch.tensor([[1.0, 2.0], [1.0, torch.nan], [0.0, 3.0]], requires_grad=True)
    merged = SparseTensor.from_points(features, sites, duplicates="max").features
    assert merged.isnan().tolist() == [[False, True]]
    merged[0, 0].backward()
    assert features.grad[:, 0].tolist() == [1, 0, 0]


def test_from_points_refuses_duplicates_unless_told_how_to_merge_them() -> None:
    sites = torch.tensor([[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="coordinates contain 1 duplicate sites"):
        SparseTensor.from_points(torch.zeros(2, 1), sites)
    with pytest.raises(ValueError, match="duplicates must be one of error, sum, mean, max, first, last, got 'median'"):
        SparseTensor.from_points(torch.zeros(2, 1), sites, duplicates="median")


def test_from_dense_takes_the_sites_where_some_channel_is_not_zero() -> None:
    image = torch.zeros(2, 2, 3, 4)
    image[1, 0, 2, 1], image[0, 1, 0, 3], image[1, 1, 2, 1] = 5.0, -1.0, torch.nan
    x = SparseTensor.from_dense(image)
    assert x.coordinates.tolist() == [[0, 0, 3], [1, 2, 1]]
    assert (x.spatial_shape, x.batch_size) == ((3, 4), 2)
    torch.testing.assert_close(x.features, torch.tensor([[0.0, -1.0], [5.0, torch.nan]]), equal_nan=True)
    with pytest.raises(ValueError, match=r"dense must be \[batch, channels, 1 to 4 axes\], got shape \(2, 3\)"):
        SparseTensor.from_dense(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"dense must be a float16, .* or float64 tensor, got a torch\.int64 tensor"):
        SparseTensor.from_dense(torch.zeros(1, 1, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"every spatial axis .* extent of at least 1, got \(1, 1, 2, 0\)"):
        SparseTensor.from_dense(torch.zeros(1, 1, 2, 0))
    with pytest.raises(ValueError, match="dense is on meta"):
        SparseTensor.from_dense(torch.zeros(1, 1, 2, device="meta"))


def test_replaced_features_share_the_grid() -> None:
    x = random_cloud(10)
    y = x.replace(torch.zeros(10, 7))
    assert y.grid is x.grid
    assert x.map(torch.exp).grid is x.grid
    for wrong in (torch.zeros(9, 3), torch.zeros(10)):
        with pytest.raises(ValueError, match=r"features must be \[10, channels\], one row per site"):
            x.replace(wrong)


def test_conversion_to_a_type_shares_the_grid_and_keeps_the_path() -> None:
    x = random_cloud(10)
    y = x.to(torch.float16)
    assert (y.dtype, y.grid) == (torch.float16, x.grid)
    assert y.path == x.path
    assert x.to(y.features).dtype == torch.float16
    coarse = nn.SparseConv(3, 3, 2, stride=2).double()(x)
    assert coarse.half().path == coarse.path


def test_names_of_types_and_devices_are_those_of_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    x = random_cloud(10)
    for name in ("half", "bfloat16", "float", "double"):
        y = getattr(x, name)()
        assert torch.equal(y.features, getattr(x.features, name)())
        assert (y.dtype, y.grid) == (getattr(x.features, name)().dtype, x.grid)
    asked: list[object] = []
    monkeypatch.setattr(SparseTensor, "to", lambda self, device: asked.append(device))
    for move in (x.cpu, x.cuda, lambda: x.cuda(1), lambda: x.cuda("cuda:2")):
        move()
    assert asked == ["cpu", "cuda", 1, "cuda:2"]


def test_a_detached_tensor_has_no_gradient_and_shares_grid_and_memory() -> None:
    x = random_cloud(10)
    y = x.replace(x.features.requires_grad_())
    z = y.detach()
    assert (z.grid, z.features.requires_grad, y.features.requires_grad) == (x.grid, False, True)
    assert z.features.data_ptr() == y.features.data_ptr()


def test_conversion_to_an_unsupported_type_is_refused_by_name() -> None:
    x = random_cloud(10)
    for dtype in (torch.int32, torch.bool, torch.complex64, torch.float8_e5m2):
        with pytest.raises(TypeError, match=f"or float64, and cannot become {dtype}"):
            x.to(dtype)
    with pytest.raises(ValueError, match="a SparseTensor cannot be on meta: its sites must be known"):
        x.to("meta")


@pytest.mark.parametrize(
    "shape", [np.array([8, 9, 10]), torch.Size([8, 9, 10]), [np.int64(8), np.int32(9), 10], np.array(10), np.int64(10)]
)
def test_a_spatial_shape_may_be_numpys_or_a_size(shape: Any) -> None:
    x = SparseTensor(ROWS, SITES.abs(), shape)
    assert x.spatial_shape in ((8, 9, 10), (10, 10, 10))
    assert all(type(extent) is int for extent in x.spatial_shape)


def test_copies_and_pickles_are_equal_and_independent() -> None:
    x = random_cloud(10)
    x.grid.submanifold((3, 3, 3), (1, 1, 1))
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.grid is not x.grid
        assert torch.equal(twin.features, x.features)
        assert torch.equal(twin.coordinates, x.coordinates)
        assert (twin.spatial_shape, twin.batch_size) == (x.spatial_shape, x.batch_size)


def test_a_grid_builds_a_rulebook_once() -> None:
    grid: Grid = random_cloud(10).grid
    assert grid.submanifold((3, 3, 3), (1, 1, 1)) is grid.submanifold((3, 3, 3), (1, 1, 1))
    assert grid.submanifold((3, 3, 3), (2, 1, 1)) is not grid.submanifold((3, 3, 3), (1, 1, 1))
    assert grid.events() is grid.events()
    assert repr(grid) == "Grid(10 sites, ndim=3, spatial_shape=(8, 8, 8), batch_size=2, 2 rulebooks)"

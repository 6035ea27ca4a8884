"""Points become voxels, and features of voxels return to points, as in loops over all points and voxels."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sscn_triton import SparseTensor, quantize, voxelize
from sscn_triton.functional import find_rows, interpolate, nearest
from sscn_triton.ops.triton.interpreted import interpreted
from tests.support.clouds import random_cloud
from tests.support.strategies import points, seeds, values

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
lengths = st.sampled_from([0.1, 0.3, 1.0, 3.0, 1 / 3, 7e-3])


@st.composite
def clouds(draw: st.DrawFn) -> tuple[np.ndarray, list[float], list[float]]:
    """Positions of any sign, many of them on borders of voxels; the voxel sizes and the origin, by axis."""
    ndim = draw(st.integers(1, 4))
    size = draw(st.lists(lengths, min_size=ndim, max_size=ndim))
    origin = draw(st.lists(st.sampled_from([0.0, -0.7, 12.5]), min_size=ndim, max_size=ndim))
    step = st.integers(-40, 40).map(lambda n: n / 4)
    rows = draw(st.lists(st.tuples(*[step] * ndim), max_size=12))
    return np.array(rows).reshape(len(rows), ndim) * size + origin, size, origin


def floor_of(position: float, size: float, origin: float) -> int:
    return math.floor((position - origin) / size)


@given(cloud=clouds())
def test_a_voxel_is_the_floor_of_the_distance_in_voxels(cloud: tuple[np.ndarray, list[float], list[float]]) -> None:
    positions, size, origin = cloud
    sites, rows = quantize(positions, size, origin=origin)
    assert (sites.dtype, rows.tolist()) == (torch.int32, list(range(len(positions))))
    wanted = [[floor_of(*axis) for axis in zip(row, size, origin, strict=True)] for row in positions.tolist()]
    assert sites.tolist() == wanted
    for site, row in zip(sites.tolist(), positions.tolist(), strict=True):  # exact, except for rounding
        for index, p, s, o in zip(site, row, size, origin, strict=True):
            exact = (Fraction(p) - Fraction(o)) / Fraction(s)
            assert index - Fraction(1, 10**12) <= exact <= index + 1 + Fraction(1, 10**12)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32, torch.uint8], ids=str)
def test_positions_of_any_type_are_divided_in_float64(dtype: torch.dtype) -> None:
    """In float32 the position 16777217 * 0.1 would be in another voxel."""
    positions = torch.tensor([[0.0, 1.0], [3.0, 7.0], [100.0, 96.0]]).to(dtype)
    sites, _ = quantize(positions, 0.1)
    assert sites.tolist() == [[floor_of(p, 0.1, 0.0) for p in row] for row in positions.double().tolist()]
    far = torch.tensor([[2.0**24 + 2]])
    assert quantize(far, 0.1).sites.tolist() == [[floor_of(2.0**24 + 2, 0.1, 0.0)]]


def test_arrays_and_tensors_give_the_same_and_are_not_written_to() -> None:
    array = values(0, 20, 3)
    kept = array.copy()
    for given_as in (array, torch.from_numpy(array), array.astype(np.float32), np.asfortranarray(array)):
        assert quantize(given_as, 0.5).sites.tolist() == np.floor(np.asarray(given_as) / 0.5).astype(int).tolist()
    assert np.array_equal(array, kept)


@given(cloud=clouds(), data=st.data())
def test_points_outside_the_limits_are_left_out_or_refused(cloud: Any, data: st.DataObject) -> None:
    positions, size, origin = cloud
    ends = [sorted(data.draw(st.tuples(st.integers(-9, 0), st.integers(1, 9)))) for _ in size]
    low = [o + a * s for (a, _), s, o in zip(ends, size, origin, strict=True)]
    high = [o + b * s for (_, b), s, o in zip(ends, size, origin, strict=True)]
    inside = [all(a <= p < b for p, a, b in zip(row, low, high, strict=True)) for row in positions.tolist()]
    sites, rows = quantize(positions, size, origin=origin, limits=(low, high), outside="drop")
    assert rows.tolist() == [row for row, kept in enumerate(inside) if kept]
    for site, row in zip(sites.tolist(), rows.tolist(), strict=True):
        for index, p, s, o, (_, b) in zip(site, positions[row], size, origin, ends, strict=True):
            assert index == min(floor_of(p, s, o), b - 1)
    if all(inside):
        assert torch.equal(quantize(positions, size, origin=origin, limits=(low, high)).sites, sites)
    else:
        words = rf"{inside.count(False)} of {len(positions)} positions are outside .* first row {inside.index(False)},"
        with pytest.raises(ValueError, match=words):
            quantize(positions, size, origin=origin, limits=(low, high))


def test_limits_are_the_origin_and_the_extent_unless_another_origin_is_named() -> None:
    """70.4 / 0.05 and 0.3 / 0.1 are integers except for rounding; so are numbers in float32."""
    points = torch.tensor([[0.0, -40.0, -3.0], [70.39, 39.9, 0.95]])
    limits = ([0, -40, -3], [70.4, 40, 1])
    voxels = voxelize(torch.ones(2, 1), points, [0.05, 0.05, 0.1], limits=limits)
    assert voxels.tensor.spatial_shape == (1408, 1600, 40)
    assert voxels.tensor.coordinates.tolist() == [[0, 0, 0, 0], [0, 1407, 1598, 39]]
    line = torch.tensor([[0.25]])
    for limits, origin, shape in [((0, 0.3), None, (3,)), ((0, 0.31), None, (4,)), ((0.2, 0.3), 0.0, (3,))]:
        assert voxelize(torch.ones(1, 1), line, 0.1, limits=limits, origin=origin).tensor.spatial_shape == shape
    assert voxelize(torch.ones(1, 1), line, 0.1, limits=(0, 0.3), origin=0.2).tensor.spatial_shape is None
    step = float(np.float32(0.1))
    assert voxelize(torch.ones(1, 1), line, step, limits=(0, 51.2)).tensor.spatial_shape == (512,)


def test_the_last_point_below_the_upper_limit_is_in_the_last_voxel() -> None:
    """The quotient may be rounded up to the integer of the limit."""
    for size, count in itertools.product([0.1, 1 / 3, 0.7, 1e-3], range(1, 200)):
        high = size * count
        last = torch.tensor([[math.nextafter(high, 0.0)]], dtype=torch.float64)
        assert quantize(last, size, limits=(0, high)).sites.tolist() == [[count - 1]]


POINTS = torch.tensor([[0.5, 1.5], [2.5, -3.5]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"positions": POINTS[0]}, ValueError, r"positions must be \[N, D\], D from 1 to 4, without a batch index"),
        ({"positions": POINTS.repeat(1, 3)}, ValueError, r"got shape \(2, 6\)"),
        ({"positions": [[0.5]]}, TypeError, r"positions must be a tensor of real numbers \[N, D\], got list"),
        ({"positions": POINTS > 0}, TypeError, "got a torch.bool tensor"),
        ({"positions": np.array([["a"]])}, TypeError, "positions must be real numbers .* got an array of <U1"),
        ({"positions": POINTS.to("meta")}, ValueError, "positions are on meta"),
        ({"positions": POINTS * math.nan}, ValueError, r"positions must be finite: row 0 is \[nan, nan\]"),
        ({"positions": POINTS / torch.tensor([[1.0], [0.0]])}, ValueError, r"must be finite: row 1 is \[inf, -inf\]"),
        ({"voxel_size": 0}, ValueError, "voxel_size must be positive on every axis, got 0"),
        ({"voxel_size": (1.0, -1.0)}, ValueError, "voxel_size must be positive"),
        ({"voxel_size": (1.0, 1.0, 1.0)}, ValueError, r"voxel_size must be one number or 2 \(one per axis\), got 3"),
        ({"voxel_size": math.inf}, ValueError, "voxel_size must be finite"),
        ({"voxel_size": "3"}, TypeError, "voxel_size must be a number or 2 numbers"),
        ({"voxel_size": None}, TypeError, "voxel_size must be a number or 2 numbers"),
        ({"origin": (0.0,)}, ValueError, "origin must be one number or 2"),
        ({"outside": "clip"}, ValueError, "outside must be one of error, drop, got 'clip'"),
        ({"outside": "drop"}, ValueError, "outside='drop' needs limits"),
        ({"limits": (1, 1)}, ValueError, "the lower limit must be below the upper one"),
        ({"limits": 5}, ValueError, r"limits must be a pair \(low, high\), got 5"),
        ({"limits": (0, (1, 2, 3))}, ValueError, "the upper limit must be one number or 2"),
        ({"limits": (-5, 2)}, ValueError, r"1 of 2 positions are outside .* first row 1, \[2.5, -3.5\]: .*'drop'"),
        ({"voxel_size": 1e-10}, ValueError, r"axis 0 run from 0.5 to 2.5: .* voxels are 5e\+09 to 2.5e\+10, but int32"),
        ({"voxel_size": 1e-320}, ValueError, "their voxels are inf to inf, but int32 holds"),
    ],
)
def test_invalid_arguments_of_quantize_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        quantize(**{"positions": POINTS, "voxel_size": 1.0} | change)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": np.ones((2, 1))}, TypeError, "features must be a floating-point tensor .* got ndarray"),
        ({"features": torch.ones(3, 1)}, ValueError, "N = 2 rows, as in positions"),
        ({"positions": POINTS.numpy()}, TypeError, "positions must be a tensor .* got ndarray"),
        ({"batch": torch.zeros(3, dtype=torch.int)}, ValueError, r"batch must be \[2\], one event per position"),
        ({"batch": torch.zeros(2)}, TypeError, r"batch must be an integer tensor \[N\], got a torch.float32 tensor"),
        ({"batch": torch.tensor([0, -1])}, ValueError, r"of batch \(column 0\) run from -1 to 0"),
        ({"duplicates": "median"}, ValueError, "duplicates must be one of"),
    ],
)
def test_invalid_arguments_of_voxelize_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        voxelize(**{"features": torch.ones(2, 1), "positions": POINTS, "voxel_size": 1.0} | change)


def test_no_limit_hides_a_position_that_is_not_a_number() -> None:
    positions = torch.tensor([[0.5], [math.nan]])
    with pytest.raises(ValueError, match=r"positions must be finite: row 1 is \[nan\]"):
        quantize(positions, 1.0, limits=(0, 1), outside="drop")


@pytest.mark.parametrize("how", ["sum", "mean", "max", "first", "last"])
@given(cloud=clouds(), seed=seeds, drop=st.booleans())
def test_voxels_merge_the_features_of_their_points_and_give_the_voxel_of_each_point(
    how: str, cloud: tuple[np.ndarray, list[float], list[float]], seed: int, drop: bool
) -> None:
    positions, size, origin = cloud
    features, events = values(seed, len(positions), 2), np.random.default_rng(seed).integers(0, 3, len(positions))
    inside = {"limits": (origin, [o + 5 * s for o, s in zip(origin, size, strict=True)]), "outside": "drop"}
    tensors = [torch.from_numpy(a) for a in (features, positions)]
    voxels = voxelize(
        *tensors,
        size,
        origin=origin,
        batch=torch.from_numpy(events),
        batch_size=3,
        duplicates=how,
        **(inside if drop else {}),
    )
    sites, rows = quantize(positions, size, origin=origin, **(inside if drop else {}))
    members: dict[tuple[int, ...], list[int]] = {}
    for row, site in zip(rows.tolist(), sites.tolist(), strict=True):
        members.setdefault((int(events[row]), *site), []).append(row)
    assert voxels.rows.tolist() == rows.tolist()
    assert list(map(tuple, voxels.tensor.coordinates.tolist())) == list(members)
    merge = {"sum": np.sum, "mean": np.mean, "max": np.max}
    for line, rows_here in zip(voxels.tensor.features.numpy(), members.values(), strict=True):
        chosen = features[rows_here]
        wanted = merge[how](chosen, 0) if how in merge else chosen[0 if how == "first" else -1]
        np.testing.assert_allclose(line, wanted, rtol=1e-12, atol=1e-12)
    for place, row in zip(voxels.inverse.tolist(), voxels.rows.tolist(), strict=True):
        assert row in list(members.values())[place]


@pytest.mark.parametrize("how", ["error", "sum", "mean", "max", "first", "last"])
@given(sites=st.integers(1, 4).flatmap(points))
def test_from_points_returns_the_row_of_each_point_on_request(how: str, sites: np.ndarray) -> None:
    """Like numpy.unique and torch.unique."""
    if how == "error":
        sites = np.unique(sites, axis=0)
    coordinates = torch.from_numpy(sites)
    features = torch.from_numpy(values(0, len(sites), 2))
    x, inverse = SparseTensor.from_points(features, coordinates, duplicates=how, return_inverse=True)
    assert inverse.dtype == torch.int64
    assert torch.equal(x.coordinates[inverse], coordinates.int())
    assert torch.equal(SparseTensor.from_points(features, coordinates, duplicates=how).features, x.features)


def test_without_a_batch_all_points_belong_to_one_event() -> None:
    assert voxelize(torch.ones(2, 1), POINTS, 1.0).tensor.batch_size == 1
    empty = voxelize(torch.ones(0, 1), POINTS[:0], 1.0)
    assert (len(empty.tensor), empty.tensor.batch_size, empty.tensor.ndim) == (0, 1, 2)
    assert voxelize(torch.ones(2, 1), POINTS, 1.0, limits=(9, 10), outside="drop").rows.tolist() == []
    assert voxelize(torch.ones(2, 1), POINTS, 1.0, batch=torch.tensor([3, 1])).tensor.batch_size == 4


def weights_of(position: np.ndarray) -> dict[tuple[int, ...], float]:
    """The 2^D voxels around a position in voxels, with their weights."""
    below = [math.floor(p - 0.5) for p in position]
    shares = {}
    for corner in itertools.product((0, 1), repeat=len(position)):
        site = tuple(b + c for b, c in zip(below, corner, strict=True))
        shares[site] = math.prod(1 - abs(p - (s + 0.5)) for p, s in zip(position, site, strict=True))
    return shares


@pytest.mark.parametrize("missing", ["renormalize", "zero"])
@given(sites=st.integers(1, 4).flatmap(points), seed=seeds, data=st.data())
def test_features_at_points_are_those_of_a_loop_over_voxels(
    missing: str, sites: np.ndarray, seed: int, data: st.DataObject
) -> None:
    ndim = sites.shape[1] - 1
    features = torch.from_numpy(values(seed, len(sites), 2))
    x = SparseTensor.from_points(features, torch.from_numpy(sites), batch_size=2, duplicates="first")
    table = {tuple(site): row for site, row in zip(x.coordinates.tolist(), x.features.numpy(), strict=True)}
    size = data.draw(st.lists(lengths, min_size=ndim, max_size=ndim))
    count = data.draw(st.integers(0, 8))
    rng = np.random.default_rng(seed)
    inside = np.where(
        rng.random((count, 1)) < 0.5, rng.normal(0, 3, (count, ndim)), rng.integers(-8, 8, (count, ndim)) / 2
    )
    events = rng.integers(0, 2, count)
    where = {"batch": torch.from_numpy(events), "voxel_size": size, "origin": -2.0}
    positions = torch.from_numpy(inside * size - 2.0)
    units = ((positions + 2.0) / torch.tensor(size, dtype=torch.float64)).numpy()
    near, there = nearest(x, positions, **where)
    between, found = interpolate(x, positions, **where, missing=missing)
    for number, (event, position) in enumerate(zip(events.tolist(), units, strict=True)):
        mine = table.get((event, *(math.floor(p) for p in position)))
        assert there[number] == (mine is not None)
        np.testing.assert_array_equal(near[number], np.zeros(2) if mine is None else mine)
        shares = {s: w for s, w in weights_of(position).items() if (event, *s) in table}
        total = sum(shares.values())
        wanted = sum((w * table[(event, *s)] for s, w in shares.items()), np.zeros(2))
        assert found[number] == (total > 0)
        if missing == "renormalize" and total > 0:
            wanted = wanted / total
        np.testing.assert_allclose(between[number], wanted, rtol=1e-9, atol=1e-9)


@given(cloud=st.integers(1, 4).flatmap(lambda ndim: st.tuples(points(ndim), points(ndim))))
def test_find_rows_gives_the_rows_of_a_dictionary(cloud: tuple[np.ndarray, np.ndarray]) -> None:
    sites, wanted = cloud
    x = SparseTensor.from_points(torch.zeros(len(sites), 1), torch.from_numpy(sites), duplicates="first")
    table = {tuple(site): row for row, site in enumerate(x.coordinates.tolist())}
    rows = find_rows(x, torch.from_numpy(wanted))
    assert rows.tolist() == [table.get(tuple(site), -1) for site in wanted.tolist()]


def test_a_search_reaches_to_the_ends_of_the_integers() -> None:
    ends = [-(2**31), 2**31 - 1]
    x = SparseTensor(torch.tensor([[1.0], [2.0]]), torch.tensor([[0, ends[0]], [0, ends[1]]]))
    wanted = torch.tensor([[0, ends[1]], [0, ends[0]], [0, 0], [0, 2**40], [-1, ends[0]], [0, -(2**63)]])
    assert find_rows(x, wanted).tolist() == [1, 0, -1, -1, -1, -1]
    features, found = interpolate(x, torch.tensor([[-(2.0**31) - 0.25], [1e300], [2.0**31]], dtype=torch.float64))
    assert (features[:, 0].tolist(), found.tolist()) == ([1.0, 0.0, 2.0], [True, False, True])


@pytest.mark.parametrize("missing", ["renormalize", "zero"])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_features_at_points_have_gradients_of_any_order(missing: str, ndim: int) -> None:
    x = random_cloud(6, 2, ndim=ndim, size=3, batch_size=2)
    generator = torch.Generator().manual_seed(ndim)
    positions = torch.rand(5, ndim, generator=generator, dtype=torch.float64) * 3
    batch = torch.tensor([0, 1, 0, 1, 1])

    def between(features: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return interpolate(x.replace(features), at, batch=batch, missing=missing)[0]

    def near(features: torch.Tensor) -> torch.Tensor:
        return nearest(x.replace(features), positions, batch=batch)[0]

    features = x.features.requires_grad_()
    assert torch.autograd.gradcheck(near, (features,))
    assert torch.autograd.gradcheck(between, (features, positions.requires_grad_()))
    assert torch.autograd.gradgradcheck(between, (features, positions))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_interpolation_rounds_once_in_every_type(dtype: torch.dtype) -> None:
    x = random_cloud(60, 3, size=4)
    narrow = x.to(dtype)
    positions = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) * 4
    batch = torch.arange(50) % 2
    wanted, found = interpolate(narrow.double(), positions, batch=batch)
    got, same = interpolate(narrow, positions, batch=batch)
    assert got.dtype == dtype
    assert torch.equal(found, same)
    scale = torch.finfo(dtype if dtype != torch.float64 else torch.float32).eps
    torch.testing.assert_close(got.double(), wanted, rtol=2 * scale, atol=2 * scale)


def test_interpolation_is_exact_for_linear_functions() -> None:
    full = torch.stack(torch.meshgrid(*[torch.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    slope = torch.tensor([[0.5], [-2.0], [3.0]], dtype=torch.float64)
    x = SparseTensor((full.double() + 0.5) * 0.3 @ slope, torch.nn.functional.pad(full, (1, 0)))
    positions = 0.15 + 1.2 * torch.rand(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    features, found = interpolate(x, positions, voxel_size=0.3)
    assert found.all()
    torch.testing.assert_close(features, positions @ slope)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_lookups_in_empty_tensors_find_nothing(ndim: int) -> None:
    empty = SparseTensor(torch.zeros(0, 2, requires_grad=True), torch.zeros(0, 1 + ndim, dtype=torch.int))
    full = random_cloud(3, 2, ndim=ndim, batch_size=1, size=4)
    for x, positions in [(empty, torch.ones(2, ndim)), (full, torch.ones(0, ndim)), (empty, torch.ones(0, ndim))]:
        for look in (nearest, interpolate):
            features, found = look(x, positions)
            assert (features.shape, found.any()) == ((len(positions), 2), False)
            assert not features.any()
    interpolate(empty, torch.ones(2, ndim))[0].sum().backward()


@pytest.mark.parametrize("look", [nearest, interpolate])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.ones(2, 3)}, TypeError, "x must be a SparseTensor, got Tensor"),
        ({"positions": torch.ones(2, 4)}, ValueError, r"positions must be \[N, D\], D = 3 as in the sparse tensor"),
        ({"positions": torch.ones(2, 3) / 0}, ValueError, "positions must be finite: row 0"),
        ({"positions": torch.ones(2, 3, device="meta")}, ValueError, "positions are on meta"),
        (
            {"batch": None},
            ValueError,
            r"the tensor has 2 events: pass the event of each position, batch=\[M\] integers",
        ),
        ({"batch": torch.tensor([0, 2])}, ValueError, "batch runs from 0 to 2; the allowed range is 0 to 1"),
        ({"batch": torch.tensor([0])}, ValueError, r"batch must be \[2\], one event per position"),
        ({"voxel_size": 0.0}, ValueError, "voxel_size must be positive"),
        ({"origin": (0.0, 0.0)}, ValueError, "origin must be one number or 3"),
    ],
)
def test_invalid_lookups_are_refused(look: Any, change: dict[str, Any], error: type[Exception], message: str) -> None:
    given_as = {"x": random_cloud(8), "positions": torch.ones(2, 3), "batch": torch.tensor([0, 1])} | change
    with pytest.raises(error, match=message):
        look(**given_as)


def test_invalid_options_and_coordinates_of_lookups_are_refused() -> None:
    x = random_cloud(8)
    with pytest.raises(ValueError, match="missing must be one of renormalize, zero, got 'nan'"):
        interpolate(x, torch.ones(1, 3), missing="nan")
    with pytest.raises(TypeError, match=r"coordinates must be an integer tensor \[M, 4\], got a torch.float32 tensor"):
        find_rows(x, torch.ones(1, 4))
    with pytest.raises(ValueError, match=r"coordinates must be \[M, 4\], batch index first, got shape \(1, 3\)"):
        find_rows(x, torch.ones(1, 3, dtype=torch.int))
    with pytest.raises(ValueError, match="coordinates are on meta, but the tensor is on cpu"):
        find_rows(x, torch.ones(1, 4, dtype=torch.int, device="meta"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is interpreted here runs on a GPU there")
@pytest.mark.newest
def test_the_triton_engine_gives_the_same_results() -> None:
    x = random_cloud(40, 3, size=4, dtype=torch.float32)
    positions = torch.rand(12, 3, generator=torch.Generator().manual_seed(0)) * 4
    batch = torch.arange(12) % 2
    wanted = [*nearest(x, positions, batch=batch), *interpolate(x, positions, batch=batch)]
    twin = SparseTensor(x.features, x.coordinates, x.spatial_shape, x.batch_size)
    with interpreted():
        got = [*nearest(twin, positions, batch=batch), *interpolate(twin, positions, batch=batch)]
        voxels = voxelize(torch.ones(12, 1), positions, 1.0, batch=batch, duplicates="sum")
    for one, other in zip(wanted, got, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(voxels.inverse, voxelize(torch.ones(12, 1), positions, 1.0, batch=batch).inverse)

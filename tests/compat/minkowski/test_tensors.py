"""Sparse tensors, fields and their manager behave as MinkowskiEngine documents them."""

from __future__ import annotations

import pytest
import torch

import sscn_triton.compat.minkowski as ME

Mode = ME.SparseTensorQuantizationMode
COORDINATES = torch.tensor([[0, 1], [0, 1], [0, 2], [0, 2], [1, 0], [1, 0], [1, 1]]).int()
FEATURES = torch.tensor([[0.0, 1, 2, 3, 5, 6, 7]]).T
MERGED = {
    Mode.RANDOM_SUBSAMPLE: [0, 2, 5, 7],
    Mode.UNWEIGHTED_AVERAGE: [0.5, 2.5, 5.5, 7],
    Mode.UNWEIGHTED_SUM: [1, 5, 11, 7],
    Mode.MAX_POOL: [1, 3, 6, 7],
}


def tensor(mode: Mode = Mode.RANDOM_SUBSAMPLE, **more) -> ME.SparseTensor:
    return ME.SparseTensor(FEATURES, COORDINATES, quantization_mode=mode, **more)


@pytest.mark.parametrize("mode", list(MERGED))
def test_rows_that_share_a_site_are_merged_as_the_mode_says(mode: Mode) -> None:
    x = tensor(mode)
    assert x.F[:, 0].tolist() == MERGED[mode]
    assert x.C.tolist() == [[0, 1], [0, 2], [1, 0], [1, 1]]
    assert torch.equal(COORDINATES[x.unique_index][x.inverse_mapping], COORDINATES)
    field = ME.TensorField(FEATURES, COORDINATES.float() + 0.5, quantization_mode=mode)
    y = field.sparse()
    assert (y.F[:, 0].tolist(), y.C.tolist()) == (MERGED[mode], x.C.tolist())
    again = field.sparse(coordinate_map_key=y.coordinate_map_key)
    assert again.F[:, 0].tolist() == MERGED[mode]
    for given, result in ((x, x.slice(x)), (field, y.slice(field))):
        assert result.F[:, 0].tolist() == [MERGED[mode][n] for n in (0, 0, 1, 1, 2, 2, 3)], given
    assert y.cat_slice(field).F[:, 1].tolist() == FEATURES[:, 0].tolist()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_labels_and_masks_are_features_until_a_layer_computes_with_them(dtype: torch.dtype) -> None:
    labels = FEATURES.to(dtype)
    x = ME.SparseTensor(labels, COORDINATES)
    assert torch.equal(x.F, labels[[0, 2, 4, 6]])
    y = tensor()
    mask = ME.SparseTensor(x.F, coordinate_map_key=y.coordinate_map_key, coordinate_manager=y.coordinate_manager)
    assert torch.equal((y * mask).F, y.F * x.F)
    assert ME.MinkowskiPruning()(mask, torch.tensor([True, False, True, False])).F.dtype == dtype
    assert (
        mask.dense()[0].dtype == ME.MinkowskiToDenseTensor()(mask).dtype == ME.MinkowskiToFeature()(mask).dtype == dtype
    )
    more = ME.SparseTensor(torch.tensor([[2.5]]), torch.tensor([[0, 9]]).int(), coordinate_manager=y.coordinate_manager)
    assert (mask + more).F[:, 0].tolist() == [*x.F[:, 0].tolist(), 2.5]
    for layer in (ME.MinkowskiConvolution(1, 1, 3, dimension=1), ME.MinkowskiReLU(), ME.MinkowskiLinear(1, 1)):
        refused("features must be a floating-point tensor", lambda layer=layer: layer(mask), TypeError)
    refused("features must be a floating-point tensor", lambda: mask.features_at_coordinates(COORDINATES), TypeError)
    refused("floating|float", lambda: ME.SparseTensor(labels, COORDINATES, quantization_mode=Mode.MAX_POOL), TypeError)


def test_other_quantizations_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="3 coordinates repeat a site, which NO_QUANTIZATION refuses"):
        tensor(Mode.NO_QUANTIZATION)
    with pytest.raises(ValueError, match=r"use TensorField\.splat"):
        tensor(Mode.SPLAT_LINEAR_INTERPOLATION)
    with pytest.raises(ValueError, match=r"use splat\(\)"):
        ME.TensorField(FEATURES, COORDINATES, quantization_mode=Mode.SPLAT_LINEAR_INTERPOLATION)


def test_events_are_decomposed_with_empty_ones() -> None:
    x = ME.SparseTensor(torch.arange(5.0)[:, None], torch.tensor([[2, 0], [0, 1], [0, 2], [2, 2], [0, 0]]).int())
    coordinates, features = x.decomposed_coordinates_and_features
    assert [part[:, 0].tolist() for part in coordinates] == [[1, 2, 0], [], [0, 2]]
    assert [part[:, 0].tolist() for part in features] == [[1, 2, 4], [], [0, 3]]
    assert x.coordinates_at(2)[:, 0].tolist() == [0, 2]
    assert x.features_at(0)[:, 0].tolist() == [1, 2, 4]
    assert (x.coordinates_at(3).shape, x.features_at(1).shape) == ((0, 1), (0, 1))


def test_fractions_are_rounded_down_with_a_warning_and_coordinates_are_copies() -> None:
    with pytest.warns(UserWarning, match="rounded down"):
        x = ME.SparseTensor(torch.ones(2, 1), torch.tensor([[0, -0.5], [0, 1.5]]))
    assert x.C.tolist() == [[0, -1], [0, 1]]
    x.C[:] = 7
    assert x.coordinate_manager.get_coordinates(x.coordinate_map_key).tolist() == [[0, -1], [0, 1]]


def test_arithmetic_in_place_needs_one_map_and_leaves_other_tensors() -> None:
    x = ME.SparseTensor(torch.ones(2, 1), COORDINATES[[0, 2]])
    y = x * 3
    y += x
    y -= x * 0.5
    y *= x * 2
    y /= x
    assert (y.F[:, 0].tolist(), x.F[:, 0].tolist()) == ([7, 7], [1, 1])
    z = ME.SparseTensor(torch.ones(1, 1), COORDINATES[:1], coordinate_manager=x.coordinate_manager)
    with pytest.raises(ValueError, match="one coordinate map"):
        y += z
    for error in (ValueError, AssertionError):  # MinkowskiEngine's programs catch the latter
        with pytest.raises(error, match="share a coordinate manager"):
            y + tensor()
    assert (y**2).F[0] == 49


def test_tensors_share_a_manager_in_the_mode_that_says_so() -> None:
    ME.set_sparse_tensor_operation_mode(ME.SparseTensorOperationMode.SHARE_COORDINATE_MANAGER)
    try:
        x, y = tensor(), tensor()
        assert x.coordinate_manager is y.coordinate_manager is ME.global_coordinate_manager()
        assert len(ME.MinkowskiUnion()(x, y)) == len(x)
    finally:
        ME.clear_global_coordinate_manager()
        ME.set_sparse_tensor_operation_mode(ME.SparseTensorOperationMode.SEPARATE_COORDINATE_MANAGER)
    assert tensor().coordinate_manager is not tensor().coordinate_manager
    with pytest.raises(TypeError, match="SparseTensorOperationMode"):
        ME.set_sparse_tensor_operation_mode(1)


def test_images_and_back() -> None:
    image = torch.zeros(2, 3, 4, 5)
    image[0, :, 1, 2], image[1, 1, 3, 4] = 1, 2
    x = ME.to_sparse(image)
    assert x.C.tolist() == [[0, 1, 2], [1, 3, 4]]
    dense, corner, stride = x.dense(image.shape)
    assert torch.equal(dense, image)
    assert torch.equal(x.dense(image.shape, min_coordinate=0)[0], image)
    with pytest.raises(TypeError, match="min_coordinate must be 0 or an int32 tensor of 2 numbers, got 3"):
        x.dense(image.shape, min_coordinate=3)
    assert (corner.tolist(), stride.tolist()) == ([[1, 2]], [1, 1])
    assert torch.equal(x.sparse(torch.zeros(2).int(), torch.tensor([3, 4]).int())[0].to_dense(), image.movedim(1, -1))
    assert torch.equal(ME.to_sparse(image.movedim(1, -1), format="BXXC").F, x.F)
    every = ME.to_sparse_all(image)
    assert torch.equal(every.dense()[0], image)
    assert torch.equal(ME.MinkowskiToSparseTensor(coordinates=ME.dense_coordinates(image.shape))(image).F, x.F)
    moved = ME.SparseTensor(x.F, x.C - torch.tensor([0, 4, 4]).int())
    with pytest.raises(ValueError, match="pass min_coordinate"):
        moved.dense()
    with pytest.raises(ValueError, match="outside the image"):
        x.dense((2, 3, 2, 5))
    coarse = ME.SparseTensor(x.F, x.C * torch.tensor([1, 2, 2]).int(), tensor_stride=2)
    assert torch.equal(coarse.dense(image.shape)[0], image)
    with pytest.raises(ValueError, match="multiples of the tensor stride"):
        coarse.dense(min_coordinate=torch.tensor([1, 0]).int())


def test_a_field_is_spread_over_the_sites_around_its_points_and_interpolated_back() -> None:
    field = ME.TensorField(torch.tensor([[1.0], [2.0]]), torch.tensor([[0, 0.25], [0, 1.5]]))
    x = field.splat()
    rows = dict(zip(map(tuple, x.C.tolist()), x.F[:, 0].tolist(), strict=True))
    assert rows == {(0, 0): 0.75, (0, 1): 1.25, (0, 2): 1.0}
    assert x.interpolate(field).F[:, 0].tolist() == [0.875, 1.125]
    points, maps, weights = ME.MinkowskiInterpolation(True, True)(x, torch.tensor([[0, 1.5], [0, 9.0]]))
    assert points[:, 0].tolist() == [1.125, 0]
    assert sorted(weights.tolist()) == [0.5, 0.5]
    assert maps[1].tolist() == [0, 0]


def test_a_field_on_a_coarse_map() -> None:
    field = ME.TensorField(torch.ones(3, 2), torch.tensor([[0, 0.5], [0, 3.5], [1, 2.5]]))
    x = ME.MinkowskiConvolution(2, 1, 3, 2, dimension=1)(field.sparse())
    assert field.inverse_mapping(x.coordinate_map_key).tolist() == [0, 1, 2]
    assert len(x.slice(field)) == 3
    few = ME.MinkowskiPruning()(x, torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="does not have the sites of all points"):
        few.slice(field)
    assert len(field.sparse(coordinate_map_key=few.coordinate_map_key)) == 2


def test_the_managers_maps() -> None:
    manager = ME.CoordinateManager(D=1, coordinate_map_type=ME.CoordinateMapType.CPU)
    key, (rows, sites) = manager.insert_and_map(COORDINATES, [1])
    assert torch.equal(COORDINATES[rows][sites], COORDINATES)
    coarse = manager.stride(key, [4])
    assert manager.get_coordinates(coarse).tolist() == [[0, 0], [1, 0]]
    assert manager.get_coordinates(4).tolist() == [[0, 0], [1, 0]]
    found = manager.kernel_map(key, coarse, 4, 4, is_pool=True)
    assert {tap: pairs.tolist() for tap, pairs in found.items()} == {
        0: [[2], [1]], 1: [[0, 3], [0, 1]], 2: [[1], [0]],
    }  # fmt: skip
    assert [rows.tolist() for rows in manager.stride_map(key, coarse)] == [[0, 1, 2, 3], [0, 0, 1, 1]]
    events, rows_of = manager.origin_map(key)
    assert (events.tolist(), [rows.tolist() for rows in rows_of]) == ([0, 1], [[0, 1], [2, 3]])
    assert manager.get_coordinates(manager.origin()).tolist() == [[0, 0], [1, 0]]
    other, _ = manager.insert_and_map(COORDINATES[:2] + torch.tensor([0, 4]).int(), 1)
    joined = ME.CoordinateMapKey(2)
    maps = manager.union_map([key, other], joined)
    assert [part.tolist() for part in maps] == [[[0, 1, 2, 3], [0, 1, 2, 3]], [[0], [4]]]
    assert manager.size(joined) == 5
    assert manager.number_of_unique_batch_indices() == 2
    assert manager.get_unique_coordinate_map_key([1]) not in manager


@pytest.mark.parametrize(("dimension", "taps"), [(1, [0, 1, 2]), (2, [0, 3, 6, 1, 4, 7, 2, 5, 8])])
def test_a_kernel_map_counts_taps_as_minkowskiengine(dimension: int, taps: list[int]) -> None:
    sites = torch.cartesian_prod(*[torch.arange(3)] * dimension).reshape(-1, dimension)
    manager = ME.CoordinateManager(D=dimension)
    key, _ = manager.insert_and_map(torch.nn.functional.pad(sites, (1, 0)).int(), 1)
    found = manager.kernel_map(key, key, region_type=0)
    centre = (3**dimension - 1) // 2
    partner = {tap: int(pairs[0][pairs[1] == centre]) for tap, pairs in found.items()}
    assert partner == dict(enumerate(taps))


def test_keys_are_set_once() -> None:
    key = ME.CoordinateMapKey(3)
    assert not key.is_key_set()
    with pytest.raises(ValueError, match="not set"):
        key.get_key()
    key.set_key([2, 2], "spam")
    assert key == ME.CoordinateMapKey([2, 2], "spam")
    assert hash(key) == hash(ME.CoordinateMapKey([2, 2], "spam"))
    with pytest.raises(ValueError, match="already"):
        key.set_key([1, 1])


def refused(words: str, call, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=words):
        call()


def test_wrong_arguments_are_named() -> None:
    x, wide = tensor(), torch.ones(4, 2)
    refused("floating-point, integer or bool", lambda: ME.SparseTensor(FEATURES.cfloat(), COORDINATES), TypeError)
    refused("either coordinates", lambda: ME.SparseTensor(FEATURES))
    refused(
        "needs its CoordinateManager",
        lambda: ME.SparseTensor(FEATURES, coordinate_map_key=x.coordinate_map_key),
        TypeError,
    )
    refused(r"\[7, C\]", lambda: ME.SparseTensor(FEATURES[:3], COORDINATES))
    refused("negative", lambda: ME.SparseTensor(FEATURES[:1], COORDINATES[:1] - 1))
    refused("MinkowskiAlgorithm", lambda: tensor(minkowski_algorithm=1), TypeError)
    refused("allocator_type", lambda: tensor(allocator_type="cuda"), TypeError)
    refused(
        "coordinate_map_type is CUDA",
        lambda: ME.CoordinateManager(1, coordinate_map_type=ME.CoordinateMapType.CUDA).insert_and_map(COORDINATES),
    )
    refused("CoordsManager", ME.CoordsManager, TypeError)
    refused(
        "no field",
        lambda: ME.TensorField(
            wide, coordinate_field_map_key=x.coordinate_map_key, coordinate_manager=x.coordinate_manager
        ),
    )
    refused("finite", lambda: ME.TensorField(FEATURES[:1], torch.tensor([[0, float("nan")]])))
    refused("one map|one coordinate map", lambda: ME.cat(x, tensor()))
    refused("bool tensor", lambda: ME.MinkowskiPruning()(x, torch.ones(4)))
    refused("format", lambda: ME.to_sparse(torch.ones(1, 2, 3), format="CBX"))

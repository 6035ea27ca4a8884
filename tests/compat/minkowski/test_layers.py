"""The layers that are not convolutions, MinkowskiEngine's helpers, and ways to import both."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

import sscn_triton.compat.minkowski as ME
from sscn_triton.compat.minkowski.events import MinkowskiBroadcastBase
from sscn_triton.compat.minkowski.modules.resnet_block import BasicBlock, Bottleneck
from sscn_triton.compat.minkowski.modules.senet_block import SEBasicBlock, SEBottleneck
from sscn_triton.compat.minkowski.utils.gradcheck import gradcheck
from tests.support.imports import check_imports


def tensor(channels: int = 2, dtype: torch.dtype = torch.float64) -> ME.SparseTensor:
    sites = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 3, 2], [0, 2, 1], [1, 2, 2]]).int()
    generator = torch.Generator().manual_seed(0)
    return ME.SparseTensor(torch.randn(5, channels, generator=generator, dtype=dtype).requires_grad_(), sites)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck, SEBasicBlock, SEBottleneck])
def test_residual_blocks_train_and_have_minkowskiengines_names(block: type) -> None:
    planes = 16 // block.expansion
    more = {"D": 2, "reduction": 4} if block in (SEBasicBlock, SEBottleneck) else {"dimension": 2}
    layer = block(16, planes, **more).double()
    layer(tensor(16)).F.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    names = list(layer.state_dict())
    assert names[:3] == ["conv1.kernel", "norm1.bn.weight", "norm1.bn.bias"]
    assert ("se.fc.0.linear.weight" in names) == ("D" in more)
    assert layer.conv1.kernel.shape == ((9, 16, 16) if block.expansion == 1 else (16, 4))


def test_a_block_halves_the_image_with_a_way_around() -> None:
    around = torch.nn.Sequential(ME.MinkowskiConvolution(2, 4, 1, 2, dimension=2), ME.MinkowskiBatchNorm(4))
    y = BasicBlock(2, 4, 2, downsample=around, dimension=2).double()(tensor().double())
    assert y.tensor_stride == [2, 2]


@pytest.mark.parametrize("name", sorted(set(ME._features.LAYERS) - {"MinkowskiThreshold", "MinkowskiRReLU"}))
def test_layers_on_rows_are_pytorchs_on_tensors_and_fields(name: str) -> None:
    x = tensor()
    arguments = (1,) if name in ("MinkowskiSoftmax", "MinkowskiSoftmin", "MinkowskiLogSoftmax") else ()
    layer, theirs = (
        getattr(ME, name)(*arguments).eval(),
        getattr(torch.nn, name.removeprefix("Minkowski"))(*arguments).eval(),
    )
    field = ME.TensorField(x.F, x.C.float())
    expected = theirs.double()(x.F)
    for given in (x, field):
        assert torch.equal(layer.double()(given).F, expected)
        assert type(layer(given)) is type(given)


def test_functions_on_rows_are_pytorchs() -> None:
    x, target = tensor(), torch.tensor([0, 1, 1, 0, 1])
    for name in ("relu", "elu", "softplus", "tanh", "sigmoid", "normalize", "silu"):
        assert torch.equal(getattr(ME.MinkowskiFunctional, name)(x).F, getattr(torch.nn.functional, name)(x.F))
    loss = ME.MinkowskiFunctional.cross_entropy(x, target)
    assert torch.equal(loss, torch.nn.functional.cross_entropy(x.F, target))
    with pytest.raises(TypeError, match="relu takes a SparseTensor or a TensorField"):
        ME.MinkowskiFunctional.relu(x.F)


def test_norms() -> None:
    x = tensor()
    rows = [x.F[x.C[:, 0] == event] for event in (0, 1)]
    for layer, eps in ((ME.MinkowskiInstanceNorm(2), 1e-8), (ME.MinkowskiStableInstanceNorm(2), 1e-6)):
        y = layer.double()(x)
        for event, part in enumerate(rows):
            expected = (part - part.mean(0)) / (part.var(0, correction=0) + eps).sqrt()
            torch.testing.assert_close(y.F[x.C[:, 0] == event], expected)
    network = torch.nn.Sequential(ME.MinkowskiLinear(2, 3), torch.nn.Sequential(ME.MinkowskiBatchNorm(3, 1e-3, 0.2)))
    network.double()(x)
    state, expected = network.state_dict(), network.eval()(x)
    converted = ME.MinkowskiSyncBatchNorm.convert_sync_batchnorm(network)
    assert isinstance(converted[1][0].bn, torch.nn.SyncBatchNorm)
    assert (converted[1][0].bn.eps, converted[1][0].bn.momentum) == (1e-3, 0.2)
    assert all(torch.equal(converted.state_dict()[name], value) for name, value in state.items())
    torch.testing.assert_close(converted(x).F, expected.F)


def test_pools_of_any_region_and_place() -> None:
    x = tensor()
    cross = ME.KernelGenerator(3, region_type=ME.RegionType.HYPER_CROSS, dimension=2)
    y = ME.MinkowskiSumPooling(kernel_generator=cross)(x)
    assert torch.equal(y.F[0], x.F[0] + x.F[1])
    torch.testing.assert_close(y.F[2], x.F[2] + x.F[4])
    wanted = torch.tensor([[0, 9, 9], [0, 1, 1]]).int()
    z = ME.MinkowskiMaxPooling(3, dimension=2)(x, wanted)
    assert torch.equal(z.F, torch.stack([torch.zeros(2), torch.stack([x.F[0], x.F[1], x.F[3]]).amax(0)]))
    for wrong in (
        {"dilation": 2},
        {"kernel_generator": ME.KernelGenerator(3, 3, region_type=ME.RegionType.HYPER_CROSS, dimension=2)},
    ):
        with pytest.raises(ValueError, match="if kernel_size equals stride"):
            ME.MinkowskiAvgPooling(
                **({"kernel_size": 2, "stride": 2} if "dilation" in wrong else {}), dimension=2, **wrong
            )
    with pytest.raises(ValueError, match="multiples of the tensor stride"):
        ME.MinkowskiAvgPooling(2, 2, dimension=2)(ME.SparseTensor(torch.ones(1, 1), wanted[1:], 2))
    with pytest.raises(ValueError, match="global PoolingMode"):
        ME.MinkowskiGlobalPooling(ME.PoolingMode.LOCAL_MAX_POOLING)


def test_events_rows_are_joined_to_their_sites() -> None:
    x = tensor()
    pooled = ME.MinkowskiGlobalMaxPooling()(x)
    assert torch.equal(pooled.F, torch.stack([x.F[[0, 1, 3]].amax(0), x.F[[2, 4]].amax(0)]))
    spread = pooled.F[x.C[:, 0].long()]
    assert torch.equal(ME.MinkowskiBroadcastAddition()(x, pooled).F, x.F + spread)
    assert torch.equal(ME.MinkowskiBroadcastConcatenation()(x, pooled).F, torch.cat([x.F, spread], 1))
    field = ME.TensorField(x.F, x.C.double())
    assert torch.equal(ME.MinkowskiGlobalMaxPooling()(field).F, pooled.F)
    with pytest.raises(ValueError, match="coordinates must be None"):
        ME.MinkowskiGlobalMaxPooling()(x, x.coordinate_map_key)


def test_stacks_and_sums_of_tensors_on_one_map() -> None:
    x = tensor()
    layers = torch.nn.Identity(), ME.MinkowskiReLU()
    rows = torch.stack([x.F, x.F.relu()])
    assert torch.equal(ME.MinkowskiStackCat(*layers)(x).F, torch.cat(list(rows), 1))
    assert torch.equal(ME.MinkowskiStackSum(*layers)(x).F, rows.sum(0))
    assert torch.equal(ME.MinkowskiStackMean(*layers)(x).F, rows.mean(0))
    torch.testing.assert_close(ME.MinkowskiStackVar(*layers)(x).F, ((rows - rows.mean(0)) ** 2).mean(0))


def test_functions_make_the_map_that_their_key_names_afterwards() -> None:
    x = tensor()
    layer = ME.MinkowskiConvolution(2, 3, 3, 2, dimension=2).double()
    key = ME.CoordinateMapKey(3)
    arguments = (x.F, layer.kernel, layer.kernel_generator, layer.convolution_mode, x.coordinate_map_key)
    y = ME.MinkowskiConvolutionFunction().apply(*arguments, key, x.coordinate_manager)
    assert torch.equal(y, layer(x).F)
    assert key == layer(x).coordinate_map_key
    assert gradcheck(ME.MinkowskiConvolutionFunction(), (*arguments, None, x.coordinate_manager))
    pool = ME.MinkowskiMaxPooling(3, 2, dimension=2)
    given = (x.F, pool.pooling_mode, pool.kernel_generator, x.coordinate_map_key, None, x.coordinate_manager)
    assert torch.equal(ME.MinkowskiLocalPoolingFunction().apply(*given), pool(x).F)
    norm = (x.F, x.coordinate_map_key, None, x.coordinate_manager)
    assert gradcheck(ME.MinkowskiInstanceNormFunction(), norm)
    rows = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 0, 2, 0])
    largest = ME.MinkowskiDirectMaxPoolingFunction().apply(*rows, x.F, 3)
    assert torch.equal(largest, torch.stack([x.F[[1, 0]].amax(0), torch.zeros(2), x.F[[0, 2]].amax(0)]))
    product = ME.spmm(torch.tensor([0, 0, 2]), torch.tensor([0, 1, 4]), torch.tensor([1.0, 2, 3]).double(), (3, 5), x.F)
    torch.testing.assert_close(product, torch.stack([x.F[0] + 2 * x.F[1], torch.zeros(2), 3 * x.F[4]]))


def test_points_become_voxels_and_batches() -> None:
    points = np.array([[0.1, 0.1], [0.9, 0.2], [0.15, 0.1], [-0.1, 3.0]])
    values = np.arange(4.0)[:, None]
    voxels, features, first, inverse = ME.utils.sparse_quantize(
        points, values, return_index=True, return_inverse=True, quantization_size=0.5
    )
    assert voxels.tolist() == [[0, 0], [1, 0], [-1, 6]]
    assert (features[:, 0].tolist(), first.tolist(), inverse.tolist()) == ([0, 1, 3], [0, 1, 3], [0, 1, 0, 2])
    labels = np.array([4, 5, 6, 7], np.int32)
    voxels, found = ME.utils.sparse_quantize(points, labels=labels, ignore_label=-1, quantization_size=[0.5, 0.5])
    assert (found.tolist(), type(voxels)) == ([-1, 5, 7], np.ndarray)
    column = ME.utils.sparse_quantize(points, labels=labels[:, None], ignore_label=-1, quantization_size=0.5)[1]
    assert column.tolist() == [-1, 5, 7]
    for wrong in (labels[:, None].repeat(2, 1), labels.astype(np.float32)):
        with pytest.raises(ValueError, match=r"labels must be integers \[4\] or \[4, 1\], got"):
            ME.utils.sparse_quantize(points, labels=wrong, quantization_size=0.5)
    events = [(points, values, labels), (points[:1], values[:1], labels[:1])]
    coordinates, features, targets = ME.utils.batch_sparse_collate(events)
    assert coordinates.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, -1, 3], [1, 0, 0]]
    assert (features.shape, targets.tolist()) == ((5, 1), [4, 5, 6, 7, 4])
    assert torch.equal(ME.utils.batched_coordinates([points, points[:1]]), coordinates)
    with pytest.warns(UserWarning, match="cut to 1 of 2 events"):
        assert len(ME.utils.SparseCollation(limit_numpoints=4)(events)[0]) == 4
    assert ME.utils.unique_coordinate_map(coordinates)[0].tolist() == [0, 3, 4]
    assert len(set(ME.utils.ravel_hash_vec(coordinates.numpy()).tolist())) == 3
    assert len(set(ME.utils.fnv_hash_vec(coordinates.numpy()).tolist())) == 3


def test_initial_weights_follow_the_fan() -> None:
    kernel = torch.empty(27, 8, 200)
    ME.utils.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    assert float(kernel.std()) == pytest.approx((2 / (27 * 200)) ** 0.5, rel=0.05)
    with pytest.raises(ValueError, match="mode"):
        ME.utils.kaiming_normal_(kernel, mode="fan")


def test_the_summary_lists_layers_and_counts_parameters(capsys: pytest.CaptureFixture) -> None:
    network = torch.nn.Sequential(ME.MinkowskiConvolution(2, 3, 3, dimension=2), ME.MinkowskiReLU()).double()
    assert ME.utils.summary(network, tensor()) == (54, 54)
    printed = capsys.readouterr().out
    assert "MinkowskiConvolution-1" in printed
    assert "MinkowskiReLU-2" in printed


IMPORTS = {
    "import MinkowskiEngine as ME": None,
    "import MinkowskiEngine.MinkowskiOps as me": None,
    "import MinkowskiEngine.MinkowskiFunctional as MEF": None,
    "from MinkowskiEngine.MinkowskiSparseTensor import SparseTensor": None,
    "from MinkowskiEngine.modules.resnet_block import BasicBlock": None,
    "from MinkowskiEngine.utils import sparse_quantize, batched_coordinates": None,
    "from MinkowskiOps import MinkowskiToSparseTensor, cat": None,
    "from MinkowskiCommon import convert_to_int_list": None,
    "from MinkowskiEngineBackend._C import CoordinateMapKey, ConvolutionMode": None,
    "from MinkowskiEngine import KernelRegion": "sscn_triton does not have MinkowskiEngine's KernelRegion; use",
    "from MinkowskiEngine import spam": "stand-in for MinkowskiEngine has no spam",
    "import MinkowskiEngine.spam": "stand-in for MinkowskiEngine has no spam",
}


def test_programs_find_the_stand_in_under_minkowskiengines_names(tmp_path) -> None:
    after = """
import MinkowskiEngine, MinkowskiSparseTensor
assert MinkowskiSparseTensor.SparseTensor is MinkowskiEngine.SparseTensor
assert MinkowskiEngine.__name__ == "sscn_triton.compat.minkowski"
"""
    command = [sys.executable, "-m", "sscn_triton.compat", "minkowski"]
    assert check_imports(tmp_path, IMPORTS, after=after, command=command) == []


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (ME.MinkowskiLocalPoolingFunction, ME.PoolingMode.GLOBAL_AVG_POOLING_DEFAULT),
        (ME.MinkowskiGlobalPoolingFunction, ME.PoolingMode.LOCAL_MAX_POOLING),
    ],
)
def test_a_pooling_function_refuses_the_mode_of_the_other(function: type, mode: ME.PoolingMode) -> None:
    x = tensor()
    kernel = [] if function is ME.MinkowskiGlobalPoolingFunction else [ME.KernelGenerator(2, 2, dimension=2)]
    with pytest.raises(ValueError, match=f"pooling_mode must be .*, got {mode.name}"):
        function.apply(x.F, mode, *kernel, x.coordinate_map_key, None, x.coordinate_manager)


@pytest.mark.parametrize(
    ("kind", "fan"), [(ME.MinkowskiConvolution, 2), (ME.MinkowskiConvolutionTranspose, 32)], ids=["down", "up"]
)
def test_initial_weights_are_uniform_within_the_root_of_the_fan(kind: type, fan: int) -> None:
    layer = kind(2, 32, 3, 2, bias=True, dimension=2)
    bound = (fan * 9) ** -0.5
    for parameter in (layer.kernel, layer.bias):
        assert 0.8 * bound < float(parameter.detach().abs().max()) <= bound


def test_an_odd_pool_that_tiles_space_starts_at_multiples_of_its_stride() -> None:
    x = ME.SparseTensor(torch.arange(1.0, 7)[:, None], torch.tensor([[0, place] for place in range(6)]).int())
    assert ME.MinkowskiSumPooling(3, 3, dimension=1)(x).F.flatten().tolist() == [1 + 2 + 3, 4 + 5 + 6]
    assert ME.MinkowskiConvolution(1, 1, 3, 3, dimension=1)(x).C.tolist() == [[0, 0], [0, 3]]


def test_a_broadcast_needs_its_operation() -> None:
    with pytest.raises(TypeError, match="operation_type must be a BroadcastMode, got None"):
        MinkowskiBroadcastBase(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "reduce"),
    [("Sum", lambda rows: rows.sum(0)), ("Avg", lambda rows: rows.mean(0)), ("Max", lambda rows: rows.amax(0))],
)
def test_global_poolings_reduce_every_event(name: str, reduce: Callable) -> None:
    x = tensor()
    field = ME.TensorField(x.F, x.C.float())
    layer = getattr(ME, f"MinkowskiGlobal{name}Pooling")()
    expected = torch.stack([reduce(x.F[[0, 1, 3]]), reduce(x.F[[2, 4]])])
    weight = torch.arange(4.0, dtype=torch.float64).view(2, 2)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), x.F)
    for given in (x, field):
        pooled = layer(given)
        torch.testing.assert_close(pooled.F, expected)
        assert pooled.C.tolist() == [[0, 0, 0], [1, 0, 0]]
        torch.testing.assert_close(torch.autograd.grad((pooled.F * weight).sum(), x.F)[0], wanted)


def test_a_global_pooling_function_takes_the_points_of_a_field() -> None:
    field = ME.TensorField(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0, 0.2], [0, 0.4], [1, 0.0]]))
    key, manager = field.coordinate_field_map_key, field.coordinate_manager
    mode = ME.PoolingMode.GLOBAL_SUM_POOLING_DEFAULT
    assert ME.MinkowskiGlobalPoolingFunction().apply(field.F, mode, key, None, manager).tolist() == [[3.0], [4.0]]
    with pytest.raises(ValueError, match="neither a map nor a field"):
        ME.MinkowskiGlobalPoolingFunction().apply(field.F, mode, ME.CoordinateMapKey([7], "x"), None, manager)


def test_every_function_needs_one_row_per_site() -> None:
    x = tensor()
    wrong, key, manager, shape = (
        x.F[1:],
        x.coordinate_map_key,
        x.coordinate_manager,
        ME.KernelGenerator(2, 2, dimension=2),
    )
    weight, point = torch.ones(4, x.F.shape[1], 1, dtype=x.F.dtype), torch.zeros(1, 3)
    average, total, origin = (
        ME.PoolingMode.LOCAL_AVG_POOLING,
        ME.PoolingMode.GLOBAL_SUM_POOLING_DEFAULT,
        manager.origin_of(key),
    )
    calls = {
        "MinkowskiConvolutionFunction": (wrong, weight, shape, ME.ConvolutionMode.DEFAULT, key, None, manager),
        "MinkowskiConvolutionTransposeFunction": (wrong, weight, shape, ME.ConvolutionMode.DEFAULT, key, None, manager),
        "MinkowskiLocalPoolingFunction": (wrong, average, shape, key, None, manager),
        "MinkowskiLocalPoolingTransposeFunction": (wrong, average, shape, key, None, manager),
        "MinkowskiGlobalPoolingFunction": (wrong, total, key, None, manager),
        "MinkowskiBroadcastFunction": (x.F[:1], x.F[:1], ME.BroadcastMode.ELEMENTWISE_ADDITON, key, origin, manager),
        "MinkowskiInstanceNormFunction": (wrong, key, None, manager),
        "MinkowskiInterpolationFunction": (wrong, point, key, manager),
        "MinkowskiPruningFunction": (wrong, torch.ones(len(x), dtype=torch.bool), key, None, manager),
        "MinkowskiUnionFunction": ([key], ME.CoordinateMapKey(3), manager, wrong),
    }
    others = {f"Minkowski{name}Function" for name in ("DirectMaxPooling", "SPMM", "SPMMAverage")}  # they have no map
    assert calls.keys() | others == {name for name in vars(ME) if name.endswith("Function")}
    for name, arguments in calls.items():
        with pytest.raises(ValueError, match=r"features must be \[\d+, C\], one row per site"):
            getattr(ME, name)().apply(*arguments)


def test_the_exported_names_exist() -> None:
    assert [name for name in ME.__all__ if not hasattr(ME, name)] == []

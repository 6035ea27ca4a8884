"""Layers are PyTorch's at active sites: transposed convolution, activations, names by dimension, weights both ways."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.testing
from hypothesis import given
from torch.autograd import gradcheck, gradgradcheck

from sscn_triton import SparseTensor, nn, prepare
from sscn_triton.functional import concatenate, transposed_conv
from tests.support import oracle
from tests.support.cases import Case, block, expected
from tests.support.clouds import random_cloud
from tests.support.strategies import cases, seeds, values

CONV = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
TRANSPOSED = {1: torch.nn.ConvTranspose1d, 2: torch.nn.ConvTranspose2d, 3: torch.nn.ConvTranspose3d}
KINDS = ("SubmanifoldConv", "SparseConv", "InverseConv", "TransposedConv")
ACTIVATIONS = {
    "ReLU": {},
    "LeakyReLU": {"negative_slope": 0.3},
    "PReLU": {"num_parameters": 3, "init": 0.4},
    "ELU": {"alpha": 0.5},
    "SiLU": {},
    "GELU": {"approximate": "tanh"},
    "Softplus": {"beta": 2},
    "Sigmoid": {},
    "Tanh": {},
    "Dropout": {"p": 0.4},
}


def full(channels: int, *extent: int, batches: int = 2) -> tuple[torch.Tensor, SparseTensor]:
    """A dense image, and the tensor with all of its sites."""
    image = torch.randn(batches, channels, *extent, dtype=torch.float64)
    features = image.movedim(1, -1).reshape(-1, channels)
    return image, SparseTensor(features, torch.tensor(block(*extent, batches=batches)), extent)


@given(case=cases(kind="transposed"), seed=seeds)
def test_transposed_convolution_equals_the_oracles(case: Case, seed: int) -> None:
    right = expected(case)
    taps = int(np.prod(case.kernel_size))
    x, w, b = values(seed, len(case.coordinates), 2), values(seed + 1, taps, 2, 3), values(seed + 2, 3)
    tensor = SparseTensor(torch.tensor(x), torch.tensor(case.coordinates), case.spatial_shape, batch_size=2)
    names = ("kernel_size", "stride", "padding", "dilation")
    window = {**dict(zip(names, case.window, strict=True)), "output_padding": case.output_padding or 0}
    y = transposed_conv(tensor, torch.tensor(w), torch.tensor(b), **window)
    assert oracle.as_sites(y.coordinates.numpy()) == right.output_sites
    wanted = oracle.convolve(x, w, right.rules, len(right.output_sites), b)
    np.testing.assert_allclose(y.features.numpy(), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("count", [0, 1, 6])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_has_right_derivatives(groups: int, count: int) -> None:
    x = random_cloud(count, channels=2, ndim=2, size=3)
    weight = torch.randn(9, groups, 2 // groups, 4 // groups, dtype=torch.float64)

    def function(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return transposed_conv(x.replace(features), weight, bias, kernel_size=3, stride=2, padding=1).features

    leaves = [leaf.requires_grad_() for leaf in (x.features, weight, torch.randn(4, dtype=torch.float64))]
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_transposed_convolution_starts_a_new_path() -> None:
    x = random_cloud(10)
    y = nn.TransposedConv(3, 3, 2, stride=2).double()(nn.SparseConv(3, 3, 2, stride=2).double()(x))
    assert y.spatial_shape == x.spatial_shape
    with pytest.raises(ValueError, match="no strided layer to invert"):
        nn.InverseConv(3, 3, 2, stride=2).double()(y)


def test_transposed_convolution_refuses_unsuitable_arguments() -> None:
    with pytest.raises(ValueError, match=r"output_padding must be smaller than stride or dilation.*got \(2, 2, 2\)"):
        nn.TransposedConv(1, 1, 3, stride=2, output_padding=2)
    unbounded = SparseTensor(torch.ones(1, 1), torch.zeros(1, 4, dtype=torch.int))
    with pytest.raises(ValueError, match=r"output_padding \(1, 1, 1\) extends the spatial_shape"):
        nn.TransposedConv(1, 1, 3, stride=2, output_padding=1)(unbounded)
    with pytest.raises(ValueError, match="takes 2 channels, but the tensor has 1"):
        nn.TransposedConv(2, 1, 3)(unbounded)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_names_by_dimension_are_the_layers_with_ndim_given(kind: str, ndim: int) -> None:
    general, named = getattr(nn, kind), getattr(nn, f"{kind}{ndim}d")
    torch.manual_seed(0)
    wanted = general(4, 6, 3, groups=2, bias=False, ndim=ndim)
    torch.manual_seed(0)
    layer = named(4, 6, 3, groups=2, bias=False)
    assert isinstance(layer, general)
    assert (layer.ndim, layer.kernel_size) == (ndim, (3,) * ndim)
    assert torch.equal(layer.weight, wanted.weight)
    assert repr(layer) == repr(wanted).replace(kind, f"{kind}{ndim}d")
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert type(twin) is named
        assert torch.equal(twin.weight, layer.weight)
    assert list(inspect.signature(named).parameters) == [
        p for p in inspect.signature(general).parameters if p != "ndim"
    ]
    with pytest.raises(TypeError, match="ndim"):
        named(4, 6, 3, ndim=ndim)
    if ndim > 1:
        with pytest.raises(ValueError, match="kernel_size must be one integer or"):
            named(4, 6, (3,) * (ndim - 1))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_pytorchs_on_the_features(name: str) -> None:
    x = random_cloud(20)
    mine, theirs = (getattr(home, name)(**ACTIVATIONS[name]).double() for home in (nn, torch.nn))
    results = []
    for layer, argument in ((mine, x), (theirs, x.features)):
        torch.manual_seed(0)
        results.append(layer(argument))
    assert results[0].grid is x.grid
    assert torch.equal(results[0].features, results[1])
    assert repr(mine) == repr(theirs)
    again = pickle.loads(pickle.dumps(mine))
    assert torch.equal(again.eval()(x).features, theirs.eval()(x.features))
    assert mine(random_cloud(0)).features.shape == (0, 3)
    with pytest.raises(TypeError, match=f"{name} takes a SparseTensor, got Tensor"):
        mine(x.features)


def test_linear_refuses_other_channels() -> None:
    with pytest.raises(ValueError, match="Linear takes 4 channels, but the tensor has 3"):
        nn.Linear(4, 2)(random_cloud(3))


WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 3},
    {"kernel_size": 2, "stride": 2, "bias": False},
    {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2},
    {"kernel_size": 2, "dilation": 3, "padding": 1, "groups": 4},
    {"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2},
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_weights_from_pytorch_give_pytorchs_output_on_a_full_block(ndim: int, window: dict[str, Any]) -> None:
    image, x = full(4, *range(7, 7 + ndim))
    for table, kind in ((CONV, nn.SparseConv), (TRANSPOSED, nn.TransposedConv)):
        theirs = table[ndim](4, 8, **window).double()
        mine = nn.from_torch(theirs)
        assert type(mine) is kind
        y = mine(x)
        wanted = theirs(image)
        assert (y.spatial_shape, y.batch_size) == (tuple(wanted.shape[2:]), 2)
        batch, *sites = y.coordinates.long().unbind(1)
        torch.testing.assert_close(y.features, wanted.movedim(1, -1)[(batch, *sites)], rtol=1e-10, atol=1e-10)
        back = nn.to_torch(mine)
        assert type(back) is type(theirs)
        assert repr(back) == repr(theirs)
        assert all(torch.equal(p, q) for p, q in zip(back.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_a_submanifold_layer_is_padding_same_at_active_sites(ndim: int, kernel: int, dilation: int) -> None:
    x = random_cloud(40 if ndim > 1 else 9, channels=4, ndim=ndim, size=7)
    theirs = CONV[ndim](4, 6, kernel, padding="same", dilation=dilation, groups=2).double()
    mine = nn.from_torch(theirs)
    assert type(mine) is nn.SubmanifoldConv
    batch, *sites = x.coordinates.long().unbind(1)
    wanted = theirs(x.dense()).movedim(1, -1)[(batch, *sites)]
    torch.testing.assert_close(mine(x).features, wanted, rtol=1e-10, atol=1e-10)
    back = nn.to_torch(mine)
    assert repr(back) == repr(theirs)
    torch.testing.assert_close(back(x.dense()), theirs(x.dense()))


def test_an_inverse_layer_equals_pytorchs_transposed_one_at_the_fine_sites() -> None:
    x = random_cloud(40, channels=4)
    theirs = torch.nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2).double()
    mine = nn.from_torch(theirs, nn.InverseConv)
    coarse = nn.SparseConv(4, 4, 3, stride=2, padding=1).double()(x)
    batch, *sites = x.coordinates.long().unbind(1)
    wanted = theirs(coarse.dense()).movedim(1, -1)[(batch, *sites)]
    torch.testing.assert_close(mine(coarse).features, wanted, rtol=1e-10, atol=1e-10)
    again = nn.to_torch(mine)(coarse.dense(), output_size=(8, 8, 8)).movedim(1, -1)[(batch, *sites)]
    torch.testing.assert_close(again, wanted)


def test_conversion_keeps_type_and_mode_and_gives_the_requested_kind() -> None:
    layer = torch.nn.Conv2d(2, 2, 3, padding=1).to(torch.bfloat16).eval()
    sparse = nn.from_torch(layer, nn.SubmanifoldConv2d)
    assert type(sparse) is nn.SubmanifoldConv2d
    assert (sparse.weight.dtype, sparse.bias.dtype, sparse.training) == (torch.bfloat16, torch.bfloat16, False)
    assert sparse.weight.requires_grad
    with torch.no_grad():
        sparse.weight.zero_()
    assert layer.weight.any()
    assert type(nn.from_torch(torch.nn.Conv2d(2, 2, 3, padding="same"), nn.SparseConv)) is nn.SparseConv
    assert nn.from_torch(torch.nn.Conv2d(2, 2, 3, padding="valid")).padding == (0, 0)


def test_conversions_that_would_change_the_result_are_refused() -> None:
    with pytest.raises(TypeError, match=r"layer must be a torch\.nn\.Conv1d to 3d.*got Linear"):
        nn.from_torch(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match=r"layer must be a convolution of sscn_triton\.nn, got Conv2d"):
        nn.to_torch(torch.nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="PyTorch's convolutions have 1 to 3 axes, this layer has 4"):
        nn.to_torch(nn.SparseConv4d(1, 1, 1))
    with pytest.raises(ValueError, match=r"padding_mode must be 'zeros'.*got 'circular'"):
        nn.from_torch(torch.nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"))
    with pytest.raises(TypeError, match="Conv1d cannot become TransposedConv"):
        nn.from_torch(torch.nn.Conv1d(1, 1, 3), nn.TransposedConv)
    with pytest.raises(ValueError, match="stride 1 and padding 'same', got stride \\(2,\\)"):
        nn.from_torch(torch.nn.Conv1d(1, 1, 3, stride=2, padding=1), nn.SubmanifoldConv)
    for kernel, padding in ((3, 0), (2, 1), (2, 0)):
        with pytest.raises(ValueError, match="stride 1 and padding 'same'"):
            nn.from_torch(torch.nn.Conv1d(1, 1, kernel, padding=padding), nn.SubmanifoldConv)
    with pytest.raises(ValueError, match="differs between the two ends: only a SubmanifoldConv supports that"):
        nn.from_torch(torch.nn.Conv1d(1, 1, 2, padding="same"), nn.SparseConv)


def every_layer() -> torch.nn.Module:
    return nn.Sequential(
        nn.SubmanifoldConv(2, 4, 3),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.AveragePool(2),
        nn.LayerNorm(4),
        nn.SparseConv(4, 4, 3, stride=2, padding=1, groups=4),
        nn.BatchNormLeakyReLU(4),
        nn.InverseConv(4, 4, 3, stride=2, padding=1),
        nn.InstanceNorm(4),
        nn.Identity(),
        nn.Unpool(2),
        nn.MaxPool(3, 2, padding=1),
        nn.TransposedConv(4, 3, 2, stride=2),
        nn.Dropout(0.0),
        nn.GlobalPool("mean"),
    )


@pytest.mark.newest
def test_a_network_of_every_layer_trains_compiled_as_it_does_eagerly() -> None:
    torch._dynamo.reset()
    gradients = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = every_layer().double()
        run = torch.compile(net, fullgraph=True, dynamic=True, backend="aot_eager") if compiled else net
        x = prepare(net, random_cloud(40, channels=2))
        run(x).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for eager, traced in zip(*gradients, strict=True):
        torch.testing.assert_close(traced, eager)


@pytest.mark.newest
def test_a_network_of_every_layer_compiles_to_one_graph_for_every_size() -> None:
    torch._dynamo.reset()
    net, counter = every_layer().double().eval(), torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend=counter)
    for count in (20, 33, 57, 300):
        x = prepare(net, random_cloud(count, channels=2, seed=count))
        torch.testing.assert_close(compiled(x), net(x))
    assert counter.frame_count == 1


def test_a_network_of_every_layer_runs_under_autocast() -> None:
    torch.manual_seed(0)
    net = every_layer()
    x = random_cloud(200, channels=2, dtype=torch.float32)
    wanted = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
    y.float().sum().backward()
    assert (y - wanted).norm() < 0.1 * wanted.norm()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("count", [0, 1])
def test_a_network_of_every_layer_takes_no_site_and_one_site(count: int) -> None:
    net = every_layer()
    y = net(random_cloud(count, channels=2, batch_size=3, dtype=torch.float32))
    y.sum().backward()
    assert y.shape == (3, 3)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_a_network_of_every_layer_has_right_first_and_second_derivatives() -> None:
    torch.manual_seed(0)
    net, x = every_layer().double(), random_cloud(8, channels=2, size=4)

    def function(features: torch.Tensor) -> torch.Tensor:
        return net(x.replace(features))

    leaves = (x.features.requires_grad_(),)
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_network_of_every_layer_in_low_precision_is_the_exact_one_rounded(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net, x = every_layer().double(), random_cloud(200, channels=2)
    wanted = net(x)
    y = copy.deepcopy(net).to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    assert (y.double() - wanted).norm() < 20 * torch.finfo(dtype).eps * wanted.norm()


def test_a_network_of_every_layer_is_saved_loaded_copied_and_pickled() -> None:
    torch.manual_seed(0)
    net, x = every_layer().double(), random_cloud(40, channels=2)
    net(x)  # running statistics are no longer those of a new layer
    net.eval()
    loaded = every_layer().double().eval()
    loaded.load_state_dict(net.state_dict())
    for twin in (loaded, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))
        assert repr(twin) == repr(net)


def test_forward_and_tensor_hooks_work_and_full_backward_hooks_warn() -> None:
    layer, x = nn.SubmanifoldConv(3, 2, 3).double(), random_cloud(10)
    x.features.requires_grad_()
    seen: list[str] = []
    layer.register_forward_pre_hook(lambda module, arguments: seen.append("before"))
    layer.register_forward_hook(lambda module, arguments, output: seen.append("after"))
    layer.weight.register_hook(lambda gradient: seen.append("weight"))
    x.features.register_hook(lambda gradient: seen.append("features"))
    layer(x).features.sum().backward()
    assert seen[:2] == ["before", "after"]
    assert sorted(seen[2:]) == ["features", "weight"]
    layer.register_full_backward_hook(lambda module, into, out: seen.append("never"))
    with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors"):
        layer(x)


@pytest.mark.newest
def test_methods_of_a_tensor_trace_into_one_graph() -> None:
    torch._dynamo.reset()
    linear = nn.Linear(2, 2).double()

    def function(x: SparseTensor) -> tuple[torch.Tensor, ...]:
        y = linear(x)
        total = (y + x).half().double().detach()
        return total.features, concatenate([x, y]).features, x.map(torch.relu).to(torch.float32).features

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="eager")
    x = random_cloud(20, channels=2)
    assert all(torch.equal(*pair) for pair in zip(compiled(x), function(x), strict=True))

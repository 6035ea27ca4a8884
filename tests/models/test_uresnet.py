"""The sparse UResNet: the study's size, and a network PyTorch can copy, save, compile and train."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch

from sscn_triton import Grid, SparseTensor, nn, prepare
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_cloud, random_sites


def small_net(ndim: int = 3, dtype: torch.dtype = torch.float64) -> SparseUResNet:
    torch.manual_seed(0)
    return SparseUResNet(in_channels=2, num_classes=3, filters=4, depth=3, repetitions=1, ndim=ndim).to(dtype)


def test_the_defaults_have_the_studys_number_of_parameters() -> None:
    net = SparseUResNet()
    assert sum(p.numel() for p in net.parameters()) == 2_741_477
    assert sum(p.numel() for p in net.head[1].parameters()) == 85


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_logits_exist_for_every_site_in_the_order_of_the_input(ndim: int) -> None:
    net = small_net(ndim).eval()
    sites = random_sites(30, ndim, size=6 if ndim > 1 else 32)
    features = torch.randn(30, 2, dtype=torch.float64)
    order = torch.randperm(30)
    y = net(SparseTensor(features, sites))
    shuffled = net(SparseTensor(features[order], sites[order]))
    assert torch.equal(y.coordinates, sites.int())
    torch.testing.assert_close(shuffled.features, y.features[order])


def test_a_network_treats_events_of_a_batch_separately() -> None:
    net = small_net().eval()
    x = random_cloud(60, channels=2, size=6, batch_size=3)
    y = net(x).features
    for event in range(3):
        rows = x.coordinates[:, 0] == event
        sites = x.coordinates[rows].clone()
        sites[:, 0] = 0
        torch.testing.assert_close(net(SparseTensor(x.features[rows], sites, 6)).features, y[rows])


def test_moving_an_event_by_the_total_stride_changes_nothing() -> None:
    net = small_net().eval()
    sites = random_sites(40)
    features = torch.randn(40, 2, dtype=torch.float64)
    moved = sites + torch.tensor([0, 4, -8, 12])
    torch.testing.assert_close(net(SparseTensor(features, sites)).features, net(SparseTensor(features, moved)).features)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_empty_and_single_site_batches_train_and_predict(count: int, training: bool) -> None:
    net = small_net().train(training)
    before = copy.deepcopy(net.state_dict())
    y = net(SparseTensor(torch.randn(count, 2, dtype=torch.float64), random_sites(count), 8, batch_size=4))
    y.features.sum().backward()
    assert y.features.shape == (count, 3)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert all(torch.isfinite(b).all() for b in net.buffers())
    if count == 0:
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_prepare_builds_every_rulebook_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    x = random_cloud(50, channels=2)
    assert prepare(net, x) is x
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    import sscn_triton.core.tensor as module

    for name in ("submanifold", "strided", "transposed"):
        monkeypatch.setattr(module.rulebook, name, lambda *_: pytest.fail("a rulebook was built after prepare"))
    net(x).features.sum().backward()


def test_a_second_pass_builds_nothing_and_gives_the_same_bits() -> None:
    net = small_net().eval()
    x = random_cloud(50, channels=2)
    assert torch.equal(net(x).features, net(x).features)
    finest: Grid = x.grid
    assert len(finest._submanifold) == 1
    assert len(finest._steps) == 1


def test_grids_are_freed_without_garbage_collection() -> None:
    import gc
    import weakref

    gc.disable()
    try:
        x = prepare(small_net(), random_cloud(50, channels=2))
        grid = weakref.ref(x.grid)
        del x
        assert grid() is None
    finally:
        gc.enable()


@pytest.mark.newest
def test_the_whole_network_compiles_to_one_graph_for_every_size() -> None:
    net = small_net(dtype=torch.float32).eval()
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend=backend)
    for count in (20, 33, 57, 100):
        x = prepare(net, random_cloud(count, channels=2, dtype=torch.float32, seed=count))
        torch.testing.assert_close(compiled(x).features, net(x).features)
    assert len(graphs) == 1


@pytest.mark.newest
def test_a_compiled_training_step_equals_the_eager_one() -> None:
    torch._dynamo.reset()
    x = prepare(small_net(), random_cloud(50, channels=2))
    gradients = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = SparseUResNet(in_channels=2, num_classes=3, filters=2, depth=2, repetitions=1).double()
        run = torch.compile(net, fullgraph=True, dynamic=True, backend="aot_eager") if compiled else net
        run(x).features.square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for eager, traced in zip(*gradients, strict=True):
        torch.testing.assert_close(traced, eager)


def test_autocast_computes_in_bfloat16_and_keeps_float32_weights() -> None:
    net = small_net(dtype=torch.float32)
    x = random_cloud(50, channels=2, dtype=torch.float32)
    expected = net(x).features
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x).features
    assert y.dtype == torch.bfloat16
    assert (y - expected).norm() < 0.05 * expected.norm()
    y.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_runs(dtype: torch.dtype) -> None:
    y = small_net().eval().to(dtype)(random_cloud(40, channels=2, dtype=dtype))
    assert y.dtype == dtype
    assert torch.isfinite(y.features).all()


def test_state_dict_deepcopy_and_pickle_keep_the_function() -> None:
    net = small_net().eval()
    x = random_cloud(40, channels=2)
    expected = net(x).features
    stream = io.BytesIO()
    torch.save(net.state_dict(), stream)
    stream.seek(0)
    loaded = SparseUResNet(in_channels=2, num_classes=3, filters=4, depth=3, repetitions=1).double().eval()
    loaded.load_state_dict(torch.load(stream, weights_only=True))
    for twin in (loaded, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x).features, expected)
    again = pickle.loads(pickle.dumps(x))
    assert torch.equal(net(again).features, expected)


def test_hooks_and_functional_call_work() -> None:
    net = small_net().eval()
    x = random_cloud(40, channels=2)
    seen = []
    handle = net.stem.register_forward_hook(lambda module, args, output: seen.append(output))
    net(x)
    handle.remove()
    assert isinstance(seen[0], SparseTensor)
    doubled = {name: 2 * p for name, p in net.head[1].named_parameters()}
    head = nn.Linear(4, 3).double()
    y = torch.func.functional_call(head, doubled, (x.replace(torch.ones(40, 4, dtype=torch.float64)),))
    expected = 2 * (net.head[1].weight.sum(1) + net.head[1].bias)
    torch.testing.assert_close(y.features, expected.expand(40, 3))


def test_layers_refuse_unsuitable_inputs() -> None:
    net = small_net()
    with pytest.raises(ValueError, match="takes 2 channels, but the tensor has 3"):
        net(random_cloud(10, channels=3))
    with pytest.raises(ValueError, match="ndim=3, but the tensor has 2 spatial axes"):
        net(random_cloud(10, channels=2, ndim=2))
    with pytest.raises(TypeError, match="takes a SparseTensor, got Tensor"):
        net.stem(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="filters must be at least 1"):
        SparseUResNet(filters=0)
    x = random_cloud(10, channels=2, dtype=torch.float32)
    inverse = nn.InverseConv(2, 2, 3, stride=2)
    with pytest.raises(ValueError, match="no strided layer to invert"):
        inverse(x)
    coarse = nn.SparseConv(2, 2, 2, stride=2)(x)
    with pytest.raises(ValueError, match="cannot invert strided"):
        inverse(coarse)

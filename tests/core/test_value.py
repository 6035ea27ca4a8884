"""A sparse tensor is a value: PyTorch finds its features, it cannot become inconsistent, and what its grid stores
serves every later pass, whichever pass needed it first."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree
from torch.utils.checkpoint import checkpoint

from sscn_triton import Grid, SparseTensor, functional, nn, prepare
from sscn_triton.models import SparseUResNet
from tests.support.clouds import random_cloud, random_sites


def tensor(rows: int = 12, channels: int = 3) -> SparseTensor:
    return random_cloud(rows, channels=channels, dtype=torch.float32)


WRONG_FEATURES = {
    "fewer rows": (
        lambda x: x.features[:1],
        ValueError,
        r"features must be \[12, channels\], one row per site, got",
    ),
    "more rows": (lambda x: x.features.repeat(2, 1), ValueError, r"got shape \(24, 3\)"),
    "no channels axis": (lambda x: x.features[:, 0], ValueError, r"got shape \(12,\)"),
    "integers": (lambda x: x.features.long(), TypeError, "float64 tensor.*got a torch.int64 tensor"),
    "complex numbers": (lambda x: x.features.to(torch.complex64), TypeError, "got a torch.complex64 tensor"),
    "a sparse layout": (lambda x: x.features.to_sparse(), TypeError, "layout torch.strided"),
    "an array": (lambda x: x.features.numpy(), TypeError, "got ndarray"),
    "another device": (lambda x: x.features.to("meta"), ValueError, "features are on meta, but the sites are on cpu"),
}


@pytest.mark.parametrize("wrong", WRONG_FEATURES)
def test_features_that_do_not_fit_the_sites_are_refused_everywhere(wrong: str) -> None:
    x = tensor()
    make, error, message = WRONG_FEATURES[wrong]
    before, features = x.features, make(x)
    with pytest.raises(error, match=message):
        x.features = features
    with pytest.raises(error, match=message):
        x.replace(features)
    with pytest.raises(error, match=message):
        x.map(lambda _: features)
    if wrong != "another device":  # `prepare` puts features on meta onto a grid
        for way in (SparseTensor.on, lambda rows, grid: SparseTensor(rows, grid=grid)):
            with pytest.raises(error, match=message):
                way(features, x.grid)
    assert x.features is before


def test_assigned_features_replace_the_old_ones() -> None:
    x = nn.SubmanifoldConv(3, 4, 3)(tensor())
    x.features = x.features * 3 + 1
    assert nn.BatchNorm(4)(x).features.var(0, unbiased=False).detach() == pytest.approx([1.0] * 4, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "wrong", "error", "message"),
    [
        ("grid", None, TypeError, "grid must be a Grid, got NoneType"),
        ("grid", random_cloud(5).grid, ValueError, r"features must be \[5, channels\]"),
        ("path", [], TypeError, r"path must be a tuple of \(Grid, Step\), got \[\]"),
        ("path", ((1, 2),), TypeError, r"path must be a tuple of \(Grid, Step\)"),
        ("coordinates", SparseTensor, AttributeError, "coordinates"),
        ("batch_size", 1, AttributeError, "batch_size"),
    ],
)
def test_invalid_values_for_attributes_of_a_tensor_are_refused(name: str, wrong: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        setattr(tensor(), name, wrong)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((random_sites(4).float(), None, 1), TypeError, "must be an int32 tensor .*got torch.float32"),
        ((random_sites(4).long(), None, 1), TypeError, "must be an int32 tensor .*got torch.int64"),
        ((random_sites(4)[:, :1].int(), None, 1), ValueError, r"D from 1 to 4, got shape \(4, 1\)"),
        ((random_sites(4).int().to("meta"), None, 1), ValueError, "on meta, which has no values"),
        ((random_sites(4).int(), (8, 8), 1), ValueError, r"None or 3 positive ints, got \(8, 8\)"),
        ((random_sites(4).int(), None, -1), ValueError, "an int of at least 0, got -1"),
    ],
)
def test_a_grid_refuses_wrong_arguments_and_assignments(given: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Grid(*given)
    for name in ("coordinates", "spatial_shape", "batch_size"):
        with pytest.raises(AttributeError):
            setattr(tensor().grid, name, None)


def test_the_constructor_takes_sites_as_coordinates_or_as_a_grid_and_never_both() -> None:
    x = nn.SparseConv(3, 3, 2, stride=2)(tensor())
    twin = SparseTensor(x.features, grid=x.grid, path=x.path)
    assert (twin.features, twin.grid, twin.path) == (x.features, x.grid, x.path)
    with pytest.raises(ValueError, match="pass either the grid or these"):
        SparseTensor(x.features, x.coordinates, grid=x.grid)
    with pytest.raises(ValueError, match="a path needs the grid"):
        SparseTensor(x.features, x.coordinates, path=x.path)
    with pytest.raises(TypeError, match=r"coordinates must be an integer tensor.*got NoneType"):
        SparseTensor(x.features)


def test_pytorch_finds_the_features_as_a_dataclass_and_as_a_pytree() -> None:
    x = nn.SparseConv(3, 3, 2, stride=2)(tensor())
    assert [field.name for field in dataclasses.fields(x)] == ["features", "grid", "path"]
    twin = dataclasses.replace(x, features=x.features * 2)
    assert (twin.grid, twin.path) == (x.grid, x.path)
    leaves, spec = _pytree.tree_flatten({"a": [x]})
    assert len(leaves) == 1
    assert leaves[0] is x.features
    again = _pytree.tree_unflatten([leaves[0] + 1], spec)["a"][0]
    assert (again.grid, again.path) == (x.grid, x.path)
    torch.testing.assert_close(again.features, x.features + 1)
    assert spec == _pytree.tree_structure({"a": [x.replace(x.features * 2)]})
    assert spec != _pytree.tree_structure({"a": [SparseTensor(x.features, x.coordinates, x.spatial_shape)]})
    ((place, _),) = _pytree.tree_flatten_with_path(x)[0]
    assert _pytree.keystr(place) == ".features"


def test_a_derived_class_is_a_value_with_all_its_members() -> None:
    class Named(SparseTensor):
        name = ""

    x = Named(torch.ones(4, 2), random_sites(4))
    x.name = "mine"
    twin = _pytree.tree_map(lambda leaf: leaf * 2, x)
    assert (type(twin), twin.name, twin.grid) == (Named, "mine", x.grid)
    assert twin.features.tolist() == [[2.0, 2.0]] * 4


def stack() -> torch.nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.SubmanifoldConv(3, 4, 3),
        nn.BatchNormReLU(4),
        nn.SparseConv(4, 4, 2, stride=2),
        nn.MaxPool(2, stride=2),
        nn.Unpool(2, stride=2),
        nn.InverseConv(4, 2, 2, stride=2),
        nn.GroupNorm(1, 2),
    )


def gradients(net: torch.nn.Module, x: SparseTensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(net(x).features.square().sum(), list(net.parameters())))


def assert_trains(net: torch.nn.Module, x: SparseTensor) -> None:
    fresh = SparseTensor(x.features, x.coordinates, x.spatial_shape, x.batch_size)
    for mine, wanted in zip(gradients(net, x), gradients(net, fresh), strict=True):
        torch.testing.assert_close(mine, wanted)


def in_inference_mode(net: torch.nn.Module, x: SparseTensor) -> None:
    with torch.inference_mode():
        net(x)


def prepared_in_inference_mode(net: torch.nn.Module, x: SparseTensor) -> None:
    with torch.inference_mode():
        prepare(net, x)


def in_a_transform(net: torch.nn.Module, x: SparseTensor) -> None:
    parameters = dict(net.named_parameters())
    torch.func.grad(lambda given: torch.func.functional_call(net, given, (x,)).features.sum())(parameters)


def in_no_grad(net: torch.nn.Module, x: SparseTensor) -> None:
    with torch.no_grad():
        net(x)


@pytest.mark.parametrize("first", [in_inference_mode, prepared_in_inference_mode, in_a_transform, in_no_grad])
def test_a_training_step_works_after_inference_on_the_same_grid(first: Callable[..., None]) -> None:
    net, x = stack(), tensor(40)
    first(net.eval(), x)
    assert_trains(net.train(), x)


def test_sites_made_in_inference_mode_can_be_trained_on() -> None:
    with torch.inference_mode():
        x = tensor(40)
        made = [x, SparseTensor.from_dense(x.dense()), functional.prune(x, torch.ones(40, dtype=torch.bool))]
        made.append(SparseTensor.from_points(x.features, x.coordinates, x.spatial_shape, duplicates="sum"))
        made.append(nn.MaxPool(2, stride=2)(x))
    for x in made:
        assert not x.coordinates.is_inference()
        assert_trains(stack(), x.replace(x.features.clone()))


def test_lightning_validates_in_inference_mode_and_then_trains() -> None:
    lightning = pytest.importorskip("lightning", reason="Lightning comes with the extra study")
    x, net = tensor(40), stack()

    class Task(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.validated, self.trained, self.inferred = net, 0, 0, False

        def validation_step(self, batch: SparseTensor, _: int) -> None:
            self.inferred |= torch.is_inference_mode_enabled()
            self.validated += bool(self.net(batch).features.isfinite().all())

        def training_step(self, batch: SparseTensor, _: int) -> torch.Tensor:
            self.trained += 1
            return self.net(batch).features.square().sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    task = Task()
    loader = torch.utils.data.DataLoader([x], batch_size=None)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_steps=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.validate(task, loader, verbose=False)
    trainer.fit(task, loader)
    assert task.inferred
    assert task.validated
    assert task.trained == 2


def test_threads_that_ask_at_the_same_time_get_one_rulebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thread to build continues when all have asked: the others wait for it, or build another rulebook."""
    from sscn_triton.core import rulebook

    grid, count = tensor(40).grid, 4
    built, asked, changed, lock = [], [], threading.Condition(), threading.RLock()
    original = rulebook.submanifold

    class Asking:
        def __enter__(self) -> None:
            with changed:
                asked.append(1)
                changed.notify_all()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    def building(*arguments: Any) -> Any:
        with changed:
            built.append(1)
            changed.notify_all()
            changed.wait_for(lambda: len(asked) >= count or len(built) >= count)
        return original(*arguments)

    monkeypatch.setattr(rulebook, "submanifold", building)
    monkeypatch.setattr(grid, "_building", Asking(), raising=False)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(grid.submanifold((3, 3, 3), (1, 1, 1)))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert [other is found[0] for other in found] == [True] * count


def test_a_grid_whose_coordinates_were_written_to_refuses_every_layer() -> None:
    x = tensor()
    layers = [nn.SubmanifoldConv(3, 1, 3), nn.SparseConv(3, 1, 2, stride=2), nn.GlobalPool()]
    for layer in layers:
        layer(x)
    x.coordinates.add_(1)
    for layer in layers:
        with pytest.raises(
            RuntimeError, match=r"coordinates of this grid were changed in place.*make a new SparseTensor"
        ):
            layer(x)


def test_given_coordinates_may_change_afterwards() -> None:
    sites = random_sites(12).int()
    x = SparseTensor(torch.ones(12, 3), sites)
    sites.add_(1)
    nn.SubmanifoldConv(3, 1, 3)(x)
    assert torch.equal(x.coordinates + 1, sites)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers_have_the_gradients_of_plain_ones(reentrant: bool) -> None:
    net, x = stack(), tensor(40)
    x.features = x.features.requires_grad_()
    wanted = torch.autograd.grad(net(x).features.square().sum(), [x.features, *net.parameters()])

    def run(features: torch.Tensor) -> torch.Tensor:
        return net(x.replace(features)).features

    # reentrant checkpointing sees tensors among arguments only, so it is given the features themselves
    y = (
        checkpoint(run, x.features, use_reentrant=True)
        if reentrant
        else checkpoint(net, x, use_reentrant=False).features
    )
    y.square().sum().backward()
    for mine, given in zip([x.features, *net.parameters()], wanted, strict=True):
        torch.testing.assert_close(mine.grad, given)


def test_a_saved_tensor_is_loaded_at_the_default_and_checked() -> None:
    x = nn.SparseConv(3, 3, 2, stride=2)(tensor())
    file = io.BytesIO()
    torch.save({"x": x}, file)
    file.seek(0)
    y = torch.load(file)["x"]
    assert torch.equal(y.features, x.features)
    assert torch.equal(y.coordinates, x.coordinates)
    assert [step for _, step in y.path] == [step for _, step in x.path]
    net = nn.InverseConv(3, 2, 2, stride=2)
    assert torch.equal(net(y).features, net(x).features)
    assert net(y).grid is y.path[0][0]
    assert y.path[0][0].step(y.path[0][1])[1] is y.grid


def test_a_forged_pickle_makes_no_tensor() -> None:
    x = tensor()
    state = {"_features": x.features[:1], "_grid": x.grid, "_path": ()}
    with pytest.raises(ValueError, match=r"features must be \[12, channels\]"):
        SparseTensor.__new__(SparseTensor).__setstate__(state)
    forged = {**x.grid.__getstate__(), "coordinates": x.coordinates.float()}
    with pytest.raises(TypeError, match="must be an int32 tensor"):
        Grid.__new__(Grid).__setstate__(forged)
    with pytest.raises(TypeError, match="must be Grids by Step"):
        Grid.__new__(Grid).__setstate__({**x.grid.__getstate__(), "reached": {"a step": x.grid}})


def test_rulebooks_do_not_travel_in_a_pickle_and_are_shared_by_copies() -> None:
    x = tensor(40)
    coarse = nn.SparseConv(3, 3, 2, stride=2)(x).detach()
    rules, _ = x.grid.step(coarse.path[0][1])
    assert copy.deepcopy(coarse).path[0][0].step(coarse.path[0][1])[0] is rules
    twin = pickle.loads(pickle.dumps(coarse))
    assert twin.path[0][0]._steps == {}
    again, grid = twin.path[0][0].step(coarse.path[0][1])
    assert grid is twin.grid
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again.rules, rules.rules, strict=True))


@pytest.mark.parametrize("layer", [nn.SubmanifoldConv(3, 1, 3), nn.MaxPool(2), nn.GlobalPool()], ids=repr)
@pytest.mark.newest
def test_a_compiled_graph_on_rulebooks_that_are_missing_names_prepare(layer: torch.nn.Module) -> None:
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"call sscn_triton\.prepare\(model, tensor\) first"):
        compiled(tensor())
    torch.compiler.reset()


@pytest.mark.newest
def test_a_graph_may_break_where_rulebooks_are_missing() -> None:
    convolution, _, down, _, _, up, _ = stack().eval()
    net, x = nn.Sequential(convolution, down, up), tensor(40)
    compiled = torch.compile(net, backend="eager")
    torch.testing.assert_close(compiled(x).features, net(x).features)
    torch.compiler.reset()


def test_a_network_called_by_its_parameters_is_the_network() -> None:
    torch.manual_seed(0)
    net, x = SparseUResNet(in_channels=3, filters=4, depth=2, repetitions=1), tensor(40)
    parameters = {name: value.detach().clone() for name, value in net.named_parameters()}

    def loss(given: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(net, given, (x,)).features.square().sum()

    found = torch.func.grad(loss)(parameters)
    net.zero_grad()
    net(x).features.square().sum().backward()
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)

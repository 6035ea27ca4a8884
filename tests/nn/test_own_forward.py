"""Fused layers give the results of separate layers, whatever watches or replaces them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import Module

from sscn_triton import SparseTensor, functional, models, nn
from sscn_triton.models import uresnet
from sscn_triton.nn.folding import fold_batch_norm
from sscn_triton.nn.own_forward import runs_own_forward
from tests.support.clouds import random_cloud
from tests.support.watches import NEED_PARAMETERS, WATCHES, Seen, Watch, features_written_in_place

CHANNELS = 4


class Halving(Module):
    """`Prune` in a chain: it keeps every second site."""

    def __init__(self) -> None:
        super().__init__()
        self.prune = nn.Prune()

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.prune(x, torch.arange(len(x)) % 2 == 0)


def conv(ndim: int = 2) -> Module:
    return nn.SubmanifoldConv(CHANNELS, CHANNELS, 3, ndim=ndim)


def down(ndim: int = 2) -> Module:
    return nn.SparseConv(CHANNELS, CHANNELS, 2, 2, ndim=ndim)


def up(ndim: int = 2) -> Module:
    return nn.InverseConv(CHANNELS, CHANNELS, 2, 2, ndim=ndim)


STRIDES = {"SubmanifoldConv": (), "SparseConv": (2,), "InverseConv": (2,), "TransposedConv": (2,)}
LAYERS: dict[str, Callable[[], Module]] = {
    "BatchNorm": lambda: nn.BatchNorm(CHANNELS),
    "BatchNormReLU": lambda: nn.BatchNormReLU(CHANNELS, momentum=None),
    "BatchNormLeakyReLU": lambda: nn.BatchNormLeakyReLU(CHANNELS, track_running_stats=False),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(CHANNELS, leakiness=0.5),
    "GroupNorm": lambda: nn.GroupNorm(2, CHANNELS),
    "InstanceNorm": lambda: nn.InstanceNorm(CHANNELS),
    "LayerNorm": lambda: nn.LayerNorm(CHANNELS),
    "Linear": lambda: nn.Linear(CHANNELS, CHANNELS),
    "Identity": nn.Identity,
    "Dropout": lambda: nn.Dropout(0.0),
    **{
        name: getattr(nn, name) for name in ("ELU", "GELU", "LeakyReLU", "PReLU", "ReLU", "SiLU", "Sigmoid", "Softplus")
    },
    "Tanh": nn.Tanh,
    "MaxPool": lambda: nn.MaxPool(2),
    "AveragePool": lambda: nn.AveragePool(2),
    "Unpool": lambda: nn.Unpool(2),
    "GlobalPool": nn.GlobalPool,
    "ToDense": nn.ToDense,
    "Prune": Halving,
    "Sequential": lambda: nn.Sequential(nn.BatchNorm(CHANNELS), conv()),
    "SubmanifoldConv": conv,
    "SparseConv": down,
    "InverseConv": up,
    "TransposedConv": lambda: nn.TransposedConv(CHANNELS, CHANNELS, 2, 2, ndim=2),
    **{
        f"{name}{ndim}d": partial(getattr(nn, f"{name}{ndim}d"), CHANNELS, CHANNELS, 2, *stride)
        for name, stride in STRIDES.items()
        for ndim in (1, 2, 3, 4)
    },
}
"""How to make each module of `sscn_triton.nn`; a new one needs an entry here."""

PLACES: dict[str, Callable[[Module, int], Module]] = {
    "first, before a norm": lambda layer, n: nn.Sequential(layer, nn.BatchNormReLU(CHANNELS), conv(n)),
    "between two norms": lambda layer, n: nn.Sequential(nn.BatchNorm(CHANNELS), layer, nn.BatchNorm(CHANNELS)),
    "between two convolutions": lambda layer, n: nn.Sequential(conv(n), layer, conv(n)),
    "between convolution and norm": lambda layer, n: nn.Sequential(conv(n), layer, nn.BatchNorm(CHANNELS)),
    "between norm and convolution": lambda layer, n: nn.Sequential(nn.BatchNorm(CHANNELS), layer, conv(n)),
    "before both": lambda layer, n: nn.Sequential(layer, conv(n), nn.BatchNorm(CHANNELS)),
    "chained within, before a norm": lambda layer, n: nn.Sequential(
        nn.Sequential(conv(n), nn.Sequential(layer)), nn.Sequential(nn.BatchNorm(CHANNELS))
    ),
}
LAST: dict[str, Callable[[Module, int], Module]] = {
    "last, after a convolution": lambda layer, n: nn.Sequential(nn.BatchNorm(CHANNELS), conv(n), layer),
    "last, after a norm": lambda layer, n: nn.Sequential(conv(n), nn.BatchNorm(CHANNELS), layer),
    "chained within, last": lambda layer, n: nn.Sequential(conv(n), nn.Sequential(nn.BatchNorm(CHANNELS), layer)),
}
"""Places that do not need to return a sparse tensor."""


def plain_block(self: Any, x: SparseTensor) -> SparseTensor:
    return self.shortcut(x) + self.branch(x)


def plain_level(self: Any, x: SparseTensor) -> SparseTensor:
    x = self.encoder(x)
    return self.decoder(functional.concatenate([x, self.visit(x)])) if self.has_coarser else x


def plain_network(self: Any, x: SparseTensor) -> SparseTensor:
    return self.head(self.levels(self.stem(x)))


PLAIN = {
    nn.Sequential: torch.nn.Sequential.forward,
    uresnet.ResidualBlock: plain_block,
    uresnet.Level: plain_level,
    uresnet.SparseUResNet: plain_network,
}
"""Forwards that call one layer after another, each with only its input."""


@contextlib.contextmanager
def one_by_one() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for kind, forward in PLAIN.items():
            stack.enter_context(mock.patch.object(kind, "forward", forward))
        yield


def given(name: str, ndim: int) -> SparseTensor:
    """Features of mean 1 and deviation 2 if a layer accepts them; for inverse layers, on sites reached before."""
    x = random_cloud(12, channels=CHANNELS, ndim=ndim, size=4 if ndim > 1 else 8).map(lambda features: 2 * features + 1)
    if name.startswith("InverseConv"):
        x = nn.SparseConv(CHANNELS, CHANNELS, 2, 2, ndim=ndim).double()(x)
    if name == "Unpool":
        x = nn.AveragePool(2)(x)
    return x.detach()


def outcome(net: Module, x: SparseTensor, gradients: bool) -> dict[str, Any]:
    """Output, gradients, running statistics."""
    leaf = x.features.clone().requires_grad_(gradients)
    with contextlib.nullcontext() if gradients else torch.no_grad():
        y = net(x.replace(leaf))
        y = y.features if isinstance(y, SparseTensor) else y
    found = {"output": y.detach(), **dict(net.named_buffers())}
    if gradients:
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
        found |= {"features": leaf.grad, **{name: p.grad for name, p in net.named_parameters()}}
    return found


Put = Callable[[Module], Module]
"""Watches a module and returns the one that replaces it."""


def walked(make: Callable[[Put], Module], watch: Watch, x: SparseTensor, how: Any) -> tuple[dict[str, Any], Seen]:
    """The output of a network, and the calls that a watch on a part of it notices."""
    training, gradients, context = how
    torch.manual_seed(0)
    seen: Seen = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(context)
        net = make(lambda layer: stack.enter_context(watch(layer.double(), seen))).double().train(training)
        found = outcome(net, x, gradients)
    return found, seen


def check(make: Callable[[Put], Module], watch: Watch, x: SparseTensor, training: bool, gradients: bool = True) -> None:
    """Check that a network and its layers one by one give the same results, also to the watch."""
    mine, seen = walked(make, watch, x, (training, gradients, contextlib.nullcontext()))
    right, due = walked(make, watch, x, (training, gradients, one_by_one()))
    assert seen == due
    assert seen
    assert mine.keys() == right.keys()
    for name, value in right.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-8, atol=1e-8, msg=partial("{}: {}".format, name))


def exported() -> list[str]:
    """The names of all module classes of `sscn_triton.nn`."""
    kinds = {name: getattr(nn, name) for name in nn.__all__}
    return [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Module)]


def dimensions(name: str) -> int:
    return int(name[-2]) if name[-2:] in ("1d", "2d", "3d", "4d") else 2


def placed(name: str, place: Callable[[Module, int], Module]) -> Callable[[Put], Module]:
    """A chain with the named layer at that place, watched."""

    def make(put: Put) -> Module:
        layer = LAYERS[name]()
        if isinstance(layer, Halving):
            layer.prune = put(layer.prune)
            return place(layer, 2)
        return place(put(layer), dimensions(name))

    return make


def cases(name: str) -> list[tuple[str, str]]:
    """Every place that a layer can have, with every watch that is possible there."""
    places = LAST if name in ("GlobalPool", "ToDense") else PLACES | LAST
    own = list(LAYERS[name]().parameters(recurse=False))
    watches = [kind for kind in WATCHES if own or kind not in NEED_PARAMETERS]
    return list(itertools.product(places, watches))


def walk(name: str, chosen: Iterable[tuple[str, str]], training: bool) -> None:
    x = given(name, dimensions(name))
    for place, kind in chosen:
        try:
            check(placed(name, (PLACES | LAST)[place]), WATCHES[kind], x, training)
        except Exception as error:
            raise AssertionError(f"{kind} on {name}, {place}") from error


MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


@MODES
@pytest.mark.parametrize("name", exported())
def test_a_watched_or_replaced_layer_is_called_as_without_fusion(name: str, training: bool) -> None:
    """Every watch in one place, a different place for every layer."""
    every = cases(name)
    watches = list(dict.fromkeys(kind for _, kind in every))
    places = list(dict.fromkeys(place for place, _ in every))
    shift = exported().index(name) + 5 * training
    walk(name, [(places[(i + shift) % len(places)], kind) for i, kind in enumerate(watches)], training)


@pytest.mark.deep
@MODES
@pytest.mark.parametrize("name", exported())
def test_a_watched_or_replaced_layer_is_called_as_without_fusion_everywhere(name: str, training: bool) -> None:
    walk(name, cases(name), training)


SMALL = {"in_channels": CHANNELS, "num_classes": 2, "filters": 2, "depth": 2, "repetitions": 1, "ndim": 2}
PARTS = [name for name, _ in models.SparseUResNet(**SMALL).named_modules() if name]


def network(part: str) -> Callable[[Put], Module]:
    """The study's network, watched at one part."""

    def make(put: Put) -> Module:
        net = models.SparseUResNet(**SMALL)
        parent, _, name = part.rpartition(".")
        net.get_submodule(parent)._modules[name] = put(net.get_submodule(part))
        return net

    return make


def walk_network(part: str, kinds: Iterable[str], training: bool) -> None:
    x = given("", 2)
    own = list(models.SparseUResNet(**SMALL).get_submodule(part).parameters(recurse=False))
    for kind in kinds:
        if own or kind not in NEED_PARAMETERS:
            try:
                check(network(part), WATCHES[kind], x, training)
            except Exception as error:
                raise AssertionError(f"{kind} on {part}") from error


@MODES
@pytest.mark.parametrize("part", PARTS)
def test_any_part_of_the_studys_network_may_be_watched_or_replaced(part: str, training: bool) -> None:
    kinds = list(WATCHES)
    shift = PARTS.index(part) % 3
    walk_network(part, kinds[shift::3], training)


@pytest.mark.deep
@MODES
@pytest.mark.parametrize("part", PARTS)
def test_any_part_of_the_studys_network_may_be_watched_or_replaced_in_every_way(part: str, training: bool) -> None:
    walk_network(part, WATCHES, training)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_cached_moments_are_not_used_after_a_hook_writes_to_the_features(mode: Any) -> None:
    """No version counter notices a write through ``.data``, or any write in inference mode."""
    with mode():
        for place in (PLACES | LAST).values():
            for name in ("BatchNorm", "Sequential", "Identity"):
                check(placed(name, place), features_written_in_place, given(name, 2), True, False)
        for part in PARTS:
            check(network(part), features_written_in_place, given("", 2), True, False)


class Replacing(nn.Sequential):
    def forward(self, x: SparseTensor) -> SparseTensor:
        x.features = x.features * 3 + 1
        return super().forward(x)


class Writing(nn.Sequential):
    def forward(self, x: SparseTensor) -> SparseTensor:
        x.features.data.mul_(3).add_(1)
        return super().forward(x)


class Adding(nn.Sequential):
    def forward(self, x: SparseTensor) -> SparseTensor:
        return x + super().forward(x)


@pytest.mark.parametrize("kind", [Replacing, Writing])
def test_a_norm_normalises_the_features_that_it_is_given(kind: type[nn.Sequential]) -> None:
    net = nn.Sequential(conv(), kind(nn.BatchNorm(CHANNELS, eps=0))).double()
    y = net(given("", 2)).features
    torch.testing.assert_close(y.mean(0), torch.zeros(CHANNELS).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(y.var(0, correction=0), torch.ones(CHANNELS).double(), rtol=0, atol=1e-12)


def test_a_chain_with_an_overridden_forward_may_precede_a_norm() -> None:
    x = given("", 2)
    net = nn.Sequential(Adding(conv()), nn.BatchNorm(CHANNELS)).double()
    wanted = net[1](x + net[0][0](x)).features
    torch.testing.assert_close(net(x).features, wanted)


@pytest.mark.parametrize("place", ["wrapper", "in place"])
def test_a_compiled_part_is_compiled_and_called(place: str) -> None:
    torch._dynamo.reset()
    part = conv().double()
    net = nn.Sequential(nn.BatchNorm(CHANNELS), part, nn.BatchNorm(CHANNELS)).double()
    x, graphs = given("", 2), torch._dynamo.testing.CompileCounter()
    wanted = net(x).features
    if place == "wrapper":
        net[1] = torch.compile(part, backend=graphs)
    else:
        part.compile(backend=graphs)
    torch.testing.assert_close(net(x).features, wanted)
    assert graphs.frame_count >= 1


def test_layers_run_their_own_forward_unless_watched() -> None:
    """This makes sure that the comparisons above test fused layers."""
    torch.manual_seed(0)
    for place in PLACES.values():
        parts = list(place(nn.Sequential(conv()), 2).modules())
        assert all(map(runs_own_forward, parts)), parts
    for kind, watch in WATCHES.items():
        with watch(conv(), []) as layer:
            assert runs_own_forward(layer) == (kind == "parametrization"), kind
    assert runs_own_forward(conv())


NOT_COPIED = ("forward_patched_on_the_class", "compiled_wrapper", "compiled_in_place", "pruning")
"""Watches that know one module, but no deep copy of it; a pruned module cannot be copied at all."""


@pytest.mark.parametrize("kind", [kind for kind in WATCHES if kind not in NOT_COPIED])
@pytest.mark.parametrize("part", ["convolution", "norm", "chain"])
def test_norms_are_folded_only_if_no_code_can_notice(part: str, kind: str) -> None:
    torch.manual_seed(0)
    chain: Any = nn.Sequential(conv(), nn.BatchNormReLU(CHANNELS)).double()
    torch.nn.init.normal_(chain[1].running_mean)
    if part == "chain" and kind in NEED_PARAMETERS:
        pytest.skip("a chain has no parameters of its own")
    with WATCHES[kind](chain if part == "chain" else chain[part == "norm"], []) as watched:
        if part != "chain":
            chain[part == "norm"] = watched
        net = nn.Sequential(watched if part == "chain" else chain, nn.Identity()).eval()
        wanted = net(given("", 2)).features
        folded = fold_batch_norm(net)
        torch.testing.assert_close(folded(given("", 2)).features, wanted)
    left = any(isinstance(module, nn.BatchNorm) for module in folded.modules())
    assert left == ((part, kind) != ("norm", "parametrization"))


@pytest.mark.newest
@pytest.mark.parametrize("part", ["convolution", "chain", "network"])
def test_a_compiled_network_may_be_folded(part: str) -> None:
    chain: Any = nn.Sequential(conv(), nn.BatchNormReLU(CHANNELS)).double()
    torch.nn.init.normal_(chain[1].running_mean)
    if part == "convolution":
        chain[0] = torch.compile(chain[0], backend="eager")
    net: Any = nn.Sequential(torch.compile(chain, backend="eager") if part == "chain" else chain).eval()
    net = torch.compile(net, backend="eager") if part == "network" else net
    x = given("", 2)
    with torch.compiler.set_stance("force_eager"):
        torch.testing.assert_close(fold_batch_norm(net)(x).features, net(x).features)


class Branches(torch.nn.Sequential):
    """Not a chain, although it is built like one: its layers get the same input."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self[0](x) + self[1](x)


def test_a_container_other_than_a_chain_is_not_folded() -> None:
    net = Branches(conv(), nn.BatchNorm(CHANNELS)).double().eval()
    x = given("", 2)
    torch.testing.assert_close(fold_batch_norm(net)(x).features, net(x).features)

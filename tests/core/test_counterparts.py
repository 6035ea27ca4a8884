"""A name from PyTorch or another engine gives an error with our counterpart, and the counterpart exists."""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import sscn_triton
from sscn_triton import SparseTensor, functional, nn
from sscn_triton.core.counterparts import ARGUMENTS, ATTRIBUTES, COUNTERPARTS, NAMES
from tests.support.clouds import random_cloud

TABLES: dict[str, dict[str, str]] = {"ATTRIBUTES": ATTRIBUTES, "COUNTERPARTS": COUNTERPARTS, "NAMES": NAMES}
LAYERS = {
    name: layer for name in nn.__all__ if isinstance(layer := getattr(nn, name), type) and layer is not nn.Identity
}
FOREIGN_ARGUMENTS = sorted({argument for _, argument in ARGUMENTS})
HOMES = {"nn": nn, "functional": functional, "models": sscn_triton.models, "sscn_triton": sscn_triton}


def named(text: str) -> list[tuple[str, str]]:
    """The names in a hint: (home, name)."""
    return re.findall(r"\b(x|nn|functional|models|sscn_triton|torch(?:\.nn)?)\.(\w+)", text)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table, entries in TABLES.items() for name in entries])
def test_every_hint_names_an_existing_counterpart(table: str, name: str) -> None:
    found = named(TABLES[table][name])
    assert found
    for home, what in found:
        if home == "x":
            assert hasattr(random_cloud(2), what)
        elif home.startswith("torch"):
            assert hasattr({"torch": torch, "torch.nn": torch.nn}[home], what)
        else:
            assert what in HOMES[home].__all__


@pytest.mark.parametrize(("layer", "argument"), ARGUMENTS)
def test_every_hint_for_an_argument_names_an_existing_argument(layer: str, argument: str) -> None:
    assert layer in ("", *LAYERS)
    for home, what in named(ARGUMENTS[layer, argument]):
        assert home == "x" or what in HOMES[home].__all__


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_refuses_an_unknown_argument_and_lists_its_own(name: str) -> None:
    layer = LAYERS[name]
    takes = {**inspect.signature(layer).parameters}
    if "kwargs" in takes:  # a norm passes them to BatchNorm, and other layers refuse them
        takes = {**inspect.signature(nn.BatchNorm).parameters} if issubclass(layer, nn.BatchNorm) else {}
    needed: dict[str, Any] = {
        one.name: 4 for one in takes.values() if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
    }
    layer(**needed)
    for argument in [*FOREIGN_ARGUMENTS, "colour"]:
        if argument in takes:
            continue
        with pytest.raises(TypeError) as caught:
            layer(**needed, **{argument: 1})
        told = str(caught.value)
        assert re.match(rf"{name} takes no argument '{argument}'[:;] .*its arguments are \(", told)
        assert ("use " in told or "leave it out" in told or "given by" in told or "says" in told) == (
            argument != "colour" and any((of, argument) in ARGUMENTS for of in ("", re.sub(r"\dd$", "", name)))
        )


@pytest.mark.parametrize("layer", [nn.SubmanifoldConv, nn.SubmanifoldConv3d])
def test_a_submanifold_convolution_names_the_layer_with_a_stride(layer: Callable[..., Any]) -> None:
    with pytest.raises(
        TypeError, match=r"^SubmanifoldConv(3d)? takes no argument 'stride': .*nn\.SparseConv for a stri"
    ):
        layer(2, 3, 3, stride=2)
    with pytest.raises(
        TypeError, match=r"^SubmanifoldConv(3d)?: missing a required argument: 'kernel_size'; its argum"
    ):
        layer(2, 3)
    for fourth in (2, (2, 2, 2)):
        written = re.escape(f"write dilation={fourth}")
        with pytest.raises(
            TypeError,
            match=rf"^SubmanifoldConv(3d)? .* after kernel_size by name, .*: {written}, .*SparseConv for a stride;",
        ):
            layer(2, 3, 3, fourth)


BY_PLACE: dict[Any, tuple[tuple[Any, ...], str]] = {  # the part before the first argument that must be named
    nn.SubmanifoldConv: ((2, 3, 3), "dilation"),
    nn.SparseConv: ((2, 3, 3, 2), "padding"),
    nn.InverseConv: ((2, 3, 3, 2), "padding"),
    nn.TransposedConv: ((2, 3, 3, 2), "padding"),
    nn.SparseConv3d: ((2, 3, 3, 2), "padding"),
    nn.MaxPool: ((3, 2), "padding"),
    nn.AveragePool: ((3, 2), "padding"),
    nn.Unpool: ((3, 2), "padding"),
    nn.InstanceNorm: ((2, 1e-5), "affine"),
    functional.submanifold_conv: ((None, None, None), "kernel_size"),
    functional.sparse_conv: ((None, None, None), "kernel_size"),
    functional.inverse_conv: ((None, None, None), "kernel_size"),
    functional.transposed_conv: ((None, None, None), "kernel_size"),
    functional.max_pool: ((None, 3, 2), "padding"),
    functional.average_pool: ((None, 3, 2), "padding"),
    functional.unpool: ((None, 3, 2), "padding"),
}


@pytest.mark.parametrize("called", BY_PLACE, ids=lambda called: called.__name__)
def test_an_argument_whose_place_differs_between_libraries_is_named(called: Callable[..., Any]) -> None:
    places, name = BY_PLACE[called]
    with pytest.raises(TypeError, match=rf"^{called.__name__} takes .* by name, .*: write {name}=1(, |;|$)"):
        called(*places, 1)
    if isinstance(called, type):
        called(*places, **{name: True if name == "affine" else 1})


def test_every_convolution_and_pooling_has_named_arguments() -> None:
    homes = {**LAYERS, **{name: getattr(functional, name) for name in functional.__all__}}
    found = {one for name, one in homes.items() if re.search(r"(?i)(conv|(max|average_?|un)pool)$", name)}
    assert found - {nn.InstanceNorm} <= {*BY_PLACE}


def test_an_unknown_argument_of_a_derived_norm_names_that_norm() -> None:
    with pytest.raises(
        TypeError, match=r"^BatchNormLeakyReLU takes no argument 'stride'; its arguments are \(num_feat"
    ):
        nn.BatchNormLeakyReLU(2, stride=1)


def test_an_error_in_a_subclass_names_the_base_layer() -> None:
    class Mine(nn.SubmanifoldConv):
        def __init__(self, channels: int) -> None:
            super().__init__(channels, channels, 3, stride=2)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^SubmanifoldConv takes no argument 'stride'"):
        Mine(2)
    assert "self" not in inspect.signature(nn.SubmanifoldConv).parameters


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_of_another_engine_suggests_ours(name: str) -> None:
    x = random_cloud(2)
    assert not hasattr(SparseTensor, name)
    with pytest.raises(AttributeError, match=rf"'SparseTensor' object has no attribute '{name}': use ") as caught:
        getattr(x, name)
    short = re.sub(r"sscn_triton\.(nn|functional)\.", r"\1.", str(caught.value))
    assert short.endswith(ATTRIBUTES[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_module_suggests_its_own_name_for_a_foreign_one(name: str) -> None:
    for module in (sscn_triton, nn, functional):
        if name in module.__all__:
            assert getattr(module, name)
            continue
        with pytest.raises(AttributeError, match=rf"module '{module.__name__}' has no attribute '{name}': use "):
            getattr(module, name)


def test_a_loss_given_a_sparse_tensor_asks_for_the_features() -> None:
    with pytest.raises(TypeError, match=r"cross_entropy of PyTorch .*: use x\.features, with one target per"):
        torch.nn.functional.cross_entropy(random_cloud(3), torch.zeros(3).long())


def test_common_foreign_names_are_in_the_tables() -> None:
    for name in ("F", "C", "indices", "replace_feature", "feats", "coords", "shape", "size", "relu"):
        assert name in ATTRIBUTES
    for name in ("BatchNorm1d", "Conv3d", "SubMConv3d", "SubmanifoldConvolution", "MinkowskiConvolution"):
        assert name in NAMES


def test_other_names_of_modules_are_unknown_pytorchs_or_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match=r"module 'sscn_triton\.nn' has no attribute 'Colour'$"):
        nn.Colour  # noqa: B018
    with pytest.raises(AttributeError, match=r"torch\.nn\.Mish is PyTorch's; x\.map\(layer\)"):
        nn.Mish  # noqa: B018
    with pytest.raises(AttributeError, match=r"'sscn_triton.functional' has no attribute 'relu': use sscn_triton.nn.R"):
        functional.relu  # noqa: B018
    monkeypatch.delattr("sscn_triton.lartpc", raising=False)  # another test may have imported it
    with pytest.raises(AttributeError, match=r"it is a separate package, import sscn_triton\.lartpc$"):
        sscn_triton.lartpc  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Conv3d'"):
        from sscn_triton.nn import Conv3d  # noqa: F401


BINARY = [operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow, operator.matmul]
COMPARED = [operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("function", [operator.add, *BINARY])
def test_binary_operators_suggest_map(function: Callable[[Any, Any], Any]) -> None:
    x = random_cloud(3)
    for left, right in [(x, 2), (2, x), (x, x.features), (x, None)]:
        with pytest.raises(TypeError, match=r"unsupported operand .*: use x\.map\(lambda features: features \S+ \."):
            function(left, right)
    with pytest.raises(TypeError, match=r"'Tensor' and 'SparseTensor': use|takes tensors, not a SparseTensor: use"):
        function(x.features, x)
    if function is not operator.add:
        with pytest.raises(TypeError, match=r"use x\.replace\(x\.features \S+ y\.features\), if both are on one gr"):
            function(x, x)


@pytest.mark.parametrize("function", [operator.neg, operator.abs, operator.invert])
def test_unary_operators_suggest_map(function: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"bad operand type for \S+: 'SparseTensor': use x\.map\(lambda features: "):
        function(random_cloud(3))


@pytest.mark.parametrize("function", COMPARED)
def test_comparison_operators_suggest_the_features(function: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"use x\.features [<>]=? \.\.\."):
        function(random_cloud(3), 0)


def test_tensors_are_equal_by_identity_and_can_be_keys() -> None:
    x, y = random_cloud(3), random_cloud(3)
    assert x == x
    assert x != y
    assert {x: 1}[x] == 1

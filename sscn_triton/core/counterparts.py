"""Counterparts of names from PyTorch or another engine: one table per place where users may write such a name.

Names of this library are written ``x.NAME`` for members of a SparseTensor, and ``nn.NAME``, ``functional.NAME`` and
``sscn_triton.NAME`` for the others.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

_LOSSES = (
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div",
    "binary_cross_entropy", "binary_cross_entropy_with_logits",
)  # fmt: skip
COUNTERPARTS = {  # functions of PyTorch called with a SparseTensor
    "relu": "nn.ReLU",
    "leaky_relu": "nn.LeakyReLU",
    "prelu": "nn.PReLU",
    "elu": "nn.ELU",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "softplus": "nn.Softplus",
    "sigmoid": "nn.Sigmoid",
    "tanh": "nn.Tanh",
    "dropout": "nn.Dropout",
    "linear": "nn.Linear",
    "layer_norm": "nn.LayerNorm",
    "batch_norm": "nn.BatchNorm",
    "group_norm": "nn.GroupNorm",
    "instance_norm": "nn.InstanceNorm",
    "conv": "nn.SubmanifoldConv or nn.SparseConv",
    "conv_transpose": "nn.InverseConv or nn.TransposedConv",
    "max_pool": "nn.MaxPool",
    "avg_pool": "nn.AveragePool",
    "adaptive_max_pool": "nn.GlobalPool",
    "adaptive_avg_pool": "nn.GlobalPool",
    "interpolate": "nn.Unpool",
    "cat": "functional.concatenate",
    "concat": "functional.concatenate",
    "concatenate": "functional.concatenate",
    **dict.fromkeys(_LOSSES, "x.features, with one target per site"),
}

_ELEMENTWISE = (
    "abs",
    "clamp",
    "div",
    "exp",
    "log",
    "mul",
    "neg",
    "pow",
    "relu",
    "sigmoid",
    "sqrt",
    "square",
    "sub",
    "tanh",
)
ATTRIBUTES = {  # of a SparseTensor
    **dict.fromkeys(("F", "feats", "feature"), "x.features, [N, channels]"),
    **dict.fromkeys(("C", "coords", "indices", "coordinate"), "x.coordinates, [N, 1 + D], batch index first"),
    **dict.fromkeys(("shape", "size"), "x.features.shape, x.spatial_shape and x.batch_size"),
    "spatial_size": "x.spatial_shape",
    **dict.fromkeys(("D", "dimension"), "x.ndim"),
    **dict.fromkeys(("replace_feature", "set_feature"), "x.replace(features)"),
    **dict.fromkeys(("s", "stride", "tensor_stride"), "x.path, the strided steps to this grid"),
    **dict.fromkeys(
        ("indice_dict", "coordinate_manager", "coordinate_map_key", "cmaps", "kmaps", "find_indice_pair"),
        "x.grid, which keeps the rulebooks",
    ),
    "decomposed_features": "x.features[x.coordinates[:, 0] == event]",
    "decomposed_coordinates": "x.coordinates[x.coordinates[:, 0] == event, 1:]",
    "features_at_coordinates": "functional.interpolate or functional.find_rows",
    **dict.fromkeys(("slice", "interpolate"), "functional.interpolate or functional.nearest"),
    "cat_slice": "functional.interpolate and functional.concatenate",
    "inverse_mapping": "x.from_points(..., return_inverse=True)",
    "from_tensors": "sscn_triton.collate",
    **dict.fromkeys(("sum", "mean", "max", "min"), "nn.GlobalPool, or x.features"),
    **dict.fromkeys(_ELEMENTWISE, "x.map(function), as in x.map(torch.relu)"),
}

_LAYERS = {  # names of layers that end with a number of axes, 1d to 4d; {} stands for that number
    "Conv": "nn.SubmanifoldConv{} (same sites) or nn.SparseConv{} (all sites reached)",
    "ConvTranspose": "nn.InverseConv{} (back to the sites of a SparseConv) or nn.TransposedConv{}",
    "SubMConv": "nn.SubmanifoldConv{}",
    "SparseInverseConv": "nn.InverseConv{}",
    "SparseConvTranspose": "nn.TransposedConv{}",
    "BatchNorm": "nn.BatchNorm",
    "InstanceNorm": "nn.InstanceNorm",
    "Dropout": "nn.Dropout",
    **dict.fromkeys(("MaxPool", "SparseMaxPool", "AdaptiveMaxPool"), "nn.MaxPool or nn.GlobalPool"),
    **dict.fromkeys(("AvgPool", "SparseAvgPool", "AdaptiveAvgPool"), "nn.AveragePool or nn.GlobalPool"),
}

NAMES = {  # of sscn_triton, sscn_triton.nn and sscn_triton.functional
    **{f"{name}{d}d": text.replace("{}", f"{d}d") for name, text in _LAYERS.items() for d in range(1, 5)},
    # PyTorch
    "Upsample": "nn.Unpool",
    "Flatten": "nn.GlobalPool",
    "SyncBatchNorm": "nn.SyncBatchNorm",
    # spconv
    "SparseConvTensor": "sscn_triton.SparseTensor",
    "SparseSequential": "nn.Sequential",
    "SparseModule": "torch.nn.Module",
    "SparseBatchNorm": "nn.BatchNorm",
    "SparseReLU": "nn.ReLU",
    "SparseIdentity": "nn.Identity",
    "SparseGlobalMaxPool": "nn.GlobalPool",
    "SparseGlobalAvgPool": "nn.GlobalPool",
    "PointToVoxel": "sscn_triton.voxelize",
    # SparseConvNet
    "SubmanifoldConvolution": "nn.SubmanifoldConv",
    "Convolution": "nn.SparseConv",
    "Deconvolution": "nn.InverseConv",
    "FullConvolution": "nn.TransposedConv",
    "TransposeConvolution": "nn.TransposedConv",
    "BatchNormalization": "nn.BatchNorm",
    "MaxPooling": "nn.MaxPool",
    "AveragePooling": "nn.AveragePool",
    "UnPooling": "nn.Unpool",
    "NetworkInNetwork": "nn.Linear",
    "InputLayer": "sscn_triton.SparseTensor",
    "OutputLayer": "x.features",
    "SparseToDense": "nn.ToDense",
    "JoinTable": "functional.concatenate",
    "AddTable": "functional.add",
    "UNet": "models.SparseUResNet",
    # MinkowskiEngine
    "MinkowskiConvolution": "nn.SubmanifoldConv (stride 1) or nn.SparseConv",
    "MinkowskiConvolutionTranspose": "nn.InverseConv",
    "MinkowskiGenerativeConvolutionTranspose": "nn.TransposedConv",
    "MinkowskiBatchNorm": "nn.BatchNorm",
    "MinkowskiSyncBatchNorm": "nn.SyncBatchNorm",
    "MinkowskiInstanceNorm": "nn.InstanceNorm",
    "MinkowskiReLU": "nn.ReLU",
    "MinkowskiLeakyReLU": "nn.LeakyReLU",
    "MinkowskiPReLU": "nn.PReLU",
    "MinkowskiELU": "nn.ELU",
    "MinkowskiGELU": "nn.GELU",
    "MinkowskiSigmoid": "nn.Sigmoid",
    "MinkowskiTanh": "nn.Tanh",
    "MinkowskiDropout": "nn.Dropout",
    "MinkowskiLinear": "nn.Linear",
    "MinkowskiMaxPooling": "nn.MaxPool",
    "MinkowskiAvgPooling": "nn.AveragePool",
    "MinkowskiPoolingTranspose": "nn.Unpool",
    "MinkowskiGlobalPooling": "nn.GlobalPool",
    "MinkowskiGlobalMaxPooling": "nn.GlobalPool",
    "MinkowskiGlobalAvgPooling": "nn.GlobalPool",
    "MinkowskiGlobalSumPooling": "nn.GlobalPool",
    "MinkowskiPruning": "nn.Prune",
    "MinkowskiInterpolation": "functional.interpolate",
    "MinkowskiToDenseTensor": "nn.ToDense",
    "TensorField": "sscn_triton.voxelize",
    # MinkowskiEngine and torchsparse
    "SparseCollation": "sscn_triton.collate",
    "sparse_collate": "sscn_triton.collate",
    "batch_sparse_collate": "sscn_triton.collate",
    "batched_coordinates": "sscn_triton.collate",
    "sparse_collate_fn": "sscn_triton.collate",
    "sparse_quantize": "sscn_triton.quantize",
    "spvoxelize": "sscn_triton.voxelize",
    "spdevoxelize": "functional.interpolate",
    "cat": "functional.concatenate",
    "to_sparse": "sscn_triton.SparseTensor.from_dense",
}

_CENTRED = "the kernel is centred on every input site and outputs are at the input sites, so leave it out, or"
_POOLED = "inactive sites take no part"
ARGUMENTS = {  # that a layer does not have, by layer; an empty name means every layer
    ("SubmanifoldConv", "stride"): "its outputs are at its input sites; use nn.SparseConv for a stride",
    ("SubmanifoldConv", "padding"): f"{_CENTRED} use nn.SparseConv",
    ("SubmanifoldConv", "output_padding"): f"{_CENTRED} use nn.TransposedConv",
    ("SparseConv", "output_padding"): "use nn.TransposedConv",
    (
        "InverseConv",
        "output_padding",
    ): "the output has the sites of the SparseConv it inverts; or use nn.TransposedConv",
    ("", "padding_mode"): "inactive sites count as zero and the image has no other border, so leave it out",
    **dict.fromkeys(
        [("", name) for name in ("indice_key", "key", "rulebook_key", "coordinate_manager")],
        "x.grid finds the rulebook by the geometry, so leave it out",
    ),
    **dict.fromkeys(
        [("", name) for name in ("algo", "fp32_accum", "use_hash", "large_kernel_fast_algo", "record_voxel_count")],
        "the library chooses how it computes, so leave it out",
    ),
    **dict.fromkeys([("", "device"), ("", "dtype")], "use layer.to(device, dtype)"),
    **dict.fromkeys([("", "dimension"), ("", "D"), ("", "ndim")], "use ndim=, or a layer with the number in its name"),
    ("", "kernel_generator"): "kernels are boxes, given by kernel_size and dilation",
    ("", "expand_coordinates"): "use nn.TransposedConv, or nn.SparseConv with padding, to make new sites",
    ("", "convolution_mode"): "leave it out",
    ("", "transposed"): "use nn.InverseConv or nn.TransposedConv",
    ("", "inverse"): "use nn.InverseConv",
    ("", "subm"): "use nn.SubmanifoldConv",
    ("", "act_type"): "use nn.Sequential(convolution, nn.ReLU())",
    ("", "ceil_mode"): "every site that some input reaches is in the output, so leave it out",
    ("", "count_include_pad"): f"{_POOLED}; use nn.AveragePool with count='volume' to divide by all taps",
    ("", "divisor_override"): f"{_POOLED}; use nn.AveragePool with count='volume' to divide by all taps",
    ("", "return_indices"): "use nn.Unpool, which needs no indices",
    ("", "output_size"): "use nn.GlobalPool",
    ("", "filter_size"): "use kernel_size",
    ("", "pool_size"): "use kernel_size",
    **dict.fromkeys([("", "filter_stride"), ("", "pool_stride"), ("", "strides")], "use stride"),
    **dict.fromkeys([("", "nIn"), ("", "in_features"), ("", "in_planes")], "use in_channels"),
    **dict.fromkeys([("", "nOut"), ("", "out_features"), ("", "out_planes"), ("", "filters")], "use out_channels"),
    ("", "nPlanes"): "use num_features",
    ("", "use_bias"): "use bias",
    **dict.fromkeys(
        [("InstanceNorm", "momentum"), ("InstanceNorm", "track_running_stats")],
        "it always uses the statistics of the event, so leave it out",
    ),
}

PLACES = {  # what a user may mean instead by the first argument that must be named
    "SubmanifoldConv": "use nn.SparseConv for a stride",
    **dict.fromkeys(
        ("SparseConv", "InverseConv", "MaxPool", "AveragePool", "Unpool"),
        "dilation=, which comes first in MinkowskiEngine",
    ),
    "InstanceNorm": "leave out the momentum, which is third in PyTorch",
    "max_pool": "dilation=, which comes first in MinkowskiEngine",
}

_BINARY = {"sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"}
_COMPARED = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_UNARY = {"neg": "-", "abs": "abs", "invert": "~"}


def refusal(function: Callable[..., Any]) -> str:
    """The reason why ``function`` of PyTorch takes no SparseTensor, in one line that names the alternative."""
    name = getattr(function, "__name__", str(function))
    known = COUNTERPARTS.get(name[:-2] if name.endswith(("1d", "2d", "3d")) else name)
    instead = _in_full(known) if known else "x.map(function), which applies a function to the features"
    return f"{name} of PyTorch takes tensors, not a SparseTensor: use {instead}"


def missing_attribute(owner: str, name: str) -> str:
    """The reason why a SparseTensor has no attribute ``name``, in one line that names its counterpart."""
    message = f"{owner!r} object has no attribute {name!r}"
    if name in ATTRIBUTES:
        return f"{message}: use {_in_full(ATTRIBUTES[name])}"
    if hasattr(Tensor, name):
        return f"{message}: its features, [N, channels], are a tensor; the layers that take it are in sscn_triton.nn"
    return message


def missing_name(module: str, name: str) -> AttributeError:
    """The error for a name that a module of this library does not have; it names the counterpart."""
    message = f"module {module!r} has no attribute {name!r}"
    if known := NAMES.get(name) or COUNTERPARTS.get(name):
        message += f": use {_in_full(known)}"
    elif module == "sscn_triton" and not name.startswith("_") and importlib.util.find_spec(f"{module}.{name}"):
        message += f": it is a separate package, import {module}.{name}"
    elif not name.startswith("_") and hasattr(torch.nn, name):
        message += f": torch.nn.{name} is PyTorch's; x.map(layer) applies such a layer to the features"
    return AttributeError(message, name=name)


def refused_arguments(
    layer: str, takes: Signature, places: Sequence[Any], given: Mapping[str, Any], error: TypeError
) -> TypeError:
    """The error for arguments that a layer does not take; it names the layer, its arguments and what to use instead."""
    family = layer[:-2] if layer[-2:] in ("1d", "2d", "3d", "4d") else layer
    unknown = [name for name in given if name not in takes.parameters]
    its = ", ".join(str(parameter.replace(annotation=Signature.empty)) for parameter in takes.parameters.values())
    if not unknown and (needed := _needed_name(layer, family, takes, places)):
        return TypeError(f"{needed}; its arguments are ({its})")
    if not unknown:
        return TypeError(f"{layer}: {error}; its arguments are ({its})")
    hint = ARGUMENTS.get((family, unknown[0])) or ARGUMENTS.get(("", unknown[0]))
    if unknown[0] == "ndim" and family != layer:
        hint = f"its name says that it has {layer[-2]} axes"
    instead = f": {_in_full(hint)}" if hint else ""
    return TypeError(f"{layer} takes no argument {unknown[0]!r}{instead}; its arguments are ({its})")


def by_name(function: Function) -> Function:
    """Make a function with keyword-only arguments raise a clear TypeError if one of them is passed by position."""
    takes = signature(function)
    most = sum(one.kind is one.POSITIONAL_OR_KEYWORD for one in takes.parameters.values())
    name = function.__name__

    @functools.wraps(function)
    def checked(*places: Any, **given: Any) -> Any:
        if len(places) > most:
            raise TypeError(_needed_name(name, name, takes, places))
        return function(*places, **given)

    return cast(Function, checked)


def _needed_name(called: str, family: str, takes: Signature, places: Sequence[Any]) -> str:
    """The reason why the first argument passed by position must be named; empty if none must be."""
    by_place = [one.name for one in takes.parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    named = [one.name for one in takes.parameters.values() if one.kind is one.KEYWORD_ONLY]
    if len(places) <= len(by_place) or not named:
        return ""
    value = places[len(by_place)]
    shown = repr(value) if isinstance(value, (int, float, str, tuple, list)) else "..."
    instead = f", or {_in_full(PLACES[family])}" if family in PLACES else ""
    return (
        f"{called} takes the arguments after {by_place[-1]} by name, because libraries differ in their order: "
        f"write {named[0]}={shown}{instead}"
    )


def _in_full(text: str) -> str:
    """The text with ``nn.`` written as ``sscn_triton.nn.``, and so on."""
    words = [
        f"sscn_triton.{word}" if word.startswith(("nn.", "functional.", "models.")) else word for word in text.split()
    ]
    return " ".join(words)


class NoArithmetic:
    """Refuses arithmetic that a SparseTensor does not support, in one line that names `SparseTensor.map`."""

    if not TYPE_CHECKING:  # otherwise a type checker would accept the arithmetic

        def __radd__(self, other: Any) -> NoReturn:
            raise TypeError(no_sum(other, self))


def no_sum(left: Any, right: Any) -> str:
    """The reason why these two operands, one of which is a SparseTensor, cannot be added."""
    return _no_operation("+", left, right)


def _no_operation(symbol: str, left: Any, right: Any) -> str:
    names = f"{type(left).__name__!r} and {type(right).__name__!r}"
    two = isinstance(left, NoArithmetic) and isinstance(right, NoArithmetic)
    if symbol in _COMPARED.values():
        use = f"x.features {symbol} ..."
    elif two:
        use = f"x.replace(x.features {symbol} y.features), if both are on one grid"
    else:
        use = f"x.map(lambda features: features {symbol} ...)"
    return f"unsupported operand type(s) for {symbol}: {names}: use {use}"


def _binary(symbol: str, reflected: bool) -> Callable[..., NoReturn]:
    def refuse(self: NoArithmetic, other: Any) -> NoReturn:
        raise TypeError(_no_operation(symbol, *((other, self) if reflected else (self, other))))

    return refuse


def _unary(symbol: str) -> Callable[..., NoReturn]:
    def refuse(self: NoArithmetic) -> NoReturn:
        word = f"{symbol}(features)" if symbol.isalpha() else f"{symbol}features"
        raise TypeError(f"bad operand type for {symbol}: {type(self).__name__!r}: use x.map(lambda features: {word})")

    return refuse


for _name, _symbol in _BINARY.items():
    setattr(NoArithmetic, f"__{_name}__", _binary(_symbol, False))
    setattr(NoArithmetic, f"__r{_name}__", _binary(_symbol, True))
for _name, _symbol in _COMPARED.items():
    setattr(NoArithmetic, f"__{_name}__", _binary(_symbol, False))
for _name, _symbol in _UNARY.items():
    setattr(NoArithmetic, f"__{_name}__", _unary(_symbol))

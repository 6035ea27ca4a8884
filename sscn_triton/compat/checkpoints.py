"""Convert weights from one engine's layout to another's; every entry of a state dictionary is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton.compat.architectures import ARCHITECTURES, Layer, check_uresnet
from sscn_triton.compat.minkowski.maps.weights import by_tap
from sscn_triton.compat.to_minkowski import to_minkowski
from sscn_triton.compat.torchsparse.nn.utils.kernel import in_library_order, in_torchsparses_order
from sscn_triton.relation import Axes, volume

ENGINES = ("sscn", "sparseconvnet", "spconv", "spconv1", "minkowski", "torchsparse")
BATCHES = "num_batches_tracked"
ONE_TAP = "[in, out], as spconv 2 reads a kernel of one tap that has no stride"


class Move(NamedTuple):
    """One line of a mapping: an entry's name before and after, and what happened to its values."""

    source: str
    target: str
    note: str

    def __str__(self) -> str:
        return f"{self.source or '(none)'} -> {self.target or '(none)'}  {self.note}"


@dataclass(frozen=True)
class Conversion:
    """What to convert, with the information that names alone do not give.

    Args:
        source, target: engines, one of which is "sscn": "sparseconvnet", "spconv" (2.x), "spconv1" (1.x), "minkowski",
            "torchsparse" (2.x).
        ndim: number of spatial axes.
        architecture: None keeps the names; "uresnet" knows those of the 2018 study's network and of `SparseUResNet`.
        linear: patterns (of `fnmatch`) of 2-D weights that are a `torch.nn.Linear`, ``[out, in]``, in both engines;
            required for those of SparseConvNet, and for those of one row from MinkowskiEngine.
        network_in_network: patterns of 2-D weights that are a NetworkInNetwork, ``[in, out]``, in SparseConvNet.
        kernel_sizes: extents of kernels that are not cubes, by pattern.
        drop: patterns of entries to leave out.
    """

    source: str
    target: str
    ndim: int = 3
    architecture: str | None = None
    linear: Sequence[str] = ()
    network_in_network: Sequence[str] = ()
    kernel_sizes: Mapping[str, Axes] | None = None
    drop: Sequence[str] = ()

    def __post_init__(self) -> None:
        pair = (self.source, self.target)
        if pair.count("sscn") != 1 or not set(pair) <= set(ENGINES):
            raise ValueError(
                f"one of source and target must be sscn, the other {', '.join(ENGINES[1:-1])} or {ENGINES[-1]}; "
                f"got {self.source} and {self.target}"
            )
        if not 1 <= self.ndim <= 4:
            raise ValueError(f"ndim must be 1 to 4, got {self.ndim}")
        if "torchsparse" in pair and self.ndim != 3:
            raise ValueError(f"ndim must be 3 for torchsparse, got {self.ndim}")
        if self.architecture is not None and self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be {', '.join(ARCHITECTURES)} or none, got {self.architecture}")
        if self.architecture is not None and "sparseconvnet" not in pair:
            raise ValueError(f"architecture {self.architecture} is known in SparseConvNet and in sscn, not in {pair}")


def convert_weights(state: Mapping[str, Tensor], how: Conversion) -> tuple[dict[str, Tensor], list[Move]]:
    """A state dictionary in the layout of ``how.target``, and what happened to every entry.

    A prefix "module." that all names share (from PyTorch's parallel wrappers) is removed. Batch norms of SparseConvNet
    do not count batches: the counter is added as 0, or left out. A checkpoint does not contain eps and momentum, nor
    the position of windows: even submanifold kernels lie one site lower in SparseConvNet than here. MinkowskiEngine's
    channelwise kernels are treated as kernels of one tap. torchsparse's ToBEV layers have no counterpart, and must be
    dropped.

    Raises ValueError with the entries that cannot be identified, at most twenty, or a pattern that matches nothing.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    _check_patterns(state, how)
    kept = {name: value for name, value in state.items() if not _matches(name, how.drop)}
    layers = {} if how.architecture is None else ARCHITECTURES[how.architecture](kept, how.source == "sscn")
    result: dict[str, Tensor] = {}
    moves = [Move(name, "", "left out, as requested") for name in state if name not in kept]
    unknown = []
    for name, value in kept.items():
        try:
            target, converted, note = _converted(name, value, how, layers, kept)
        except ValueError as error:
            unknown.append(f"{name} {list(value.shape)}: {error}")
            continue
        if target in result:
            unknown.append(f"{name}: {target} is taken")
        if target:
            result[target] = converted
        moves.append(Move(name, target, note))
    if unknown:
        more = f"; and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        raise ValueError("; ".join(unknown[:20]) + more)
    if how.source == "sparseconvnet":
        moves += _count_batches(result)
    if how.architecture is not None and how.target == "sscn":
        check_uresnet(result, how.ndim)
    return result, moves


def _converted(
    name: str, value: Tensor, how: Conversion, layers: Mapping[str, Layer], state: Mapping[str, Tensor]
) -> tuple[str, Tensor, str]:
    """The entry's new name (empty if it has none), its values, and what was done with them."""
    stem, _, leaf = name.rpartition(".")
    if not isinstance(value, Tensor):
        raise ValueError("is not a tensor")
    if how.architecture is not None:
        if stem not in layers:
            raise ValueError(f"belongs to no layer of a {how.architecture}")
        layer = layers[stem]
        stem, how = layer.name, layer.refine(how)
    if how.target == "sparseconvnet" and leaf == BATCHES:
        return "", value, "SparseConvNet does not count batches"
    if how.target == "minkowski":
        plain = _matches(name, how.linear)
        stem, leaf, value, note = to_minkowski(stem, leaf, value, state, plain, lambda taps: _extents(name, taps, how))
        return f"{stem}.{leaf}" if stem else leaf, value.contiguous(), note
    other = how.target if how.source == "sscn" else how.source
    rename, to_sscn, from_sscn = _ENGINES[other]
    turn = from_sscn if how.source == "sscn" else to_sscn
    stem, leaf = rename(stem, leaf)
    if how.target == "torchsparse" and leaf == "weight" and value.ndim == 4:
        leaf = "kernel"
    whole = f"{stem}.{leaf}" if stem else leaf
    if leaf in ("weight", "kernel") and value.ndim > 1:
        converted, note = turn(name, value, how)
    elif value.ndim < 2 or (leaf == "bias" and value.ndim == 2 and len(value) == 1 and other == "minkowski"):
        converted, note = (value, "as it is") if value.ndim < 2 else (value[0], "its first row")
    else:
        raise ValueError(f"is not a parameter of any layer of {how.source}")
    return whole, converted.contiguous(), note


Turn = Callable[[str, Tensor, Conversion], tuple[Tensor, str]]


def _scn_to_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if value.ndim == 2:
        return _flat(name, value, how)
    if value.ndim == 3:
        return value.unsqueeze(1), "[V, in, out] with one group"
    if value.ndim != 4:
        raise ValueError("a weight of SparseConvNet has 2 to 4 axes")
    return value, "as it is"


def _scn_from_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if value.ndim == 2:
        return _flat(name, value, how)
    return _grouped(value), "as it is"


def _flat(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if _matches(name, how.network_in_network):
        return value.t(), "transposed: NetworkInNetwork"
    if _matches(name, how.linear):
        return value, "as it is: torch.nn.Linear"
    raise ValueError(
        "name it in linear (a torch.nn.Linear) or in network_in_network: the shape does not distinguish them"
    )


def _spconv_to_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if value.ndim == 2:
        return value, "as it is: torch.nn.Linear"
    if value.ndim != how.ndim + 2:
        raise ValueError(f"a weight of spconv in {how.ndim} dimensions has {how.ndim + 2} axes")
    if value.numel() == value.shape[0] * value.shape[-1] and how.source == "spconv":
        return value.reshape(1, 1, value.shape[-1], value.shape[0]), ONE_TAP
    if how.source == "spconv1":
        return value.flatten(0, how.ndim - 1).unsqueeze(1), "[*kernel, in, out] flattened"
    return value.flatten(1, how.ndim).permute(1, 2, 0).unsqueeze(1), "[out, *kernel, in] turned"


def _spconv_from_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if value.ndim == 2:
        return value, "as it is: torch.nn.Linear"
    if _grouped(value).shape[1] != 1:
        raise ValueError("spconv has no groups")
    kernel = _extents(name, len(value), how)
    if len(value) == 1 and how.target == "spconv":
        return value.reshape(value.shape[3], *kernel, value.shape[2]), ONE_TAP
    box = value[:, 0].unflatten(0, kernel)
    if how.target == "spconv1":
        return box, "to [*kernel, in, out]"
    return box.permute(how.ndim + 1, *range(how.ndim), how.ndim), "to [out, *kernel, in]"


def _minkowski_to_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if not name.endswith("kernel"):
        row = len(value) == 1 and not name.endswith("linear.weight") and not _matches(name, how.linear)
        return (value[0], "its first row: an instance norm") if row else (value, "as it is: torch.nn.Linear")
    if value.ndim == 2:
        return value[None, None], "[in, out] as a kernel of one tap"
    if value.ndim != 3:
        raise ValueError("a kernel of MinkowskiEngine has 2 or 3 axes")
    kernel = _extents(name, len(value), how)
    if any(k % 2 == 0 and k > 2 for k in kernel):
        raise ValueError("even kernels of 4 and more lie elsewhere here")
    return by_tap(value, kernel).unsqueeze(1), "taps in another order"


def _torchsparse_to_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if not name.endswith("kernel"):
        return value, "as it is: torch.nn.Linear"
    if value.ndim == 2:
        return value[None, None], "[in, out] as a kernel of one tap"
    if value.ndim != 3:
        raise ValueError("a kernel of torchsparse has 2 or 3 axes")
    return in_library_order(value, _torchsparses_extents(name, value, how)).unsqueeze(1), "taps in this library's order"


def _torchsparse_from_sscn(name: str, value: Tensor, how: Conversion) -> tuple[Tensor, str]:
    if value.ndim == 2:
        return value, "as it is: torch.nn.Linear"
    if _grouped(value).shape[1] != 1:
        raise ValueError("torchsparse has no groups")
    if len(value) == 1:
        return value[0, 0], "[in, out], as a layer of one tap without a stride has it"
    return in_torchsparses_order(value[:, 0], _torchsparses_extents(name, value, how)), "taps in torchsparse's order"


def _torchsparses_extents(name: str, value: Tensor, how: Conversion) -> Axes:
    kernel = _extents(name, len(value), how)
    if volume(kernel) % 2 == 0 and max(kernel) > 2:
        raise ValueError("kernels of an even number of taps, more than 2 on an axis, lie elsewhere in torchsparse")
    return kernel


def _as_named(stem: str, leaf: str) -> tuple[str, str]:
    return stem, leaf


def _torchsparse_names(stem: str, leaf: str) -> tuple[str, str]:
    return stem, "weight" if leaf == "kernel" else leaf


def _minkowski_names(stem: str, leaf: str) -> tuple[str, str]:
    """Remove the name of the module that MinkowskiEngine's layers wrap, and replace "kernel" by "weight"."""
    above, _, last = stem.rpartition(".")
    return above if last in ("bn", "linear", "module") else stem, "weight" if leaf == "kernel" else leaf


_ENGINES: dict[str, tuple[Callable[[str, str], tuple[str, str]], Turn, Turn]] = {
    "sparseconvnet": (_as_named, _scn_to_sscn, _scn_from_sscn),
    "spconv": (_as_named, _spconv_to_sscn, _spconv_from_sscn),
    "spconv1": (_as_named, _spconv_to_sscn, _spconv_from_sscn),
    "minkowski": (_minkowski_names, _minkowski_to_sscn, _minkowski_to_sscn),
    "torchsparse": (_torchsparse_names, _torchsparse_to_sscn, _torchsparse_from_sscn),
}


def _count_batches(result: dict[str, Tensor]) -> list[Move]:
    """Give every batch norm a counter; return the lines of the mapping."""
    stems = [name.removesuffix("running_mean") for name in result if name.endswith("running_mean")]
    for stem in stems:
        result[f"{stem}{BATCHES}"] = torch.tensor(0)
    return [Move("", f"{stem}{BATCHES}", "0: SparseConvNet does not count batches") for stem in stems]


def _extents(name: str, taps: int, how: Conversion) -> Axes:
    """The extents of a kernel of `taps` taps: those of the options, or those of a cube."""
    for pattern, kernel in (how.kernel_sizes or {}).items():
        if fnmatchcase(name, pattern):
            if len(kernel) != how.ndim or volume(kernel) != taps:
                raise ValueError(f"its kernel has {taps} taps, but kernel_sizes says {kernel}")
            return kernel
    edge = round(taps ** (1 / how.ndim))
    if edge**how.ndim != taps:
        raise ValueError(f"{taps} taps are not a cube in {how.ndim} dimensions: pass its extents as kernel_sizes")
    return (edge,) * how.ndim


def _grouped(value: Tensor) -> Tensor:
    if value.ndim != 4:
        raise ValueError("a weight of sscn is [V, groups, in / groups, out / groups], or [out, in] of a linear layer")
    return value


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_patterns(state: Mapping[str, Tensor], how: Conversion) -> None:
    for option in ("linear", "network_in_network", "kernel_sizes", "drop"):
        for pattern in getattr(how, option) or ():
            if not any(fnmatchcase(name, pattern) for name in state):
                raise ValueError(f"{option}: there is no entry {pattern!r}")

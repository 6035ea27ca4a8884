"""Networks whose layers have other names in another engine: a mapping of the names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sscn_triton.models import SparseUResNet

Pair = tuple[str, str, bool | None]  # name here, name in SparseConvNet, whether it is a NetworkInNetwork or a Linear


@dataclass(frozen=True)
class Layer:
    """A layer's name in the other engine, and the kind of its 2-D weight."""

    name: str
    network_in_network: bool | None  # False: a torch.nn.Linear; None: no 2-D weight

    def refine(self, how: Any) -> Any:
        """The conversion ``how``, completed with the kind of this layer's weight."""
        if self.network_in_network is None:
            return how
        return replace(how, **{"network_in_network" if self.network_in_network else "linear": ("*",)})


def uresnet(state: Mapping[str, Tensor], from_sscn: bool) -> dict[str, Layer]:
    """The layers of the 2018 study's network in the engine of ``state``, and their names in the other.

    In SparseConvNet: a Sequential of InputLayer, SubmanifoldConvolution, a residual UNet, BatchNormReLU and
    OutputLayer, under any name, and a `torch.nn.Linear` under another. Here: `SparseUResNet`. In the other direction
    the Sequential is named "sparseModel" and the linear layer "linear", as in the study.

    Raises ValueError if ``state`` is not that of such a network.
    """
    stem, linear = ("sparseModel", "linear") if from_sscn else _stems(state)
    levels, unet = "levels", f"{stem}.2"
    here = levels if from_sscn else unet
    reps = _count(state, lambda n: f"{here}.encoder.{n}.branch.2" if from_sscn else f"{here}.{2 * n}.1.2")
    depth, below = 1, here
    while reps:
        below = f"{below}.visit" if from_sscn else f"{below}.{2 * reps}.1"
        if f"{below}.1.weight" not in state:
            break
        depth, below = depth + 1, f"{below}.2"
    if not reps:
        raise ValueError(f"this is not a uresnet: there is no block of two convolutions under {here}")
    pairs = [("stem", f"{stem}.1", None), *_level(levels, unet, reps, depth)]
    pairs += [("head.0", f"{stem}.3", None), ("head.1", linear, False)]
    return {(ours if from_sscn else theirs): Layer(theirs if from_sscn else ours, flat) for ours, theirs, flat in pairs}


def check_uresnet(state: Mapping[str, Tensor], ndim: int) -> None:
    """Raise ValueError, with the entries, unless ``state`` matches the `SparseUResNet` of its sizes."""
    _, _, channels, filters = state["stem.weight"].shape
    depth = sum(name.endswith("encoder.0.branch.1.weight") for name in state)
    reps = _count(state, lambda n: f"levels.encoder.{n}.branch.1")
    with torch.device("meta"):
        network = SparseUResNet(channels, len(state["head.1.weight"]), filters, depth, reps, ndim)
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    given = {name: value.shape for name, value in state.items()}
    wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
    if wrong:
        raise ValueError(
            f"this is not a SparseUResNet of depth {depth} in {ndim} dimensions: {', '.join(wrong[:5])} differ"
        )


ARCHITECTURES: dict[str, Callable[[Mapping[str, Tensor], bool], dict[str, Layer]]] = {"uresnet": uresnet}


def _stems(state: Mapping[str, Tensor]) -> tuple[str, str]:
    """The names of the Sequential and of the linear layer after it."""
    nested = {match[1] for name in state if (match := re.fullmatch(r"(.+?)\.2\.0\.1\.0\.weight", name))}
    found = {stem for stem in nested if not any(stem.startswith(f"{other}.") for other in nested)}
    others = {name.rpartition(".")[0] for name in state if not any(name.startswith(f"{stem}.") for stem in found)}
    if len(found) != 1 or len(others) != 1:
        raise ValueError(
            "this is not a uresnet: it must consist of one Sequential of layers, with a residual UNet in the third "
            f"place, and one linear layer; found {sorted(found)} and {sorted(others)[:5]}"
        )
    return found.pop(), others.pop()


def _count(state: Mapping[str, Tensor], name: Callable[[int], str]) -> int:
    number = 0
    while f"{name(number)}.weight" in state:
        number += 1
    return number


def _level(ours: str, theirs: str, reps: int, depth: int) -> Iterator[Pair]:
    """One resolution and all coarser ones."""
    for n in range(reps):
        yield from _block(f"{ours}.encoder.{n}", f"{theirs}.{2 * n}")
    if depth == 1:
        return
    visit, below = f"{ours}.visit", f"{theirs}.{2 * reps}.1"
    for place in (0, 1):
        yield f"{visit}.{place}", f"{below}.{place}", None
    yield from _level(f"{visit}.2", f"{below}.2", reps, depth - 1)
    for place in (3, 4):
        yield f"{visit}.{place}", f"{below}.{place}", None
    for n in range(reps):
        yield from _block(f"{ours}.decoder.{n}", f"{theirs}.{2 * (reps + 1 + n)}")


def _block(ours: str, theirs: str) -> Iterator[Pair]:
    yield f"{ours}.shortcut", f"{theirs}.0", True
    for place in range(4):
        yield f"{ours}.branch.{place}", f"{theirs}.1.{place}", None

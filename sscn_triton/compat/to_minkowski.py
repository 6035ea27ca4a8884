"""Entries of this library's state dictionaries under MinkowskiEngine's names and in its layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from sscn_triton.compat.minkowski.maps.weights import by_tap
from sscn_triton.relation import Axes

Renamed = tuple[str, str, Tensor, str]
"""The new stem and leaf of a name, the values, and what was done with them."""


def to_minkowski(
    stem: str, leaf: str, value: Tensor, state: Mapping[str, Tensor], plain: bool, extents: Callable[[int], Axes]
) -> Renamed:
    """One entry ``stem.leaf`` of ``state``.

    Norms are recognised by their running statistics; a norm without them is taken for an instance norm.

    Args:
        plain: whether a 2-D weight belongs to a `torch.nn.Linear` in both engines.
        extents: the extents of a kernel with a number of taps; raises ValueError if they are not known.

    Raises ValueError for an entry that has no counterpart.
    """
    weight = state.get(f"{stem}.weight" if stem else "weight")
    if (f"{stem}.running_mean" if stem else "running_mean") in state:
        return _inside(stem, "bn"), leaf, value, "as it is"
    if leaf not in ("weight", "bias") or weight is None:
        raise ValueError("is not a parameter of any layer of sscn")
    if weight.ndim == 2:
        home = stem if plain else _inside(stem, "linear")
        return home, leaf, value, "as it is"
    if leaf == "bias" or weight.ndim == 1:
        if weight.ndim == 1 and (f"{stem}.bias" if stem else "bias") not in state:
            return _inside(stem, "module"), leaf, value, "as it is"
        return stem, leaf, value[None], "as one row"
    if weight.ndim != 4:
        raise ValueError("a weight of sscn is [V, groups, in / groups, out / groups], or [out, in] of a linear layer")
    return stem, "kernel", *_kernel(value, extents)


def _kernel(value: Tensor, extents: Callable[[int], Axes]) -> tuple[Tensor, str]:
    taps, groups, channels_in, channels_out = value.shape
    kernel = extents(taps)
    if any(k % 2 == 0 and k > 2 for k in kernel):
        raise ValueError("even kernels of 4 and more lie elsewhere in MinkowskiEngine")
    turned = by_tap(value, kernel[::-1])
    if groups > 1:
        if channels_in != 1 or channels_out != 1:
            raise ValueError("MinkowskiEngine has no groups, except for one channel each")
        return turned[:, :, 0, 0], "[V, channels], taps in another order"
    if taps == 1:
        return turned[0, 0], "[in, out], as a layer of one tap without a stride has it"
    return turned[:, 0], "taps in another order"


def _inside(stem: str, module: str) -> str:
    return f"{stem}.{module}" if stem else module

"""The convolution layers by their number of axes: ``SubmanifoldConv3d(...)`` is ``SubmanifoldConv(..., ndim=3)``."""

from __future__ import annotations

import inspect
from typing import Any

from sscn_triton.nn.convolution import Convolution, InverseConv, SparseConv, SubmanifoldConv, TransposedConv
from sscn_triton.relation import MAX_NDIM


def _by_dimension(layer: type[Convolution]) -> list[type[Convolution]]:
    """The layer for 1, 2, 3 and 4 axes."""
    return [_with_ndim(layer, ndim) for ndim in range(1, MAX_NDIM + 1)]


def _with_ndim(layer: type[Convolution], ndim: int) -> type[Convolution]:
    """A subclass without the argument ``ndim``."""
    signature = inspect.signature(layer)
    shown = signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "ndim"])

    def __init__(self: Convolution, *args: Any, **kwargs: Any) -> None:
        bound = shown.bind(*args, **kwargs)
        layer.__init__(self, *bound.args, **{**bound.kwargs, "ndim": ndim})

    doc = f"`{layer.__name__}` on {ndim} spatial {'axis' if ndim == 1 else 'axes'}; the same arguments."
    members = {"__init__": __init__, "__signature__": shown, "__doc__": doc, "__module__": __name__}
    return type(f"{layer.__name__}{ndim}d", (layer,), members)


SubmanifoldConv1d, SubmanifoldConv2d, SubmanifoldConv3d, SubmanifoldConv4d = _by_dimension(SubmanifoldConv)
SparseConv1d, SparseConv2d, SparseConv3d, SparseConv4d = _by_dimension(SparseConv)
InverseConv1d, InverseConv2d, InverseConv3d, InverseConv4d = _by_dimension(InverseConv)
TransposedConv1d, TransposedConv2d, TransposedConv3d, TransposedConv4d = _by_dimension(TransposedConv)

"""Run neighbouring layers of a chain as one operator.

A batch norm and the convolution after it are one operator, which saves no normalised rows for the backward pass (a GPU
normalises few rows while it gathers them, and a temporary copy of many); a convolution adds a residual itself; and if a
norm comes next, the convolution also computes the moments that the norm needs. `run` passes moments from the layer that
computed them directly to the layer that reads them, and only between layers whose forward is known
(`sscn_triton.nn.own_forward`), so no code that could change the features runs in between. A tensor never carries
moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import Fused, add
from sscn_triton.nn.convolution import Convolution
from sscn_triton.nn.normalization import BatchNorm
from sscn_triton.nn.own_forward import own_forward, runs_own_forward


class Sequential(torch.nn.Sequential):
    """`torch.nn.Sequential` that runs neighbouring layers as one where that pays (`sscn_triton.nn.fusion`).

    Names, parameters and results are those of the separate layers. A layer with hooks, or with a forward other than
    its class's in this package, is called separately, with its input alone.
    """

    @own_forward
    def forward(self, x: Any) -> Any:
        return run(self, x)


class PreNorm(torch.nn.Module):
    """A module that first applies a norm to its input, and may end in a convolution.

    Its forward is ``forward(x, moments=None, found=None)``, the arguments as in `run`.
    """

    def first(self) -> torch.nn.Module:
        """The child that receives the input and its moments."""
        raise NotImplementedError


def run(
    layers: Iterable[torch.nn.Module],
    x: Any,
    moments: Tensor | None = None,
    residual: SparseTensor | None = None,
    found: list[Tensor] | None = None,
) -> Any:
    """Apply layers to ``x`` one after another, fusing neighbours where possible.

    Args:
        layers: in order; a `Sequential` counts as the layers that it contains.
        moments: those of the features of ``x``, if the caller has them.
        residual: added to the output, by the last layer if that is a convolution.
        found: a list to which the moments of the output are appended if the last layer can compute them.
    """
    queue = list(_listed(layers))
    place, count = 0, len(queue)
    while place < count:
        layer, kind = queue[place]
        place += 1
        norm = None
        if kind is BatchNorm and place < count and queue[place][1] is Convolution and can_join(x):
            norm, moments = layer.norm_of(x, moments), None
            layer, kind = queue[place]
            place += 1
        last = place == count
        wanted = found if last else [] if _takes_moments(*queue[place]) else None
        added = residual if last else None
        if norm is not None or (kind is Convolution and (added is not None or can_join(x))):
            x, residual = layer(x, Fused(norm, added, wanted)), None if last else residual
        elif kind is PreNorm:
            wanted = wanted if added is None else None
            x = layer(x, moments, wanted)
        else:
            x, wanted = layer(x, moments) if moments is not None and kind is BatchNorm else layer(x), None
        moments = wanted[0] if wanted else None
    return x if residual is None else add(residual, x)


def takes_moments(module: torch.nn.Module) -> bool:
    """Whether a module first needs the moments of its input, and so can receive them."""
    if not runs_own_forward(module):
        return False
    if isinstance(module, Sequential):
        first = next(iter(module), None)
        return first is not None and takes_moments(first)
    if isinstance(module, PreNorm):
        return takes_moments(module.first())
    return isinstance(module, BatchNorm) and module.reads_its_batch() and not module.has_company()


def can_join(x: Any) -> bool:
    """Whether layers may be fused for this input: a sparse tensor that has values."""
    return isinstance(x, SparseTensor) and not x.features.is_meta


def _takes_moments(module: Any, kind: type | None) -> bool:
    """`takes_moments` of a module that `_listed` found."""
    if kind is BatchNorm:
        return bool(module.reads_its_batch())
    return kind is PreNorm and takes_moments(module.first())


def _listed(layers: Iterable[torch.nn.Module]) -> Iterator[tuple[Any, type | None]]:
    """The layers, each with the class among `BatchNorm`, `Convolution` and `PreNorm` by whose rules it may be fused, or
    None. A chain is replaced by its layers."""
    for layer in layers:
        kind: type | None = None
        if isinstance(layer, (BatchNorm, Convolution, PreNorm, Sequential)) and runs_own_forward(layer):
            if isinstance(layer, Sequential):
                yield from _listed(layer)
                continue
            kind = next(one for one in (BatchNorm, Convolution, PreNorm) if isinstance(layer, one))
            if isinstance(layer, BatchNorm) and layer.has_company():
                kind = None
        yield layer, kind

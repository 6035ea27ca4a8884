"""Run neighbouring layers of a chain as one operator.

A batch norm and the convolution after it are one operator, which saves no normalised rows for the backward pass (a GPU
normalises few rows while it gathers them, and a temporary copy of many); a convolution adds a residual itself; and if a
norm comes next, the convolution also computes the moments that the norm needs. `run` passes moments from the layer that
computed them directly to the layer that reads them, and only between layers whose forward is known
(`sscn_triton.nn.own_forward`), so no code that could change the features runs in between. A tensor never carries
moments.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    queue: list[Any] = list(layers)
    while _open(queue):
        layer, norm = queue.pop(0), None
        if _open(queue) and can_join(x) and _is_norm(layer) and _is_convolution(queue[0]):
            norm, moments, layer = layer.norm_of(x, moments), None, queue.pop(0)
        last = not _open(queue)
        wanted = found if last else [] if takes_moments(queue[0]) else None
        added = residual if last else None
        if norm is not None or (_is_convolution(layer) and (added is not None or can_join(x))):
            x, residual = layer(x, Fused(norm, added, wanted)), None if last else residual
        elif isinstance(layer, PreNorm) and runs_own_forward(layer):
            wanted = wanted if added is None else None
            x = layer(x, moments, wanted)
        else:
            x, wanted = layer(x, moments) if moments is not None and _is_norm(layer) else layer(x), None
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


def _open(queue: list[Any]) -> bool:
    """Whether layers are left; replaces a chain at the head of the queue by its layers."""
    while queue and isinstance(queue[0], Sequential) and runs_own_forward(queue[0]):
        queue[:1] = queue[0]
    return len(queue) > 0


def _is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, BatchNorm) and runs_own_forward(module) and not module.has_company()


def _is_convolution(module: torch.nn.Module) -> bool:
    return isinstance(module, Convolution) and runs_own_forward(module)

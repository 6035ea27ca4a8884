"""Which layers of a chain are done as one.

A batch norm and the convolution after it are one operator, which keeps no normalised rows for the backward pass (a GPU
normalises while it gathers, and never writes them); a convolution adds a residual itself; and where a norm comes next
it takes along the statistics that the norm needs. For layers that someone watches by hooks, a chain is what it looks
like.
"""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.functional import Along, Norm, add
from sscn_triton.nn.convolution import Convolution, InverseConv, SparseConv, SubmanifoldConv, TransposedConv
from sscn_triton.nn.normalization import BatchNorm
from sscn_triton.tensor import SparseTensor

_CONVOLUTIONS = tuple(kind.forward for kind in (SubmanifoldConv, SparseConv, InverseConv, TransposedConv))


class Sequential(torch.nn.Sequential):
    """`torch.nn.Sequential`, in which neighbours are done as one where that pays (`sscn_triton.nn.fusion`).

    Names, parameters and results are those of the layers one by one. ``residual`` is added to the output; ``moments``
    says that a norm comes after the chain.
    """

    def forward(self, x: Any, residual: SparseTensor | None = None, moments: bool = False) -> Any:
        layers: list[Any] = list(self)
        while layers:
            norm = None
            if len(layers) > 1 and can_join(x) and _is_norm(layers[0]) and _is_convolution(layers[1]):
                norm = layers.pop(0).norm_of(x)
            layer, last = layers.pop(0), not layers
            wanted = moments if last else takes_moments(layers[0])
            if last and residual is not None and _is_convolution(layer):
                return layer(x, Along(norm, residual, wanted))
            x = before_norm(layer, x, norm) if wanted else layer(x) if norm is None else layer(x, Along(norm))
        return x if residual is None else add(residual, x)


def before_norm(layer: torch.nn.Module, x: Any, norm: Norm | None = None) -> Any:
    """``layer(x)``, after a norm, where a norm comes next."""
    if isinstance(layer, Sequential) and not watched(layer):
        return layer(x, moments=True)
    return layer(x, Along(norm, None, True)) if _is_convolution(layer) and can_join(x) else layer(x)


def takes_moments(module: torch.nn.Module) -> bool:
    """Whether a module looks first at the statistics of what it is given."""
    if isinstance(module, Sequential):
        return len(module) > 0 and takes_moments(module[0])
    return module.training and (isinstance(module, BatchNorm) or getattr(module, "begins_with_norm", False))


def add_to(branch: torch.nn.Module, x: SparseTensor, shortcut: SparseTensor) -> SparseTensor:
    """``shortcut + branch(x)``, added by the branch's last convolution where that pays; a norm comes next."""
    if isinstance(branch, Sequential) and not watched(branch):
        return branch(x, residual=shortcut, moments=branch.training)
    return add(shortcut, branch(x))


def watched(module: torch.nn.Module) -> bool:
    """Whether hooks are to see what goes into a module and what comes out."""
    own = module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks
    return any(own) or torch.nn.modules.module._has_any_global_hook()


def can_join(x: Any) -> bool:
    """Whether layers given this may be done as one: a sparse tensor, with numbers in it."""
    return isinstance(x, SparseTensor) and not x.features.is_meta


def _is_norm(module: torch.nn.Module) -> bool:
    return isinstance(module, BatchNorm) and type(module).forward is BatchNorm.forward and not watched(module)


def _is_convolution(module: torch.nn.Module) -> bool:
    return isinstance(module, Convolution) and type(module).forward in _CONVOLUTIONS and not watched(module)

"""Build every rulebook that a model will need in advance."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import UnknownSitesError


def prepare(model: torch.nn.Module, tensor: SparseTensor) -> SparseTensor:
    """Build every rulebook that ``model(tensor)`` will need, and return ``tensor``, whose grid then holds them.

    The model runs once on PyTorch's meta device: no arithmetic, no change to parameters, buffers or statistics.
    Afterwards ``model(tensor)`` builds nothing, so it can be compiled to one graph, captured, or timed by itself. If
    sites depend on features (`Prune`), they are not known yet, and only the part of the model before them is prepared.
    """
    if not isinstance(model, torch.nn.Module) or not isinstance(tensor, SparseTensor):
        raise TypeError(
            f"prepare takes a torch.nn.Module and a SparseTensor, got {type(model).__name__} and "
            f"{type(tensor).__name__}"
        )
    with contextlib.suppress(UnknownSitesError):
        run_on_meta(model, tensor)
    return tensor


def run_on_meta(model: torch.nn.Module, tensor: SparseTensor) -> Any:
    """The output of ``model(tensor)`` on PyTorch's meta device. Builds rulebooks on the grid; changes nothing else.

    Raises UnknownSitesError if sites depend on features.
    """
    state = {name: value.to("meta") for name, value in (*model.named_parameters(), *model.named_buffers())}
    shadow = SparseTensor.on(tensor.features.detach().to("meta"), tensor.grid, tensor.path)
    with torch.no_grad():
        return torch.func.functional_call(model, state, (shadow,))

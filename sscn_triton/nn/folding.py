"""Fold batch norm into the preceding convolution, for inference."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise

import torch
from torch.nn.utils.parametrize import is_parametrized

from sscn_triton.nn.convolution import Convolution
from sscn_triton.nn.features import LeakyReLU, ReLU
from sscn_triton.nn.normalization import BatchNorm
from sscn_triton.nn.own_forward import runs_own_forward


def fold_batch_norm(model: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a model in evaluation, with each batch norm folded into the convolution before it in a chain.

    The convolution gets the norm's scale and a bias; a ReLU, leaky ReLU or identity replaces the norm, so
    that modules keep their names. Results equal the model's up to rounding. Other norms stay, such as one before a
    convolution, which a rectifier separates from its weights; on a GPU it costs no launch unless there are many rows
    (`sscn_triton.nn.fusion`). Not changed are: a convolution that is used twice or has a parametrized weight, a norm
    without running statistics, and a chain, convolution or norm that has hooks, was compiled, or has a forward other
    than its class's in this package.

    Raises:
        TypeError: if the model is not a module.
        ValueError: if it is in training mode, where statistics change.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    learning = [name or "the model" for name, module in model.named_modules() if module.training]
    if learning:
        raise ValueError(
            f"batch norm is folded only in evaluation: {learning[0]} is in training mode, call model.eval()"
        )
    model = copy.deepcopy(model)
    chains = [module for module in model.modules() if isinstance(module, torch.nn.Sequential)]
    uses = Counter(
        child for module in model.modules() for child in module._modules.values()
    )  # children() would count a shared child once
    for chain in filter(runs_own_forward, chains):
        for (_, conv), (name, norm) in pairwise(list(chain._modules.items())):
            if not isinstance(conv, Convolution) or not isinstance(norm, BatchNorm) or norm.running_mean is None:
                continue
            known = runs_own_forward(conv) and runs_own_forward(norm) and not is_parametrized(conv)
            if known and uses[conv] == uses[norm] == 1:
                _fold(conv, norm)
                setattr(chain, name, _rectifier(norm.leakiness).eval())
    return model


@torch.no_grad()
def _fold(conv: Convolution, norm: BatchNorm) -> None:
    """``scale * (conv(x) - mean) + shift`` as a convolution; computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    _, groups, _, channels = conv.weight.shape
    weight = conv.weight.double() * scale.view(groups, 1, channels)
    conv.weight = torch.nn.Parameter(weight.to(conv.weight.dtype), conv.weight.requires_grad)
    conv.bias = torch.nn.Parameter(shift.to(conv.weight.dtype), conv.weight.requires_grad)


def _rectifier(leakiness: float) -> torch.nn.Module:
    if leakiness == 1:
        return torch.nn.Identity()
    return ReLU() if leakiness == 0 else LeakyReLU(leakiness)

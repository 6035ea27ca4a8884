"""Max pooling as in SparseConvNet and spconv: it starts at 0, and every winner gets the gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sscn_triton import SparseTensor, functional
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.functional import Size


def max_pool_from_zero(x: SparseTensor, **geometry: Size) -> SparseTensor:
    """The largest active value under the pool, 0 where all are negative, at every site that some input reaches.

    The gradient of an output goes to every input equal to it: to each of several, and to inputs of exactly 0 if the
    output is 0. ``geometry`` is that of `functional.max_pool`.
    """
    with torch.no_grad():
        pooled = functional.max_pool(x, **geometry)
    fine, step = pooled.path[-1]
    highest = pooled.features.clamp(min=0)
    return pooled.replace(_ToEveryWinner.apply(x.features, highest, fine.step(step)[0]))


class _ToEveryWinner(torch.autograd.Function):
    """``highest``, with the gradient of every output given to each input of its pool that equals it."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, highest: Tensor, rules: Rulebook) -> Tensor:
        ctx.save_for_backward(features, highest)
        ctx.rules = rules
        return highest.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        features, highest = ctx.saved_tensors
        result = torch.zeros_like(features)
        for inputs, outputs in ctx.rules.pairs():
            won = features.detach()[inputs] == highest[outputs]
            result = result.index_add(0, inputs, torch.where(won, grad[outputs], 0))
        return result, None, None

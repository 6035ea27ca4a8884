"""Pooling: the rules of a convolution with another reduction than a product with weights.

    sum:      y[o] += x[i]              its derivative is sum over the rules read backwards
    max:      y[o] = x[w[o]], w[o] the i of the largest x[i], per channel; its derivative is return
    return:   x[i] += y[o] where w[o] = i; its derivative is take
    take:     y[o] = x[w[o]]; its derivative is return

Sum is closed under differentiation, and so are return and take together, so gradients of any order exist. One thread
owns each row of a result and processes its taps in order, so the result has the same bits for any number of threads.

``rules`` are those of `sscn_triton.ops.rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sscn_triton.common.numba_cache import njit
from sscn_triton.ops import checks
from sscn_triton.ops.dtypes import Array, arrays, widened
from sscn_triton.ops.registration import operator
from sscn_triton.ops.rules import as_rules, read_backwards


@njit(nogil=True, cache=True)
def _are_rows(rows: Array, count: int) -> bool:
    """Whether all row numbers are from 0 to count - 1."""
    furthest = np.uint32(0)
    for place in range(len(rows)):
        furthest = max(furthest, np.uint32(rows[place]))
    return len(rows) == 0 or furthest < np.uint32(count)


@njit(nogil=True, cache=True)
def _sum_rows(x: Array, inputs: Array, outputs: Array, y: Array) -> bool:
    if not _are_rows(inputs, len(x)) or not _are_rows(outputs, len(y)):
        return False
    for rule in range(len(inputs)):
        i, o = inputs[rule], outputs[rule]
        for c in range(x.shape[1]):
            y[o, c] += x[i, c]
    return True


@njit(nogil=True, cache=True)
def _max_rows(x: Array, inputs: Array, outputs: Array, y: Array, winners: Array) -> bool:
    if not _are_rows(inputs, len(x)) or not _are_rows(outputs, len(y)):
        return False
    for rule in range(len(inputs)):
        i, o = inputs[rule], outputs[rule]
        for c in range(x.shape[1]):
            if winners[o, c] < 0 or x[i, c] > y[o, c] or x[i, c] != x[i, c]:
                y[o, c], winners[o, c] = x[i, c], i
    return True


@njit(nogil=True, cache=True)
def _take_rows(x: Array, winners: Array, y: Array) -> bool:
    for o in range(winners.shape[0]):
        for c in range(winners.shape[1]):
            if winners[o, c] >= len(x):
                return False
            if winners[o, c] >= 0:
                y[o, c] = x[winners[o, c], c]
    return True


@njit(nogil=True, cache=True)
def _return_rows(y: Array, winners: Array, inputs: Array, outputs: Array, x: Array) -> bool:
    if not _are_rows(inputs, len(x)) or not _are_rows(outputs, len(y)):
        return False
    for rule in range(len(inputs)):
        i, o = inputs[rule], outputs[rule]
        for c in range(y.shape[1]):
            if winners[o, c] == i:
                x[i, c] += y[o, c]
    return True


def _pool_sum_cpu(features: Tensor, rules: Sequence[Tensor], output_count: int) -> Tensor:
    wide, kept = widened(features), as_rules(rules)
    output = wide.new_zeros(output_count, features.shape[1])
    if not _sum_rows(*arrays(wide, kept.input_rows, kept.output_rows, output)):
        raise checks.foreign_rows("rules")
    return output.to(features.dtype)


def _pool_sum_fake(features: Tensor, rules: Sequence[Tensor], output_count: int) -> Tensor:
    return features.new_empty(output_count, features.shape[1])


def _save_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, rules, _ = inputs
    ctx.input_count = features.shape[0]
    ctx.save_for_backward(*rules)


def _sum_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    rules = ctx.saved_tensors
    return pool_sum(grad, read_backwards(rules), ctx.input_count), None, None


@operator(check=checks.pooled, cpu=_pool_sum_cpu, fake=_pool_sum_fake, setup_context=_save_sum, backward=_sum_backward)
def pool_sum(features: Tensor, rules: Sequence[Tensor], output_count: int) -> Tensor:
    """``y[o] += x[i]`` over all rules: ``[N_in, C]`` to ``[output_count, C]``; zeros where no rule leads."""
    from sscn_triton.ops.triton import pooling as triton

    return triton.pool_sum(features, as_rules(rules), output_count)


def _pool_max_cpu(features: Tensor, rules: Sequence[Tensor], output_count: int) -> tuple[Tensor, Tensor]:
    wide, kept = widened(features), as_rules(rules)
    output = wide.new_zeros(output_count, features.shape[1])
    winners = torch.full(output.shape, -1, dtype=torch.int32)
    if not _max_rows(*arrays(wide, kept.input_rows, kept.output_rows, output, winners)):
        raise checks.foreign_rows("rules")
    return output.to(features.dtype), winners


def _pool_max_fake(features: Tensor, rules: Sequence[Tensor], output_count: int) -> tuple[Tensor, Tensor]:
    output = features.new_empty(output_count, features.shape[1])
    return output, torch.empty_like(output, dtype=torch.int32)


def _save_max(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, rules, _ = inputs
    ctx.input_count = features.shape[0]
    ctx.save_for_backward(output[1], *rules)


def _max_backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    winners, *rules = ctx.saved_tensors
    return pool_return(grad, winners, rules, ctx.input_count), None, None


@operator(check=checks.pooled, cpu=_pool_max_cpu, fake=_pool_max_fake, setup_context=_save_max, backward=_max_backward)
def pool_max(features: Tensor, rules: Sequence[Tensor], output_count: int) -> tuple[Tensor, Tensor]:
    """``[N_in, C]`` to ``[output_count, C]`` twice: the largest value, and the input row (int32) that has it.

    The first of several equal taps wins, and NaN is larger than every number, as in `torch.nn.functional.max_pool3d`.
    An output without rules gets value 0 and row -1.
    """
    from sscn_triton.ops.triton import pooling as triton

    return triton.pool_max(features, as_rules(rules), output_count)


def _pool_take_cpu(features: Tensor, winners: Tensor, rules: Sequence[Tensor]) -> Tensor:
    wide = widened(features)
    output = wide.new_zeros(winners.shape)
    if not _take_rows(*arrays(wide, winners, output)):
        raise checks.foreign_rows("winners")
    return output.to(features.dtype)


def _pool_take_fake(features: Tensor, winners: Tensor, rules: Sequence[Tensor]) -> Tensor:
    return features.new_empty(winners.shape)


def _save_take(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, winners, rules = inputs
    ctx.input_count = features.shape[0]
    ctx.save_for_backward(winners, *rules)


def _take_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    winners, *rules = ctx.saved_tensors
    return pool_return(grad, winners, rules, ctx.input_count), None, None


@operator(
    check=checks.pool_take, cpu=_pool_take_cpu, fake=_pool_take_fake, setup_context=_save_take, backward=_take_backward
)
def pool_take(features: Tensor, winners: Tensor, rules: Sequence[Tensor]) -> Tensor:
    """``y[o, c] = x[w[o, c], c]``, 0 where ``w`` is -1: ``[N_in, C]`` and ``[N_out, C]`` to ``[N_out, C]``.

    ``rules`` are those that chose the winners; the derivative uses them.
    """
    from sscn_triton.ops.triton import pooling as triton

    return triton.pool_take(features, winners)


def _pool_return_cpu(values: Tensor, winners: Tensor, rules: Sequence[Tensor], input_count: int) -> Tensor:
    wide, kept = widened(values), as_rules(rules)
    output = wide.new_zeros(input_count, values.shape[1])
    if not _return_rows(*arrays(wide, winners, kept.input_rows, kept.output_rows, output)):
        raise checks.foreign_rows("rules")
    return output.to(values.dtype)


def _pool_return_fake(values: Tensor, winners: Tensor, rules: Sequence[Tensor], input_count: int) -> Tensor:
    return values.new_empty(input_count, values.shape[1])


def _save_return(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, winners, rules, _ = inputs
    ctx.save_for_backward(winners, *rules)


def _return_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    winners, *rules = ctx.saved_tensors
    return pool_take(grad, winners, rules), None, None, None


@operator(
    check=checks.pool_return,
    cpu=_pool_return_cpu,
    fake=_pool_return_fake,
    setup_context=_save_return,
    backward=_return_backward,
)
def pool_return(values: Tensor, winners: Tensor, rules: Sequence[Tensor], input_count: int) -> Tensor:
    """``x[i, c] += y[o, c]`` where ``w[o, c] = i``: ``[N_out, C]`` twice to ``[input_count, C]``."""
    from sscn_triton.ops.triton import pooling as triton

    return triton.pool_return(values, winners, as_rules(rules), input_count)

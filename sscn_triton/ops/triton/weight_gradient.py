"""Weight gradient: for each tap, the product of the input rows and the output gradients that its rules join.

The rules of all taps are cut into segments. A program sums one segment for one block of the weight in float32, and a
second kernel adds the segments of each tap in order. The cuts depend on the sizes alone, so every run gives the same
bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.norm import Norm
from sscn_triton.ops.precision import float32_precision
from sscn_triton.ops.rules import Rules, read_forward
from sscn_triton.ops.triton.launch import ceil_div, is_interpreted, launch, power_of_two
from sscn_triton.ops.triton.layout import rows_or_zero
from sscn_triton.ops.triton.normalization import MOST_GATHERED, normalize, normalized
from sscn_triton.ops.triton.taps import is_row
from sscn_triton.ops.triton.tuning import tile_for

PROGRAMS = 1024  # enough to fill a device several times
SEGMENTS, ELEMENTS = 8, 128  # segments and numbers of each that a program loads at a time to add them


class Tile(NamedTuple):
    """Shape of a program: rules per product, input and output channels; warps; stages of the pipeline."""

    rules: int
    height: int
    width: int
    warps: int
    stages: int


@triton.jit
def segments_of_taps(spans, segment, count, TAPS: tl.constexpr, LANES: tl.constexpr):
    """For each tap, its first rule and the rule after its last one (of ``count`` rules), and the cumulative number of
    segments including it."""
    tap = tl.arange(0, LANES)
    first = tl.load(spans + 2 * tap, mask=tap < TAPS, other=0)
    last = tl.load(spans + 2 * tap + 1, mask=tap < TAPS, other=0)
    first = tl.minimum(tl.maximum(first, 0), count)
    last = tl.minimum(tl.maximum(last, first), count)
    return first, last, tl.cumsum((last - first + segment - 1) // segment)


@triton.jit
def rules_of_segment(spans, index, segment, count, TAPS: tl.constexpr, LANES: tl.constexpr):
    """The first rule of a segment and the rule after its last one; an empty range for a segment beyond all taps."""
    first, last, ends = segments_of_taps(spans, segment, count, TAPS, LANES)
    lane = tl.arange(0, LANES)
    tap = tl.sum((ends <= index).to(tl.int32))
    done = tl.max(tl.where(lane < tap, ends, 0))
    start = tl.sum(tl.where(lane == tap, first, 0)) + (index - done) * segment
    return start, tl.minimum(start + segment, tl.sum(tl.where(lane == tap, last, 0)))


@triton.jit(do_not_specialize=["segment", "count", "sources", "targets"])
def weight_gradient_kernel(
    features,
    gradient,
    partial,
    mean,
    variance,
    norm_weight,
    norm_bias,
    input_rows,
    output_rows,
    spans,
    segment,
    count,
    sources,
    targets,
    TAPS: tl.constexpr,
    LANES: tl.constexpr,
    GROUPS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    UPCAST: tl.constexpr,
    PRECISION: tl.constexpr,
    RULES: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """``partial[s, group] = sum over the rules of segment s of features[i, group]^T gradient[o, group]``; if there is a
    mean, rows of the features are normalised while they are gathered.

    features ``[sources, GROUPS * IN]``, gradient ``[targets, GROUPS * OUT]``; partial ``[segments, GROUPS, IN, OUT]``
    float32; the norm's tensors ``[GROUPS * IN]``; input_rows and output_rows ``[count]`` int32, spans ``[TAPS, 2]``
    int64, as in `sscn_triton.ops.rules`. A segment has ``segment`` rules.
    """
    blocks: tl.constexpr = (OUT + WIDTH - 1) // WIDTH
    group = tl.program_id(1) // blocks
    channel = tl.program_id(2) * HEIGHT + tl.arange(0, HEIGHT)
    column = tl.program_id(1) % blocks * WIDTH + tl.arange(0, WIDTH)
    index = tl.program_id(0)
    start, stop = rules_of_segment(spans, index, segment, count, TAPS, LANES)
    total = tl.zeros([HEIGHT, WIDTH], tl.float32)
    for rule in range(start, stop, RULES):
        rules = rule + tl.arange(0, RULES)
        inside = rules < stop
        i, o = tl.load(input_rows + rules, mask=inside, other=0), tl.load(output_rows + rules, mask=inside, other=0)
        from_row, to_row = inside & is_row(i, sources), inside & is_row(o, targets)
        place = features + i.to(tl.int64)[:, None] * (GROUPS * IN) + group * IN + channel
        there = from_row[:, None] & (channel < IN)
        x = tl.load(place, mask=there, other=0)
        if mean is not None:
            x = normalized(
                x, there, mean, variance, norm_weight, norm_bias, group * IN + channel, channel < IN, EPS, LEAKINESS
            ).to(gradient.dtype.element_ty)
        place = gradient + o.to(tl.int64)[:, None] * (GROUPS * OUT) + group * OUT + column
        g = tl.load(place, mask=to_row[:, None] & (column < OUT), other=0)
        if UPCAST:
            x, g = x.to(tl.float32), g.to(tl.float32)
        total = tl.dot(tl.trans(x), g, total, input_precision=PRECISION)
    place = partial + (index.to(tl.int64) * GROUPS + group) * (IN * OUT) + channel[:, None] * OUT + column
    tl.store(place, total, mask=(channel < IN)[:, None] & (column < OUT))


@triton.jit(do_not_specialize=["segment", "count", "sources", "targets"])
def depthwise_kernel(
    features,
    gradient,
    partial,
    mean,
    variance,
    norm_weight,
    norm_bias,
    input_rows,
    output_rows,
    spans,
    segment,
    count,
    sources,
    targets,
    TAPS: tl.constexpr,
    LANES: tl.constexpr,
    CHANNELS: tl.constexpr,
    MULTIPLE: tl.constexpr,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    RULES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """As `weight_gradient_kernel`, for groups of one input and MULTIPLE output channels, CHANNELS outputs in all.

    features ``[sources, CHANNELS // MULTIPLE]``, gradient ``[targets, CHANNELS]``, partial ``[segments, CHANNELS]``.
    """
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    index = tl.program_id(0)
    start, stop = rules_of_segment(spans, index, segment, count, TAPS, LANES)
    total = tl.zeros([RULES, WIDTH], tl.float32)
    for rule in range(start, stop, RULES):
        rules = rule + tl.arange(0, RULES)
        i = tl.load(input_rows + rules, mask=rules < stop, other=0).to(tl.int64)
        o = tl.load(output_rows + rules, mask=rules < stop, other=0).to(tl.int64)
        named = (rules < stop) & (i >= 0) & (i < sources) & (o >= 0) & (o < targets)
        inside = named[:, None] & (column < CHANNELS)
        x = tl.load(features + i[:, None] * (CHANNELS // MULTIPLE) + column // MULTIPLE, mask=inside, other=0)
        if mean is not None:
            x = normalized(
                x, inside, mean, variance, norm_weight, norm_bias, column // MULTIPLE, column < CHANNELS, EPS, LEAKINESS
            ).to(gradient.dtype.element_ty)
        g = tl.load(gradient + o[:, None] * CHANNELS + column, mask=inside, other=0)
        total += x.to(tl.float32) * g.to(tl.float32)
    tl.store(partial + index.to(tl.int64) * CHANNELS + column, tl.sum(total, 0), mask=column < CHANNELS)


@triton.jit(do_not_specialize=["segment", "count", "segments"])
def reduce_kernel(
    partial, output, spans, segment, count, segments, TAPS: tl.constexpr, LANES: tl.constexpr, SIZE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``output[tap]``: the sum of the tap's segments, always in one order: every ROWS-th, then the ROWS sums.

    partial ``[segments, SIZE]`` float32, output ``[TAPS, SIZE]``, spans ``[TAPS, 2]`` int64.
    """
    tap, element = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    _, _, ends = segments_of_taps(spans, segment, count, TAPS, LANES)
    lane = tl.arange(0, LANES)
    start, stop = tl.max(tl.where(lane < tap, ends, 0)), tl.sum(tl.where(lane == tap, ends, 0))
    stop = tl.minimum(stop, segments)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for first in range(start, stop, ROWS):
        index = first + tl.arange(0, ROWS)[:, None]
        total += tl.load(partial + index.to(tl.int64) * SIZE + element, mask=(index < stop) & (element < SIZE), other=0)
    place = output + tap.to(tl.int64) * SIZE + element
    tl.store(place, tl.sum(total, 0).to(output.dtype.element_ty), mask=element < SIZE)


def choose_tile(features: Tensor, channels_in: int, channels_out: int, precision: str) -> Tile:
    """A shape that works untuned: small if a product needs many registers, with few warps if it is narrow, as in
    `sscn_triton.ops.triton.convolution.choose_tile`."""
    return _choose_tile(is_interpreted(features), features.dtype, channels_in, channels_out, precision)


@cache
def _choose_tile(interpreted: bool, dtype: torch.dtype, channels_in: int, channels_out: int, precision: str) -> Tile:
    height, width = (min(max(power_of_two(n), 16), 64) for n in (channels_in, channels_out))
    if interpreted:
        return Tile(256, height, width, 4, 1)
    if dtype == torch.float32 and precision not in ("ieee", "tf32"):
        return Tile(32, min(height, 32), width, 4, 3)
    narrow = dtype.itemsize == 2 and max(height, width) <= 32
    return Tile(64, height, width, 2 if narrow else 4, 3)


def choose_segment(rules: int, blocks: int) -> int:
    """Rules per segment if the weight of a tap has `blocks` blocks: a power of two, so that few sizes occur."""
    return max(power_of_two(ceil_div(rules * blocks, PROGRAMS)), 256)


def weight_gradient(
    features: Tensor,
    grad_output: Tensor,
    rules: Rules,
    groups: int,
    tile: Tile | None = None,
    segment: int | None = None,
    norm: Norm | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``W[v] = sum x[i]^T g[o]``: ``[N_in, groups * in]``, ``[N_out, groups * out]`` to ``[V, groups, in, out]``, in
    the type of the gradient unless ``dtype`` is another. Sums are float32, or float64 for float64 gradients. ``norm``
    is applied to each ``x[i]``.
    """
    input_rows, output_rows, spans = rules.input_rows, rules.output_rows, rules.spans
    channels_in, channels_out = features.shape[1] // groups, grad_output.shape[1] // groups
    shape = spans.shape[0], groups, channels_in, channels_out
    if norm and features.numel() > MOST_GATHERED:
        features, norm = normalize(features, norm, dtype=grad_output.dtype), None
    features = (features if norm else features.to(grad_output.dtype)).contiguous()
    grad_output = grad_output.contiguous()
    if grad_output.dtype == torch.float64:
        features = features if norm is None else normalize(features, norm)
        return _weight_gradient_float64(features, grad_output, rules, shape).to(dtype or torch.float64)
    precision = float32_precision() if grad_output.dtype == torch.float32 else "ieee"
    if tile is None:
        kernel = "weight_gradient" if norm is None else "fused_weight_gradient"
        measured = tile_for(kernel, grad_output, rules, (features.shape[0], grad_output.shape[0]), shape)
        tile = Tile(*measured) if measured else None
    mean, variance, norm_weight, norm_bias, eps, leakiness = (None,) * 6 if norm is None else norm[:6]
    plan = _plan(is_interpreted(features), grad_output.dtype, shape, eps, leakiness, precision, tile)
    count = input_rows.shape[0]
    segment = segment or choose_segment(count, plan.blocks[0] * plan.blocks[1])
    segments = count // segment + shape[0]  # an upper bound
    partial = torch.empty(segments, *shape[1:], dtype=torch.float32, device=features.device)
    launch(
        plan.kernel, (segments, *plan.blocks), features=features, gradient=grad_output, partial=partial, mean=mean,
        variance=variance, norm_weight=norm_weight, norm_bias=norm_bias, input_rows=input_rows, output_rows=output_rows,
        spans=spans, segment=segment, count=count, sources=features.shape[0], targets=grad_output.shape[0],
        **plan.constants,
    )  # fmt: skip
    output = grad_output.new_empty(shape, dtype=dtype)
    launch(
        reduce_kernel, plan.sums, partial=partial, output=output, spans=spans, segment=segment, count=count,
        segments=segments, **plan.constants_of_sums,
    )  # fmt: skip
    return output


class Plan(NamedTuple):
    """What the two launches of a layer need besides tensors and sizes: blocks of channels, grid of sums, constants."""

    kernel: Any
    blocks: tuple[int, ...]
    constants: dict[str, Any]
    sums: tuple[int, int]
    constants_of_sums: dict[str, Any]


@cache
def _plan(
    interpreted: bool, dtype: torch.dtype, shape: tuple[int, int, int, int], eps: float | None, leakiness: float | None,
    precision: str, tile: Tile | None,
) -> Plan:  # fmt: skip
    """The plan for a weight of this shape; ``eps`` and ``leakiness`` are those of the norm, ``tile`` is None unless one
    was given or measured."""
    taps, groups, channels_in, channels_out = shape
    tile = tile or _choose_tile(interpreted, dtype, channels_in, channels_out, precision)
    taps_of: dict[str, Any] = {"TAPS": taps, "LANES": power_of_two(taps)}
    size = groups * channels_in * channels_out
    sums = (taps, ceil_div(size, ELEMENTS)), taps_of | {"SIZE": size, "ROWS": SEGMENTS, "BLOCK": ELEMENTS}
    constants = taps_of | {
        "EPS": eps, "LEAKINESS": leakiness, "RULES": tile.rules, "WIDTH": tile.width, "num_warps": tile.warps,
        "num_stages": tile.stages,
    }  # fmt: skip
    if channels_in == 1 and groups > 1:
        columns = groups * channels_out
        constants |= {"CHANNELS": columns, "MULTIPLE": channels_out}
        return Plan(depthwise_kernel, (ceil_div(columns, tile.width), 1), constants, *sums)
    blocks = groups * ceil_div(channels_out, tile.width), ceil_div(channels_in, tile.height)
    constants |= {
        "GROUPS": groups, "IN": channels_in, "OUT": channels_out, "UPCAST": interpreted, "PRECISION": precision,
        "HEIGHT": tile.height,
    }  # fmt: skip
    return Plan(weight_gradient_kernel, blocks, constants, *sums)


def _weight_gradient_float64(
    features: Tensor, grad_output: Tensor, rules: Rules, shape: tuple[int, int, int, int]
) -> Tensor:
    """Compute one product per tap, over the positions of its neighbour table."""
    _, groups, channels_in, channels_out = shape
    reading = read_forward(rules)
    table = reading.table.flip(0) if reading.mirrored else reading.table
    gradient = rows_or_zero(grad_output, reading.order.long()).view(-1, groups, channels_out)
    output = grad_output.new_empty(shape)
    for rows, block in zip(table.long(), output, strict=True):
        gathered = rows_or_zero(features, rows).view(-1, groups, channels_in)
        block.copy_(torch.einsum("pgi,pgo->gio", gathered, gradient))
    return output

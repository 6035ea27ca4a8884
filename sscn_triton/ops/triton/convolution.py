"""Convolution: an implicit matrix product that stays at its output.

A program owns a tile of positions of a reading (`sscn_triton.ops.triton.layout`) and a block of output channels. For
each tap that is active in its tile, it gathers the rows that the tap names, multiplies them with the weight of the tap
and adds the products in float32. One program writes each output once and adds the taps in a fixed order.

The kernels also fuse the neighbours of a convolution: they can normalise rows while they gather them, unless there are
many (`normalization.MOST_GATHERED`), and the last step of a tile adds bias and residual and computes the moments of the
output (`statistics`).
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
from sscn_triton.ops.rules import Reading, Rules, read_forward
from sscn_triton.ops.triton import statistics
from sscn_triton.ops.triton.epilogue import finish
from sscn_triton.ops.triton.launch import ceil_div, is_interpreted, launch, power_of_two
from sscn_triton.ops.triton.layout import UNIT, WORD, rows_or_zero
from sscn_triton.ops.triton.normalization import MOST_GATHERED, normalize, normalized
from sscn_triton.ops.triton.statistics import HEAD
from sscn_triton.ops.triton.taps import is_row, lowest_bit, popcount, tile_mask
from sscn_triton.ops.triton.tuning import tile_for


class Tile(NamedTuple):
    """Shape of a program: positions, input channels per product, output channels; warps; stages of the pipeline."""

    rows: int
    depth: int
    width: int
    warps: int
    stages: int


@triton.jit(do_not_specialize=["positions", "units", "sources"])
def convolution_kernel(
    features,
    weight,
    bias,
    residual,
    output,
    moments,
    rows,
    mean,
    variance,
    norm_weight,
    norm_bias,
    table,
    order,
    masks,
    positions,
    units,
    sources,
    TAPS: tl.constexpr,
    GROUPS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    TRANSPOSED: tl.constexpr,
    MIRRORED: tl.constexpr,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    HEAD: tl.constexpr,
    UPCAST: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNIT: tl.constexpr,
    WORD: tl.constexpr,
):
    """``output[order[p], group] = bias + residual[order[p], group] + sum over taps of
    features[table[tap, p], group] @ weight[tap, group]``.

    IN and OUT are channels per group. TRANSPOSED: the weight's layout in memory is ``[taps, groups, OUT, IN]``. If
    there is a mean, rows are normalised while they are gathered. Terms that are None are left out. If there are
    ``rows``, the output is the gradient of their norm: see `finish`.

    features ``[sources, GROUPS * IN]``; weight ``[TAPS, GROUPS, IN, OUT]``; bias ``[GROUPS * OUT]``; residual, rows and
    output ``[positions, GROUPS * OUT]``; moments: see `sscn_triton.ops.triton.statistics`; the norm's tensors
    ``[GROUPS * IN]``, or ``[GROUPS * OUT]`` with rows; table, order and masks: see `sscn_triton.ops.triton.layout`.
    """
    blocks: tl.constexpr = (OUT + WIDTH - 1) // WIDTH
    parts: tl.constexpr = (IN + DEPTH - 1) // DEPTH if DEPTH > 1 else 1
    # Programs that gather the same rows have successive numbers, so that all but the first find them in the cache.
    tile, share = tl.program_id(0) // (GROUPS * blocks), tl.program_id(0) % (GROUPS * blocks)
    group = share // blocks
    column = share % blocks * WIDTH + tl.arange(0, WIDTH)
    position = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, tile, word, units, TAPS, WORD, ROWS, UNIT)
        for step in range(popcount(mask) * parts):
            part = step % parts
            line = word * WORD + lowest_bit(mask)
            mask = tl.where(part == parts - 1, mask & (mask - 1), mask)
            row = tl.load(table + line.to(tl.int64) * positions + position, mask=inside, other=-1)
            named, row = is_row(row, sources), row.to(tl.int64)
            tap = TAPS - 1 - line if MIRRORED else line
            block = weight + (tap * GROUPS + group).to(tl.int64) * (IN * OUT)
            if DEPTH == 1:  # with so few channels, a matrix unit would mostly multiply padding
                for channel in tl.static_range(IN):
                    a = tl.load(features + row * (GROUPS * IN) + group * IN + channel, mask=named, other=0)
                    if mean is not None and rows is None:
                        a = normalized(
                            a, named, mean, variance, norm_weight, norm_bias, group * IN + channel, True, EPS,
                            LEAKINESS,
                        ).to(output.dtype.element_ty)  # fmt: skip
                    place = channel + column * IN if TRANSPOSED else channel * OUT + column
                    b = tl.load(block + place, mask=column < OUT, other=0).to(output.dtype.element_ty)
                    total += a.to(tl.float32)[:, None] * b.to(tl.float32)
            else:
                channel = part * DEPTH + tl.arange(0, DEPTH)
                there = named[:, None] & (channel < IN)
                place = features + row[:, None] * (GROUPS * IN) + group * IN + channel
                a = tl.load(place, mask=there, other=0)
                if mean is not None and rows is None:
                    a = normalized(
                        a, there, mean, variance, norm_weight, norm_bias, group * IN + channel, channel < IN, EPS,
                        LEAKINESS,
                    ).to(output.dtype.element_ty)  # fmt: skip
                place = channel[:, None] + column * IN if TRANSPOSED else channel[:, None] * OUT + column
                b = tl.load(block + place, mask=(channel < IN)[:, None] & (column < OUT), other=0)
                b = b.to(output.dtype.element_ty)
                if UPCAST:
                    a, b = a.to(tl.float32), b.to(tl.float32)
                total = tl.dot(a, b, total, input_precision=PRECISION)
    finish(
        total, bias, residual, output, moments, rows, mean, variance, norm_weight, norm_bias, order, tile,
        position, positions, group * OUT + column, column < OUT, EPS, LEAKINESS, GROUPS * OUT, HEAD, ROWS,
    )  # fmt: skip


@triton.jit(do_not_specialize=["positions", "units", "sources"])
def depthwise_kernel(
    features,
    weight,
    bias,
    residual,
    output,
    moments,
    rows,
    mean,
    variance,
    norm_weight,
    norm_bias,
    table,
    order,
    masks,
    positions,
    units,
    sources,
    TAPS: tl.constexpr,
    CHANNELS: tl.constexpr,
    MULTIPLE: tl.constexpr,
    MIRRORED: tl.constexpr,
    EPS: tl.constexpr,
    LEAKINESS: tl.constexpr,
    HEAD: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    UNIT: tl.constexpr,
    WORD: tl.constexpr,
):
    """As `convolution_kernel`, for groups of one input and MULTIPLE output channels, without a sum over channels.

    CHANNELS is the number of output channels of all groups: features ``[sources, CHANNELS // MULTIPLE]``, weight
    ``[TAPS, CHANNELS]``, output ``[positions, CHANNELS]``.
    """
    blocks: tl.constexpr = (CHANNELS + WIDTH - 1) // WIDTH
    tile = tl.program_id(0) // blocks
    column = tl.program_id(0) % blocks * WIDTH + tl.arange(0, WIDTH)
    position = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = position < positions
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    for word in range((TAPS + WORD - 1) // WORD):
        mask = tile_mask(masks, tile, word, units, TAPS, WORD, ROWS, UNIT)
        for _ in range(popcount(mask)):
            line = word * WORD + lowest_bit(mask)
            mask &= mask - 1
            row = tl.load(table + line.to(tl.int64) * positions + position, mask=inside, other=-1)
            named, row = is_row(row, sources), row.to(tl.int64)
            tap = TAPS - 1 - line if MIRRORED else line
            there = named[:, None] & (column < CHANNELS)
            a = tl.load(features + row[:, None] * (CHANNELS // MULTIPLE) + column // MULTIPLE, mask=there, other=0)
            if mean is not None and rows is None:
                a = normalized(
                    a, there, mean, variance, norm_weight, norm_bias, column // MULTIPLE, column < CHANNELS, EPS,
                    LEAKINESS,
                ).to(output.dtype.element_ty)  # fmt: skip
            b = tl.load(weight + tap.to(tl.int64) * CHANNELS + column, mask=column < CHANNELS, other=0)
            total += a.to(tl.float32) * b.to(output.dtype.element_ty).to(tl.float32)
    finish(
        total, bias, residual, output, moments, rows, mean, variance, norm_weight, norm_bias, order, tile,
        position, positions, column, column < CHANNELS, EPS, LEAKINESS, CHANNELS, HEAD, ROWS,
    )  # fmt: skip


def choose_tile(
    features: Tensor, rows: int, channels_in: int, channels_out: int, precision: str, fused: bool = False
) -> Tile:
    """A shape that works untuned: small for few rows, and where a product or a norm needs many registers.

    Narrow tiles have few warps. Each warp repeats the loop's addresses, masks and barriers, so that with four warps a
    product of 64 rows with 16 by 16 channels takes three times as many issue slots as with one
    (`tests/ops/triton/kernel_budget.json`: "slots").
    """
    sizes = rows < 1 << 13, rows < 1 << 16, channels_in, channels_out
    on = is_interpreted(features), torch.version.hip is not None
    return _choose_tile(*on, features.dtype, *sizes, precision, fused)


@cache
def _choose_tile(
    interpreted: bool, amd: bool, dtype: torch.dtype, few: bool, some: bool, channels_in: int, channels_out: int,
    precision: str, fused: bool,
) -> Tile:  # fmt: skip
    width = min(max(power_of_two(channels_out), 16), 128)
    full = dtype == torch.float32 and precision != "tf32"
    depth = _depth(channels_in, 16 if full else 128 // dtype.itemsize)
    if interpreted:
        return Tile(256, depth, width, 4, 1)
    if full:
        return Tile(32 if few else 64, depth, width, 8 if width > (32 if fused else 64) else 4, 3)
    # With NVIDIA's asynchronous copies, five stages keep two or three tiles in flight; AMD has 64 KiB for all stages.
    stages = 5 if dtype.itemsize == 2 and not amd and not fused else 3
    # TF32 with two warps avoids Hopper's matrix instruction, whose operands it would copy in pieces of four bytes.
    if depth > 1 and (width <= 32 or (width == 64 and dtype.itemsize == 4 and not fused)):
        return Tile(32 if few else 64, depth, width, 1 if width == 16 and not fused else 2, stages)
    tile = 32 if few else 64 if (some or width < 64) and (depth > 1 or width > 16) else 128
    if fused and dtype.itemsize == 4 and width == 128:
        return Tile(min(tile, 64), depth, width, 8, stages)
    return Tile(tile, depth, width, 8 if tile * width >= 128 * 128 else 4, stages)


MOST_ROUNDED = 1 << 19
"""Numbers of an output up to which the kernel rounds a float32 weight itself; for more, a launch rounds it before.

In the kernel, it adds a tenth to the loop's instructions at 16 channels, a quarter at 32 and 64 and six tenths at 80
(`tests/ops/triton/kernel_budget.json`: "float32 weight"), and the weight takes twice the shared memory, which tiles of
few rows leave free. Tiles are measured with weights of 16 bits, so a measured tile gets such a weight too.
"""

STEP = 48
"""What a step of the loop costs besides its products, in input channels of a product: at 80 channels and 32 rows, a
step has 90 instructions and 1.8 more per channel on cuda 90."""


def _depth(channels: int, most: int) -> int:
    """Input channels per product: the block with the least padding and the fewest steps together."""
    if channels <= 4:
        return 1
    blocks = [size for size in (16, 32, 64) if size <= most]
    return min(blocks, key=lambda size: ceil_div(channels, size) * (size + STEP))


def convolve(
    features: Tensor,
    weight: Tensor,
    rules: Rules,
    output_count: int,
    bias: Tensor | None = None,
    tile: Tile | None = None,
    residual: Tensor | None = None,
    norm: Norm | None = None,
    moments: Tensor | None = None,
    rows: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``y[o] = bias + residual[o] + sum x[i] w[v]``: ``[N_in, groups * in]``, ``[V, groups, in, out]`` to
    ``[output_count, groups * out]``, in the type ``dtype``, by default that of the weight, which is rounded to it. Sums
    are float32, or float64 for float64 weights.

    Rules that name missing rows add nothing. ``norm`` is applied to each ``x[i]`` first. The kernel fills ``moments``
    (`statistics.line`), in tiles of at least LEAST_ROWS rows. If there are ``rows``, the norm is that of these rows, y
    is the gradient of its preactivation (before the rectifier), and the moments are the sums for `statistics.add`.
    """
    dtype = dtype or weight.dtype
    reading = read_forward(rules)
    shape = weight.shape
    if norm and rows is None and features.numel() > MOST_GATHERED:
        features, norm = normalize(features, norm, dtype=dtype), None
    features = (features if norm and rows is None else features.to(dtype)).contiguous()
    residual = None if residual is None else residual.contiguous()
    if dtype == torch.float64:
        return _convolve_float64(features, weight, reading, bias, residual, norm, moments)
    transposed = not weight.is_contiguous() and weight.transpose(2, 3).is_contiguous()
    weight = weight if transposed else weight.contiguous()
    output = features.new_empty(output_count, shape[1] * shape[3], dtype=dtype)
    precision = float32_precision() if dtype == torch.float32 else "ieee"
    if tile is None and rows is None:
        kernel = "convolution" if norm is None else "fused_convolution"
        measured = tile_for(kernel, output, rules, (features.shape[0], output_count), shape)
        tile = Tile(*measured) if measured else None
    if weight.dtype != dtype and (tile or output.numel() > MOST_ROUNDED):
        weight = weight.to(dtype)
    mean, variance, norm_weight, norm_bias, eps, leakiness = (None,) * 6 if norm is None else norm[:6]
    plan = _plan(
        is_interpreted(features), torch.version.hip is not None, dtype, output_count < 1 << 13, output_count < 1 << 16,
        shape, transposed, reading.mirrored, eps, leakiness, precision, tile,
    )  # fmt: skip
    launch(
        plan.kernel, (ceil_div(output_count, plan.rows) * plan.blocks,), features=features, weight=weight, bias=bias,
        residual=residual, output=output, moments=moments, rows=rows, mean=mean, variance=variance,
        norm_weight=norm_weight, norm_bias=norm_bias, table=reading.table, order=reading.order, masks=reading.masks,
        positions=output_count, units=reading.masks.shape[1], sources=features.shape[0], **plan.constants,
    )  # fmt: skip
    return output


class Plan(NamedTuple):
    """What a launch of a layer needs besides its tensors and sizes: rows per tile, blocks of channels, constants."""

    kernel: Any
    rows: int
    blocks: int
    constants: dict[str, Any]


@cache
def _plan(
    interpreted: bool, amd: bool, dtype: torch.dtype, few: bool, some: bool, shape: tuple[int, int, int, int],
    transposed: bool, mirrored: bool, eps: float | None, leakiness: float | None, precision: str, tile: Tile | None,
) -> Plan:  # fmt: skip
    """The plan for a weight of this shape; ``eps`` and ``leakiness`` are those of the norm, ``tile`` is None unless one
    was given or measured."""
    taps, groups, channels_in, channels_out = shape
    depthwise = channels_in == 1 and groups > 1
    columns = groups * channels_out if depthwise else channels_out
    fused = eps is not None
    tile = tile or _choose_tile(interpreted, amd, dtype, few, some, channels_in, columns, precision, fused)
    blocks = ceil_div(columns, tile.width)
    constants: dict[str, Any] = {
        "TAPS": taps, "MIRRORED": mirrored, "EPS": eps, "LEAKINESS": leakiness, "HEAD": HEAD, "ROWS": tile.rows,
        "WIDTH": tile.width, "UNIT": UNIT, "WORD": WORD, "num_warps": tile.warps, "num_stages": tile.stages,
    }  # fmt: skip
    if depthwise:
        return Plan(depthwise_kernel, tile.rows, blocks, constants | {"CHANNELS": columns, "MULTIPLE": channels_out})
    constants |= {
        "GROUPS": groups, "IN": channels_in, "OUT": channels_out, "TRANSPOSED": transposed, "UPCAST": interpreted,
        "PRECISION": precision, "DEPTH": tile.depth,
    }  # fmt: skip
    return Plan(convolution_kernel, tile.rows, groups * blocks, constants)


def _convolve_float64(
    features: Tensor,
    weight: Tensor,
    reading: Reading,
    bias: Tensor | None,
    residual: Tensor | None,
    norm: Norm | None,
    moments: Tensor | None,
) -> Tensor:
    """Gather, multiply and add tap by tap; each tap writes each output row once."""
    features = features if norm is None else normalize(features, norm)
    _, groups, channels_in, channels_out = weight.shape
    table = reading.table.flip(0) if reading.mirrored else reading.table
    total, order = weight.new_zeros(table.shape[1], groups, channels_out), reading.order.long()
    for rows, block in zip(table.long(), weight, strict=True):
        gathered = rows_or_zero(features, rows).view(-1, groups, channels_in).to(weight.dtype)
        total += torch.einsum("pgi,gio->pgo", gathered, block)
    if total.shape[0]:
        order = order.clamp(0, total.shape[0] - 1)
    output = torch.empty_like(total).index_copy(0, order, total).flatten(1)
    for term in (bias, residual):
        output = output if term is None else output + term
    if moments is not None:
        moments.copy_(statistics.moments(output))
    return output

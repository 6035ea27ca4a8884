"""Operators on sites: find distinct sites and build the rules between them.

Each operator synchronises once: in `_read`, the host waits for the device to learn sizes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.rules import TableRules
from sscn_triton.ops.triton.keys import NOWHERE, axis_key, check_frame, frame_of, pack
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, launch
from sscn_triton.ops.triton.layout import no_reading, pairs, reading, rule_ends, table_place, transposed_table
from sscn_triton.relation import is_mirrored, submanifold_padding, volume


def _read(*values: Tensor) -> list[int]:
    """Copy the numbers of the tensors to the host; this waits for the device."""
    return torch.cat([value.reshape(-1).long() for value in values]).tolist()


def unique_sites(coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """``(first, inverse)``: the row of each distinct site's first appearance (ascending), and every row's position of
    its site in ``first``; int64."""
    count = len(coordinates)
    rows = torch.arange(count, device=coordinates.device)
    if not count:
        return rows, rows.clone()
    frame = frame_of(coordinates)
    keys, order = torch.sort(pack(coordinates, frame), stable=True)
    new = torch.ones(count, dtype=torch.bool, device=keys.device)
    torch.ne(keys[1:], keys[:-1], out=new[1:])
    # A stable sort keeps equal sites in order, so the first row of a run is the first appearance of its site.
    run_start = torch.where(new, rows, 0).cummax(0).values
    first_row = torch.empty_like(rows)
    first_row[order] = order[run_start]
    position = (first_row == rows).cumsum(0) - 1
    *box, last = _read(frame, position[-1])
    check_frame(box)
    first = torch.empty(last + 1, dtype=torch.int64, device=keys.device)
    inverse = position[first_row]
    first[inverse] = first_row  # rows of one site all write the same number
    return first, inverse


@triton.jit(do_not_specialize=["size", "count", "steps"])
def search_kernel(
    coordinates,
    frame,
    sorted_keys,
    order,
    table,
    size,
    count,
    steps,
    AXES: tl.constexpr,
    KERNEL: tl.constexpr,
    DILATION: tl.constexpr,
    PADDING: tl.constexpr,
    TAPS: tl.constexpr,
    MIRROR: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``table[tap, row]``: the row of the neighbouring site at this tap, found by bisection of the sorted keys.

    With MIRROR the kernel also writes the opposite tap: if i feeds j through a tap, j feeds i through the opposite one.

    coordinates ``[count, AXES]`` and frame ``[2, AXES]`` int32; sorted_keys and order ``[count]`` int64 are the
    sites' keys, ascending, and their rows; table ``[TAPS, count]`` int32, of which ``size`` entries are searched in
    ``steps`` bisections.
    """
    place, tap, row = table_place(count, BLOCK)
    inside = place < size
    key = tl.load(coordinates + row * AXES, mask=inside, other=0).to(tl.int64)
    key = axis_key(tl.zeros_like(row), key, frame, 0, AXES)
    rest, volume = tap, TAPS
    for axis in tl.static_range(1, AXES):
        volume = volume // KERNEL[axis - 1]
        step = rest // volume
        rest = rest % volume
        here = tl.load(coordinates + row * AXES + axis, mask=inside, other=0).to(tl.int64)
        key = axis_key(key, here + step.to(tl.int64) * DILATION[axis - 1] - PADDING[axis - 1], frame, axis, AXES)
    low = tl.zeros_like(row)
    high = low + count
    for _ in range(steps):
        middle = (low + high) // 2
        below = tl.load(sorted_keys + middle, mask=middle < high, other=NOWHERE) < key
        low = tl.where(below, middle + 1, low)
        high = tl.where(below, high, middle)
    hit = inside & (low < count)
    hit &= tl.load(sorted_keys + low, mask=hit, other=NOWHERE) == key
    hit &= key != NOWHERE
    found = tl.load(order + low, mask=hit, other=-1)
    tl.store(table + place, found.to(tl.int32), mask=hit)
    if MIRROR:
        tl.store(table + (TAPS - 1 - tap).to(tl.int64) * count + found, row.to(tl.int32), mask=hit)


def submanifold_rules(coordinates: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> list[Tensor]:
    """Rules from the sites to themselves, for stride 1 and a centred kernel."""
    kernel, spread = tuple(kernel_size), tuple(dilation)
    count, axes = coordinates.shape
    taps, padding = volume(kernel), submanifold_padding(kernel, spread)
    mirror = is_mirrored(kernel, padding, spread)
    frame = frame_of(coordinates)
    keys, order = torch.sort(pack(coordinates, frame))
    table = torch.full((taps, count), -1, dtype=torch.int32, device=keys.device)
    size = ((taps + 1) // 2 if mirror else taps) * count
    launch(
        search_kernel, (ceil_div(size, BLOCK),), coordinates=coordinates.contiguous(), frame=frame, sorted_keys=keys,
        order=order, table=table, size=size, count=count, steps=count.bit_length(), AXES=axes, KERNEL=kernel,
        DILATION=spread, PADDING=padding, TAPS=taps, MIRROR=mirror, BLOCK=BLOCK,
    )  # fmt: skip
    ends = rule_ends(table)
    *box, rule_count = _read(frame, ends[-1])
    check_frame(box)
    backward = no_reading(table.device) if mirror else reading(transposed_table(table, count))
    return list(TableRules(*pairs(table, ends, rule_count), *reading(table), *backward))


def rules_of_table(table: Tensor, input_count: int) -> list[Tensor]:
    """Rules of a table ``[V, N_out]`` int32: the input row that each tap joins to each output row, or -1.

    A tap names an input row at most once.
    """
    ends = rule_ends(table)
    (rule_count,) = _read(ends[-1])
    return list(
        TableRules(*pairs(table, ends, rule_count), *reading(table), *reading(transposed_table(table, input_count)))
    )


@triton.jit
def floor_mod(value, divisor):
    """The remainder in 0..divisor - 1 for any sign (a compiled ``%`` rounds to zero, an interpreted one down)."""
    rest = value % divisor
    return tl.where(rest < 0, rest + divisor, rest)


@triton.jit
def reached_key(
    coordinates, row, inside, choice, frame, AXES: tl.constexpr, GEOMETRY: tl.constexpr, BACKWARD: tl.constexpr
):
    """The key of a site that a row reaches, and the tap; NOWHERE if there is none. ``GEOMETRY``: see `_geometry`."""
    site = coordinates + row * AXES
    key = axis_key(tl.zeros_like(row), tl.load(site, mask=inside, other=-1).to(tl.int64), frame, 0, AXES)
    tap = tl.zeros_like(row)
    rest, volume = choice, GEOMETRY[0]
    for axis in tl.static_range(1, AXES):
        kernel = GEOMETRY[axis][0]
        stride = GEOMETRY[axis][1]
        padding = GEOMETRY[axis][2]
        dilation = GEOMETRY[axis][3]
        common = GEOMETRY[axis][4]
        inverse = GEOMETRY[axis][5]
        volume = volume // GEOMETRY[axis][6]
        here = tl.load(site + axis, mask=inside, other=0).to(tl.int64)
        if BACKWARD:
            step = (rest // volume).to(tl.int64)
            reached = here * stride + step * dilation - padding
        else:
            moved = here + padding
            period = stride // common
            step = (
                floor_mod(floor_mod(moved // common, period) * inverse, period) + (rest // volume).to(tl.int64) * period
            )
            key = tl.where((floor_mod(moved, common) == 0) & (step < kernel), key, NOWHERE)
            reached = (moved - step * dilation) // stride
        rest = rest % volume
        key = axis_key(key, reached, frame, axis, AXES)
        tap = tap * kernel + step
    return key, tap


@triton.jit
def reached_frame_kernel(
    frame, reached, AXES: tl.constexpr, GEOMETRY: tl.constexpr, BOUNDS: tl.constexpr, BACKWARD: tl.constexpr
):
    """The frame of all sites that sites in ``frame`` can reach: frame ``[2, AXES]`` int32, reached ``[2, AXES]`` int64.
    Runs as one program."""
    tl.store(reached, tl.load(frame).to(tl.int64))
    tl.store(reached + AXES, tl.load(frame + AXES).to(tl.int64))
    for axis in tl.static_range(1, AXES):
        stride = GEOMETRY[axis][1]
        padding = GEOMETRY[axis][2]
        reach = GEOMETRY[axis][3] * (GEOMETRY[axis][0] - 1)
        low = tl.load(frame + axis).to(tl.int64)
        high = tl.load(frame + AXES + axis).to(tl.int64)
        if BACKWARD:
            low = low * stride - padding
            high = high * stride + reach - padding
        else:
            low += padding - reach
            high += padding
            low = (low - floor_mod(low, stride)) // stride
            high = (high - floor_mod(high, stride)) // stride
        if len(BOUNDS) > 0:
            low = tl.maximum(low, 0)
            high = tl.minimum(high, BOUNDS[axis - 1] - 1)
        tl.store(reached + axis, low)
        tl.store(reached + AXES + axis, high)


@triton.jit(do_not_specialize=["count"])
def reach_kernel(
    coordinates,
    frame,
    keys,
    count,
    AXES: tl.constexpr,
    GEOMETRY: tl.constexpr,
    BACKWARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """``keys[choice, row]``: the keys of all sites that each row reaches, NOWHERE where a choice reaches none.

    coordinates ``[count, AXES]`` int32, frame ``[2, AXES]`` and keys ``[choices, count]`` int64.
    """
    place, choice, row = table_place(count, BLOCK)
    inside = choice < GEOMETRY[0]
    key, _ = reached_key(coordinates, row, inside, choice, frame, AXES, GEOMETRY, BACKWARD)
    tl.store(keys + place, key, mask=inside)


@triton.jit(do_not_specialize=["total", "count", "reached_count"])
def join_kernel(
    coordinates,
    frame,
    keys,
    candidates,
    ordinals,
    reached,
    forward,
    backward,
    total,
    count,
    reached_count,
    AXES: tl.constexpr,
    GEOMETRY: tl.constexpr,
    BACKWARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the sites of the distinct keys, and both tables of the rules that reach them.

    keys ``[total]`` int64 are those of `reach_kernel`, ascending, candidates ``[total]`` int64 their places in its
    result, ordinals ``[total]`` int32 the number of distinct keys up to each; reached ``[reached_count, AXES]``,
    forward ``[V, reached_count]`` and backward ``[V, count]`` are int32.
    """
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    key = tl.load(keys + position, mask=position < total, other=NOWHERE)
    there = key != NOWHERE
    output = tl.load(ordinals + position, mask=there, other=1).to(tl.int64) - 1
    candidate = tl.load(candidates + position, mask=there, other=0)
    row = candidate % count
    _, tap = reached_key(coordinates, row, there, candidate // count, frame, AXES, GEOMETRY, BACKWARD)
    tl.store(forward + tap * reached_count + output, row.to(tl.int32), mask=there)
    tl.store(backward + tap * count + row, output.to(tl.int32), mask=there)
    first = there & (tl.load(keys + position - 1, mask=there & (position > 0), other=-1) != key)
    for back in tl.static_range(AXES):
        axis = AXES - 1 - back
        low = tl.load(frame + axis)
        extent = tl.load(frame + AXES + axis) - low + 1
        coordinate = low + key % extent
        tl.store(reached + output * AXES + axis, coordinate.to(tl.int32), mask=first)
        key = key // extent


class Window(NamedTuple):
    """Geometry of a layer that changes its sites, one number per axis; ``bounds`` may be empty."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    bounds: tuple[int, ...]
    backward: bool  # whether sites are reached by the relation read backwards


def _geometry(window: Window) -> tuple[Any, ...]:
    """For `reached_key`: the number of sites a row can reach, then for each axis the kernel, stride, padding, dilation
    and

    - the greatest common divisor g of stride and dilation: ``x + padding`` must be a multiple of g;
    - the inverse of ``dilation / g`` modulo ``stride / g``, which gives the first tap; the distance between taps is
      ``stride / g``;
    - the number of taps that can be reached from one coordinate.
    """
    axes = []
    for kernel, stride, padding, dilation in zip(*window[:4], strict=True):
        common = math.gcd(stride, dilation)
        period = 1 if window.backward else stride // common
        inverse = pow(dilation // common, -1, stride // common)
        axes.append((kernel, stride, padding, dilation, common, inverse, ceil_div(kernel, period)))
    return math.prod(axis[-1] for axis in axes), *axes


def strided_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """``[output_coordinates, *rules]`` to every site that some input reaches, in lexicographic order."""
    kernel, steps, margins, spread, limits = map(tuple, (kernel_size, stride, padding, dilation, bounds))
    return _rules_to_reached(coordinates, Window(kernel, steps, margins, spread, limits, backward=False))


def transposed_rules(
    coordinates: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    bounds: Sequence[int],
) -> list[Tensor]:
    """As `strided_rules`, for the sites reached by the relation read backwards."""
    kernel, steps, margins, spread, limits = map(tuple, (kernel_size, stride, padding, dilation, bounds))
    return _rules_to_reached(coordinates, Window(kernel, steps, margins, spread, limits, backward=True))


def _rules_to_reached(coordinates: Tensor, window: Window) -> list[Tensor]:
    count, axes = coordinates.shape
    taps, geometry = volume(window.kernel_size), _geometry(window)
    coordinates = coordinates.contiguous()
    given = frame_of(coordinates)
    frame = torch.empty_like(given, dtype=torch.int64)
    options: dict[str, Any] = {"AXES": axes, "GEOMETRY": geometry, "BACKWARD": window.backward}
    launch(reached_frame_kernel, (1,), frame=given, reached=frame, BOUNDS=window.bounds, **options)
    total = geometry[0] * count
    keys = torch.empty(total, dtype=torch.int64, device=coordinates.device)
    options |= {"coordinates": coordinates, "frame": frame, "count": count, "BLOCK": BLOCK}
    launch(reach_kernel, (ceil_div(total, BLOCK),), keys=keys, **options)
    keys, candidates = torch.sort(keys)
    new = keys != NOWHERE.value
    rule_count = new.sum()
    new[1:].logical_and_(keys[1:] != keys[:-1])  # `&=` would also copy the result onto itself
    ordinals = new.cumsum(0, dtype=torch.int32)
    *box, rule_count = _read(ordinals[-1:], frame, rule_count)
    reached_count = box.pop(0) if total else 0
    check_frame(box)
    reached = coordinates.new_empty(reached_count, axes)
    forward, backward = coordinates.new_full((taps, reached_count), -1), coordinates.new_full((taps, count), -1)
    launch(
        join_kernel, (ceil_div(total, BLOCK),), keys=keys, candidates=candidates, ordinals=ordinals, reached=reached,
        forward=forward, backward=backward, total=total, reached_count=reached_count, **options,
    )  # fmt: skip
    rules = TableRules(*pairs(forward, rule_ends(forward), rule_count), *reading(forward), *reading(backward))
    return [reached, *rules]

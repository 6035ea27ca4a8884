"""One int64 key per site, in lexicographic order.

A *frame* is the box whose sites the keys number: int32 or int64 ``[2, 1 + D]``, its lowest and its highest site. The
device computes and uses it. The host reads it together with the sizes for which it must wait anyway, and only then
refuses a box with more sites than an int64 can number. Until then an overflowed key is harmless: it is only compared,
never used as an index.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from sscn_triton.ops.checks import refuse_beyond_int32, refuse_beyond_int64
from sscn_triton.ops.triton.launch import BLOCK, ceil_div, launch

NOWHERE = tl.constexpr(2**63 - 1)  # the key that means no site; it sorts after all others


@triton.jit
def axis_key(key, coordinate, frame, axis: tl.constexpr, AXES: tl.constexpr):
    """Extend a key by one axis; NOWHERE if this or an earlier coordinate is outside the frame."""
    low = tl.load(frame + axis).to(tl.int64)
    extent = tl.load(frame + AXES + axis).to(tl.int64) - low + 1
    digit = coordinate - low
    inside = (key != NOWHERE) & (digit >= 0) & (digit < extent)
    return tl.where(inside, key * extent + digit, NOWHERE)


@triton.jit(do_not_specialize=["count"])
def pack_kernel(coordinates, frame, keys, count, AXES: tl.constexpr, BLOCK: tl.constexpr):
    """``keys[row]``: the key of each of ``count`` sites.

    coordinates ``[count, AXES]`` and frame ``[2, AXES]`` int32, keys ``[count]`` int64.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < count
    key = tl.zeros([BLOCK], tl.int64)
    for axis in tl.static_range(AXES):
        coordinate = tl.load(coordinates + row * AXES + axis, mask=inside, other=0).to(tl.int64)
        key = axis_key(key, coordinate, frame, axis, AXES)
    tl.store(keys + row, key, mask=inside)


def frame_of(coordinates: Tensor) -> Tensor:
    """The smallest frame around the sites, ``[2, 1 + D]`` int32."""
    frame = coordinates.new_empty(2, coordinates.shape[1])
    if len(coordinates):
        torch.aminmax(coordinates, dim=0, out=(frame[0], frame[1]))
    else:
        frame[0], frame[1] = 0, -1
    return frame


def pack(coordinates: Tensor, frame: Tensor) -> Tensor:
    """The keys of the sites, ``[N]`` int64."""
    count, axes = coordinates.shape
    keys = torch.empty(count, dtype=torch.int64, device=coordinates.device)
    launch(
        pack_kernel, (ceil_div(count, BLOCK),), coordinates=coordinates.contiguous(), frame=frame, keys=keys,
        count=count, AXES=axes, BLOCK=BLOCK,
    )  # fmt: skip
    return keys


def check_frame(frame: Sequence[int]) -> None:
    """Refuse a frame, given as its ``2 (1 + D)`` numbers, if its sites overflow int32 or its keys overflow int64."""
    axes = len(frame) // 2
    low, high = frame[:axes], frame[axes:]
    extent = [max(b - a + 1, 0) for a, b in zip(low, high, strict=True)]
    refuse_beyond_int32(low, high)
    refuse_beyond_int64(low, high, extent)

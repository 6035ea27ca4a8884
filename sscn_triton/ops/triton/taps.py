"""The active taps of a tile, as words of bits."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def popcount(bits):
    """Number of set bits of a non-negative int64."""
    bits = bits - ((bits >> 1) & 0x5555555555555555)
    bits = (bits & 0x3333333333333333) + ((bits >> 2) & 0x3333333333333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0F
    bits += bits >> 8
    bits += bits >> 16
    return ((bits + (bits >> 32)) & 0x7F).to(tl.int32)


@triton.jit
def lowest_bit(bits):
    """Position of the lowest set bit: the exponent of a power of two in float32."""
    power = (bits & -bits).to(tl.float32)
    return (power.to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def is_row(row, count):
    """Whether int32 numbers are rows from 0 to ``count - 1``.

    One unsigned comparison would suffice, but it makes the compiler spill a register in the loop of a float32 kernel.
    """
    return (row >= 0) & (row < count)


@triton.jit
def tile_mask(masks, tile, word, units, TAPS: tl.constexpr, WORD: tl.constexpr, ROWS: tl.constexpr, UNIT: tl.constexpr):
    """The taps of one word that are active somewhere in a tile; bits beyond the last tap do not count."""
    first = tile * (ROWS // UNIT)
    mask = tl.load(masks + word * units + first)
    for unit in tl.static_range(1, ROWS // UNIT):
        mask |= tl.load(masks + word * units + first + unit, mask=first + unit < units, other=0)
    return mask & ((tl.full([], 1, tl.int64) << tl.minimum(TAPS - word * WORD, WORD).to(tl.int64)) - 1)

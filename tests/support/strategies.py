"""Hypothesis strategies: sites, windows and numbers, small enough for the oracle."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.support.cases import KINDS, Axes, Case

MAX_TAPS = 72  # of one kernel; sizes up to 6 per axis are possible nevertheless

REACH = {1: 8, 2: 3, 3: 2, 4: 1}  # of free coordinates from 0, by number of axes: few enough for sites to coincide

ndims = st.integers(1, 4)
groups = st.sampled_from([1, 1, 2, 3])


@st.composite
def kernel_sizes(draw: st.DrawFn, ndim: int) -> Axes:
    """Sizes 1 to 6 per axis, at most MAX_TAPS taps in total, in any order of axes."""
    sizes: list[int] = []
    for _ in range(ndim):
        sizes.append(draw(st.integers(1, min(6, MAX_TAPS // int(np.prod(sizes, dtype=int))))))
    return tuple(draw(st.permutations(sizes)))


def axes(ndim: int, low: int, high: int) -> st.SearchStrategy[Axes]:
    """One number per axis."""
    return st.tuples(*[st.integers(low, high)] * ndim)


@st.composite
def points(draw: st.DrawFn, ndim: int, at_most: int = 16) -> np.ndarray:
    """Coordinates of any sign in two batches, possibly repeated, in any order."""
    site = st.tuples(st.integers(0, 1), *[st.integers(-REACH[ndim], REACH[ndim])] * ndim)
    drawn = draw(st.lists(site, max_size=at_most))
    return np.array(drawn, dtype=draw(st.sampled_from([np.int32, np.int64]))).reshape(len(drawn), 1 + ndim)


@st.composite
def sites(draw: st.DrawFn, ndim: int, shape: Axes | None = None, at_most: int = 16) -> np.ndarray:
    """Distinct sites in any order: inside a shape, or anywhere with any sign."""
    reach = REACH[ndim]
    limits = [(0, n - 1) for n in shape] if shape else [(-reach, reach)] * ndim
    site = st.tuples(st.integers(0, 1), *(st.integers(*limit) for limit in limits))
    drawn = np.array(draw(st.lists(site, max_size=at_most, unique=True)), np.int32).reshape(-1, 1 + ndim)
    if shape is None:
        corner = draw(st.tuples(*[st.sampled_from([0, 0, -(10**6), 10**8 + 1])] * ndim))
        drawn[:, 1:] += np.array(corner, np.int32)
    return drawn


@st.composite
def cases(draw: st.DrawFn, kind: str | None = None, at_most: int = 16) -> Case:
    """A convolution of any kind, bounded by a spatial shape or not."""
    kind = kind or draw(st.sampled_from(KINDS))
    ndim = draw(ndims)
    kernel = draw(kernel_sizes(ndim))
    stride, padding, dilation = draw(axes(ndim, 1, 5)), draw(axes(ndim, 0, 4)), draw(axes(ndim, 1, 3))
    shape, extra = None, None
    if draw(st.booleans()):
        shape, padding = draw(shapes(kind, kernel, stride, padding, dilation))
        if kind == "transposed":
            limits = [max(s, d) - 1 for s, d in zip(stride, dilation, strict=True)]
            extra = draw(st.tuples(*(st.integers(0, limit) for limit in limits)))
    return Case(kind, draw(sites(ndim, shape, at_most)), kernel, stride, padding, dilation, shape, extra)


@st.composite
def shapes(
    draw: st.DrawFn,
    kind: str,
    kernel: Axes,
    stride: Axes,
    padding: Axes,
    dilation: Axes,
) -> tuple[Axes, Axes]:
    """A spatial shape for which the convolution has outputs, with its padding."""
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if kind == "transposed":  # (n - 1) stride - 2 padding + reach + 1 >= 1
        shape = draw(axes(len(kernel), 1, 6))
        spare = [((n - 1) * s + r) // 2 for n, s, r in zip(shape, stride, reach, strict=True)]
        return shape, tuple(min(p, most) for p, most in zip(padding, spare, strict=True))
    least = [max(1, r + 1 - 2 * p) for r, p in zip(reach, padding, strict=True)]
    return tuple(n + draw(st.integers(0, 5)) for n in least), padding


def values(seed: int, *shape: int) -> np.ndarray:
    """Normally distributed numbers, the same for the same seed."""
    return np.random.default_rng(seed).normal(size=shape)


seeds = st.integers(0, 2**32 - 1)

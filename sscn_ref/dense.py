"""Dense convolution as shifted matrix products, and what it does to sparse data.

On a full grid the relation input = stride * output + dilation * tap - padding needs no rulebook: for a fixed
tap, the inputs of all outputs form one regularly spaced block of the padded image. A convolution is therefore the
sum, over all taps, of that block times the tap's matrix:

    h = b + sum_t block(x, t) @ w[t]

The output of an ordinary convolution is nonzero wherever its window touches an active site, so the active set grows
with every layer: the dilation problem of Graham and van der Maaten (arXiv:1706.01307).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.convolution import as_bias, grouped_product
from sscn_ref.relation import PerAxis, output_shape, per_axis, taps
from sscn_ref.rulebook import Window, coarse_candidates, submanifold_arguments
from sscn_ref.sites import Sites, as_features, as_sites, check_inside, sorted_sites, unique_sites


def to_dense(
    features: ArrayLike, coordinates: ArrayLike, spatial_shape: PerAxis, batch_size: int | None = None
) -> NDArray:
    """Write features [N, C] at their sites [N, 1 + D] into an array of zeros: [batch, *spatial_shape, C].

    batch_size defaults to one more than the largest batch index. Raises ValueError if a site lies outside the image.
    """
    sites = as_sites(coordinates)
    f = as_features(features, len(sites), "coordinates")
    shape = per_axis(spatial_shape, sites.shape[1] - 1, "spatial_shape")
    check_inside(sites, shape)
    needed = int(sites[:, 0].max()) + 1 if len(sites) else 0
    (images,) = per_axis(needed if batch_size is None else batch_size, 1, "batch_size", minimum=0)
    if images < needed:
        raise ValueError(f"batch_size {batch_size} is too small for batch index {needed - 1}")
    dense = np.zeros((images, *shape, f.shape[1]), f.dtype)
    dense[tuple(sites.T)] = f
    return dense


def dense_convolution(
    x: ArrayLike,
    weight: ArrayLike,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    bias: ArrayLike | None = None,
) -> NDArray:
    """The ordinary convolution of images x [batch, *spatial_shape, C_in]: [batch, *output_shape, C_out].

    weight [*kernel_size, C_in, C_out] or, with groups, [*kernel_size, G, C_in / G, C_out / G]; with its kernel axes
    flattened, [V, ...], it is the weight of `convolve`. bias [C_out]. Raises ValueError if the shapes do not match.
    """
    image, w, window = dense_arguments(x, weight, stride, padding, dilation)
    b = as_bias(bias, w)
    shape = output_shape(image.shape[1:-1], window.kernel_size, window.stride, window.padding, window.dilation)
    padded = np.pad(image, [(0, 0), *((p, p) for p in window.padding), (0, 0)])
    h = np.zeros((len(image), *shape, w.shape[1] * w.shape[3]), np.result_type(image, w, b))
    for tap, w_tap in zip(taps(window.kernel_size), w, strict=True):
        first = tap * window.dilation  # in the padded image
        along = (slice(f, f + s * n, s) for f, s, n in zip(first, window.stride, shape, strict=True))
        block = (slice(None), *along)  # of every image
        rows = padded[block]
        h += grouped_product(rows.reshape(math.prod(h.shape[:-1]), image.shape[-1]), w_tap).reshape(h.shape)
    return h + b


def dense_arguments(
    x: ArrayLike, weight: ArrayLike, stride: PerAxis, padding: PerAxis, dilation: PerAxis
) -> tuple[NDArray, NDArray, Window]:
    """Checked images [batch, *spatial_shape, C_in], weight as [V, G, C_in / G, C_out / G], and the window."""
    image, w = np.asarray(x), np.asarray(weight)
    ndim = image.ndim - 2
    if not 1 <= ndim <= 4 or w.ndim - ndim not in (2, 3):
        raise ValueError(
            "x must have shape [batch, *spatial_shape, C_in] with 1 to 4 axes and weight [*kernel_size, C_in, C_out] "
            f"or [*kernel_size, G, C_in / G, C_out / G], not {list(image.shape)} and {list(w.shape)}"
        )
    window = Window.checked(ndim, w.shape[:ndim], stride, padding, dilation)
    channels = w.shape[ndim:]
    w = w.reshape(-1, *(channels if len(channels) == 3 else (1, *channels)))
    if image.shape[-1] != w.shape[1] * w.shape[2]:
        raise ValueError(
            f"x has {image.shape[-1]} channels (its last axis), but weight takes {w.shape[1] * w.shape[2]}: "
            f"{list(np.shape(weight))}"
        )
    return image, w, window


def grow(coordinates: ArrayLike, kernel_size: PerAxis = 3, dilation: PerAxis = 1) -> Sites:
    """The sites that a centred ordinary convolution of stride 1 makes active: [M, 1 + D], in lexicographic order.

    The window is a box, so growing along one axis after another reaches the same sites with fewer candidates.
    """
    sites, window = submanifold_arguments(coordinates, kernel_size, dilation)
    for axis in range(len(window.kernel_size)):
        sites = sorted_sites(coarse_candidates(sites, window.edge(axis)))
    return sites


def active_growth(coordinates: ArrayLike, steps: int, kernel_size: PerAxis = 3) -> list[int]:
    """The number of active sites before and after each of `steps` ordinary convolutions: steps + 1 numbers.

    A single site in D axes grows to (1 + steps (kernel_size - 1))^D:

    >>> active_growth([[0, 0, 0, 0]], steps=3)
    [1, 27, 125, 343]
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative: {steps}")
    sites, _ = unique_sites(coordinates)
    counts = [len(sites)]
    for _ in range(steps):
        sites = grow(sites, kernel_size)
        counts.append(len(sites))
    return counts

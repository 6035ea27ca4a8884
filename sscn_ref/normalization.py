"""Batch norm over active sites.

The statistics of a channel are taken over all N rows, regardless of their event; inactive sites do
not count:

    mean = sum_n x[n] / N        variance = sum_n (x[n] - mean)^2 / N        (biased, as used to normalise)
    z = (x - mean) / sqrt(variance + eps)                                    y = weight * z + bias

(Ioffe and Szegedy, arXiv:1502.03167, algorithm 1.) Every x[n] affects the mean and the variance, so with g = dL/dy and
h = weight * g the gradient loses its components along 1 and along z:

    dL/dx = (h - mean(h) - z * mean(h * z)) / sqrt(variance + eps)
    dL/dweight = sum_n g[n] * z[n]        dL/dbias = sum_n g[n]

A single row equals its own mean, so its variance is 0, its output is the bias and its gradient is 0. For no rows, the
mean and variance are set to 0 and nothing is divided. Sums are computed in float64; results have the features'
type.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]


def batch_statistics(features: ArrayLike) -> tuple[Floats, Floats]:
    """Mean and biased variance of each channel over features [N, C]: two float64 arrays [C], zeros if N is 0."""
    x = as_rows(features)
    count = max(len(x), 1)
    mean = x.sum(axis=0, dtype=np.float64) / count
    return mean, ((x - mean) ** 2).sum(axis=0) / count


def normalize(
    features: ArrayLike, mean: ArrayLike, variance: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float
) -> Floats:
    """weight * (features - mean) / sqrt(variance + eps) + bias, [N, C]; running statistics give the evaluation mode."""
    x, w, b = normalization_arguments(features, weight, bias, eps)
    mean, variance = as_statistics(mean, x), as_statistics(variance, x)
    y = (x - mean) / np.sqrt(variance + eps) * w + b
    return y.astype(x.dtype)


def batch_norm(features: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> Floats:
    """Normalise features [N, C] by the statistics of their rows, multiply by weight [C] and add bias [C]: [N, C]."""
    x, w, b = normalization_arguments(features, weight, bias, eps)
    return normalize(x, *batch_statistics(x), w, b, eps)


def batch_norm_backward(
    grad_output: ArrayLike, features: ArrayLike, weight: ArrayLike, eps: float = 1e-5
) -> tuple[Floats, Floats, Floats]:
    """The gradients of a loss with respect to features [N, C], weight [C] and bias [C] of `batch_norm`.

    grad_output [N, C] is the gradient with respect to the output of `batch_norm`; the other arguments are those that
    `batch_norm` received.
    """
    x, w, _ = normalization_arguments(features, weight, weight, eps)
    g = as_normalization_gradient(grad_output, x)
    mean, variance = batch_statistics(x)
    scale = 1 / np.sqrt(variance + eps)
    z, h, count = (x - mean) * scale, w * g, max(len(x), 1)
    grad_features = (h - h.sum(axis=0) / count - z * (h * z).sum(axis=0) / count) * scale
    return grad_features.astype(x.dtype), (g * z).sum(axis=0).astype(w.dtype), g.sum(axis=0).astype(w.dtype)


def normalization_arguments(
    features: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Checked features [N, C], weight [C] and bias [C]."""
    x, w, b = as_rows(features), np.asarray(weight), np.asarray(bias)
    if w.shape != x.shape[1:] or b.shape != x.shape[1:]:
        raise ValueError(
            "batch norm takes features [N, C], weight [C] and bias [C], "
            f"not {list(x.shape)}, {list(w.shape)} and {list(b.shape)}"
        )
    if not eps > 0:
        raise ValueError(f"eps must be positive, not {eps!r}")
    return x, w, b


def as_rows(features: ArrayLike) -> NDArray:
    """Checked features [N, C]."""
    x = np.asarray(features)
    if x.ndim != 2:
        raise ValueError(f"features must have shape [N, C], not {list(x.shape)}")
    if x.dtype.kind != "f":
        raise TypeError(f"features must be floating-point numbers, not {x.dtype}")
    return x


def as_statistics(numbers: ArrayLike, x: NDArray) -> NDArray[np.float64]:
    """Checked mean or variance [C] of features x [N, C]."""
    array = np.asarray(numbers, np.float64)
    if array.shape != x.shape[1:]:
        raise ValueError(f"mean and variance must have shape {list(x.shape[1:])}, not {list(array.shape)}")
    return array


def as_normalization_gradient(grad_output: ArrayLike, x: NDArray) -> NDArray:
    """Checked grad_output, which has the shape of the features x [N, C]."""
    g = np.asarray(grad_output)
    if g.shape != x.shape:
        raise ValueError(f"grad_output must have the features' shape {list(x.shape)}, not {list(g.shape)}")
    return g

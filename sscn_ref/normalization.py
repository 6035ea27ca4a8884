"""Batch norm over active sites.

The statistics of a channel are taken over all N rows, regardless of their event; inactive sites do
not count:

    mean = sum_n f[n] / N        variance = sum_n (f[n] - mean)^2 / N        (biased, as used to normalise)
    z = (f - mean) / sqrt(variance + eps)                                    h = weight * z + bias

(Ioffe and Szegedy, arXiv:1502.03167, algorithm 1.) Every f[n] affects the mean and the variance, so with g = dL/dh and
scaled = weight * g the gradient loses its components along 1 and along z:

    dL/df = (scaled - mean(scaled) - z * mean(scaled * z)) / sqrt(variance + eps)
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
    f = as_rows(features)
    count = max(len(f), 1)
    mean = f.sum(axis=0, dtype=np.float64) / count
    return mean, ((f - mean) ** 2).sum(axis=0) / count


def normalize(
    features: ArrayLike, mean: ArrayLike, variance: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float
) -> Floats:
    """weight * (features - mean) / sqrt(variance + eps) + bias, [N, C]; running statistics give the evaluation mode."""
    f, w, b = normalization_arguments(features, weight, bias, eps)
    mean, variance = as_statistics(mean, f), as_statistics(variance, f)
    h = (f - mean) / np.sqrt(variance + eps) * w + b
    return h.astype(f.dtype)


def batch_norm(features: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float = 1e-5) -> Floats:
    """Normalise features [N, C] by the statistics of their rows, multiply by weight [C] and add bias [C]: [N, C]."""
    f, w, b = normalization_arguments(features, weight, bias, eps)
    return normalize(f, *batch_statistics(f), w, b, eps)


def batch_norm_backward(
    grad_output: ArrayLike, features: ArrayLike, weight: ArrayLike, eps: float = 1e-5
) -> tuple[Floats, Floats, Floats]:
    """The gradients of a loss with respect to features [N, C], weight [C] and bias [C] of `batch_norm`.

    grad_output [N, C] is the gradient with respect to the output of `batch_norm`; the other arguments are those that
    `batch_norm` received.
    """
    f, w, _ = normalization_arguments(features, weight, weight, eps)
    g = as_normalization_gradient(grad_output, f)
    mean, variance = batch_statistics(f)
    scale = 1 / np.sqrt(variance + eps)
    z, scaled, count = (f - mean) * scale, w * g, max(len(f), 1)
    grad_features = (scaled - scaled.sum(axis=0) / count - z * (scaled * z).sum(axis=0) / count) * scale
    return grad_features.astype(f.dtype), (g * z).sum(axis=0).astype(w.dtype), g.sum(axis=0).astype(w.dtype)


def normalization_arguments(
    features: ArrayLike, weight: ArrayLike, bias: ArrayLike, eps: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Checked features [N, C], weight [C] and bias [C]."""
    f, w, b = as_rows(features), np.asarray(weight), np.asarray(bias)
    if w.shape != f.shape[1:] or b.shape != f.shape[1:]:
        raise ValueError(
            "batch norm takes features [N, C], weight [C] and bias [C], "
            f"not {list(f.shape)}, {list(w.shape)} and {list(b.shape)}"
        )
    if not eps > 0:
        raise ValueError(f"eps must be positive, not {eps!r}")
    return f, w, b


def as_rows(features: ArrayLike) -> NDArray:
    """Checked features [N, C]."""
    f = np.asarray(features)
    if f.ndim != 2:
        raise ValueError(f"features must have shape [N, C], not {list(f.shape)}")
    if f.dtype.kind != "f":
        raise TypeError(f"features must be floating-point numbers, not {f.dtype}")
    return f


def as_statistics(numbers: ArrayLike, f: NDArray) -> NDArray[np.float64]:
    """Checked mean or variance [C] of features f [N, C]."""
    array = np.asarray(numbers, np.float64)
    if array.shape != f.shape[1:]:
        raise ValueError(f"mean and variance must have shape {list(f.shape[1:])}, not {list(array.shape)}")
    return array


def as_normalization_gradient(grad_output: ArrayLike, f: NDArray) -> NDArray:
    """Checked grad_output, which has the shape of the features f [N, C]."""
    g = np.asarray(grad_output)
    if g.shape != f.shape:
        raise ValueError(f"grad_output must have the features' shape {list(f.shape)}, not {list(g.shape)}")
    return g

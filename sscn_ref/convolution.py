"""Convolution over a rulebook: gather, multiply, scatter.

For a rulebook with rules R_t of tap t, features f [N_in, C_in], weight w [V, C_in, C_out] and bias b [C_out],

    h[j] = b + sum_t sum_{(i, j) in R_t} f[i] @ w[t]                      forward

and, with g = dL/dh, applying the chain rule to each term f[i] @ w[t] separately gives

    dL/df[i] = sum_t sum_{(i, j) in R_t} g[j] @ w[t]^T                    the same rules, read backwards
    dL/dw[t] = sum_{(i, j) in R_t} outer(f[i], g[j])                      one product per tap
    dL/db    = sum_j g[j]

With G groups the channels are split into G equal parts that do not mix: w is [V, G, C_in / G, C_out / G].

The forward sum is equation 1 of Graham, Engelcke and van der Maaten (arXiv:1711.10275), written over rules instead of
offsets; the gradients are derived from it here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.rulebook import Rulebook
from sscn_ref.sites import as_features


def convolve(
    features: ArrayLike, weight: ArrayLike, rulebook: Rulebook, bias: ArrayLike | None = None
) -> NDArray[np.floating]:
    """Compute the convolution's output, [N_out, C_out].

    features [N_in, C_in]; weight [V, C_in, C_out] or, with groups, [V, G, C_in / G, C_out / G]; bias [C_out].
    Raises ValueError if the shapes do not match the rulebook or each other.
    """
    f, w = convolution_arguments(features, weight, rulebook)
    b = as_bias(bias, w)
    h = np.zeros((len(rulebook.output_coordinates), w.shape[1] * w.shape[3]), np.result_type(f, w, b))
    for (rows_in, rows_out), w_tap in zip(rulebook.rules, w, strict=True):
        h[rows_out] += grouped_product(f[rows_in], w_tap)  # no output row occurs twice within a tap
    return h + b


def convolve_backward(
    grad_output: ArrayLike, features: ArrayLike, weight: ArrayLike, rulebook: Rulebook
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """The gradients of a loss with respect to features [N_in, C_in], weight (in its own shape) and bias [C_out].

    grad_output [N_out, C_out] is the gradient with respect to the output of `convolve`; the other arguments are those
    that `convolve` received.
    """
    f, w = convolution_arguments(features, weight, rulebook)
    g = as_grad_output(grad_output, w, rulebook)
    grad_features = np.zeros(f.shape, np.result_type(g, w))
    grad_weight = np.zeros(w.shape, np.result_type(g, f))
    for tap, (rows_in, rows_out) in enumerate(rulebook.rules):
        grad_features[rows_in] += grouped_product(g[rows_out], w[tap].transpose(0, 2, 1))
        grad_weight[tap] = grouped_outer(f[rows_in], g[rows_out], groups=w.shape[1])
    return grad_features, grad_weight.reshape(np.shape(weight)), g.sum(axis=0)


def grouped_product(f: NDArray, w: NDArray) -> NDArray:
    """f [R, G * I] times w [G, I, O], group by group: [R, G * O]."""
    groups, width_in, width_out = w.shape
    parts = f.reshape(len(f), groups, width_in).transpose(1, 0, 2) @ w  # [G, R, O]
    return parts.transpose(1, 0, 2).reshape(len(f), groups * width_out)


def grouped_outer(f: NDArray, g: NDArray, groups: int) -> NDArray:
    """The sum over rows of the outer products of f [R, G * I] and g [R, G * O], group by group: [G, I, O]."""
    f_parts = f.reshape(len(f), groups, f.shape[1] // groups).transpose(1, 2, 0)  # [G, I, R]
    g_parts = g.reshape(len(g), groups, g.shape[1] // groups).transpose(1, 0, 2)  # [G, R, O]
    return f_parts @ g_parts


def convolution_arguments(features: ArrayLike, weight: ArrayLike, rulebook: Rulebook) -> tuple[NDArray, NDArray]:
    """Checked features [N_in, C_in] and weight as [V, G, C_in / G, C_out / G]."""
    f, w = as_features(features, len(rulebook.input_coordinates), "the rulebook's input sites"), np.asarray(weight)
    if w.dtype.kind not in "iuf":
        raise TypeError(f"weight must be real numbers, not {w.dtype}")
    if w.ndim not in (3, 4) or len(w) != len(rulebook.rules):
        raise ValueError(
            f"weight must have shape [{len(rulebook.rules)}, C_in, C_out] for this rulebook, or with groups "
            f"[{len(rulebook.rules)}, G, C_in / G, C_out / G], not {list(w.shape)}"
        )
    w = w if w.ndim == 4 else w[:, np.newaxis]
    if f.shape[1] != w.shape[1] * w.shape[2]:
        raise ValueError(
            f"features have {f.shape[1]} channels, but weight takes {w.shape[1] * w.shape[2]}: {list(np.shape(weight))}"
        )
    return f, w


def as_bias(bias: ArrayLike | None, w: NDArray) -> NDArray:
    """Checked bias [C_out] for w [V, G, C_in / G, C_out / G]; zeros if bias is None."""
    channels = w.shape[1] * w.shape[3]
    b = np.zeros(channels, w.dtype) if bias is None else np.asarray(bias)
    if b.shape != (channels,):
        raise ValueError(f"bias must have shape [{channels}], not {list(b.shape)}")
    return b


def as_grad_output(grad_output: ArrayLike, w: NDArray, rulebook: Rulebook) -> NDArray:
    """Checked grad_output [N_out, C_out] for w [V, G, C_in / G, C_out / G]."""
    g = np.asarray(grad_output)
    shape = (len(rulebook.output_coordinates), w.shape[1] * w.shape[3])
    if g.shape != shape:
        raise ValueError(f"grad_output must have the output's shape {list(shape)}, not {list(g.shape)}")
    return g

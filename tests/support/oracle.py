"""The result that every engine must agree with, derived from one relation by Python loops in float64.

    input = stride * output + dilation * tap - padding        (per axis, same batch index)

Nothing of either package is imported here and nothing is vectorised: each function says what the result *is*,
one site, tap and channel at a time. It refuses inputs that would take longer than a moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Site = tuple[int, ...]
Rules = dict[int, set[tuple[int, int]]]  # tap number -> {(input row, output row)}

BUDGET = 2_000_000  # elementary steps; about a second of Python


class OverBudget(ValueError):
    """The case is too large to be computed by loops."""


@dataclass(frozen=True)
class Built:
    """The sites of a convolution's output and, by tap, which input row feeds which output row."""

    output_sites: list[Site]
    rules: Rules


def spend(steps: int) -> None:
    """Refuse a computation of more than BUDGET elementary steps."""
    if steps > BUDGET:
        raise OverBudget(f"the oracle would take {steps} steps, its budget is {BUDGET}: choose a smaller case")


def all_taps(kernel_size: Sequence[int]) -> list[Site]:
    """Every position of the kernel, the last axis fastest."""
    return list(itertools.product(*(range(k) for k in kernel_size)))


def input_of(output: Site, tap: Site, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]) -> Site:
    """The relation: the input site that `tap` carries to `output`."""
    axes = zip(stride, output[1:], dilation, tap, padding, strict=True)
    return (output[0], *(s * u + d * t - p for s, u, d, t, p in axes))


def output_of(
    source: Site, tap: Site, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Site | None:
    """The relation solved for the output: where `tap` carries an input site, or None if that is between outputs."""
    moved = [x + p - d * t for x, p, d, t in zip(source[1:], padding, dilation, tap, strict=True)]
    if any(m % s for m, s in zip(moved, stride, strict=True)):
        return None
    output = (source[0], *(m // s for m, s in zip(moved, stride, strict=True)))
    assert input_of(output, tap, stride, padding, dilation) == source
    return output


def size_after(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The number of outputs u >= 0 whose whole window lies in [-padding, size + padding), found by counting."""
    u = 0
    while stride * u + dilation * (kernel - 1) - padding <= size + padding - 1:
        u += 1
    return u


def size_before(size: int, kernel: int, stride: int, padding: int, dilation: int, output_padding: int) -> int:
    """The number of fine positions that `size` coarse windows span, less the padding on both sides."""
    last = stride * (size - 1) + dilation * (kernel - 1)
    return last + 1 - 2 * padding + output_padding


def rules_between(
    fine: Sequence[Site],
    coarse: Sequence[Site],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Rules:
    """Every (fine row, coarse row) that the relation joins, tap by tap."""
    taps, row_of = all_taps(kernel_size), {site: row for row, site in enumerate(fine)}
    spend(len(taps) * len(coarse))
    rules: Rules = {number: set() for number in range(len(taps))}
    for number, tap in enumerate(taps):
        for coarse_row, site in enumerate(coarse):
            wanted = input_of(site, tap, stride, padding, dilation)
            if wanted in row_of:
                rules[number].add((row_of[wanted], coarse_row))
    return rules


def submanifold(coordinates: np.ndarray, kernel_size: Sequence[int], dilation: Sequence[int]) -> Built:
    """Outputs are the inputs; the window is placed as with PyTorch's padding="same"."""
    sites = as_sites(coordinates)
    padding = [(d * (k - 1)) // 2 for k, d in zip(kernel_size, dilation, strict=True)]
    return Built(sites, rules_between(sites, sites, kernel_size, [1] * len(padding), padding, dilation))


def strided(
    coordinates: np.ndarray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    spatial_shape: Sequence[int] | None = None,
) -> Built:
    """Outputs are all sites that some input reaches; within the dense output's extent where a shape is given."""
    sites = as_sites(coordinates)
    taps = all_taps(kernel_size)
    spend(len(sites) * len(taps))
    reached = {output_of(site, tap, stride, padding, dilation) for site in sites for tap in taps}
    outputs = sorted(site for site in reached if site is not None)
    if spatial_shape is not None:
        setting = zip(spatial_shape, kernel_size, stride, padding, dilation, strict=True)
        limits = [size_after(*axis) for axis in setting]
        outputs = [site for site in outputs if all(0 <= u < n for u, n in zip(site[1:], limits, strict=True))]
    return Built(outputs, rules_between(sites, outputs, kernel_size, stride, padding, dilation))


def inverse(
    coordinates: np.ndarray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    spatial_shape: Sequence[int] | None = None,
) -> tuple[Built, list[Site]]:
    """The strided convolution of the fine `coordinates` read backwards; also its input sites, the coarse ones."""
    forward = strided(coordinates, kernel_size, stride, padding, dilation, spatial_shape)
    return Built(as_sites(coordinates), turned(forward.rules)), forward.output_sites


def transposed(
    coordinates: np.ndarray,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    spatial_shape: Sequence[int] | None = None,
    output_padding: Sequence[int] | None = None,
) -> Built:
    """Outputs are all fine sites reached from a coarse one; within the dense output's extent where a shape is given."""
    coarse = as_sites(coordinates)
    taps = all_taps(kernel_size)
    spend(len(coarse) * len(taps))
    fine = {input_of(site, tap, stride, padding, dilation) for site in coarse for tap in taps}
    if spatial_shape is not None:
        extra = output_padding or [0] * len(spatial_shape)
        setting = zip(spatial_shape, kernel_size, stride, padding, dilation, extra, strict=True)
        limits = [size_before(*axis) for axis in setting]
        fine = {site for site in fine if all(0 <= x < n for x, n in zip(site[1:], limits, strict=True))}
    outputs = sorted(fine)
    return Built(outputs, turned(rules_between(outputs, coarse, kernel_size, stride, padding, dilation)))


def turned(rules: Rules) -> Rules:
    """Rules read backwards."""
    return {tap: {(output, source) for source, output in pairs} for tap, pairs in rules.items()}


def as_sites(coordinates: np.ndarray) -> list[Site]:
    """Rows as tuples of Python integers."""
    return [tuple(int(c) for c in row) for row in coordinates]


def _each_product(rules: Rules, weight: np.ndarray) -> Iterator[tuple[int, int, int, int, int, int, int, int]]:
    """Every product: (tap, input row, output row, group, channel in and out in the group, and in the whole)."""
    groups, width_in, width_out = weight.shape[1:]
    spend(sum(len(pairs) for pairs in rules.values()) * groups * width_in * width_out)
    for tap, pairs in rules.items():
        for source, target in sorted(pairs):
            for g, i, o in itertools.product(range(groups), range(width_in), range(width_out)):
                yield tap, source, target, g, i, o, g * width_in + i, g * width_out + o


def grouped(weight: np.ndarray) -> np.ndarray:
    """weight as [taps, groups, channels in of a group, channels out of a group], float64."""
    weight = np.asarray(weight, dtype=np.float64)
    return weight if weight.ndim == 4 else weight[:, None]


def convolve(
    features: np.ndarray, weight: np.ndarray, rules: Rules, outputs: int, bias: np.ndarray | None = None
) -> np.ndarray:
    """y[target, o] = bias[o] + the sum over rules (source, target, tap) and channels i of x[source, i] w[tap, i, o]."""
    weight, features = grouped(weight), np.asarray(features, dtype=np.float64)
    result = np.zeros((outputs, weight.shape[1] * weight.shape[3]))
    for tap, source, target, g, i, o, channel_in, channel_out in _each_product(rules, weight):
        result[target, channel_out] += features[source, channel_in] * weight[tap, g, i, o]
    if bias is not None:
        for target, channel in itertools.product(*map(range, result.shape)):
            result[target, channel] += float(bias[channel])
    return result


def gradients(
    grad_output: np.ndarray, features: np.ndarray, weight: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The derivatives of sum(grad_output * y) by features, weight and bias, one product at a time."""
    shape = np.shape(weight)
    weight, features = grouped(weight), np.asarray(features, dtype=np.float64)
    grad_output = np.asarray(grad_output, dtype=np.float64)
    by_features, by_weight = np.zeros(features.shape), np.zeros(weight.shape)
    by_bias = np.zeros(grad_output.shape[1])
    for tap, source, target, g, i, o, channel_in, channel_out in _each_product(rules, weight):
        by_features[source, channel_in] += grad_output[target, channel_out] * weight[tap, g, i, o]
        by_weight[tap, g, i, o] += grad_output[target, channel_out] * features[source, channel_in]
    for target, channel in itertools.product(*map(range, grad_output.shape)):
        by_bias[channel] += grad_output[target, channel]
    return by_features, by_weight.reshape(shape), by_bias


def pool(features: np.ndarray, rules: Rules, outputs: int, how: str) -> np.ndarray:
    """The "sum" or "max" of the inputs under each output, or their sum over the number of "active" ones or of taps
    ("volume"); 0 where there are none."""
    channels = np.shape(features)[1]
    result = np.zeros((outputs, channels))
    for target, channel in itertools.product(range(outputs), range(channels)):
        for row, share in _shares(features, rules, target, channel, how):
            result[target, channel] += share * float(features[row][channel])
    return result


def pool_gradient(grad_output: np.ndarray, features: np.ndarray, rules: Rules, how: str) -> np.ndarray:
    """The derivative of sum(grad_output * pool(features, ...)) by features."""
    result = np.zeros(np.shape(features))
    for target, channel in itertools.product(*map(range, np.shape(grad_output))):
        for row, share in _shares(features, rules, target, channel, how):
            result[row, channel] += share * float(grad_output[target][channel])
    return result


def _shares(features: np.ndarray, rules: Rules, target: int, channel: int, how: str) -> list[tuple[int, float]]:
    """The input rows that make up an output, each with what it is multiplied by: for "max" the first of the largest."""
    spend(sum(len(pairs) for pairs in rules.values()))
    rows = [source for tap in sorted(rules) for source, reached in sorted(rules[tap]) if reached == target]
    if how == "max":
        return [(max(rows, key=lambda row: features[row][channel]), 1.0)] if rows else []
    return [(row, {"sum": 1.0, "active": 1 / len(rows), "volume": 1 / len(rules)}[how]) for row in rows]


def of_events(coordinates: np.ndarray) -> Rules:
    """Pooling over whole events as rules of one tap, from every row to its event."""
    return {0: {(row, site[0]) for row, site in enumerate(as_sites(coordinates))}}


def batch_norm(features: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """Each channel minus its mean, divided by the root of its biased variance plus eps; then scaled and shifted."""
    rows, channels = np.shape(features)
    result = np.zeros((rows, channels))
    for c in range(channels):
        values = [float(features[n][c]) for n in range(rows)]
        mean = sum(values) / max(rows, 1)
        variance = sum((v - mean) ** 2 for v in values) / max(rows, 1)
        for n in range(rows):
            result[n, c] = (values[n] - mean) / (variance + eps) ** 0.5 * float(weight[c]) + float(bias[c])
    return result


def in_order(values: list[float]) -> float:
    """The sum, rounded after each addition; from Python 3.12 on, `sum` makes up for the rounding of floats."""
    total = 0.0
    for value in values:
        total += value
    return total


def reduce_duplicates(coordinates: np.ndarray, features: np.ndarray, how: str) -> tuple[list[Site], np.ndarray]:
    """One row per site, in order of first appearance, with duplicates reduced."""
    rows_at: dict[Site, list[int]] = {}
    for row, site in enumerate(as_sites(coordinates)):
        rows_at.setdefault(site, []).append(row)
    join = {
        "sum": in_order,
        "mean": lambda values: in_order(values) / len(values),
        "max": max,
        "first": lambda values: values[0],
        "last": lambda values: values[-1],
    }[how]
    channels = np.shape(features)[1]
    joined = [[join([float(features[row][c]) for row in rows]) for c in range(channels)] for rows in rows_at.values()]
    return list(rows_at), np.array(joined).reshape(len(rows_at), channels)

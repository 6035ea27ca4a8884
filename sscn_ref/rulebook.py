"""Rulebooks: for each tap of a kernel, which input row feeds which output row.

Every kind of convolution matches two sets of sites by the one relation

    input = stride * output + dilation * tap - padding

The kinds differ in how they choose the output sites:

    submanifold   the input's own sites, stride 1 (Graham and van der Maaten, arXiv:1706.01307)
    strided       every site that some input reaches
    inverse       a strided rulebook read backwards, onto its input sites: `strided_rulebook(...).transposed()`
    transposed    the relation read backwards, onto every site that is reached
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sscn_ref.relation import (
    PerAxis,
    coarse_from_fine,
    fine_from_coarse,
    output_shape,
    per_axis,
    submanifold_padding,
    taps,
    transposed_output_shape,
)
from sscn_ref.sites import Rows, SiteIndex, Sites, as_sites, check_inside, sorted_sites

Axes = tuple[int, ...]
Rules = list[tuple[Rows, Rows]]  # for each tap: (input rows, output rows)


@dataclass(frozen=True)
class Rulebook:
    """All rules of a convolution.

    input_coordinates [N_in, 1 + D] and output_coordinates [N_out, 1 + D] are int32. rules contains, for each of the V
    taps, a pair (input rows, output rows) of equally long int64 arrays, ordered by output row. Within one tap
    every row occurs at most once on either side, because the relation with a fixed tap is one to one.
    """

    input_coordinates: Sites
    output_coordinates: Sites
    rules: Rules

    @property
    def number_of_rules(self) -> int:
        """The number of (input row, output row) pairs over all taps."""
        return sum(len(rows_in) for rows_in, _ in self.rules)

    def transposed(self) -> Rulebook:
        """The same rules read backwards: every rule keeps its tap; input and output are swapped."""
        rules = []
        for rows_in, rows_out in self.rules:
            order = np.argsort(rows_in)
            rules.append((rows_out[order], rows_in[order]))
        return Rulebook(self.output_coordinates, self.input_coordinates, rules)


@dataclass(frozen=True)
class Window:
    """A kernel and how it is laid over the input: the numbers of the relation, one of each per axis."""

    kernel_size: Axes
    stride: Axes
    padding: Axes
    dilation: Axes

    @classmethod
    def checked(cls, ndim: int, kernel_size: PerAxis, stride: PerAxis, padding: PerAxis, dilation: PerAxis) -> Window:
        """A Window from the arguments of a user, one number or one per axis; raises as `per_axis` does."""
        return cls(
            per_axis(kernel_size, ndim, "kernel_size"),
            per_axis(stride, ndim, "stride"),
            per_axis(padding, ndim, "padding", minimum=0),
            per_axis(dilation, ndim, "dilation"),
        )

    @property
    def offsets(self) -> NDArray[np.int64]:
        """dilation * tap - padding for every tap, [V, D]."""
        return fine_from_coarse(0, taps(self.kernel_size), 1, self.padding, self.dilation)

    def edge(self, axis: int) -> Window:
        """The window along one axis only: on every other axis it has a single tap that stays in place."""

        def only(numbers: Axes, otherwise: int) -> Axes:
            return tuple(n if a == axis else otherwise for a, n in enumerate(numbers))

        return Window(only(self.kernel_size, 1), only(self.stride, 1), only(self.padding, 0), self.dilation)


def submanifold_rulebook(coordinates: ArrayLike, kernel_size: PerAxis, dilation: PerAxis = 1) -> Rulebook:
    """The rules of a submanifold convolution: the outputs are at the input sites, in the same rows.

    coordinates [N, 1 + D]. The window is centred as with PyTorch's padding="same", for even kernels too.
    """
    sites, window = submanifold_arguments(coordinates, kernel_size, dilation)
    return Rulebook(sites, sites, match(sites, sites, window))


def strided_rulebook(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    spatial_shape: PerAxis | None = None,
) -> Rulebook:
    """The rules of a strided convolution: the outputs are all sites that some input reaches, in lexicographic order.

    coordinates [N, 1 + D]. If the input's `spatial_shape` is given, only outputs inside `output_shape(...)` count, as
    in a dense convolution; without it space has no border.
    """
    sites, window, shape = strided_arguments(coordinates, kernel_size, stride, padding, dilation, spatial_shape)
    outputs = sorted_sites(keep_inside(coarse_candidates(sites, window), shape))
    return Rulebook(sites, outputs, match(sites, outputs, window))


def transposed_rulebook(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    spatial_shape: PerAxis | None = None,
    output_padding: PerAxis = 0,
) -> Rulebook:
    """The rules of a transposed convolution: the outputs are all fine sites reached from the given coarse sites.

    coordinates [N, 1 + D]; a tap carries each to stride * coarse + dilation * tap - padding. The outputs are in
    lexicographic order. If the coarse `spatial_shape` is given, only outputs inside `transposed_output_shape(...)`
    count; `output_padding` enlarges that shape and requires it.
    """
    sites, window, shape = transposed_arguments(
        coordinates, kernel_size, stride, padding, dilation, spatial_shape, output_padding
    )
    outputs = sorted_sites(keep_inside(fine_candidates(sites, window), shape))
    return Rulebook(outputs, sites, match(outputs, sites, window)).transposed()


def match(fine: Sites, coarse: Sites, window: Window) -> Rules:
    """For each tap, the (fine row, coarse row) pairs with fine = stride * coarse + dilation * tap - padding."""
    index = SiteIndex(fine)
    rules = []
    for tap in taps(window.kernel_size):
        rows = index.find(carry(coarse, tap, window))
        found = np.flatnonzero(rows >= 0)
        rules.append((rows[found], found))
    return rules


def carry(coarse: Sites, tap: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
    """The fine site that one tap joins to each coarse site, in the same event."""
    fine = coarse.astype(np.int64)
    fine[:, 1:] = fine_from_coarse(fine[:, 1:], tap, window.stride, window.padding, window.dilation)
    return fine


def fine_candidates(coarse: Sites, window: Window) -> NDArray[np.int64]:
    """Every fine site that a coarse site reaches, tap by tap, with repetitions: [V * N, 1 + D]."""
    return np.concatenate([carry(coarse, tap, window) for tap in taps(window.kernel_size)])


def coarse_candidates(fine: Sites, window: Window) -> NDArray[np.int64]:
    """Every coarse site that a fine site reaches, with repetitions: wherever the stride divides exactly."""
    reached = []
    for tap in taps(window.kernel_size):
        coarse, rest = coarse_from_fine(fine[:, 1:], tap, window.stride, window.padding, window.dilation)
        exact = (rest == 0).all(axis=1)
        reached.append(np.column_stack([fine[exact, 0], coarse[exact]]))
    return np.concatenate(reached)


def keep_inside(candidates: NDArray[np.int64], shape: Axes | None) -> NDArray[np.int64]:
    """The candidates with 0 <= position < shape; all candidates if shape is None."""
    if shape is None:
        return candidates
    return candidates[((candidates[:, 1:] >= 0) & (candidates[:, 1:] < np.array(shape))).all(axis=1)]


def submanifold_arguments(coordinates: ArrayLike, kernel_size: PerAxis, dilation: PerAxis) -> tuple[Sites, Window]:
    """Checked arguments of `submanifold_rulebook`."""
    sites = as_sites(coordinates)
    window = Window.checked(sites.shape[1] - 1, kernel_size, 1, 0, dilation)
    padding = submanifold_padding(window.kernel_size, window.dilation)
    return sites, Window(window.kernel_size, window.stride, padding, window.dilation)


def strided_arguments(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis,
    dilation: PerAxis,
    spatial_shape: PerAxis | None,
) -> tuple[Sites, Window, Axes | None]:
    """Checked arguments of `strided_rulebook`: sites, window and the output's shape."""
    sites = as_sites(coordinates)
    window = Window.checked(sites.shape[1] - 1, kernel_size, stride, padding, dilation)
    if spatial_shape is None:
        return sites, window, None
    shape = output_shape(spatial_shape, window.kernel_size, window.stride, window.padding, window.dilation)
    check_inside(sites, per_axis(spatial_shape, sites.shape[1] - 1, "spatial_shape"))
    return sites, window, shape


def transposed_arguments(
    coordinates: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PerAxis,
    dilation: PerAxis,
    spatial_shape: PerAxis | None,
    output_padding: PerAxis,
) -> tuple[Sites, Window, Axes | None]:
    """Checked arguments of `transposed_rulebook`: sites, window and the output's shape."""
    sites = as_sites(coordinates)
    ndim = sites.shape[1] - 1
    window = Window.checked(ndim, kernel_size, stride, padding, dilation)
    extra = per_axis(output_padding, ndim, "output_padding", minimum=0)
    if spatial_shape is None:
        if any(extra):
            raise ValueError(f"output_padding {extra} requires spatial_shape")
        return sites, window, None
    shape = transposed_output_shape(
        spatial_shape, window.kernel_size, window.stride, window.padding, window.dilation, extra
    )
    check_inside(sites, per_axis(spatial_shape, ndim, "spatial_shape"))
    return sites, window, shape

"""Geometries, checked before any work, and the way back to the grid that a tensor came from."""

from __future__ import annotations

import torch
from torch import Tensor

from sscn_triton.core import rulebook
from sscn_triton.core.grid import Grid, Step
from sscn_triton.core.rulebook import Rulebook
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.relation import Size, check_output_padding, per_axis

Path = tuple[tuple[Grid, Step], ...]


def strided_step(ndim: int, kernel_size: Size, stride: Size, padding: Size, dilation: Size) -> Step:
    """The geometry of a strided layer, one number per axis, checked."""
    return Step(
        "strided",
        per_axis(kernel_size, ndim, "kernel_size", 1),
        per_axis(stride, ndim, "stride", 1),
        per_axis(padding, ndim, "padding", 0),
        per_axis(dilation, ndim, "dilation", 1),
        (0,) * ndim,
    )


def transposed_step(
    ndim: int, kernel_size: Size, stride: Size, padding: Size, output_padding: Size, dilation: Size
) -> Step:
    """The geometry of a transposed layer, one number per axis, checked, with PyTorch's bound on ``output_padding``."""
    step = strided_step(ndim, kernel_size, stride, padding, dilation)
    extra = per_axis(output_padding, ndim, "output_padding", 0)
    check_output_padding(extra, step.stride, step.dilation)
    return step._replace(kind="transposed", output_padding=extra)


def step_back(x: SparseTensor, step: Step) -> tuple[Tensor, Rulebook, Grid, Path]:
    """Read the last strided step above ``x``, which must be ``step``, backwards.

    Returns features ``[M, C]`` on all sites that the step reached (zero where `prune` removed them), the rules from
    these sites to the finer grid, that grid, and its path.
    """
    if not x.path:
        raise ValueError(
            f"there is no strided layer to invert: this tensor's sites are inputs, not the output of a {step}"
        )
    fine, taken = x.path[-1]
    if taken != step:
        raise ValueError(f"cannot invert {step}: this tensor's sites were reached by {taken}")
    rules, reached = fine.step(step)
    features = x.features
    if x.grid is not reached:
        _, site = rulebook.unique(torch.cat([reached.coordinates, x.coordinates]))
        rows = site[len(reached) :].to(features.device)
        features = features.new_zeros(len(reached), features.shape[1]).index_copy(0, rows, features)
    return features, rules.transposed(), fine, x.path[:-1]

"""What rides along with a convolution: the norm before it, the sum and the statistics after it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sscn_triton.functional.normalization import Norm
from sscn_triton.tensor import SparseTensor


class Along(NamedTuple):
    """What a convolution does beside its own work.

    Args:
        norm: done to the rows it reads; then they need not be written first.
        residual: added to its output, on whose sites it is.
        moments: the output remembers what a norm over all its rows needs, so that the norm need not read them.
    """

    norm: Norm | None = None
    residual: SparseTensor | None = None
    moments: bool = False


ALONE = Along()
"""The convolution by itself, nothing beside it."""


class Moments(NamedTuple):
    """The moments of a tensor's features (`sscn_triton.ops.normalization`), and the version of those that they fit."""

    line: Tensor
    version: int


def remember(x: SparseTensor, line: Tensor) -> SparseTensor:
    """The tensor, which from now on has the moments of its features."""
    x.moments = Moments(line, _version(x.features))
    return x


def moments_of(x: SparseTensor) -> Tensor | None:
    """The moments that came with the features; None if none did, or if the features were written to since."""
    if x.moments is None or x.moments.version != _version(x.features):
        return None
    return x.moments.line


def _version(features: Tensor) -> int:
    """How often the tensor was written to. A compiled graph, and inference mode, do not tell."""
    if torch.compiler.is_compiling() or features.is_inference():
        return 0
    return features._version

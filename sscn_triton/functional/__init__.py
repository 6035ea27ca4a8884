"""Differentiable functions: each gets a rulebook from the tensor's grid and passes both to an operator."""

import warnings
from typing import TYPE_CHECKING

from sscn_triton.core.counterparts import missing_name
from sscn_triton.functional.convolution import convolve, inverse_conv, sparse_conv, submanifold_conv, transposed_conv
from sscn_triton.functional.fused_inputs import NOTHING, Fused
from sscn_triton.functional.joining import UnknownSitesError, add, concatenate, prune
from sscn_triton.functional.normalization import (
    batch_norm,
    batch_norm_of,
    group_norm,
    normalize,
    process_statistics,
)
from sscn_triton.functional.points import find_rows, interpolate, nearest
from sscn_triton.functional.pooling import Count, Reduction, average_pool, global_pool, max_pool, unpool
from sscn_triton.functional.steps import strided_step, transposed_step
from sscn_triton.ops.norm import Norm
from sscn_triton.relation import Size

__all__ = [
    "NOTHING",
    "Count",
    "Fused",
    "Norm",
    "Reduction",
    "Size",
    "UnknownSitesError",
    "add",
    "average_pool",
    "batch_norm",
    "batch_norm_of",
    "concatenate",
    "convolve",
    "find_rows",
    "global_pool",
    "group_norm",
    "interpolate",
    "inverse_conv",
    "max_pool",
    "nearest",
    "normalize",
    "process_statistics",
    "prune",
    "sparse_conv",
    "strided_step",
    "submanifold_conv",
    "transposed_conv",
    "transposed_step",
    "unpool",
]

_RENAMED = {"Along": "Fused", "ALONE": "NOTHING"}  # old names, kept for one version

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Called for a name that does not exist here: an old name, or one of PyTorch or of another engine."""
        if name in _RENAMED:
            new = _RENAMED[name]
            warnings.warn(f"functional.{name} is now functional.{new}", DeprecationWarning, stacklevel=2)
            return globals()[new]
        raise missing_name(__name__, name)

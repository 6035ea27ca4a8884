"""The differentiable functions: each asks the tensor's grid for a rulebook and gives both to an operator."""

from typing import TYPE_CHECKING, NoReturn

from sscn_triton.core.counterparts import missing_name
from sscn_triton.functional.convolution import convolve, inverse_conv, sparse_conv, submanifold_conv, transposed_conv
from sscn_triton.functional.fused_inputs import ALONE, Along
from sscn_triton.functional.joining import UnknownSitesError, add, concatenate, prune
from sscn_triton.functional.normalization import (
    Norm,
    batch_norm,
    batch_norm_of,
    group_norm,
    normalize,
    process_statistics,
)
from sscn_triton.functional.points import find_rows, interpolate, nearest
from sscn_triton.functional.pooling import Count, Reduction, average_pool, global_pool, max_pool, unpool
from sscn_triton.functional.steps import strided_step, transposed_step
from sscn_triton.relation import Size

__all__ = [
    "ALONE",
    "Along",
    "Count",
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

if not TYPE_CHECKING:  # or a checker would believe that every name exists

    def __getattr__(name: str) -> NoReturn:
        """Reached for what is not here: a name of PyTorch or of another engine, for one."""
        raise missing_name(__name__, name)

"""Submanifold sparse convolutions in PyTorch: the library, to be used."""

from typing import TYPE_CHECKING, NoReturn

from sscn_triton import functional, models, nn
from sscn_triton.core.batching import collate
from sscn_triton.core.counterparts import missing_name
from sscn_triton.core.tensor import Grid, SparseTensor
from sscn_triton.core.voxels import quantize, voxelize
from sscn_triton.nn.folding import fold_batch_norm
from sscn_triton.nn.prepare import prepare
from sscn_triton.nn.tune import tune

__version__ = "0.1.0"  # the only place, so that a clone works without being installed
__all__ = [
    "Grid",
    "SparseTensor",
    "collate",
    "fold_batch_norm",
    "functional",
    "models",
    "nn",
    "prepare",
    "quantize",
    "tune",
    "voxelize",
]

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> NoReturn:
        """Called for a name that does not exist here, such as one of PyTorch or of another engine."""
        raise missing_name(__name__, name)

"""Submanifold sparse convolutions in PyTorch: the library, to be used."""

from importlib.metadata import version

from sscn_triton import functional, models, nn
from sscn_triton.nn.prepare import prepare
from sscn_triton.tensor import Grid, SparseTensor

__version__ = version("sscn")
__all__ = ["Grid", "SparseTensor", "functional", "models", "nn", "prepare"]

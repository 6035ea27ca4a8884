"""Work that a convolution does besides its own: the norm before it, the residual and the moments after it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.ops.norm import Norm


class Fused(NamedTuple):
    """Work that a convolution does besides its own.

    Args:
        norm: applied to the input rows as they are read, so that normalised rows need not be written first.
        residual: added to the output; it must be on the output's sites.
        moments: a list to which the convolution appends the moments of its output: what `batch_norm_of` needs, so that
            it does not read all rows again. Nothing is appended if the convolution does not add the residual itself.
            The moments are those of the features as returned: code that changes the features must discard them.
    """

    norm: Norm | None = None
    residual: SparseTensor | None = None
    moments: list[Tensor] | None = None


NOTHING = Fused()
"""The convolution by itself, with nothing fused."""

"""What a convolution does beside its own work: the norm before it, the sum and the moments after it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional.normalization import Norm


class Along(NamedTuple):
    """What a convolution does beside its own work.

    Args:
        norm: done to the rows it reads; then they need not be written first.
        residual: added to its output, on whose sites it is.
        moments: a list, to which the convolution appends the moments of its output: what `batch_norm_of` needs, so that
            it need not read all rows again. Nothing is appended where the sum is not the convolution's last step. The
            moments are those of the features as they are returned: code that changes the features must drop them.
    """

    norm: Norm | None = None
    residual: SparseTensor | None = None
    moments: list[Tensor] | None = None


ALONE = Along()
"""The convolution by itself, nothing beside it."""

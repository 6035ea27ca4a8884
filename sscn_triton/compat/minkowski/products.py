"""Products of a sparse matrix, given by its entries, with a matrix of features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor as Values

from sscn_triton.ops.dtypes import widened
from sscn_triton.ops.events import sort_events, spread_events, sum_events


def spmm(
    rows: Values,
    cols: Values,
    vals: Values,
    size: Sequence[int],
    mat: Values,
    is_sorted: bool = False,
    cuda_spmm_alg: int = 1,
) -> Values:
    """``[size[0], C]``: the product of a sparse matrix of shape ``size`` with ``mat`` ``[size[1], C]``.

    Args:
        rows, cols, vals: the matrix's entries, three tensors of one length; gradients reach ``mat`` and ``vals``.
        size: shape of the matrix.
        mat: features.
        is_sorted: whether the rows ascend; has no effect on the result.
        cuda_spmm_alg: has no effect; there is one algorithm.
    """
    if not len(rows) == len(cols) == len(vals):
        raise ValueError(f"rows, cols and vals must have one length, got {len(rows)}, {len(cols)}, {len(vals)}")
    if len(mat) != size[1]:
        raise ValueError(f"mat must be [{size[1]}, C], got {tuple(mat.shape)}")
    wide = widened(mat)
    given = spread_events(wide, sort_events(cols, size[1]))
    return sum_events(given * vals[:, None].to(wide.dtype), sort_events(rows, size[0])).to(mat.dtype)


def spmm_average(
    rows: Values, cols: Values, size: Sequence[int], mat: Values, cuda_spmm_alg: int = 1
) -> tuple[Values, Values, Values]:
    """`spmm` with values that make each row a mean; also the entries ``[2, N]``, sorted by row, and their values."""
    order = torch.argsort(rows.long(), stable=True)
    entries = torch.stack([rows.long()[order], cols.long()[order]])
    counts = torch.bincount(entries[0], minlength=size[0])
    vals = (1 / counts[entries[0]]).to(mat.dtype)
    return spmm(entries[0], entries[1], vals, size, mat, True, cuda_spmm_alg), entries, vals


class MinkowskiSPMMFunction:
    """`spmm`, called by ``.apply(...)``."""

    @staticmethod
    def apply(
        rows: Values, cols: Values, vals: Values, size: Sequence[int], mat: Values, cuda_spmm_alg: int = 1
    ) -> Values:
        """The product."""
        return spmm(rows, cols, vals, size, mat, False, cuda_spmm_alg)


class MinkowskiSPMMAverageFunction:
    """The first result of `spmm_average`, called by ``.apply(...)``."""

    @staticmethod
    def apply(rows: Values, cols: Values, size: Sequence[int], mat: Values, cuda_spmm_alg: int = 1) -> Values:
        """The means."""
        return spmm_average(rows, cols, size, mat, cuda_spmm_alg)[0]

"""Names of spconv's algorithms. There is only one algorithm here, so none of them changes a result."""

from __future__ import annotations

from enum import Enum

from sscn_triton.compat.missing import names


class ConvAlgo(Enum):
    """Algorithms that spconv may use for a convolution."""

    Native = 0
    MaskImplicitGemm = 1
    MaskSplitImplicitGemm = 2


class AlgoHint(Enum):
    """The pass for which spconv tunes a kernel. The spelling ``Fowrard`` is spconv's."""

    NoHint = 0b000
    Fowrard = 0b001
    BackwardInput = 0b010
    BackwardWeight = 0b100


_KERNELS = "sscn_triton.tune; kernels are chosen there"
__getattr__ = names(
    __name__,
    {"ALL_NATIVE_PARAMS": _KERNELS, "ALL_IMPGEMM_PARAMS": _KERNELS},
    again=("sscn_triton.compat.spconv.constants",),
)

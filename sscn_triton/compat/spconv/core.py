"""Names of spconv's algorithms. There is one here, so that none of them changes a result."""

from __future__ import annotations

from enum import Enum


class ConvAlgo(Enum):
    """What spconv may compute a convolution with."""

    Native = 0
    MaskImplicitGemm = 1
    MaskSplitImplicitGemm = 2

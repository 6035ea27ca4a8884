"""Published times of other engines, to print beside the cells that they belong to."""

from __future__ import annotations

from typing import NamedTuple

from sscn_triton.bench.gpu.cells import Cell


class Bar(NamedTuple):
    """The shortest time that others have published for a cell, in milliseconds."""

    ms: float
    engine: str
    source: str


_ENCODER = (
    "H200, PILArNet-M-mini, bf16, forward and backward, rulebooks reused; "
    "github.com/youngsm/sparse-conv-benchmarks, 13 July 2026"
)
_LAYER = (
    "H100, fp16, 256 channels, 3 x 3 x 3 taps, stride 2, about 50,000 voxels, rulebook rebuilt; looked up on "
    "28 November 2026, the page was not noted"
)
ENCODERS = {
    ("encoder-small", 1): Bar(2.72, "torchsparse", _ENCODER),
    ("encoder-small", 16): Bar(8.51, "MinkowskiEngine", _ENCODER),
    ("encoder-medium", 1): Bar(6.79, "spconv 2.3.8", _ENCODER),
    ("encoder-medium", 16): Bar(16.17, "WarpConvNet", _ENCODER),
    ("encoder-large", 1): Bar(13.11, "spconv 2.3.8", _ENCODER),
    ("encoder-large", 16): Bar(34.94, "WarpConvNet", _ENCODER),
}
"""By network and batch size; batch 1 has 4,690 voxels, batch 16 has 56,700."""
HALVING = Bar(0.72, "spconv 2.3.8", _LAYER)


def bar_of(cell: Cell) -> Bar | None:
    """The published time for a cell. The events are others, so compare it only together with the number of voxels."""
    if (cell.precision, cell.size, cell.density, cell.mode) != ("bf16", 768, "pilarnet", "eager"):
        return None
    if (cell.task, cell.rulebook) == ("step", "out"):
        return ENCODERS.get((cell.network, cell.images))
    asked = cell.network, cell.task, cell.rulebook, cell.images
    return HALVING if asked == ("halving256", "forward", "in", 16) else None

"""A residual encoder: the network of a public benchmark of sparse engines on liquid-argon events.

Residual block: He et al., arXiv:1512.03385, with the sum before the last ReLU.
"""

from __future__ import annotations

from torch.nn import Module

from sscn_triton import nn
from sscn_triton.core.tensor import SparseTensor
from sscn_triton.functional import add
from sscn_triton.relation import one_integer

STAGES = (1, 2, 4, 8)
"""Channels of each stage, in units of those of the first."""


class Block(Module):
    """``relu(x + bn(conv(relu(bn(conv(x))))))``."""

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.SubmanifoldConv(channels, channels, 3, bias=False, ndim=ndim),
            nn.BatchNormReLU(channels),
            nn.SubmanifoldConv(channels, channels, 3, bias=False, ndim=ndim),
            nn.BatchNorm(channels),
        )
        self.relu = nn.ReLU()

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.relu(add(x, self.branch(x)))


class SparseEncoder(Module):
    """Four stages of residual blocks; each stage after the first has half the resolution of the previous one.

    A stem of 3 x 3 x 3 taps, then stages of ``channels`` times 1, 2, 4 and 8, each entered by a strided convolution of
    3 x 3 x 3 taps, stride 2, padding 1; each convolution is followed by batch norm and has no bias. The benchmark's
    small, medium and large networks have ``(channels, blocks)`` = (16, 1), (32, 2) and (64, 3): 1.5, 10.6 and 61.1
    million parameters.

    Args:
        channels: channels of the first stage.
        blocks: residual blocks of each stage.
        in_channels: channels of the input (1: the energy of a voxel).
        ndim: number of spatial axes, 1 to 4.

    Input ``[N, in_channels]``, output ``[M, 8 * channels]`` on the sites reached by three halvings.
    """

    def __init__(self, channels: int = 16, blocks: int = 1, in_channels: int = 1, ndim: int = 3) -> None:
        super().__init__()
        one_integer(channels, "channels", 1)
        one_integer(blocks, "blocks", 1)
        widths = [channels * stage for stage in STAGES]
        self.stem = nn.Sequential(
            nn.SubmanifoldConv(in_channels, channels, 3, bias=False, ndim=ndim), nn.BatchNormReLU(channels)
        )
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths):
            layers = nn.Sequential()
            if stage:
                layers.append(nn.SparseConv(width // 2, width, 3, stride=2, padding=1, bias=False, ndim=ndim))
                layers.append(nn.BatchNormReLU(width))
            layers.extend(Block(width, ndim) for _ in range(blocks))
            self.stages.append(layers)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.stages(self.stem(x))

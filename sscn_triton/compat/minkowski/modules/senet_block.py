"""Residual blocks whose channels are weighted by event (squeeze and excitation), with MinkowskiEngine's names."""

from __future__ import annotations

from typing import Any

import torch

from sscn_triton.compat.minkowski.events import MinkowskiBroadcastMultiplication, MinkowskiGlobalPooling
from sscn_triton.compat.minkowski.features import LAYERS, MinkowskiLinear
from sscn_triton.compat.minkowski.modules.resnet_block import BasicBlock, Bottleneck, _Block


class SELayer(torch.nn.Module):
    """Multiply each channel by a number between 0 and 1 that a small network computes from the event's means.

    Args:
        channel: channels.
        reduction: ratio of channels to hidden ones.
        D: number of spatial axes; has no effect, because means have no kernel.
    """

    def __init__(self, channel: int, reduction: int = 16, D: int = -1) -> None:
        super().__init__()
        hidden = channel // reduction
        self.fc = torch.nn.Sequential(
            MinkowskiLinear(channel, hidden),
            LAYERS["MinkowskiReLU"](inplace=True),
            MinkowskiLinear(hidden, channel),
            LAYERS["MinkowskiSigmoid"](),
        )
        self.pooling = MinkowskiGlobalPooling()
        self.broadcast_mul = MinkowskiBroadcastMultiplication()

    def forward(self, x: Any) -> Any:
        return self.broadcast_mul(x, self.fc(self.pooling(x)))


class _SEBlock(_Block):
    """A block with an `SELayer` before the sum. Arguments: `_Block`, and ``reduction`` of the layer."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        dilation: int = 1,
        downsample: torch.nn.Module | None = None,
        reduction: int = 16,
        D: int = -1,
    ) -> None:
        super().__init__(inplanes, planes, stride, dilation, downsample, dimension=D)
        self.se = SELayer(planes * self.expansion, reduction, D)

    def branch(self, x: Any) -> Any:
        return self.se(super().branch(x))


class SEBasicBlock(_SEBlock, BasicBlock):
    """`BasicBlock` with an `SELayer`. Arguments: `_SEBlock`."""


class SEBottleneck(_SEBlock, Bottleneck):
    """`Bottleneck` with an `SELayer`. Arguments: `_SEBlock`."""
